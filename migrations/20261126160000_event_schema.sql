-- The schema that an event's data follow, a name and a version such as `contact.created:1`. The version before writes
-- none; what it wrote follows the first one of its topic.
alter table engine.outbox add column schema text;
