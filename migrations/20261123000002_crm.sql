-- The records of sales. Every table belongs to customers: its key begins with the customer, its foreign
-- keys carry the customer, and the API's role sees one customer's rows only.

create schema crm;

-- The customer whose request a connection serves; set for one transaction at a time.
create function crm.customer() returns uuid language sql stable parallel safe as
  $$ select nullif(current_setting('salesos.customer_id', true), '')::uuid $$;

create table customers (
  id uuid primary key,
  name text not null constraint customer_name check (name <> ''),
  time_zone text not null,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now()
);

create table users (
  customer_id uuid not null references customers,
  id uuid not null,
  email text not null,
  name text not null,
  role text not null constraint user_role check (role in ('owner', 'admin', 'manager', 'rep', 'viewer')),
  password_hash text not null,
  time_zone text,
  active boolean not null default true,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
-- An address logs in to one customer only.
create unique index users_email on users (lower(email));

create table email_provider_accounts (
  customer_id uuid not null references customers,
  id uuid not null,
  user_id uuid,
  provider text not null constraint mailbox_provider check (provider in ('gmail', 'outlook', 'smtp', 'mock')),
  email text not null,
  name text not null,
  status text not null default 'connected' constraint mailbox_status check (status in ('connected', 'paused', 'broken')),
  is_default boolean not null default false,
  time_zone text,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  foreign key (customer_id, user_id) references users (customer_id, id)
);
create unique index mailboxes_email on email_provider_accounts (customer_id, lower(email));
create unique index mailboxes_default on email_provider_accounts (customer_id) where is_default;

create table accounts (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null,
  domain text,
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  deleted_at timestamptz,
  primary key (customer_id, id)
);
create unique index accounts_name on accounts (customer_id, lower(name)) where deleted_at is null;

create table contacts (
  customer_id uuid not null references customers,
  id uuid not null,
  account_id uuid,
  owner_id uuid,
  first_name text not null default '',
  last_name text not null default '',
  email text not null,
  phone text,
  title text,
  linkedin_url text,
  country text,
  region text,
  city text,
  time_zone text,
  locale text,
  status text not null default 'active'
    constraint contact_status check (status in ('active', 'unsubscribed', 'bounced', 'erased')),
  tags text[] not null default '{}',
  custom jsonb not null default '{}' constraint contact_custom check (jsonb_typeof(custom) = 'object'),
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  deleted_at timestamptz,
  primary key (customer_id, id),
  foreign key (customer_id, account_id) references accounts (customer_id, id),
  foreign key (customer_id, owner_id) references users (customer_id, id)
);
create unique index contacts_email on contacts (customer_id, lower(email)) where deleted_at is null;

create table suppressions (
  customer_id uuid not null references customers,
  id uuid not null,
  email text not null,
  reason text not null
    constraint suppression_reason check (reason in ('unsubscribed', 'bounced', 'complained', 'manual')),
  created_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
create unique index suppressions_email on suppressions (customer_id, lower(email));

create table sequences (
  customer_id uuid not null references customers,
  id uuid not null,
  name text not null,
  title text not null,
  status text not null default 'draft'
    constraint sequence_status check (status in ('draft', 'active', 'paused', 'archived')),
  definition_id bigint not null,   -- of engine.definitions, which is the engine's
  version integer not null,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id)
);
create unique index sequences_name on sequences (customer_id, name);

-- One contact's run of a sequence: the id is the run's, and the state is the run's, never copied.
create table enrollments (
  customer_id uuid not null references customers,
  id uuid not null,
  sequence_id uuid not null,
  contact_id uuid not null,
  mailbox_id uuid not null,
  version integer not null,
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  foreign key (customer_id, sequence_id) references sequences (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id),
  foreign key (customer_id, mailbox_id) references email_provider_accounts (customer_id, id)
);
create index enrollments_contact on enrollments (customer_id, contact_id, sequence_id);
create index enrollments_sequence on enrollments (customer_id, sequence_id, id);

create table emails (
  customer_id uuid not null references customers,
  id uuid not null,
  contact_id uuid not null,
  mailbox_id uuid not null,
  enrollment_id uuid,
  step text,
  direction text not null default 'outbound' constraint email_direction check (direction in ('outbound', 'inbound')),
  status text not null constraint email_status check (status in
    ('queued', 'sending', 'sent', 'delivered', 'bounced', 'failed', 'unknown', 'cancelled', 'received')),
  send_key text,
  subject text not null,
  sender text not null,
  recipient text not null,
  message_id text not null,
  thread_id text,
  provider_id text,
  variant text,
  opens integer not null default 0,
  clicks integer not null default 0,
  sent_at timestamptz,
  replied_at timestamptz,
  error text,
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id),
  foreign key (customer_id, mailbox_id) references email_provider_accounts (customer_id, id),
  foreign key (customer_id, enrollment_id) references enrollments (customer_id, id),
  constraint email_sent check (status <> 'sent' or sent_at is not null)
);
create unique index emails_send_key on emails (customer_id, send_key) where send_key is not null;
create index emails_contact on emails (customer_id, contact_id, id);
create index emails_enrollment on emails (customer_id, enrollment_id);

