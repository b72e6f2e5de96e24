-- The records of sales in full: accounts and contacts with all their fields, custom fields, pipelines, opportunities,
-- lists, and what search reads.

create extension if not exists pg_trgm;
create extension if not exists btree_gin;

-- What is searched of a record, in lower case. An address is also found by its parts.
create function crm.words(said text) returns tsvector language sql immutable parallel safe as $$
  select to_tsvector('simple', translate(said, '@._-+/:', '       '))
$$;

alter table accounts
  add column industry text,
  add column employees integer constraint account_employees check (employees >= 0),
  add column phone text,
  add column website text,
  add column address jsonb not null default '{}' constraint account_address check (jsonb_typeof(address) = 'object'),
  add column owner_id uuid,
  add column tags text[] not null default '{}',
  add column custom jsonb not null default '{}' constraint account_custom check (jsonb_typeof(custom) = 'object'),
  add column search tsvector generated always as
    (crm.words(name || ' ' || coalesce(domain, '') || ' ' || coalesce(industry, '') || ' ' || coalesce(website, '')
      || ' ' || coalesce(phone, ''))) stored,
  add foreign key (customer_id, owner_id) references users (customer_id, id);

alter table contacts
  add column company text,           -- the account's name, or that of a company without an account
  add column zone_source text        -- how the zone became known
    constraint contact_zone_source check (zone_source in ('given', 'region', 'country', 'phone')),
  add column merged_into uuid,       -- the contact that it became a part of, while that is not undone
  add foreign key (customer_id, merged_into) references contacts (customer_id, id);
update contacts c set company = a.name from accounts a where a.customer_id = c.customer_id and a.id = c.account_id;
update contacts set zone_source = 'given' where time_zone is not null;
alter table contacts
  add column search tsvector generated always as
    (crm.words(first_name || ' ' || last_name || ' ' || email || ' ' || coalesce(title, '') || ' '
      || coalesce(company, '') || ' ' || coalesce(phone, ''))) stored;

-- A filter reads the index of one of its fields; where none of its fields has one, the primary key.
create index accounts_search on accounts using gin (customer_id, search) where deleted_at is null;
create index accounts_custom on accounts using gin (customer_id, custom jsonb_path_ops) where deleted_at is null;
create index accounts_tags on accounts using gin (customer_id, tags) where deleted_at is null;
create index accounts_domain on accounts (customer_id, lower(domain)) where deleted_at is null;
create index accounts_owner on accounts (customer_id, owner_id, id) where deleted_at is null;
create index accounts_updated on accounts (customer_id, updated_at, id) where deleted_at is null;

create index contacts_search on contacts using gin (customer_id, search) where deleted_at is null;
create index contacts_custom on contacts using gin (customer_id, custom jsonb_path_ops) where deleted_at is null;
create index contacts_tags on contacts using gin (customer_id, tags) where deleted_at is null;
create index contacts_owner on contacts (customer_id, owner_id, id) where deleted_at is null;
create index contacts_account on contacts (customer_id, account_id, id);
create index contacts_status on contacts (customer_id, status, id) where deleted_at is null;
create index contacts_country on contacts (customer_id, lower(country), id) where deleted_at is null;
create index contacts_name on contacts (customer_id, lower(last_name), id) where deleted_at is null;
create index contacts_updated on contacts (customer_id, updated_at, id) where deleted_at is null;

-- The words of a customer's contacts and accounts: a misspelled one is looked up among them. No word of one record
-- alone outlives its erasure.
create table search_words (
  customer_id uuid not null references customers,
  word text collate "C" not null,   -- so that words of one beginning stand beside each other
  primary key (customer_id, word)
);
create index search_words_near on search_words using gin (customer_id, word gin_trgm_ops);

create table custom_fields (
  customer_id uuid not null references customers,
  id uuid not null,
  entity text not null constraint custom_field_entity check (entity in ('account', 'contact', 'opportunity')),
  key text not null constraint custom_field_key check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  label text not null,
  type text not null constraint custom_field_type
    check (type in ('text', 'number', 'date', 'bool', 'select', 'multiselect', 'url', 'user')),
  options text[] not null default '{}',
  required boolean not null default false,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  constraint custom_field_options check ((type in ('select', 'multiselect')) = (cardinality(options) > 0))
);
create unique index custom_fields_key on custom_fields (customer_id, entity, key);

