-- +goose Up
-- A mail that a change owes to somebody, from then until long after it was sent: the outbox, and what delivery
-- failures and answers are matched with. data is sealed and emptied once nothing is left to do.
create table mails (
	id text primary key,
	kind text not null,
	recipient text not null,
	recipient_name text not null,
	account_id text not null,
	organization_id text not null,
	language text not null,
	ticket_id text not null,
	data text not null,
	link boolean not null,
	message_id text not null,
	state text not null,
	turn bigint not null,
	attempts bigint not null,
	last_error text not null,
	made_by text not null,
	created_at bigint not null,
	expires_at bigint not null,
	moved_at bigint not null,
	version bigint not null
);
create index mails_state on mails (state, id);
create index mails_ticket on mails (ticket_id, id) where ticket_id <> '';
create index mails_message_id on mails (message_id) where message_id <> '';
create index mails_recipient on mails (recipient, id);
