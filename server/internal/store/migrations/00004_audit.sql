-- +goose Up
-- A row is written in the transaction of the change it tells of, without seq and hash. The chainer
-- gives it both within a second.
create table audit (
	id text primary key,
	seq bigint not null,
	at bigint not null,
	actor text not null,
	acting_for text not null,
	via text not null,
	address text not null,
	action text not null,
	object text not null,
	detail text not null,
	hash text not null
);
create index audit_unchained on audit (id) where seq = 0;
create unique index audit_seq on audit (seq) where seq > 0;
create index audit_object on audit (object, at);

-- Names by which the log is read. The log itself holds ids, so that a name can be anonymised without
-- breaking the chain.
create table audit_names (
	id text primary key,
	name text not null
);
