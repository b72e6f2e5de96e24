-- The rows that whoever asks reaches, for statements that search by an index. Under row-level security Postgres keeps
-- every condition whose functions aren't marked leakproof (`@@`, `@>`, `%`, `lower`) from the indexes, and reads all of
-- a customer's rows; in a view that isn't a barrier the same rule is one more condition. The API's role gets no row
-- from them that the tables' policies would keep from it.

create view crm.contacts_in_reach as
select * from contacts c
where current_user <> 'salesos_api'
  or (c.customer_id = crm.customer()
    and (nullif(current_setting('app.user_id', true), '') is null or crm.reaches(c.owner_id)));
create view crm.accounts_in_reach as
select * from accounts a
where current_user <> 'salesos_api'
  or (a.customer_id = crm.customer()
    and (nullif(current_setting('app.user_id', true), '') is null or crm.reaches(a.owner_id)));
create view crm.opportunities_in_reach as
select * from opportunities o
where current_user <> 'salesos_api'
  or (o.customer_id = crm.customer()
    and (nullif(current_setting('app.user_id', true), '') is null or crm.reaches(o.owner_id)));
create view crm.search_words_in_reach as
select * from search_words w where current_user <> 'salesos_api' or w.customer_id = crm.customer();

grant create on schema crm to salesos_worker;
-- Theirs are the rows of the worker's role, which no policy holds back; the API's role alone may read them beside it.
alter view crm.contacts_in_reach owner to salesos_worker;
alter view crm.accounts_in_reach owner to salesos_worker;
alter view crm.opportunities_in_reach owner to salesos_worker;
alter view crm.search_words_in_reach owner to salesos_worker;
revoke create on schema crm from salesos_worker;
grant select on crm.contacts_in_reach, crm.accounts_in_reach, crm.opportunities_in_reach, crm.search_words_in_reach
  to salesos_api;

-- How often texts stand there without case, as they are asked for: Postgres takes nothing of it from the indexes that
-- hold live rows alone, and would walk all rows for an address.
create statistics contacts_email_stats on (lower(email)) from contacts;
create statistics contacts_first_name_stats on (lower(first_name)) from contacts;
create statistics contacts_last_name_stats on (lower(last_name)) from contacts;
create statistics contacts_company_stats on (lower(company)) from contacts;
create statistics contacts_title_stats on (lower(title)) from contacts;
create statistics contacts_phone_stats on (lower(phone)) from contacts;
create statistics contacts_country_stats on (lower(country)) from contacts;
create statistics contacts_region_stats on (lower(region)) from contacts;
create statistics contacts_city_stats on (lower(city)) from contacts;
create statistics accounts_name_stats on (lower(name)) from accounts;
create statistics accounts_domain_stats on (lower(domain)) from accounts;
create statistics accounts_industry_stats on (lower(industry)) from accounts;
create statistics opportunities_name_stats on (lower(name)) from opportunities;

-- To compile a statement costs 20 ms and more, for those that take one or two; a statement that may look long at its
-- worst, as a search may, is compiled each time.
do $$
begin
  execute format('alter database %I set jit = off', current_database());
end $$;
