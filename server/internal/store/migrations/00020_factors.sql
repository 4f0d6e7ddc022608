-- +goose Up
-- Second factors: an account may have several of each kind.
create table factors (
	id text primary key,
	account_id text not null references accounts (id),
	kind text not null,
	name text not null,
	secret text not null,
	key_id text not null,
	step bigint not null,
	created_at bigint not null,
	seen_at bigint not null
);
create index factors_account on factors (account_id, created_at);
create unique index factors_key on factors (key_id) where key_id <> '';
insert into factors (id, account_id, kind, name, secret, key_id, step, created_at, seen_at)
	select id, id, 'app', '', totp_secret, '', totp_step, created_at, 0 from accounts where totp;
alter table accounts drop column totp;
alter table accounts drop column totp_secret;
alter table accounts drop column totp_step;

-- An account stands once it was registered with a second factor; lost: its factor waits to be set up
-- again by a link to its own address.
alter table accounts add column registered_at bigint not null default 0;
alter table accounts add column factor_lost boolean not null default false;
update accounts set registered_at = created_at where password <> '';

-- A login is half-way until its second factor is proven. Those of before have not proven any.
delete from logins;
alter table logins add column state text not null default 'in';
alter table logins add column confirmed_at bigint not null default 0;
alter table logins add column invitation text not null default '';

-- What was asked and is not answered yet: a new app's secret, a passkey's challenge, a code sent as SMS.
create table challenges (
	id text primary key,
	account_id text not null,
	data text not null,
	attempts bigint not null,
	expires_at bigint not null
);
create index challenges_expiry on challenges (expires_at);
