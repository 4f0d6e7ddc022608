-- +goose Up
create table enrolment_keys (
	id text primary key,
	secret_hash text not null,
	organization_id text not null references organizations (id),
	tls text not null,
	uses bigint not null,
	used bigint not null,
	made_by text not null,
	created_at bigint not null,
	expires_at bigint not null,
	revoked_at bigint not null
);

create table devices (
	id text primary key,
	organization_id text not null references organizations (id),
	name text not null,
	link_key text not null,
	grant_key text not null,
	machine_id text not null,
	facts text not null,
	words text not null,
	enrolment_key text not null,
	enrolled_at bigint not null,
	online boolean not null,
	epoch bigint not null,
	seen_at bigint not null,
	address text not null,
	removed_at bigint not null,
	version bigint not null
);
create index devices_organization on devices (organization_id, name) where removed_at = 0;
create index devices_name on devices (name) where removed_at = 0;
