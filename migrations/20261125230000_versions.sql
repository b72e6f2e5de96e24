-- Definitions that change while runs live. Works for the binary before it: what is new has defaults.

-- The order in which a customer's versions were applied: the newest one is the one that was applied last, which
-- after a rollback is not the one of the highest number.
create sequence engine.applied;
alter table engine.definitions add column applied bigint;
update engine.definitions set applied = id;
select setval('engine.applied', coalesce((select max(id) from engine.definitions), 1));
alter table engine.definitions
  alter column applied set default nextval('engine.applied'),
  alter column applied set not null;
grant usage, select, update on engine.applied to salesos_api, salesos_worker, salesos_owner;

-- An operation that moves runs into another version. Its `next_at` is infinity, so that a binary which knows no
-- such operation leaves it; when its next page is due stands here.
alter table engine.operations
  add column migrates_at timestamptz,
  add column left_over bigint not null default 0,  -- runs of this pass that are to be looked at again
  add column passes integer not null default 0;    -- how often it went over all
