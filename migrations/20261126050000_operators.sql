-- Who runs the platform: operators belong to no customer, and see runs and jobs of all. The API's role can't read
-- these tables; it asks by the functions below, each of which tells one thing.

create table operators (
  id uuid primary key,
  email text not null,
  name text not null constraint operator_name check (name <> ''),
  password_hash text not null,
  active boolean not null default true,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create unique index operators_email on operators (lower(email));

-- By the real clock, as all that guards a door. Only the hash of a token is kept.
create table operator_logins (
  id uuid primary key,
  operator_id uuid not null references operators,
  token_hash bytea not null,
  expires_at timestamptz not null,
  ended_at timestamptz,
  created_at timestamptz not null default clock_timestamp()
);
create unique index operator_logins_hash on operator_logins (token_hash);

alter table operators enable row level security;
alter table operators force row level security;
alter table operator_logins enable row level security;
alter table operator_logins force row level security;
grant all on operators, operator_logins to salesos_owner;
grant select, insert, update, delete on operators, operator_logins to salesos_worker;

create function crm.find_operator(address text)
returns table (id uuid, email text, name text, password_hash text) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select o.id, o.email, o.name, o.password_hash from operators o where lower(o.email) = lower(address) and o.active
$$;
create function crm.open_operator_login(login uuid, operator uuid, hash bytea, lifetime_seconds double precision)
returns void language sql volatile security definer set search_path = pg_catalog, public, pg_temp as $$
  insert into operator_logins (id, operator_id, token_hash, expires_at)
  values (login, operator, hash, clock_timestamp() + make_interval(secs => lifetime_seconds))
$$;
create function crm.find_operator_login(hash bytea)
returns table (id uuid, operator_id uuid, email text, name text) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select l.id, o.id, o.email, o.name from operator_logins l join operators o on o.id = l.operator_id
  where l.token_hash = hash and l.ended_at is null and l.expires_at > clock_timestamp() and o.active
$$;
create function crm.end_operator_login(login uuid) returns void language sql volatile security definer
set search_path = pg_catalog, public, pg_temp as $$
  update operator_logins set ended_at = clock_timestamp() where id = login and ended_at is null
$$;
revoke execute on function crm.find_operator(text), crm.open_operator_login(uuid, uuid, bytea, double precision),
  crm.find_operator_login(bytea), crm.end_operator_login(uuid) from public;
grant create on schema crm to salesos_worker;
alter function crm.find_operator(text) owner to salesos_worker;
alter function crm.open_operator_login(uuid, uuid, bytea, double precision) owner to salesos_worker;
alter function crm.find_operator_login(bytea) owner to salesos_worker;
alter function crm.end_operator_login(uuid) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.find_operator(text), crm.open_operator_login(uuid, uuid, bytea, double precision),
  crm.find_operator_login(bytea), crm.end_operator_login(uuid) to salesos_api, salesos_worker;
