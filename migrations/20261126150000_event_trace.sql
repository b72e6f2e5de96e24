-- Of which trace an event is part (W3C Trace Context), as the request says in whose transaction it is written.
alter table engine.outbox add column traceparent text;
alter table engine.outbox alter column traceparent set default nullif(current_setting('app.traceparent', true), '');
