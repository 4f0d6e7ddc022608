-- +goose Up
alter table tickets add column queue_id text not null default '';
alter table tickets add column waits_for text not null default '';
alter table tickets add column paused_until bigint not null default 0;
alter table tickets add column merged_into text not null default '';
alter table tickets add column follows text not null default '';
alter table tickets add column reopened bigint not null default 0;
-- What the contract has made of the log, for lists; the log decides.
alter table tickets add column first_due bigint not null default 0;
alter table tickets add column solution_due bigint not null default 0;
alter table tickets add column next_due bigint not null default 0;
alter table tickets add column due_at bigint not null default 0;
alter table tickets add column first_met bigint not null default 0;
alter table tickets add column missed boolean not null default false;
alter table tickets add column wake_at bigint not null default 0;

create index tickets_updated on tickets (updated_at, number);
create index tickets_status on tickets (status, updated_at, number);
create index tickets_organization_updated on tickets (organization_id, updated_at, number);
create index tickets_requester_updated on tickets (requester_account, updated_at, number) where requester_account <> '';
create index tickets_queue on tickets (queue_id, updated_at, number) where status <> 'closed';
create index tickets_assignee on tickets (assignee, updated_at, number) where status <> 'closed';
create index tickets_due on tickets (due_at) where status <> 'closed' and due_at > 0;
create index tickets_merged on tickets (merged_into) where merged_into <> '';
create index tickets_follows on tickets (follows) where follows <> '';

-- How many tickets of a scope stand in a status, kept by the statements that store tickets. A scope is
-- "all", "org:ID", "req:ACCOUNT", "asg:ACCOUNT" or "que:ID"; shards keep writers out of each other's way.
create table ticket_counts (
	scope text not null,
	status text not null,
	shard bigint not null,
	n bigint not null,
	primary key (scope, status, shard)
);
insert into ticket_counts (scope, status, shard, n) select 'all', status, 0, count(*) from tickets group by status;
insert into ticket_counts (scope, status, shard, n) select 'org:' || organization_id, status, 0, count(*) from tickets group by organization_id, status;
insert into ticket_counts (scope, status, shard, n) select 'req:' || requester_account, status, 0, count(*) from tickets where requester_account <> '' group by requester_account, status;
insert into ticket_counts (scope, status, shard, n) select 'asg:' || assignee, status, 0, count(*) from tickets group by assignee, status;
insert into ticket_counts (scope, status, shard, n) select 'que:', status, 0, count(*) from tickets group by status;

create table queues (
	id text primary key,
	name text not null,
	lead text not null,
	archived boolean not null,
	version bigint not null
);

create table categories (
	id text primary key,
	names text not null,
	kind text not null,
	queue_id text not null,
	position bigint not null,
	archived boolean not null,
	version bigint not null
);

create table replies (
	id text primary key,
	name text not null,
	category_id text not null,
	texts text not null,
	version bigint not null
);

create table calendars (
	id text primary key,
	body text not null,
	version bigint not null
);

create table contracts (
	id text primary key,
	name text not null,
	calendar_id text not null references calendars (id),
	targets text not null,
	always_critical boolean not null,
	standard boolean not null,
	version bigint not null
);

create table organization_contracts (
	organization_id text primary key references organizations (id),
	contract_id text not null references contracts (id)
);

create table duties (
	scope text primary key,
	plan text not null,
	version bigint not null
);

create table watchers (
	ticket_id text not null references tickets (id),
	account_id text not null references accounts (id),
	primary key (ticket_id, account_id)
);
create index watchers_account on watchers (account_id);

create table worked (
	id text primary key,
	ticket_id text not null references tickets (id),
	organization_id text not null references organizations (id),
	account_id text not null references accounts (id),
	minutes bigint not null,
	note text not null,
	billable boolean not null,
	at bigint not null,
	made_at bigint not null
);
create index worked_ticket on worked (ticket_id, at);
create index worked_organization on worked (organization_id, at);
create index worked_at on worked (at);

-- Alarms that have rung.
create table alarms (
	ticket_id text not null references tickets (id),
	clock text not null,
	percent bigint not null,
	arm text not null,
	at bigint not null,
	primary key (ticket_id, clock, percent, arm)
);

create table approval_rules (
	organization_id text primary key references organizations (id),
	kinds text not null
);

create table approvals (
	id text primary key,
	ticket_id text not null references tickets (id),
	organization_id text not null references organizations (id),
	kind text not null,
	change text not null,
	hash text not null,
	state text not null,
	asked_by text not null,
	asked_at bigint not null,
	clock_at bigint not null,
	reminded bigint not null,
	expires_at bigint not null,
	decided_by text not null,
	decided_at bigint not null,
	reason text not null,
	started_at bigint not null,
	version bigint not null
);
create index approvals_ticket on approvals (ticket_id, asked_at);
create index approvals_waiting on approvals (organization_id, asked_at) where state = 'waiting';
create index approvals_decided on approvals (decided_at) where decided_at > 0;
