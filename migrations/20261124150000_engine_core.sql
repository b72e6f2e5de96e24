-- The engine's core: limits with their lanes, fairness between customers, children, undoing.
-- Works for the binary before it: what is new has defaults, and runs whose definitions use it are none that
-- the older binary could have started.

alter table engine.runs
  add column limit_keys jsonb not null default '{}',  -- kind of limit -> the name under which it counts this run
  add column boost integer not null default 0,        -- how many places its jobs go before others'
  add column parent_id uuid,                          -- the run that started it
  add column root_id uuid,                            -- the first of its line; null for one that no run started
  add column joined boolean not null default false,   -- whether its parent waits for it and takes it along
  add column depth smallint not null default 0,       -- how many runs stand above it
  drop constraint run_place,
  add constraint run_place check (place in ('job', 'timer', 'signal', 'lane', 'none'));
create index runs_children on engine.runs (parent_id) where parent_id is not null and ended_at is null;

-- The order of ready jobs is start-time fair queueing: a job's `pass` is the place that a customer's next job
-- gets, counted from the pass that is being served. The pass being served is a sequence's value: it is no
-- row, so that a pinned snapshot can't make reading it slow.
create sequence engine.served;
select setval('engine.served', (extract(epoch from clock_timestamp()) * 1000000)::bigint);
create or replace function engine.pass() returns bigint language sql volatile as
  'select last_value + 1 from engine.served';
-- How far a customer's bulk starts have gone; a row only for those who start many at once.
create table engine.tails (customer_id uuid primary key, pass bigint not null);

alter table engine.jobs
  add column boost integer not null default 0,
  add column granted bigint[];  -- the limits of which it holds a slot; null where nobody has asked yet
drop index engine.jobs_ready;
create index jobs_ready on engine.jobs (pass, run_id) include (queue) where worker is null;
alter table engine.timers add column boost integer not null default 0;
create index timers_of_customer on engine.timers (customer_id, due_at, run_id);

-- Steps that wait for their turn under a limit, in the order of `pass`.
create table engine.lane_jobs (
  run_id uuid primary key,
  customer_id uuid not null,
  queue text not null,
  step text not null,
  iteration integer not null default 0,
  attempt smallint not null default 0,
  boost integer not null default 0,
  lane bigint not null,          -- the first of its limits
  limits bigint[] not null,
  share real not null,           -- drawn once: how much of each gap's jitter it adds
  pass bigint not null,
  closes_at timestamptz          -- when its send window closes; after that it is looked at anew
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index lane_jobs_order on engine.lane_jobs (lane, pass, run_id);
create index lane_jobs_closing on engine.lane_jobs (closes_at) where closes_at is not null;

-- One row per limit: its rule and all that decides by it, so that whoever holds the row's lock decides.
create table engine.limits (
  id bigint generated always as identity primary key,
  customer_id uuid not null,
  kind text not null,            -- such as mailbox
  name text not null,            -- such as a mailbox's id
  gap interval not null default '0',
  gap_jitter real not null default 0 check (gap_jitter between 0 and 10),
  max_running integer check (max_running > 0),
  per interval,
  cap integer,
  daily_cap integer check (daily_cap > 0),
  daily_ramp integer check (daily_ramp > 0),   -- the cap of the first day, and by how much it grows a day
  ramp_from date,
  zone text not null default 'UTC',            -- in which days begin
  next_at timestamptz not null default '-infinity',
  running integer not null default 0,
  budget_left integer,
  budget_until timestamptz not null default 'infinity',
  grants timestamptz[] not null default '{}',
  waiting integer not null default 0,
  wake_at timestamptz not null default 'infinity',
  unique (customer_id, kind, name),
  constraint limit_gap check (gap >= '0'),
  constraint limit_rate check ((cap is null) = (per is null) and cap between 1 and 200 and per > '0'),
  constraint limit_running check (running >= 0),
  constraint limit_waiting check (waiting >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index limits_wake on engine.limits (wake_at) where waiting > 0;

-- How many a limit lets through at an instant.
create function engine.room(l engine.limits, t timestamptz) returns integer language sql immutable as $$
  select greatest(0, least(
    case when l.next_at > t then 0 when l.gap > '0' then 1 else 10000 end,
    coalesce(l.max_running - l.running, 10000),
    case when l.budget_until <= t then 0 else coalesce(l.budget_left, 10000) end,
    case when l.cap is null then 10000
      else l.cap - (select count(*)::int from unnest(l.grants) g where g > t - l.per) end))
$$;

-- When a limit that lets nothing through is to be looked at again: when it opens, or at once where only the
-- end of a step, or the beginning of a day, opens it; whoever looks pauses by the real clock.
create function engine.opens_at(l engine.limits, t timestamptz) returns timestamptz language sql immutable as $$
  select greatest(
    t, l.next_at,
    case when l.budget_left <= 0 then nullif(l.budget_until, 'infinity') end,
    case when l.cap is not null and cardinality(l.grants) >= l.cap
      then l.grants[cardinality(l.grants) - l.cap + 1] + l.per end)
$$;

-- As before, but for runs that wait for their turn under a limit.
create or replace view engine.run_states as
select r.id as run_id, r.customer_id, r.definition_id, r.subject_id,
  case
    when r.state <> 'live' then r.state
    when j.worker is not null then 'running'
    when j.run_id is not null then 'ready'
    when r.wait_signal is not null then 'waiting'
    else 'sleeping'
  end as state,
  r.step, r.iteration,
  coalesce(r.next_at, case when r.place = 'lane' then
    (select nullif(greatest(l.wake_at, engine.now()), 'infinity')
     from engine.lane_jobs q join engine.limits l on l.id = q.lane where q.run_id = r.id) end) as next_at,
  r.started_at, r.changed_at, r.ended_at,
  case when r.ended_at is not null then r.reason end as exit_reason,
  case when r.state = 'held' then r.reason end as hold_reason
from engine.runs r left join engine.jobs j on j.run_id = r.id;

grant select, insert, update, delete on engine.tails, engine.lane_jobs, engine.limits to salesos_api, salesos_worker;
grant usage, select, update on engine.served to salesos_api, salesos_worker;
grant all on all tables in schema engine to salesos_owner;

-- Ends that a parent or children have still to hear of.
create table engine.endings (
  run_id uuid primary key,
  parent_told boolean not null default false
);
grant select, insert, update, delete on engine.endings to salesos_api, salesos_worker, salesos_owner;
