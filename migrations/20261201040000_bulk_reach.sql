-- Bulk actions act only on what the person who ordered them reaches. Works for the binary before it: what is new has
-- defaults.

-- For whom an operation acts: a value that the domain reads. Its `next_at` is infinity, so that a binary which would act
-- on everything that matches leaves it; `scoped_at` says when its next page is due.
alter table engine.operations
  add column reach jsonb,
  add column scoped_at timestamptz,
  add constraint operation_scoped check ((reach is null) = (scoped_at is null));
create index operations_by_actor on engine.operations (customer_id, actor, id);

-- The queues that a worker claims from; null for one of a binary that does not say.
alter table engine.workers add column queues text[];
