-- Whose rows somebody reaches, cheaper: a function in SQL with a query in it is read and planned anew by every
-- statement, one in PL/pgSQL once by a connection; and it is not asked at all where nobody is named.

create or replace function crm.reaches(owner uuid) returns boolean language plpgsql stable parallel safe as $$
begin
  return nullif(current_setting('app.user_id', true), '') is null
    or owner is null
    or owner = current_setting('app.user_id', true)::uuid
    or exists (select from public.users u
      where u.customer_id = crm.customer() and u.id = owner
        and u.team_id = nullif(current_setting('app.team_id', true), '')::uuid);
end $$;
create or replace function crm.reaches_contact(customer uuid, contact uuid) returns boolean
language plpgsql stable parallel safe as $$
begin
  return nullif(current_setting('app.user_id', true), '') is null
    or contact is null
    or exists (select from public.contacts c where c.customer_id = customer and c.id = contact);
end $$;

alter policy reach on contacts
  using (nullif(current_setting('app.user_id', true), '') is null or crm.reaches(owner_id));
do $$
declare
  owned text;
begin
  foreach owned in array array['enrollments', 'emails', 'activities', 'tasks', 'engagement', 'engagement_parts'] loop
    execute format('alter policy reach on %I using (nullif(current_setting(''app.user_id'', true), '''') is null
      or crm.reaches_contact(customer_id, contact_id))', owned);
  end loop;
end $$;
