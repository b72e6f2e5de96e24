-- For whom a bulk change goes: a rep or a manager changes no more by many than one by one. Null: all of the customer's.
alter table bulk_changes
  add column reach jsonb,
  add constraint bulk_change_reach check (reach is null or jsonb_typeof(reach) = 'object');
