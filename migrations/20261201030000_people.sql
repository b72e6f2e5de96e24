-- Suppressed domains, who added a suppression, and the reach of what is about accounts and deals.

alter table suppressions
  add column domain text constraint suppression_domain check (domain <> '' and domain = lower(domain)),
  add column actor text,   -- null: added before this was kept
  drop constraint suppression_of,
  add constraint suppression_of check (num_nonnulls(email, email_hash, domain) = 1);
create unique index suppressions_domain on suppressions (customer_id, domain) where domain is not null;

-- An address is suppressed by itself, by its exact domain, or by its hash once its owner was erased.
create or replace function crm.is_suppressed(customer uuid, address text) returns boolean language sql stable
security definer set search_path = pg_catalog, public, pg_temp as $$
  select exists (select from suppressions s where s.customer_id = customer and lower(s.email) = lower(address))
    or exists (select from suppressions s
      where s.customer_id = customer and s.domain = lower(substring(address from '[^@]*$')))
    or exists (select from suppression_keys k join suppressions s on s.customer_id = k.customer_id
      and s.email_hash = hmac(convert_to(lower(address), 'UTF8'), k.key, 'sha256') where k.customer_id = customer)
$$;
-- The entries by which it is suppressed. Under row-level security `lower` would be kept from the indexes.
create function crm.suppressions_of(customer uuid, address text) returns setof uuid language sql stable
security definer set search_path = pg_catalog, public, pg_temp as $$
  select s.id from suppressions s where s.customer_id = customer and lower(s.email) = lower(address)
  union all
  select s.id from suppressions s
  where s.customer_id = customer and s.domain = lower(substring(address from '[^@]*$'))
  union all
  select s.id from suppression_keys k join suppressions s on s.customer_id = k.customer_id
    and s.email_hash = hmac(convert_to(lower(address), 'UTF8'), k.key, 'sha256') where k.customer_id = customer
$$;
revoke execute on function crm.suppressions_of(uuid, text) from public;
grant create on schema crm to salesos_worker;
alter function crm.suppressions_of(uuid, text) owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant execute on function crm.suppressions_of(uuid, text) to salesos_api, salesos_worker;

-- Whether the caller reaches what an activity or a task is about. The deal counts where there is one, then the contact;
-- an account counts alone, because the account of a contact or a deal is filled in and may be another team's.
create function crm.reaches_about(customer uuid, contact uuid, account uuid, opportunity uuid) returns boolean
language plpgsql stable parallel safe as $$
begin
  if nullif(current_setting('app.user_id', true), '') is null then
    return true;
  end if;
  if opportunity is not null and not exists (
    select from public.opportunities o where o.customer_id = customer and o.id = opportunity) then
    return false;
  end if;
  if contact is not null then
    return exists (select from public.contacts c where c.customer_id = customer and c.id = contact);
  end if;
  return opportunity is not null or account is null
    or exists (select from public.accounts a where a.customer_id = customer and a.id = account);
end $$;
create function crm.reaches_activity(customer uuid, activity uuid) returns boolean
language plpgsql stable parallel safe as $$
begin
  return nullif(current_setting('app.user_id', true), '') is null
    or exists (select from public.activities a where a.customer_id = customer and a.id = activity);
end $$;
create function crm.reaches_opportunity(customer uuid, opportunity uuid) returns boolean
language plpgsql stable parallel safe as $$
begin
  return nullif(current_setting('app.user_id', true), '') is null
    or exists (select from public.opportunities o where o.customer_id = customer and o.id = opportunity);
end $$;
grant execute on function crm.reaches_about(uuid, uuid, uuid, uuid), crm.reaches_activity(uuid, uuid),
  crm.reaches_opportunity(uuid, uuid) to salesos_api, salesos_worker;

-- What is written must be reached as well: the database refuses a record that its writer could not read back.
do $$
declare
  owned text;
  everybody constant text := 'nullif(current_setting(''app.user_id'', true), '''') is null or ';
  rule text;
begin
  foreach owned in array array['accounts', 'contacts', 'opportunities'] loop
    execute format('alter policy reach on %I with check (%s crm.reaches(owner_id))', owned, everybody);
  end loop;
  foreach owned in array array['enrollments', 'emails', 'engagement', 'engagement_parts', 'merges'] loop
    execute format('alter policy reach on %I with check (%s crm.reaches_contact(customer_id, contact_id))',
      owned, everybody);
  end loop;
  rule := everybody || 'crm.reaches_about(customer_id, contact_id, account_id, opportunity_id)';
  foreach owned in array array['activities', 'tasks'] loop
    execute format('alter policy reach on %I using (%s) with check (%s)', owned, rule, rule);
  end loop;
  rule := everybody || 'crm.reaches_activity(customer_id, activity_id)';
  execute format('create policy reach on activity_edits as restrictive to salesos_api using (%s) with check (%s)',
    rule, rule);
  rule := everybody
    || '(crm.reaches_opportunity(customer_id, opportunity_id) and crm.reaches_contact(customer_id, contact_id))';
  execute format('create policy reach on opportunity_contacts as restrictive to salesos_api using (%s) with check (%s)',
    rule, rule);
end $$;

-- The tasks of an account and of a deal, in the order in which they are listed.
create index tasks_account on tasks (customer_id, account_id, status, (coalesce(due_at, 'infinity')), id)
  where account_id is not null;
create index tasks_opportunity on tasks (customer_id, opportunity_id, status, (coalesce(due_at, 'infinity')), id)
  where opportunity_id is not null;
