-- A kept answer holds no secret in clear: it is cut out of the body and sealed under ENCRYPTION_KEY.

alter table idempotency_keys
  add column secret bytea,      -- sealed
  add column secret_at integer, -- the byte of the body before which it belongs
  add constraint idempotency_keys_secret check ((secret is null) = (secret_at is null));

-- Answers that an older version kept in clear are emptied; their keys stay used.
update idempotency_keys set status = 410, headers = '[]', body = ''
where position('"secret":"whsec_'::bytea in body) > 0 or position('"key":"sk_'::bytea in body) > 0;
