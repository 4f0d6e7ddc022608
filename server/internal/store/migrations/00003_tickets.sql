-- +goose Up
create table tickets (
	id text primary key,
	number bigint not null,
	organization_id text not null references organizations (id),
	subject text not null,
	title text not null,
	text text not null,
	category text not null,
	severity text not null,
	answers text not null,
	status text not null,
	reason text not null,
	requester_account text not null,
	requester_name text not null,
	requester_email text not null,
	requester_phone text not null,
	requester_confirmed boolean not null,
	device_id text not null,
	os_user text not null,
	os_user_id text not null,
	language text not null,
	source text not null,
	assignee text not null,
	facts text not null,
	body_hash text not null,
	created_at bigint not null,
	updated_at bigint not null,
	resolved_at bigint not null,
	closed_at bigint not null,
	customer_last boolean not null,
	version bigint not null
);
create unique index tickets_number on tickets (number);
create index tickets_live on tickets (updated_at) where status <> 'closed';
create index tickets_organization on tickets (organization_id, number);
create index tickets_requester on tickets (requester_account, number) where requester_account <> '';
create index tickets_device on tickets (device_id, number) where device_id <> '';

create table messages (
	id text primary key,
	ticket_id text not null references tickets (id),
	kind text not null,
	author text not null,
	author_name text not null,
	from_staff boolean not null,
	text text not null,
	at bigint not null
);
create index messages_ticket on messages (ticket_id, at, id);

create table files (
	id text primary key,
	ticket_id text not null references tickets (id),
	message_id text not null,
	position bigint not null,
	name text not null,
	type text not null,
	size bigint not null,
	sha256 text not null,
	arrived boolean not null,
	at bigint not null
);
create index files_ticket on files (ticket_id, position);
create index files_sha256 on files (sha256);

-- What an API client was answered to a request with an Idempotency-Key.
create table idempotency (
	account_id text not null,
	key_hash text not null,
	body_hash text not null,
	ticket_id text not null,
	created_at bigint not null,
	primary key (account_id, key_hash)
);
