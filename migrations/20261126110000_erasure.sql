-- Erasure of a person: what is left is a certificate, and the address as a keyed hash, by which it stays suppressed.

create extension if not exists pgcrypto;

alter table suppressions
  alter column email drop not null,
  add column email_hash bytea,
  drop constraint suppression_reason,
  add constraint suppression_reason check (reason in ('unsubscribed', 'bounced', 'complained', 'manual', 'erased')),
  add constraint suppression_of check ((email is null) <> (email_hash is null));
create unique index suppressions_hash on suppressions (customer_id, email_hash) where email_hash is not null;

-- The key of a customer's hashes. The API's role can't read it; it asks by the functions below.
create table suppression_keys (
  customer_id uuid primary key references customers,
  key bytea not null
);
alter table suppression_keys enable row level security;
alter table suppression_keys force row level security;
create policy own on suppression_keys to salesos_api using (false);
grant all on suppression_keys to salesos_owner;
grant select, insert, update, delete on suppression_keys to salesos_worker;

-- The hash under which an address is suppressed; the customer's key is drawn where there is none.
create function crm.suppress_hashed(customer uuid, id uuid, address text) returns void language plpgsql volatile
security definer set search_path = pg_catalog, public, pg_temp as $$
begin
  insert into suppression_keys (customer_id, key) values (customer, gen_random_bytes(32)) on conflict do nothing;
  insert into suppressions (customer_id, id, email_hash, reason)
  select customer, suppress_hashed.id, hmac(convert_to(lower(address), 'UTF8'), k.key, 'sha256'), 'erased'
  from suppression_keys k where k.customer_id = customer
  on conflict do nothing;
  delete from suppressions s where s.customer_id = customer and lower(s.email) = lower(address);
end $$;
create function crm.is_suppressed(customer uuid, address text) returns boolean language sql stable
security definer set search_path = pg_catalog, public, pg_temp as $$
  select exists (select from suppressions s where s.customer_id = customer and lower(s.email) = lower(address))
    or exists (select from suppression_keys k join suppressions s on s.customer_id = k.customer_id
      and s.email_hash = hmac(convert_to(lower(address), 'UTF8'), k.key, 'sha256') where k.customer_id = customer)
$$;
revoke execute on function crm.suppress_hashed(uuid, uuid, text), crm.is_suppressed(uuid, text) from public;
grant create on schema crm to salesos_worker;
alter function crm.suppress_hashed(uuid, uuid, text) owner to salesos_worker;
alter function crm.is_suppressed(uuid, text) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.suppress_hashed(uuid, uuid, text), crm.is_suppressed(uuid, text)
  to salesos_api, salesos_worker;

-- The certificate: what was removed, in numbers.
create table erasures (
  customer_id uuid not null references customers,
  id uuid not null,
  contact_id uuid not null,
  removed jsonb not null,
  actor text not null,
  at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id)
);
create unique index erasures_contact on erasures (customer_id, contact_id);
alter table erasures enable row level security;
alter table erasures force row level security;
create policy own on erasures to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer());
grant select, insert, update, delete on erasures to salesos_api, salesos_worker;
grant all on erasures to salesos_owner;

-- Runs that were started by runs, by the first of their line: few of all.
create index runs_of_root on engine.runs (root_id) where parent_id is not null;
