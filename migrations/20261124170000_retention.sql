-- What leaves after its time: weeks of history, ranges of the outbox, and finished runs, of which their
-- enrollments keep how they ended.

alter table enrollments
  add column ended_state text,       -- once the run is forgotten: how it ended, and where
  add column ended_step text,
  add column ended_reason text,
  add column ended_at timestamptz,
  add constraint enrollment_forgotten check ((ended_state is null) = (ended_at is null));

-- Drops weeks of history that ended before an instant and in which no open run began. Where somebody reads
-- history at that moment, the next turn drops them.
create function engine.drop_history(before timestamptz) returns integer language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
  part record;
  week timestamptz;
  dropped integer := 0;
begin
  perform set_config('lock_timeout', '200ms', true);
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'engine.history'::regclass and c.relname ~ '^history_\d{8}$' order by c.relname
  loop
    week := to_timestamp(substr(part.relname, 9) || ' 00:00:00 +00', 'YYYYMMDD HH24:MI:SS TZH');
    continue when week + interval '1 week' > before;
    continue when exists (select from engine.runs where id >= engine.first_uuid(week)
      and id < engine.first_uuid(week + interval '1 week') and ended_at is null);
    begin
      execute format('drop table engine.%I', part.relname);
      dropped := dropped + 1;
    exception when lock_not_available then
      return dropped;
    end;
  end loop;
  return dropped;
end $$;

-- Drops ranges of the outbox that were relayed as a whole, but for the last so many events.
create function engine.drop_outbox(kept bigint) returns integer language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
  part record;
  ends bigint;
  dropped integer := 0;
begin
  perform set_config('lock_timeout', '200ms', true);
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'engine.outbox'::regclass and c.relname ~ '^outbox_\d+$' order by length(c.relname), c.relname
  loop
    ends := (substr(part.relname, 8)::bigint + 1) * 10000000;
    exit when ends + kept > (select upto from engine.relay);
    continue when exists (select from engine.gaps where seq < ends and seq >= ends - 10000000);
    begin
      execute format('drop table engine.%I', part.relname);
      dropped := dropped + 1;
    exception when lock_not_available then
      return dropped;
    end;
  end loop;
  return dropped;
end $$;

revoke execute on function engine.drop_history(timestamptz), engine.drop_outbox(bigint) from public;
grant execute on function engine.drop_history(timestamptz), engine.drop_outbox(bigint) to salesos_worker, salesos_owner;