create table pipelines (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null constraint pipeline_name check (name <> ''),
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
create unique index pipelines_name on pipelines (customer_id, lower(name));

create table stages (
  customer_id uuid not null,
  pipeline_id uuid not null,
  id uuid not null,
  name text not null constraint stage_name check (name <> ''),
  position integer not null,
  probability smallint not null constraint stage_probability check (probability between 0 and 100),
  kind text not null constraint stage_kind check (kind in ('open', 'won', 'lost')),
  primary key (customer_id, pipeline_id, id),
  foreign key (customer_id, pipeline_id) references pipelines (customer_id, id) on delete cascade
);
create unique index stages_name on stages (customer_id, pipeline_id, lower(name));

create table opportunities (
  customer_id uuid not null references customers,
  id uuid not null,
  account_id uuid,
  name text not null constraint opportunity_name check (name <> ''),
  pipeline_id uuid not null,
  stage_id uuid not null,
  amount numeric(18, 2),
  currency text constraint opportunity_currency check (currency ~ '^[A-Z]{3}$'),
  close_on date,
  status text not null default 'open' constraint opportunity_status check (status in ('open', 'won', 'lost')),
  lost_reason text,
  owner_id uuid,
  tags text[] not null default '{}',
  custom jsonb not null default '{}' constraint opportunity_custom check (jsonb_typeof(custom) = 'object'),
  stage_changed_at timestamptz not null default engine.now(),
  closed_at timestamptz,
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  deleted_at timestamptz,
  search tsvector generated always as (crm.words(name)) stored,
  primary key (customer_id, id),
  foreign key (customer_id, account_id) references accounts (customer_id, id),
  foreign key (customer_id, owner_id) references users (customer_id, id),
  -- A stage of another pipeline can't stand here.
  constraint opportunity_stage foreign key (customer_id, pipeline_id, stage_id)
    references stages (customer_id, pipeline_id, id),
  constraint opportunity_money check ((amount is null) = (currency is null)),
  constraint opportunity_closed check ((status = 'open') = (closed_at is null)),
  constraint opportunity_lost check (lost_reason is null or status = 'lost')
);
create index opportunities_search on opportunities using gin (customer_id, search) where deleted_at is null;
create index opportunities_custom on opportunities using gin (customer_id, custom jsonb_path_ops) where deleted_at is null;
create index opportunities_account on opportunities (customer_id, account_id, id);
create index opportunities_owner on opportunities (customer_id, owner_id, id) where deleted_at is null;
create index opportunities_stage on opportunities (customer_id, pipeline_id, stage_id, id);
create index opportunities_close on opportunities (customer_id, coalesce(close_on, 'infinity'), id) where deleted_at is null;
create index opportunities_updated on opportunities (customer_id, updated_at, id) where deleted_at is null;

create table opportunity_contacts (
  customer_id uuid not null,
  opportunity_id uuid not null,
  contact_id uuid not null,
  primary key (customer_id, opportunity_id, contact_id),
  foreign key (customer_id, opportunity_id) references opportunities (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id)
);
create index opportunity_contacts_contact on opportunity_contacts (customer_id, contact_id);

create table lists (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null constraint list_name check (name <> ''),
  entity text not null constraint list_entity check (entity in ('account', 'contact', 'opportunity')),
  filter jsonb not null constraint list_filter check (jsonb_typeof(filter) = 'object'),
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
create unique index lists_name on lists (customer_id, entity, lower(name));

-- A bulk change of a filter: how far it is. The run of the same id carries it on.
create table bulk_changes (
  customer_id uuid not null references customers,
  id uuid not null,
  entity text not null constraint bulk_change_entity check (entity in ('account', 'contact', 'opportunity')),
  filter jsonb not null,
  wanted jsonb not null,
  actor text not null,
  before_at timestamptz not null default engine.now(),   -- records that came later are left
  after_id uuid not null default '00000000-0000-0000-0000-000000000000',
  status text not null default 'queued'
    constraint bulk_change_status check (status in ('queued', 'running', 'done', 'failed', 'stopped')),
  total bigint not null,
  changed bigint not null default 0,
  skipped bigint not null default 0,
  error text,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  ended_at timestamptz,
  primary key (customer_id, id),
  constraint bulk_change_ended check ((status in ('done', 'failed', 'stopped')) = (ended_at is not null))
);

do $$
declare
  owned text;
begin
  foreach owned in array array['search_words', 'custom_fields', 'pipelines', 'stages', 'opportunities',
    'opportunity_contacts', 'lists', 'bulk_changes'] loop
    execute format('alter table %I enable row level security', owned);
    execute format('alter table %I force row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
    execute format('grant select, insert, update, delete on %I to salesos_api, salesos_worker', owned);
    execute format('grant all on %I to salesos_owner', owned);
  end loop;
  -- Reps and managers reach their own, their team's, and what nobody owns.
  foreach owned in array array['accounts', 'opportunities'] loop
    execute format('create policy reach on %I as restrictive to salesos_api
      using (nullif(current_setting(''app.user_id'', true), '''') is null or crm.reaches(owner_id)) with check (true)', owned);
  end loop;
end $$;
