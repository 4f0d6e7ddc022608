-- +goose Up
create table ledger_heads (
	device_id text primary key references devices (id),
	seq bigint not null,
	hash text not null,
	signed text not null,
	at bigint not null
);
