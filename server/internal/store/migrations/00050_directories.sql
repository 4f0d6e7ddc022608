-- +goose Up
-- Where passwords of accounts are checked, if not here.
create table directories (
	id text primary key,
	kind text not null,
	name text not null unique,
	organization_id text not null references organizations (id),
	enabled boolean not null,
	settings text not null,
	secret text not null,
	created_at bigint not null,
	version bigint not null
);

-- An e-mail domain belongs to one directory.
create table directory_domains (
	domain text primary key,
	directory_id text not null references directories (id)
);
create index directory_domains_directory on directory_domains (directory_id);

-- directory_gone: the directory, not an administrator, has disabled the account.
alter table accounts add column directory_id text not null default '';
alter table accounts add column external_id text not null default '';
alter table accounts add column directory_gone boolean not null default false;
create unique index accounts_directory on accounts (directory_id, external_id) where directory_id <> '';
