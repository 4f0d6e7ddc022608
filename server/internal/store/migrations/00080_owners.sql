-- +goose Up
create table device_owners (
	id text primary key,
	code_hash text not null,
	account_id text not null references accounts (id),
	organization_id text not null references organizations (id),
	device_id text not null,
	user_id text not null,
	os_user text not null,
	asked_at bigint not null,
	claimed_at bigint not null,
	confirmed_at bigint not null,
	ended_at bigint not null,
	version bigint not null
);
create unique index device_owners_code on device_owners (code_hash);
create index device_owners_account on device_owners (account_id) where ended_at = 0;
create unique index device_owners_user on device_owners (device_id, user_id) where confirmed_at > 0 and ended_at = 0;
