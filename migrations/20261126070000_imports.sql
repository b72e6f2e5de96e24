-- Imports of contacts: the file as it was read, in chunks that leave as they are written, and the rows that were refused.

create table imports (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null,
  header text[] not null,
  mapping jsonb not null,            -- by column, in the header's order: the field that it fills, or null
  on_duplicate text not null constraint import_on_duplicate check (on_duplicate in ('skip', 'update')),
  create_accounts boolean not null,
  actor text not null,
  status text not null default 'queued'
    constraint import_status check (status in ('queued', 'running', 'done', 'failed')),
  rows bigint not null,              -- of the file, the header and blank lines apart
  done bigint not null default 0,    -- of them
  created bigint not null default 0,
  updated bigint not null default 0,
  skipped bigint not null default 0,
  duplicate bigint not null default 0,
  invalid_email bigint not null default 0,
  missing_email bigint not null default 0,
  invalid bigint not null default 0,
  error text,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  ended_at timestamptz,
  primary key (customer_id, id),
  constraint import_ended check ((status in ('done', 'failed')) = (ended_at is not null))
);

create table import_chunks (
  customer_id uuid not null,
  import_id uuid not null,
  n integer not null,
  contacts jsonb not null,
  primary key (customer_id, import_id, n),
  foreign key (customer_id, import_id) references imports (customer_id, id)
);

create table import_refusals (
  customer_id uuid not null,
  import_id uuid not null,
  line bigint not null,              -- on which the row begins, from 1
  reason text not null,
  detail text not null,
  cells text[] not null,
  primary key (customer_id, import_id, line),
  foreign key (customer_id, import_id) references imports (customer_id, id)
);

do $$
declare
  owned text;
begin
  foreach owned in array array['imports', 'import_chunks', 'import_refusals'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('alter table %I force row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
    execute format('grant select, insert, update, delete on %I to salesos_api, salesos_worker', owned);
    execute format('grant all on %I to salesos_owner', owned);
  end loop;
end $$;
