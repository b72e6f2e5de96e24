-- Webhooks: where a customer's systems are told of events, and what was delivered to them.

create table webhooks (
  customer_id uuid not null references customers,
  id uuid not null,
  url text not null,
  events text[] not null constraint webhook_events check (cardinality(events) between 1 and 50),
  description text,
  status text not null default 'active' constraint webhook_status check (status in ('active', 'paused', 'disabled')),
  status_reason text,                -- of one that was disabled
  secret bytea not null,             -- sealed; so is the one before, which signs as well until then
  previous_secret bytea,
  previous_until timestamptz,
  active_since timestamptz not null default engine.now(),  -- of what happened before it is not told
  failing_since timestamptz,         -- when the first event was told of that has not arrived, with none after it
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  deleted_at timestamptz,
  primary key (customer_id, id),
  constraint webhook_previous check ((previous_secret is null) = (previous_until is null))
);
create index webhooks_active on webhooks (customer_id) where status = 'active' and deleted_at is null;

create table webhook_deliveries (
  customer_id uuid not null references customers,
  id uuid not null,                  -- also its run's
  webhook_id uuid not null,
  event_id uuid not null,
  topic text not null,
  contact_id uuid,                   -- of whom the event tells
  body text not null,                -- as it is signed and sent
  again boolean not null default false,  -- whether somebody asked for it
  status text not null default 'pending'
    constraint delivery_status check (status in ('pending', 'delivered', 'failed')),
  attempts smallint not null default 0,  -- once it has ended
  response_status smallint,
  error text,
  created_at timestamptz not null default engine.now(),
  ended_at timestamptz,
  primary key (customer_id, id),
  foreign key (customer_id, webhook_id) references webhooks (customer_id, id),
  constraint delivery_ended check ((status = 'pending') = (ended_at is null))
);
create unique index webhook_deliveries_event on webhook_deliveries (customer_id, webhook_id, event_id) where not again;
create index webhook_deliveries_webhook on webhook_deliveries (customer_id, webhook_id, id);
create index webhook_deliveries_contact on webhook_deliveries (customer_id, contact_id) where contact_id is not null;
create index webhook_deliveries_over on webhook_deliveries (ended_at) where ended_at is not null;

do $$
declare
  owned text;
begin
  foreach owned in array array['webhooks', 'webhook_deliveries'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('alter table %I force row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
    execute format('grant select, insert, update, delete on %I to salesos_api, salesos_worker', owned);
    execute format('grant all on %I to salesos_owner', owned);
  end loop;
end $$;
