//! What was promised, asked of the tables in SQL of the suite's own: each statement gives what breaks the
//! promise, one line of text per row.
//!
//! `pg_xact_commit_timestamp` tells which of two transactions committed first.

pub(crate) struct Invariant {
    /// As in the list of what the engine promises.
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    pub(crate) broken: &'static str,
}

pub(crate) const ALL: [Invariant; 19] = [
    Invariant {
        name: "I1",
        says: "a start that was acknowledged is there",
        broken: "select l.run_id::text from chaos.started l
                 where not exists (select from engine.runs r where r.id = l.run_id)",
    },
    Invariant {
        name: "I1",
        says: "so is what people and signals did",
        broken: "select 'cancelled ' || c.run_id from chaos.cancelled c join engine.runs r on r.id = c.run_id
                 where r.state <> 'cancelled'
                 union all
                 select concat_ws(' ', g.name, g.subject_id, g.key) from chaos.signals g
                 where not exists (select from engine.signals s
                   where s.subject_id = g.subject_id and s.name = g.name and s.key = g.key)",
    },
    Invariant {
        name: "I2",
        says: "a step of a run ends once in each iteration",
        broken: "select concat_ws(' ', run_id, step, iteration, array_agg(concat_ws(':', seq, kind, actor) order by seq))
                 from engine.history
                 where kind in ('step.done', 'step.skipped') or (kind = 'step.failed' and data ? 'to')
                 group by run_id, step, iteration having count(*) > 1",
    },
    Invariant {
        name: "I2",
        says: "a run ends once",
        broken: "select concat_ws(' ', run_id, array_agg(concat_ws(':', seq, kind, actor) order by seq))
                 from engine.history where kind in ('run.completed', 'run.exited', 'run.cancelled')
                 group by run_id having count(*) > 1",
    },
    Invariant {
        name: "I3",
        says: "a worker changes nothing of what was taken from it",
        broken: "select concat_ws(' ', h.run_id, h.seq, h.kind, h.step, h.actor)
                 from chaos.taken t join engine.history h on h.run_id = t.run_id and h.actor = 'worker:' || t.worker
                 where pg_xact_commit_timestamp(h.xmin) > pg_xact_commit_timestamp(t.xmin)",
    },
    Invariant {
        name: "I4",
        says: "a step that was recorded has its fact and its event, and no other step has",
        broken: "select concat_ws(' ', run_id, h.step, f.step, iteration, seq)
                 from (select * from engine.history where kind = 'step.done' and step in ('greet', 'note', 'close')) h
                 full join chaos.facts f using (run_id, iteration, seq)
                 where h.step is distinct from f.step",
    },
    Invariant {
        name: "I4",
        says: "every committed event was told, and none that was not committed",
        broken: "select concat_ws(' ', t.topic, t.key, f.run_id, f.seq, t.sequence)
                 from (select distinct topic, key, sequence from chaos.told) t
                 full join chaos.facts f on t.topic = 'acted' and t.key = f.run_id::text and t.sequence = f.seq
                 where t.key is null or f.run_id is null
                 union all select concat_ws(' ', 'parked', seq, error) from engine.parked",
    },
    Invariant {
        name: "I4",
        says: "events of one topic and key were told in order",
        broken: "select concat_ws(' ', topic, key, sequence)
                 from (select topic, key, sequence, first,
                         lag(first) over (partition by topic, key order by sequence) as before
                       from (select topic, key, sequence, min(place) as first from chaos.told group by 1, 2, 3) o) o
                 where first < before",
    },
    Invariant {
        name: "I5",
        says: "a provider accepts at most one message per key, or it is known that nobody knows",
        broken: "select concat_ws(' ', a.key, array_agg(concat_ws(':', a.process, a.asked_at, a.accepted_at)))
                 from chaos.accepted a left join engine.runs r on r.id = split_part(a.key, '/', 1)::uuid
                 where not a.frozen and coalesce(r.state <> 'held' or r.intent is null, true)
                 group by a.key having count(*) > 1",
    },
    Invariant {
        name: "I5",
        says: "what was accepted was intended before, and what is recorded as sent was accepted",
        broken: "with sends as (
                   select kind, concat_ws('/', run_id, step, iteration) as key from engine.history
                   where step in ('first', 'last', 'ask', 'thank', 'remind', 'part'))
                 select 'not intended: ' || a.key from chaos.accepted a
                 where not exists (select from sends s where s.kind = 'step.intended' and s.key = a.key)
                 union all
                 select 'not accepted: ' || s.key from sends s where s.kind = 'step.done'
                   and not exists (select from chaos.accepted a where a.key = s.key)",
    },
    Invariant {
        name: "I6",
        says: "no window of a limit lets more through than its cap",
        broken: "select concat_ws(' ', line, at, n) from (
                   select t.line, t.at, l.cap, count(*) over (partition by t.line order by t.at
                     range between interval '1.999999 seconds' preceding and current row) as n
                   from chaos.turns t join engine.limits l on l.kind = 'line' and l.name = t.line) w
                 where n > cap",
    },
    Invariant {
        name: "I7",
        says: "nothing goes on before it is due, and not two minutes later than that",
        broken: "select concat_ws(' ', run_id, due_at, at) from chaos.woke
                 where at < due_at or at > due_at + interval '2 minutes'",
    },
    Invariant {
        name: "I7",
        says: "no attempt comes before its time",
        broken: "select concat_ws(' ', run_id, seq, step, retry_at, next_at) from (
                   select run_id, seq, step, kind, (data ->> 'retry_at')::timestamptz as retry_at,
                     lead(at) over w as next_at, lead(kind) over w as next_kind
                   from engine.history window w as (partition by run_id order by seq)) h
                 where kind = 'step.failed' and next_kind like 'step.%' and next_at < retry_at
                   and step in ('greet', 'note', 'close', 'queue')",
    },
    Invariant {
        name: "I8",
        says: "no intent commits after the reply that ends its run, or the run that waits for it",
        broken: "select concat_ws(' ', h.run_id, h.seq, h.step, h.at, s.at)
                 from engine.signals s
                 join engine.runs r on r.customer_id = s.customer_id and r.subject_id = s.subject_id
                 join engine.history h on h.run_id = r.id and h.kind = 'step.intended'
                 where s.name = 'reply' and pg_xact_commit_timestamp(h.xmin) > pg_xact_commit_timestamp(s.xmin)",
    },
    Invariant {
        name: "I9",
        says: "after the faults everything comes to its end",
        broken: "select concat_ws(' ', id, state, place, step, iteration, attempt, next_at, wait_signal, reason)
                 from engine.runs where ended_at is null",
    },
    Invariant {
        name: "I9",
        says: "nothing is left of what has ended",
        broken: "select 'job ' || run_id from engine.jobs
                 union all select 'timer ' || run_id from engine.timers
                 union all select 'lane ' || run_id from engine.lane_jobs
                 union all select 'inbox ' || run_id from engine.inbox
                 union all select 'ending ' || run_id from engine.endings
                 union all select 'worker ' || id from engine.workers
                 union all select 'outbox ' || seq from engine.outbox o where not exists (
                   select from engine.relay_lanes l where l.lane = engine.relay_lane(o.key) and l.upto >= o.seq
                     and not o.xid = any(l.pending)
                     and (l.unseen_from is null or o.xid < l.unseen_from or o.seq <= l.unseen_after))",
    },
    Invariant {
        name: "I10",
        says: "what was started is live, paused, held or ended",
        broken: "select concat_ws(' ', started, stand) from
                   (select count(*) as started from engine.history where kind = 'run.started') h,
                   (select count(*) as stand from engine.runs
                    where state in ('live', 'paused', 'held', 'completed', 'exited', 'cancelled')) r
                 where started <> stand",
    },
    Invariant {
        name: "I10",
        says: "each history has no gaps and adds up to its run's state and step",
        broken: "with told as (
                   select run_id, min(seq) as first, max(seq) as last, count(*) as n,
                     (array_agg(case kind when 'run.started' then 'live' when 'run.resumed' then 'live'
                        when 'run.retried' then 'live' when 'run.replanned' then 'live'
                        else substr(kind, 5) end order by seq desc)
                        filter (where kind like 'run.%'))[1] as state,
                     (array_agg(coalesce(data ->> 'to', step) order by seq desc) filter (where
                        (kind = 'run.started' or (kind like 'step.%' and data ? 'to'))
                        and seq < coalesce(ended, 2147483647)))[1] as step
                   from engine.history left join (
                     select run_id as ended_id, min(seq) as ended from engine.history
                     where kind in ('run.completed', 'run.exited', 'run.cancelled') group by run_id) e on ended_id = run_id
                   group by run_id)
                 select concat_ws(' ', r.id, r.state, r.step, r.seq, t.*)
                 from engine.runs r full join told t on t.run_id = r.id
                 where (t.first, t.last, t.n, t.state, t.step) is distinct from (0, r.seq, r.seq + 1, r.state, r.step)",
    },
    Invariant {
        name: "I10",
        says: "limits count what stands under them",
        broken: "select * from (
                   select concat_ws(' ', l.name, 'waiting', l.waiting, count(q.run_id)) as line from engine.limits l
                   left join engine.lane_jobs q on q.lane = l.id group by l.id having l.waiting <> count(q.run_id)
                   union all
                   select concat_ws(' ', l.name, 'running', l.running) from engine.limits l where l.running <> (
                     select count(*) from engine.jobs j where l.id = any(j.granted))) w",
    },
];
