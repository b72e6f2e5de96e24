-- Beside a snapshot that somebody holds, vacuum finds much and can take nothing away, and begins again each minute.
-- At full speed it took what the steps need; at this pace it keeps up with them and is not felt.
alter table engine.jobs set (autovacuum_vacuum_cost_delay = 5, autovacuum_vacuum_cost_limit = 200);
alter table engine.timers set (autovacuum_vacuum_cost_delay = 5, autovacuum_vacuum_cost_limit = 200);
alter table engine.lane_jobs set (autovacuum_vacuum_cost_delay = 5, autovacuum_vacuum_cost_limit = 200);
