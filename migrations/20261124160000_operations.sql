-- Bulk commands over runs: what a filter matches, worked off on the server a page at a time.
create table engine.operations (
  id uuid primary key,
  customer_id uuid,                         -- null: of all customers, for an operator of the platform
  wish jsonb not null,                      -- what is done to each run
  selection jsonb not null,                 -- which runs; those that came later are left
  frozen_at timestamptz not null default engine.now(),
  actor text not null,
  reason text,
  per_second real constraint operation_pace check (per_second > 0),
  state text not null default 'queued'
    constraint operation_state check (state in ('queued', 'running', 'done', 'stopped', 'failed')),
  total bigint not null,                    -- matched when it was ordered, counted up to a bound
  done bigint not null default 0,
  changed bigint not null default 0,
  skipped bigint not null default 0,
  at_customer uuid not null default '00000000-0000-0000-0000-000000000000',
  at_run uuid not null default '00000000-0000-0000-0000-000000000000',
  next_at timestamptz not null default clock_timestamp(),  -- of the real clock: a pace is no delay of a run
  error text,
  created_at timestamptz not null default engine.now(),
  ended_at timestamptz,
  constraint operation_ended check ((state in ('done', 'stopped', 'failed')) = (ended_at is not null))
);
create index operations_open on engine.operations (next_at) where ended_at is null;
create index operations_of_customer on engine.operations (customer_id, id);

-- Pages of open runs, of one customer or of all, in one order.
create index runs_open_of_customer on engine.runs (customer_id, id) where ended_at is null;
drop index engine.runs_open;
grant select, insert, update, delete on engine.operations to salesos_api, salesos_worker, salesos_owner;
