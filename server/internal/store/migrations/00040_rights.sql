-- +goose Up
-- Where an account's rights count. An account without a row is not narrowed.
create table account_limits (
	account_id text primary key references accounts (id),
	limits text not null
);

-- What a token leaves of its account's rights: words in JSON, or * for all that a token may have.
alter table api_tokens add column rights text not null default '*';
