-- The engine: definitions, runs, step jobs, timers, signals, history, outbox.
-- No foreign keys and no row-level security here: these tables are hot, their key is the run's, and only
-- the engine's statements touch them, each naming its customer where a person asks.

create schema engine;

-- The only clock of what people see. Leases and liveness read clock_timestamp(). `dev --time-scale` and
-- the tests replace this one function by the virtual clock below.
create function engine.now() returns timestamptz language sql stable parallel safe as 'select now()';

-- One row while a virtual clock is in force: it runs `scale` times as fast as the real one, and stands
-- still once nobody has moved `valid_until` (real time) any more.
create table engine.virtual_clock (
  one boolean primary key default true check (one),
  virtual_at timestamptz not null,
  real_at timestamptz not null,
  scale double precision not null check (scale >= 0),
  valid_until timestamptz not null
);

-- The order of ready jobs: first come, first served, in microseconds of the real clock.
create function engine.pass() returns bigint language sql volatile as
  'select (extract(epoch from clock_timestamp()) * 1000000)::bigint';

create table engine.definitions (
  id bigint generated always as identity primary key,
  customer_id uuid not null,
  name text not null,
  version integer not null check (version > 0),
  hash bytea not null,
  document jsonb not null,
  source text not null,
  first_step text not null,
  first_queue text not null,
  exits text[] not null,   -- signals that end a run wherever it stands
  hears text[] not null,   -- those, and the signals that its steps wait for
  created_at timestamptz not null default engine.now(),
  unique (customer_id, name, version),
  unique (customer_id, name, hash)
);

create sequence engine.worker_ids;
create table engine.workers (
  id bigint primary key default nextval('engine.worker_ids'),
  name text not null,
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
);

