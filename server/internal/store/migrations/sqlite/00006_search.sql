-- +goose Up
create table counters (
	name text primary key,
	value bigint not null
);
insert into counters (name, value) values ('ticket', 1000);

-- The words of a ticket by its number. The texts come in folded (no accents, no capitals).
create virtual table ticket_search using fts5 (public, internal, content = '', contentless_delete = 1, tokenize = 'unicode61', prefix = '3');
