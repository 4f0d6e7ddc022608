-- +goose Up
-- Beginnings of words are compared byte by byte, whatever the database's collation.
create index account_words_prefix on account_words (word text_pattern_ops, account_id);