create table activities (
  customer_id uuid not null references customers,
  id uuid not null,
  kind text not null
    constraint activity_kind check (kind in ('note', 'call', 'task', 'email', 'meeting', 'system')),
  title text not null,
  body text,
  contact_id uuid,
  account_id uuid,
  actor text not null,
  occurred_at timestamptz not null,
  data jsonb not null default '{}',
  source text,   -- what caused it; the same cause writes it once
  created_at timestamptz not null default engine.now(),
  primary key (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id),
  foreign key (customer_id, account_id) references accounts (customer_id, id)
);
create index activities_contact on activities (customer_id, contact_id, occurred_at, id);
create index activities_time on activities (customer_id, occurred_at, id);
create unique index activities_source on activities (customer_id, source) where source is not null;

create table tasks (
  customer_id uuid not null references customers,
  id uuid not null,
  contact_id uuid not null,
  enrollment_id uuid,
  kind text not null,
  title text not null,
  due_at timestamptz,
  priority text not null default 'normal' constraint task_priority check (priority in ('low', 'normal', 'high')),
  status text not null default 'open' constraint task_status check (status in ('open', 'done')),
  outcome text,
  source text not null,
  event_sequence bigint not null default 0,
  created_at timestamptz not null default engine.now(),
  completed_at timestamptz,
  primary key (customer_id, id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id),
  foreign key (customer_id, enrollment_id) references enrollments (customer_id, id),
  constraint task_done check ((status = 'done') = (completed_at is not null))
);
create unique index tasks_source on tasks (customer_id, source);
create index tasks_open on tasks (customer_id, due_at) where status = 'open';

create table engagement (
  customer_id uuid not null references customers,
  contact_id uuid not null,
  score integer not null default 0,
  updated_at timestamptz not null default engine.now(),
  primary key (customer_id, contact_id),
  foreign key (customer_id, contact_id) references contacts (customer_id, id)
);

create table engagement_parts (
  customer_id uuid not null,
  contact_id uuid not null,
  id uuid not null,
  event text not null,
  points integer not null,
  at timestamptz not null,
  primary key (customer_id, contact_id, id),
  foreign key (customer_id, contact_id) references engagement (customer_id, contact_id)
);

-- Which events a consumer has applied; not a customer's, as an event's id is known to nobody else.
create table processed_events (
  consumer text not null,
  event_id uuid not null,
  processed_at timestamptz not null default engine.now(),
  primary key (consumer, event_id)
);

create table refresh_tokens (
  customer_id uuid not null,
  id uuid not null,
  user_id uuid not null,
  family uuid not null,
  token_hash bytea not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  primary key (customer_id, id),
  foreign key (customer_id, user_id) references users (customer_id, id)
);
create unique index refresh_tokens_hash on refresh_tokens (token_hash);

do $$
declare
  owned text;
begin
  foreach owned in array array['users', 'email_provider_accounts', 'accounts', 'contacts', 'suppressions',
    'sequences', 'enrollments', 'emails', 'activities', 'tasks', 'engagement', 'engagement_parts', 'refresh_tokens']
  loop
    execute format('alter table %I enable row level security', owned);
    execute format('create policy own on %I to salesos_api using (customer_id = crm.customer()) with check (customer_id = crm.customer())', owned);
  end loop;
end $$;
alter table customers enable row level security;
create policy own on customers to salesos_api using (id = crm.customer()) with check (id = crm.customer());

-- The look-ups before a customer is known.
create function crm.find_login(address text)
returns table (customer_id uuid, user_id uuid, password_hash text) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select u.customer_id, u.id, u.password_hash from users u where lower(u.email) = lower(address) and u.active
$$;
create function crm.find_refresh_token(hash bytea)
returns table (customer_id uuid, id uuid) language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
  select t.customer_id, t.id from refresh_tokens t where t.token_hash = hash
$$;
revoke execute on function crm.find_login(text), crm.find_refresh_token(bytea) from public;

grant usage on schema crm, public to salesos_api, salesos_worker, salesos_owner;
grant execute on all functions in schema crm to salesos_api, salesos_worker;
grant select, insert, update, delete on customers, users, email_provider_accounts, accounts, contacts, suppressions,
  sequences, enrollments, emails, activities, tasks, engagement, engagement_parts, processed_events, refresh_tokens
  to salesos_worker;
grant select, insert, update, delete on customers, users, email_provider_accounts, accounts, contacts, suppressions,
  sequences, enrollments, emails, activities, tasks, engagement, engagement_parts, refresh_tokens
  to salesos_api;
-- What comes in through the API, such as an unsubscription, is applied once there too.
grant select, insert on processed_events to salesos_api;
grant all on all tables in schema public to salesos_owner;
