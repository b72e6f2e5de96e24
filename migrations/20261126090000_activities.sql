-- The timeline of accounts and opportunities, edits of notes, tasks that people make, and scores that decay.

alter table activities
  add column opportunity_id uuid,
  add column updated_at timestamptz,   -- null: never changed
  add column deleted_at timestamptz,
  add foreign key (customer_id, opportunity_id) references opportunities (customer_id, id);
create index activities_account on activities (customer_id, account_id, occurred_at, id) where account_id is not null;
create index activities_opportunity on activities (customer_id, opportunity_id, occurred_at, id)
  where opportunity_id is not null;

-- What a note or a call said before; the newest words stand in the activity.
create table activity_edits (
  customer_id uuid not null,
  activity_id uuid not null,
  n integer not null,
  title text not null,
  body text,
  editor text not null,
  edited_at timestamptz not null default engine.now(),
  primary key (customer_id, activity_id, n),
  foreign key (customer_id, activity_id) references activities (customer_id, id)
);

alter table tasks
  alter column contact_id drop not null,
  add column account_id uuid,
  add column opportunity_id uuid,
  add column assignee_id uuid,
  add column body text,
  add column actor text not null default 'workflow',
  add column updated_at timestamptz not null default engine.now(),
  add foreign key (customer_id, account_id) references accounts (customer_id, id),
  add foreign key (customer_id, opportunity_id) references opportunities (customer_id, id),
  add foreign key (customer_id, assignee_id) references users (customer_id, id);
create index tasks_queue on tasks (customer_id, assignee_id, (coalesce(due_at, 'infinity')), id) where status = 'open';
create index tasks_contact on tasks (customer_id, contact_id, id);

alter table engagement
  add column sum double precision not null default 0,                 -- at as_of; it halves every half_life_seconds
  add column as_of timestamptz not null default engine.now(),
  add column half_life_seconds double precision not null default 2592000,
  add column level text not null default 'cold' constraint engagement_level check (level in ('cold', 'warm', 'hot')),
  add column due_at timestamptz default engine.now();                 -- when it is computed again, as the level falls then
update engagement set sum = score;
create index engagement_due on engagement (due_at) where due_at is not null;

-- The score of an instant from what is kept.
create function crm.score(sum double precision, as_of timestamptz, half_life_seconds double precision)
returns integer language sql stable parallel safe as $$
  select round(sum * power(2, -extract(epoch from engine.now() - as_of) / half_life_seconds))::integer
$$;
grant execute on function crm.score(double precision, timestamptz, double precision) to salesos_api, salesos_worker;

create table engagement_rules (
  customer_id uuid primary key references customers,
  rules jsonb not null,
  updated_at timestamptz not null default engine.now()
);

do $$
declare
  owned text;
begin
  foreach owned in array array['activity_edits', 'engagement_rules'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('alter table %I force row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
    execute format('grant select, insert, update, delete on %I to salesos_api, salesos_worker', owned);
    execute format('grant all on %I to salesos_owner', owned);
  end loop;
end $$;
