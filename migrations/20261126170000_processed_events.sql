-- What came in to mailboxes is forgotten by when it was applied; events are by their ids, which tell when they were.
create index processed_events_inbound on processed_events (processed_at) where consumer = 'inbound';
grant delete on processed_events to salesos_worker;
