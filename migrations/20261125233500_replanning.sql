-- Waits keep the local time that was meant, so that an update of the tz database can plan them anew.

-- What the run's timer was resolved from: {"local": "2026-12-01T09:30:00", "until": "…Z", "tz": "2026f"}. It
-- speaks of that timer alone which is due at `until`, so that a version that does not know it can't mislead.
alter table engine.runs add column meant jsonb;

-- How far the timers were looked through by a version of the tz database, over all processes.
create table engine.tz_versions (
  version text primary key,
  walks smallint not null default 0,                   -- that have ended, of two
  after_due_at timestamptz not null default 'epoch',
  after_run_id uuid not null default '00000000-0000-0000-0000-000000000000',
  next_at timestamptz not null default clock_timestamp()
);

-- What moved, and by which versions.
create table engine.replanned (
  run_id uuid not null,
  at timestamptz not null,
  customer_id uuid not null,
  step text not null,
  zone text not null,
  due_from timestamptz not null,
  due_to timestamptz not null,
  tz_from text not null,
  tz_to text not null,
  primary key (at, run_id)
);

grant select, insert, update, delete on engine.tz_versions, engine.replanned to salesos_api, salesos_worker, salesos_owner;
