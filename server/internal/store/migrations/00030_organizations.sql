-- +goose Up
-- What an organization has bought, how it looks and how its people are ordered.
alter table organizations add column sort_name text not null default '';
alter table organizations add column plan_tickets boolean not null default true;
alter table organizations add column plan_own_device boolean not null default true;
alter table organizations add column plan_assets boolean not null default true;
alter table organizations add column members_see_all boolean not null default false;
alter table organizations add column product_name text not null default '';
alter table organizations add column tray_title text not null default '';
alter table organizations add column logo text not null default '';
alter table organizations add column time_zone text not null default '';
update organizations set sort_name = lower(name);
create index organizations_sort on organizations (sort_name, id);

-- Mail domains. One belongs to one organization.
create table organization_domains (
	domain text primary key,
	organization_id text not null references organizations (id)
);
create index organization_domains_of on organization_domains (organization_id, domain);

-- Logos as PNG in base64, by the SHA-256 of the picture.
create table logos (
	sha256 text primary key,
	png text not null
);

-- Days on which a deputy stands for a responsible person, both included, in the organization's time zone.
create table absences (
	id text primary key,
	organization_id text not null references organizations (id),
	account_id text not null references accounts (id),
	deputy_id text not null references accounts (id),
	from_day text not null,
	to_day text not null
);
create index absences_organization on absences (organization_id, from_day);
create index absences_deputy on absences (deputy_id, to_day);
create index absences_account on absences (account_id);

-- Accounts are listed by name and found by the beginnings of words.
alter table accounts add column sort_name text not null default '';
alter table accounts add column words text not null default '';
update accounts set sort_name = lower(name);
create index accounts_sort on accounts (sort_name, id);
create index accounts_organization on accounts (organization_id, sort_name, id);
create index accounts_role on accounts (role, sort_name, id);
create index accounts_licensed on accounts (organization_id, role, disabled);

create table account_words (
	word text not null,
	account_id text not null references accounts (id),
	primary key (word, account_id)
);
create index account_words_of on account_words (account_id);
insert into account_words (word, account_id) select lower(email), id from accounts;

create index invitations_organization on invitations (organization_id, created_at) where used_at = 0;
create index invitations_email on invitations (email);
