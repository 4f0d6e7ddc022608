-- +goose Up
-- Each mail that came in, and what became of it. fingerprint is of its Message-ID and content, so that the same mail to two
-- mailboxes, or fetched twice, counts once. raw names the blob with its bytes.
create table incoming (
	id text primary key,
	fingerprint text not null,
	message_id text not null,
	mailbox text not null,
	sender text not null,
	sender_name text not null,
	subject text not null,
	outcome text not null,
	why text not null,
	ticket_id text not null,
	message text not null,
	raw text not null,
	size bigint not null,
	at bigint not null,
	version bigint not null
);
create unique index incoming_fingerprint on incoming (fingerprint);
create index incoming_message_id on incoming (message_id) where message_id <> '';
create index incoming_held on incoming (id) where outcome = 'held';
create index incoming_ticket on incoming (ticket_id, id) where ticket_id <> '';
create index incoming_sender on incoming (sender, id);
