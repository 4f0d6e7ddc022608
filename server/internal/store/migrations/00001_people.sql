-- +goose Up
create table organizations (
	id text primary key,
	name text not null,
	provider boolean not null,
	support_phone text not null,
	created_at bigint not null,
	version bigint not null
);
create unique index organizations_name on organizations (name);

create table accounts (
	id text primary key,
	organization_id text not null references organizations (id),
	email text not null,
	name text not null,
	language text not null,
	role text not null,
	password text not null,
	totp_secret text not null,
	totp boolean not null,
	totp_step bigint not null,
	disabled boolean not null,
	created_at bigint not null,
	version bigint not null
);
create unique index accounts_email on accounts (email);

create table recovery_codes (
	account_id text not null references accounts (id),
	hash text not null,
	primary key (account_id, hash)
);

create table logins (
	id text primary key,
	token_hash text not null,
	account_id text not null references accounts (id),
	address text not null,
	user_agent text not null,
	created_at bigint not null,
	seen_at bigint not null
);
create unique index logins_token on logins (token_hash);
create index logins_account on logins (account_id, seen_at);

create table invitations (
	id text primary key,
	token_hash text not null,
	organization_id text not null references organizations (id),
	email text not null,
	role text not null,
	made_by text not null,
	created_at bigint not null,
	expires_at bigint not null,
	used_at bigint not null
);
create unique index invitations_token on invitations (token_hash);

create table api_tokens (
	id text primary key,
	hash text not null,
	account_id text not null references accounts (id),
	name text not null,
	created_at bigint not null,
	seen_at bigint not null,
	expires_at bigint not null
);
create unique index api_tokens_hash on api_tokens (hash);
create index api_tokens_account on api_tokens (account_id);

create table settings (
	name text primary key,
	value text not null
);
