-- The outbox in days, and its relay in lanes, so that several processes share the work and what was told leaves by
-- the day.

-- The lane of a key: the same for all its events.
create function engine.relay_lane(key text) returns integer language sql immutable parallel safe as
  'select (hashtextextended(key, 8) & 15)::integer';

alter table engine.outbox rename to outbox_before;
alter sequence engine.outbox_seq_seq rename to outbox_before_seq;
create table engine.outbox (
  seq bigint generated always as identity,
  id uuid not null,
  customer_id uuid not null,
  topic text not null,
  key text not null,
  sequence bigint not null,   -- of the entity; consumers compare it across topics
  data jsonb not null,
  at timestamptz not null default engine.now(),
  -- Who wrote it: what a transaction wrote that was under way when the relay went past is read once it has ended.
  xid xid8 not null default pg_current_xact_id(),
  primary key (seq, id)
) partition by range (id);
create index outbox_lane on engine.outbox (engine.relay_lane(key), seq, xid);
create index outbox_xid on engine.outbox (xid);
-- Events of a day for which nobody made a partition in time.
create table engine.outbox_other partition of engine.outbox default;

create or replace function engine.make_partitions() returns void language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
  week timestamp := date_trunc('week', clock_timestamp() at time zone 'UTC');
  day timestamp := date_trunc('day', clock_timestamp() at time zone 'UTC');
begin
  perform pg_advisory_xact_lock(hashtext('engine.make_partitions'));
  for i in 0..5 loop
    execute format('create table if not exists engine.%I partition of engine.history for values from (%L) to (%L)',
      'history_' || to_char(week, 'YYYYMMDD'), engine.first_uuid(week at time zone 'UTC'),
      engine.first_uuid((week + interval '1 week') at time zone 'UTC'));
    week := week + interval '1 week';
  end loop;
  for i in 0..8 loop
    begin
      execute format('create table if not exists engine.%I partition of engine.outbox for values from (%L) to (%L)',
        'outbox_' || to_char(day, 'YYYYMMDD'), engine.first_uuid(day at time zone 'UTC'),
        engine.first_uuid((day + interval '1 day') at time zone 'UTC'));
    exception when check_violation then
      null;   -- events of that day stand among the others already, and stay there
    end;
    day := day + interval '1 day';
  end loop;
end $$;
select engine.make_partitions();

insert into engine.outbox (seq, id, customer_id, topic, key, sequence, data, at) overriding system value
select seq, id, customer_id, topic, key, sequence, data, at from engine.outbox_before;
select setval('engine.outbox_seq_seq', (select last_value from engine.outbox_before_seq), true);
drop table engine.outbox_before;
grant select, insert, update, delete on engine.outbox to salesos_api, salesos_worker;
grant usage on sequence engine.outbox_seq_seq to salesos_api, salesos_worker;
grant all on engine.outbox to salesos_owner;

-- Who relays: a row for each process, and whether it wants to be woken.
create table engine.relays (
  id uuid primary key,
  name text not null,
  expires_at timestamptz not null,
  asleep boolean not null default false
);
-- How far each lane is told. `pending`: transactions that were under way when the relay went past what they may have
-- written, each with the number after which that stands.
create table engine.relay_lanes (
  lane integer primary key,
  upto bigint,               -- null until the first relay goes on where the one of an older version stood
  pending xid8[] not null default '{}',
  pending_after bigint[] not null default '{}',
  -- From this transaction on, none could be seen when the lane last moved, though some had numbers already: what they
  -- wrote stands after that number, and up to `upto`.
  unseen_from xid8,
  unseen_after bigint,
  holder uuid,
  epoch bigint not null default 0,   -- grows with each change of hands, and fences whoever held it before
  expires_at timestamptz,
  constraint relay_lane_pending check (cardinality(pending) = cardinality(pending_after))
) with (fillfactor = 20);
insert into engine.relay_lanes (lane) select generate_series(0, 15);

-- What is not told yet.
create view engine.untold as
select o.* from engine.relay_lanes l
join engine.outbox o on engine.relay_lane(o.key) = l.lane
  and o.seq > coalesce(l.upto, (select least(r.upto, (select min(g.seq) - 1 from engine.gaps g)) from engine.relay r))
union all
select o.* from engine.relay_lanes l cross join lateral unnest(l.pending, l.pending_after) p(xid, after)
join engine.outbox o on o.xid = p.xid and o.seq > p.after and o.seq <= l.upto and engine.relay_lane(o.key) = l.lane
union all
select o.* from engine.relay_lanes l join engine.outbox o on engine.relay_lane(o.key) = l.lane
  and o.seq > l.unseen_after and o.seq <= l.upto and o.xid >= l.unseen_from;

alter table engine.parked add column retry_at timestamptz;   -- when it is tried again; null: when somebody says so
create index parked_key on engine.parked (topic, key, seq);
create index parked_due on engine.parked (retry_at) where retry_at is not null;

-- Drops the days that ended before an instant and are told as a whole, and as many of the others' events.
create function engine.drop_events(before timestamptz) returns integer language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
  part record;
  days integer := 0;
  untold boolean;
begin
  perform set_config('lock_timeout', '200ms', true);
  delete from engine.outbox_other o where o.seq = any(array(
    select e.seq from engine.outbox_other e where e.id < engine.first_uuid(before)
      and not exists (select from engine.untold u where u.seq = e.seq) order by e.seq limit 5000));
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'engine.outbox'::regclass and c.relname ~ '^outbox_\d{8}$' order by c.relname
  loop
    exit when to_date(substr(part.relname, 8), 'YYYYMMDD') + 1 > (before at time zone 'UTC')::date;
    execute format('select exists (select from engine.untold u join engine.%I o on o.seq = u.seq and o.id = u.id)', part.relname)
      into untold;
    continue when untold;
    begin
      execute format('drop table engine.%I', part.relname);
      days := days + 1;
    exception when lock_not_available then
      return days;
    end;
  end loop;
  return days;
end $$;
revoke execute on function engine.drop_events(timestamptz) from public;
grant execute on function engine.drop_events(timestamptz) to salesos_worker, salesos_owner;
-- The version before asks for it still.
create or replace function engine.drop_outbox(kept bigint) returns integer language sql as 'select 0';
