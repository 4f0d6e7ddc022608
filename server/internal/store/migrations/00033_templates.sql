-- +goose Up
-- What a new organization can start with.
create table organization_templates (
	id text primary key,
	name text not null unique,
	support_phone text not null,
	plan_tickets boolean not null,
	plan_own_device boolean not null,
	plan_assets boolean not null,
	members_see_all boolean not null,
	product_name text not null,
	tray_title text not null,
	time_zone text not null,
	created_at bigint not null
);
