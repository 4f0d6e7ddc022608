-- +goose Up
create table jobs (
	id text primary key,
	kind text not null,
	payload text not null,
	created_at bigint not null,
	run_at bigint not null,
	lease_until bigint not null,
	attempts bigint not null,
	last_error text not null,
	done_at bigint not null
);
create index jobs_due on jobs (run_at) where done_at = 0;

create table leases (
	name text primary key,
	holder text not null,
	until bigint not null
);
