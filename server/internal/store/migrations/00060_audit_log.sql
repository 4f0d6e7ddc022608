-- +goose Up
-- Whose an entry is, so that a responsible person can read their organization's log, and what the log is
-- searched by. ids rise with time: (column, id) gives a page of the newest without sorting.
alter table audit add column organization_id text not null default '';
drop index audit_object;
create index audit_object on audit (object, id);
create index audit_actor on audit (actor, id);
create index audit_acting_for on audit (acting_for, id) where acting_for <> actor and acting_for <> '';
create index audit_action on audit (action, id);
create index audit_organization on audit (organization_id, id);

-- The name without capitals and accents.
alter table audit_names add column folded text not null default '';
update audit_names set folded = lower(name);
create index audit_names_folded on audit_names (folded);
