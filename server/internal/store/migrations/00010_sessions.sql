-- +goose Up
-- A technician's use of a device, from the question to the end. Rows are the session history.
create table sessions (
	id text primary key,
	device_id text not null references devices (id),
	organization_id text not null references organizations (id),
	ticket_id text not null references tickets (id),
	account_id text not null,
	name text not null,
	scopes text not null,
	state text not null,
	os_user text not null,
	user_since bigint not null,
	words text not null,
	deadline bigint not null,
	granted text not null,
	grant_id text not null,
	reason text not null,
	outcome text not null,
	used text not null,
	asked_at bigint not null,
	moved_at bigint not null,
	allowed_at bigint not null,
	ended_at bigint not null,
	version bigint not null
);
create index sessions_live on sessions (device_id) where ended_at = 0;
create index sessions_device on sessions (device_id, id);
create index sessions_ticket on sessions (ticket_id, id);
create index sessions_account on sessions (account_id, id);

-- Each channel that was offered to a device, and what became of it.
create table channels (
	id text primary key,
	session_id text not null references sessions (id),
	device_id text not null,
	kind text not null,
	control boolean not null,
	grant_id text not null,
	offered_at bigint not null,
	opened_at bigint not null,
	refused text not null
);
create index channels_session on channels (session_id, id);

-- The server's copies of grants. A device chooses the ids, so they are its own only.
create table grants (
	device_id text not null references devices (id),
	id text not null,
	account_id text not null,
	session_id text not null,
	ticket_id text not null,
	standing boolean not null,
	bytes text not null,
	signature text not null,
	spent bigint not null,
	spent_at bigint not null,
	ended_at bigint not null,
	reason text not null,
	told boolean not null,
	primary key (device_id, id)
);
create index grants_live on grants (device_id) where ended_at = 0;
create index grants_untold on grants (device_id) where ended_at > 0 and not told;
create index grants_ticket on grants (ticket_id) where ticket_id <> '';
create index grants_session on grants (session_id) where session_id <> '';
