-- Schedules: what comes again by the calendar, and what became of each time that it came.
-- Works for the binary before it and the one that brings it; never edited once landed.

create table engine.schedules (
  id uuid primary key,
  customer_id uuid not null,
  name text not null,
  cron text not null,
  zone text not null,                        -- IANA; the expression names its local times
  jitter_seconds integer not null default 0
    constraint schedule_jitter check (jitter_seconds between 0 and 86400),
  workflow text,                             -- started each time, in its newest version; null: only told
  subject_id uuid,                           -- what those runs are about
  data jsonb not null default '{}',          -- told with every event
  overlap text not null
    constraint schedule_overlap check (overlap in ('skip', 'queue', 'replace', 'allow')),
  catch_up text not null
    constraint schedule_catch_up check (catch_up in ('skip', 'last', 'all')),
  catch_up_limit integer not null
    constraint schedule_catch_up_limit check (catch_up_limit between 1 and 100),
  paused_at timestamptz,
  occurrence_at timestamptz,                 -- the next one; null while paused, and where none comes any more
  fire_at timestamptz,                       -- when it fires: with its share of the jitter
  settled_at timestamptz not null default engine.now(),  -- up to when all occurrences are decided
  tzdb text not null,                        -- the version of the tz database that the next one was found by
  last_fired_at timestamptz,
  waiting integer not null default 0,        -- fires that wait for the run before
  event_sequence bigint not null default 0,
  revision integer not null default 1,       -- counts what people changed
  actor text not null,                       -- who changed it last
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  constraint schedules_name unique (customer_id, name),
  constraint schedule_starts check ((workflow is null) = (subject_id is null)),
  constraint schedule_planned check ((occurrence_at is null) = (fire_at is null)),
  constraint schedule_paused check (paused_at is null or fire_at is null),
  constraint schedule_waiting check (waiting >= 0)
) with (fillfactor = 80);
create index schedules_due on engine.schedules (fire_at, id) where fire_at is not null;
create index schedules_waiting on engine.schedules (id) where waiting > 0;

-- One row per occurrence, so that none fires twice; of those missed in a row, one for all.
create table engine.schedule_fires (
  id uuid primary key,
  schedule_id uuid not null,
  customer_id uuid not null,
  occurrence_at timestamptz not null,
  at timestamptz not null default engine.now(),   -- when that was decided, or a fire that waited began
  outcome text not null
    constraint schedule_fire_outcome check (outcome in ('started', 'told', 'queued', 'skipped', 'missed', 'failed')),
  run_id uuid,
  open boolean not null default false,            -- whether its run has not been seen to end
  missed integer,                                 -- how many occurrences it stands for, counted up to 1,000
  reason text,
  constraint schedule_fires_occurrence unique (schedule_id, occurrence_at),
  constraint schedule_fire_run check ((outcome = 'started') = (run_id is not null)),
  constraint schedule_fire_open check (not open or run_id is not null),
  constraint schedule_fire_missed check ((outcome = 'missed') = (missed is not null))
);
create index schedule_fires_open on engine.schedule_fires (schedule_id) where open;
create index schedule_fires_queued on engine.schedule_fires (schedule_id, occurrence_at) where outcome = 'queued';

grant select, insert, update, delete on engine.schedules, engine.schedule_fires
  to salesos_api, salesos_worker, salesos_owner;
