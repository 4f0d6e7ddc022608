-- +goose Up
-- Accounts of people who were forgotten: their tickets stay, nothing else does.
alter table accounts add column removed_at bigint not null default 0;
