-- +goose Up
create sequence ticket_numbers start with 1001;

-- The words of a ticket by its number. The texts come in folded (no accents, no capitals).
create table ticket_search (
	number bigint primary key,
	public tsvector not null,
	internal tsvector not null
);
create index ticket_search_public on ticket_search using gin (public);
create index ticket_search_both on ticket_search using gin ((public || internal));
