-- +goose Up
-- Lists of people are narrowed to a directory; most accounts may have none.
create index accounts_of_directory on accounts (directory_id, sort_name, id) where directory_id <> '';
