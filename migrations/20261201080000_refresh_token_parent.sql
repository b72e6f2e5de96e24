-- Which token a refresh token was given for, so that the direct predecessor of a login's newest tokens is known.

alter table refresh_tokens add column parent_id uuid;
create index refresh_tokens_parent on refresh_tokens (customer_id, parent_id) where parent_id is not null;
