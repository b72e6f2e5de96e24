-- What the API's conventions rest on: answers under their keys, teams and whose rows a user reaches, row-level
-- security that binds the tables' owner as well.

-- The customer whose request a connection serves; `salesos.customer_id` is what processes of before set.
create or replace function crm.customer() returns uuid language sql stable parallel safe as
  $$ select coalesce(nullif(current_setting('app.customer_id', true), ''),
       nullif(current_setting('salesos.customer_id', true), ''))::uuid $$;

-- The answers of requests that had a key. Only for a day: see crm::idempotency.
create table idempotency_keys (
  customer_id uuid not null references customers,
  actor text not null,
  key text not null,
  fingerprint bytea not null,
  status smallint not null,
  headers jsonb not null,
  body bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (customer_id, actor, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table teams (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null constraint team_name check (name <> ''),
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
create unique index teams_name on teams (customer_id, lower(name));
alter table users add column team_id uuid, add foreign key (customer_id, team_id) references teams (customer_id, id);

-- Whether whoever asks reaches what this user owns. Reps and managers are named in `app.user_id` and `app.team_id`:
-- they reach their own, their team's, and what nobody owns; who is not named reaches all of the customer's.
create function crm.reaches(owner uuid) returns boolean language sql stable parallel safe as $$
  select nullif(current_setting('app.user_id', true), '') is null
    or owner is null
    or owner = current_setting('app.user_id', true)::uuid
    or exists (select from public.users u
      where u.customer_id = crm.customer() and u.id = owner
        and u.team_id = nullif(current_setting('app.team_id', true), '')::uuid) $$;
create function crm.reaches_contact(customer uuid, contact uuid) returns boolean language sql stable parallel safe as $$
  select nullif(current_setting('app.user_id', true), '') is null
    or contact is null
    or exists (select from public.contacts c where c.customer_id = customer and c.id = contact) $$;
grant execute on function crm.reaches(uuid), crm.reaches_contact(uuid, uuid) to salesos_api, salesos_worker;

create policy reach on contacts as restrictive to salesos_api using (crm.reaches(owner_id)) with check (true);
do $$
declare
  owned text;
begin
  foreach owned in array array['enrollments', 'emails', 'activities', 'tasks', 'engagement', 'engagement_parts'] loop
    execute format('create policy reach on %I as restrictive to salesos_api
      using (crm.reaches_contact(customer_id, contact_id)) with check (true)', owned);
  end loop;
  foreach owned in array array['teams', 'idempotency_keys'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
  end loop;
  -- The owner of the tables is bound as well: whoever works on all customers' rows takes the worker's role.
  foreach owned in array array['customers', 'users', 'teams', 'email_provider_accounts', 'accounts', 'contacts',
    'suppressions', 'sequences', 'enrollments', 'emails', 'activities', 'tasks', 'engagement', 'engagement_parts',
    'refresh_tokens', 'idempotency_keys'] loop
    execute format('alter table %I force row level security', owned);
  end loop;
end $$;
grant select, insert, update, delete on teams, idempotency_keys to salesos_api, salesos_worker;
grant all on teams, idempotency_keys to salesos_owner;

-- Look-ups before a customer is known read past row-level security, so they are the worker's.
grant create on schema crm to salesos_worker;
alter function crm.find_login(text) owner to salesos_worker;
alter function crm.find_refresh_token(bytea) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.find_login(text), crm.find_refresh_token(bytea) to salesos_api, salesos_worker;
