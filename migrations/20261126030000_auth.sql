-- Who comes in: API keys, links by which passwords are set, and the record of what was done to logins and rights.

create table api_keys (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null constraint api_key_name check (name <> ''),
  key_hash bytea not null,
  hint text not null,   -- the last letters, so that people tell their keys apart
  scopes text[] not null constraint api_key_scopes check (cardinality(scopes) > 0),
  created_by uuid not null,
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (customer_id, id),
  foreign key (customer_id, created_by) references users (customer_id, id)
);
create unique index api_keys_hash on api_keys (key_hash);

-- Each good for one use, by the real clock.
create table password_links (
  customer_id uuid not null references customers,
  id uuid not null,
  user_id uuid not null,
  token_hash bytea not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (customer_id, id),
  foreign key (customer_id, user_id) references users (customer_id, id)
);
create unique index password_links_hash on password_links (token_hash);
create index password_links_user on password_links (customer_id, user_id);

create table audit_log (
  customer_id uuid not null references customers,
  id uuid not null,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  action text not null,
  target text,
  address text,   -- from where, as far as that is known
  data jsonb not null default '{}',
  primary key (customer_id, id)
);

do $$
declare
  owned text;
begin
  foreach owned in array array['api_keys', 'password_links', 'audit_log'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('alter table %I force row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
    execute format('grant all on %I to salesos_owner', owned);
  end loop;
end $$;
grant select, insert, update, delete on api_keys, password_links to salesos_api, salesos_worker;
-- What was done stays written.
grant select, insert on audit_log to salesos_api, salesos_worker;

-- Look-ups before a customer is known.
create function crm.find_api_key(hash bytea)
returns table (customer_id uuid, id uuid, scopes text[], used_lately boolean) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select k.customer_id, k.id, k.scopes, coalesce(k.last_used_at > clock_timestamp() - interval '1 minute', false)
  from api_keys k
  where k.key_hash = hash and k.revoked_at is null and coalesce(k.expires_at > clock_timestamp(), true)
$$;
create function crm.find_password_link(hash bytea) returns uuid language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select l.customer_id from password_links l where l.token_hash = hash
$$;
revoke execute on function crm.find_api_key(bytea), crm.find_password_link(bytea) from public;
grant create on schema crm to salesos_worker;
alter function crm.find_api_key(bytea) owner to salesos_worker;
alter function crm.find_password_link(bytea) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.find_api_key(bytea), crm.find_password_link(bytea) to salesos_api, salesos_worker;

-- Logins by cookie, for the pages that this server shows itself. By the real clock.
create table web_sessions (
  customer_id uuid not null references customers,
  id uuid not null,
  user_id uuid not null,
  token_hash bytea not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (customer_id, id),
  foreign key (customer_id, user_id) references users (customer_id, id)
);
create unique index web_sessions_hash on web_sessions (token_hash);
alter table web_sessions enable row level security;
alter table web_sessions force row level security;
create policy own on web_sessions to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer());
grant all on web_sessions to salesos_owner;
grant select, insert, update, delete on web_sessions to salesos_api, salesos_worker;
create function crm.find_web_session(hash bytea)
returns table (customer_id uuid, id uuid, user_id uuid, role text, team_id uuid) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select s.customer_id, s.id, s.user_id, u.role, u.team_id
  from web_sessions s join users u on u.customer_id = s.customer_id and u.id = s.user_id
  where s.token_hash = hash and s.ended_at is null and s.expires_at > clock_timestamp() and u.active
$$;
revoke execute on function crm.find_web_session(bytea) from public;
grant create on schema crm to salesos_worker;
alter function crm.find_web_session(bytea) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.find_web_session(bytea) to salesos_api, salesos_worker;