create table engine.runs (
  id uuid primary key,
  customer_id uuid not null,
  definition_id bigint not null,
  subject_id uuid not null,
  zone text not null,
  state text not null default 'live'
    constraint run_state check (state in ('live', 'paused', 'held', 'completed', 'exited', 'cancelled')),
  -- Where a live run stands: its job, its timer (or the job that the timer became), or a signal without end.
  place text not null default 'job'
    constraint run_place check (place in ('job', 'timer', 'signal', 'none')),
  step text not null,
  queue text not null,
  iteration integer not null default 0,
  seq integer not null default 0,
  next_at timestamptz,
  wait_signal text,
  inbox integer not null default 0,          -- signals ever delivered; only grows
  attempt smallint not null default 0,       -- of the step, kept while a paused or held run has no job
  remaining interval,                        -- what a pause left of the delay; null waits without end
  reason text,                               -- why it is held, or how it ended
  intent jsonb,                              -- what a step was about to do when it was last heard of
  data jsonb not null default '{}',          -- outputs, visits; written by the record alone
  observed jsonb not null default '{}',      -- what came to be known of steps later, such as a click
  started_at timestamptz not null default engine.now(),
  changed_at timestamptz not null default engine.now(),
  ended_at timestamptz,
  constraint run_ended check ((state in ('completed', 'exited', 'cancelled')) = (ended_at is not null)),
  constraint run_placed check ((state = 'live') = (place <> 'none')),
  constraint run_held check (state <> 'held' or reason is not null)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index runs_subject on engine.runs (customer_id, subject_id) where ended_at is null;
create index runs_open on engine.runs (id) where ended_at is null;
create index runs_held on engine.runs (customer_id, id) where state = 'held';

create table engine.jobs (
  run_id uuid primary key,
  customer_id uuid not null,
  queue text not null,
  step text not null,
  iteration integer not null default 0,
  attempt smallint not null default 0,
  crashes smallint not null default 0,       -- deaths of workers that held it
  begun boolean not null default false,      -- of a job under suspicion: whether its worker had begun it
  pass bigint not null,
  worker bigint,
  claimed_at timestamptz,
  constraint job_lease check ((worker is null) = (claimed_at is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
create index jobs_ready on engine.jobs (pass, run_id) where worker is null;
create index jobs_leased on engine.jobs (worker) where worker is not null;

create table engine.timers (
  run_id uuid primary key,
  due_at timestamptz not null,
  customer_id uuid not null,
  queue text not null,
  step text not null,
  iteration integer not null default 0,
  attempt smallint not null default 0
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
create index timers_due on engine.timers (due_at, run_id);

-- By weeks of the run's UUIDv7, so that old weeks can leave as a whole.
create table engine.history (
  run_id uuid not null,
  seq integer not null,
  at timestamptz not null,
  kind text not null,
  step text,
  iteration integer not null default 0,
  attempt smallint,
  actor text not null,
  data jsonb,
  primary key (run_id, seq)
) partition by range (run_id);

create table engine.signals (
  id uuid primary key,
  customer_id uuid not null,
  subject_id uuid not null,
  name text not null,
  key text not null,
  data jsonb not null,
  at timestamptz not null default engine.now(),
  unique (customer_id, subject_id, name, key)
);

-- What was delivered to a run and not consumed yet.
create table engine.inbox (
  run_id uuid not null,
  signal_id uuid not null,
  name text not null,
  data jsonb not null,
  at timestamptz not null default engine.now(),
  primary key (run_id, signal_id)
);

-- By ranges of the sequence, so that relayed ranges can leave as a whole.
create table engine.outbox (
  seq bigint generated always as identity,
  id uuid not null,
  customer_id uuid not null,
  topic text not null,
  key text not null,
  sequence bigint not null,   -- of the entity; consumers compare it across topics
  data jsonb not null,
  at timestamptz not null default engine.now(),
  primary key (seq)
) partition by range (seq);

-- How far the relay has read, and the gaps it passed: `seen` is the transaction horizon once every
-- transaction that could fill the gap had its number.
create table engine.relay (
  one boolean primary key default true check (one),
  upto bigint not null default 0
);
insert into engine.relay default values;
create table engine.gaps (seq bigint primary key, seen xid8);
create table engine.parked (
  seq bigint primary key,
  topic text not null,
  key text not null,
  tries integer not null,
  error text not null,
  parked_at timestamptz not null default clock_timestamp(),
  event jsonb not null
);

-- Makes the partitions that the coming weeks and the coming events need; harmless when they stand.
create function engine.make_partitions() returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
  week timestamptz := date_trunc('week', clock_timestamp(), 'UTC') - interval '1 week';
  block bigint := coalesce((select last_value from engine.outbox_seq_seq), 0) / 10000000;
begin
  perform pg_advisory_xact_lock(hashtext('engine.make_partitions'));
  for i in 0..5 loop
    execute format('create table if not exists engine.%I partition of engine.history for values from (%L) to (%L)',
      'history_' || to_char(week at time zone 'UTC', 'YYYYMMDD'), engine.first_uuid(week), engine.first_uuid(week + interval '1 week'));
    week := week + interval '1 week';
  end loop;
  for i in block..block + 1 loop
    execute format('create table if not exists engine.%I partition of engine.outbox for values from (%L) to (%L)',
      'outbox_' || i, i * 10000000, (i + 1) * 10000000);
  end loop;
end $$;

create function engine.first_uuid(at timestamptz) returns uuid language sql immutable as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- Ids of other times (imports, tests) have a place too.
create table engine.history_other partition of engine.history default;
select engine.make_partitions();

-- What people read of a run: its stored state, or where a live one stands.
create view engine.run_states as
select r.id as run_id, r.customer_id, r.definition_id, r.subject_id,
  case
    when r.state <> 'live' then r.state
    when j.worker is not null then 'running'
    when j.run_id is not null then 'ready'
    when r.wait_signal is not null then 'waiting'
    else 'sleeping'
  end as state,
  r.step, r.iteration, r.next_at, r.started_at, r.changed_at, r.ended_at,
  case when r.ended_at is not null then r.reason end as exit_reason,
  case when r.state = 'held' then r.reason end as hold_reason
from engine.runs r left join engine.jobs j on j.run_id = r.id;

-- Roles belong to the cluster, not to the database: made where missing, so that every database of a
-- cluster shares them. Connections take one by `set role`.
do $$
declare
  wanted text;
begin
  foreach wanted in array array['salesos_owner', 'salesos_api', 'salesos_worker'] loop
    if not exists (select from pg_roles where rolname = wanted) then
      begin
        execute format('create role %I nologin', wanted);
      exception when duplicate_object or unique_violation then
        null;   -- another database of this cluster is being migrated at the same moment
      end;
    end if;
    if not pg_has_role(current_user, wanted, 'member') then
      execute format('grant %I to %I', wanted, current_user);
    end if;
  end loop;
  if not (select rolbypassrls from pg_roles where rolname = 'salesos_worker') then
    alter role salesos_worker bypassrls;
  end if;
end $$;

grant usage on schema engine to salesos_api, salesos_worker, salesos_owner;
grant select, insert, update, delete on all tables in schema engine to salesos_api, salesos_worker;
grant usage on all sequences in schema engine to salesos_api, salesos_worker;
grant all on all tables in schema engine to salesos_owner;
alter default privileges in schema engine grant select, insert, update, delete on tables to salesos_api, salesos_worker;
