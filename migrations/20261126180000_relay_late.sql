-- What a transaction wrote late is found by its number. An index of its own for that, whose lane is written so that no
-- plan takes the other one instead, and reads all of a lane for the few that are late.
drop index engine.outbox_xid;
create index outbox_late on engine.outbox (xid, (engine.relay_lane(key) + 0), seq);

create or replace view engine.untold as
select o.* from engine.relay_lanes l
join engine.outbox o on engine.relay_lane(o.key) = l.lane
  and o.seq > coalesce(l.upto, (select least(r.upto, (select min(g.seq) - 1 from engine.gaps g)) from engine.relay r))
union all
select o.* from engine.relay_lanes l cross join lateral unnest(l.pending, l.pending_after) p(xid, after)
join engine.outbox o on o.xid = p.xid and engine.relay_lane(o.key) + 0 = l.lane and o.seq > p.after and o.seq <= l.upto
union all
select o.* from engine.relay_lanes l join engine.outbox o on engine.relay_lane(o.key) = l.lane
  and o.seq > l.unseen_after and o.seq <= l.upto and o.xid >= l.unseen_from;
