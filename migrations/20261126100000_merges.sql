-- Contacts that became one, with all that is needed to part them again.

create table merges (
  customer_id uuid not null references customers,
  id uuid not null,
  contact_id uuid not null,          -- who stayed
  from_id uuid not null,             -- who became a part of it
  parting jsonb not null,            -- the rows as they were, as the merge left them, and what moved
  actor text not null,
  created_at timestamptz not null default engine.now(),
  undone_at timestamptz,
  primary key (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id),
  foreign key (customer_id, from_id) references contacts (customer_id, id)
);
create index merges_contact on merges (customer_id, contact_id, id);
alter table merges enable row level security;
alter table merges force row level security;
create policy own on merges to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer());
create policy reach on merges as restrictive to salesos_api
  using (nullif(current_setting('app.user_id', true), '') is null or crm.reaches_contact(customer_id, contact_id))
  with check (true);
grant select, insert, update, delete on merges to salesos_api, salesos_worker;
grant all on merges to salesos_owner;

-- The last digits of a telephone number, by which two ways to write it are one.
create function crm.phone_end(phone text) returns text language sql immutable parallel safe as $$
  select right(regexp_replace(phone, '\D', '', 'g'), 7)
$$;
grant execute on function crm.phone_end(text) to salesos_api, salesos_worker;
create index contacts_phone on contacts (customer_id, (crm.phone_end(phone))) where deleted_at is null and phone is not null;
