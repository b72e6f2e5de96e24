//! Events on their way out: none lost, none of a transaction that was rolled back, in the order of their keys, whoever
//! relays them; poison set aside, and taken up again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::clock;
use engine::outbox::{self, Event, NewEvent};
use engine::relay::{self, OutOfReach, Relay, Settings, Sink, Taken};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use super::story::Story;

/// Remembers the keys that it got, and the schemas that it was told; takes what its rule says.
struct Ear {
    heard: Mutex<Vec<(String, i64)>>,
    schemas: Mutex<Vec<(String, Option<String>)>>,
    rule: Mutex<fn(&str) -> Taken>,
}

impl Ear {
    fn with(rule: fn(&str) -> Taken) -> Arc<Self> {
        let (heard, schemas) = (Mutex::default(), Mutex::default());
        Arc::new(Self { heard, schemas, rule: Mutex::new(rule) })
    }

    fn heard(&self) -> Vec<(String, i64)> {
        self.heard.lock().unwrap().clone()
    }
}

impl Sink for Ear {
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async move {
            let rule = *self.rule.lock().unwrap();
            let take = |event: &Event| {
                let taken = rule(&event.key);
                if taken == Taken::Told {
                    self.heard.lock().unwrap().push((event.key.clone(), event.sequence));
                    let schema = (event.key.clone(), event.schema.clone());
                    self.schemas.lock().unwrap().push(schema);
                }
                taken
            };
            Ok(events.iter().map(take).collect())
        }
        .boxed()
    }
}

const ALL: fn(&str) -> Taken = |_| Taken::Told;
const NOT_BAD: fn(&str) -> Taken =
    |key| if key == "bad" { Taken::Refused("it is bad".into()) } else { Taken::Told };

async fn written(db: &PgPool, key: &str, sequence: i64) -> Transaction<'static, Postgres> {
    let mut tx = db.begin().await.unwrap();
    publish(&mut tx, key, sequence).await;
    tx
}

async fn publish(tx: &mut Transaction<'static, Postgres>, key: &str, sequence: i64) {
    let (customer_id, key) = (clock::new_id(), key.into());
    let schema = "t:2".to_owned();
    let event = NewEvent { customer_id, topic: "t".into(), key, sequence, schema, data: json!({}) };
    outbox::publish(tx, &[event]).await.unwrap();
}

/// A relay with all lanes.
async fn relay(db: &PgPool, sink: &Arc<Ear>) -> Relay {
    let sink: Arc<dyn Sink> = Arc::<Ear>::clone(sink);
    let mut relay = Relay::join(db, sink, Settings::default()).await.unwrap().unwrap();
    relay.share().await.unwrap();
    relay
}

fn named(wanted: &[(&str, i64)]) -> Vec<(String, i64)> {
    wanted.iter().map(|(key, at)| ((*key).to_owned(), *at)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commits_arrive_and_rollbacks_do_not() {
    let story = Story::begin().await;
    let ear = Ear::with(ALL);
    let mut relay = relay(&story.db, &ear).await;
    let mut late = written(&story.db, "late", 1).await;
    written(&story.db, "gone", 1).await.rollback().await.unwrap();
    for sequence in 1..=3 {
        written(&story.db, "a", sequence).await.commit().await.unwrap();
        relay.turn().await.unwrap();
    }
    // It writes on both sides of what the relay went past.
    publish(&mut late, "late", 2).await;
    late.commit().await.unwrap();
    written(&story.db, "late", 3).await.commit().await.unwrap();
    while relay.turn().await.unwrap().events > 0 {}
    let wanted = [("a", 1), ("a", 2), ("a", 3), ("late", 1), ("late", 2), ("late", 3)];
    assert_eq!(ear.heard(), named(&wanted));
    story.until_count("select count(*) from engine.untold", 0).await;
    // Transactions of other databases are under way, too, and end.
    let waits = "select count(*) from engine.relay_lanes where pending <> '{}'";
    let looking = async {
        loop {
            relay.turn().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = story.until_count(waits, 0) => {}
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_too_young_for_the_snapshot_is_not_forgotten() {
    let story = Story::begin().await;
    let ear = Ear::with(ALL);
    let mut relay = relay(&story.db, &ear).await;
    for turn in 1..=20 {
        // The older one takes the later number and commits: until one younger than both is over, no snapshot tells that
        // the younger one is under way.
        let mut older = story.db.begin().await.unwrap();
        sqlx::query("select pg_current_xact_id()").execute(&mut *older).await.unwrap();
        let younger = written(&story.db, "k", 2 * turn - 1).await;
        publish(&mut older, "k", 2 * turn).await;
        older.commit().await.unwrap();
        relay.turn().await.unwrap();
        younger.commit().await.unwrap();
        relay.turn().await.unwrap();
    }
    while relay.turn().await.unwrap().events > 0 {}
    story.until_count("select count(*) from engine.untold", 0).await;
    let heard: BTreeSet<i64> = ear.heard().into_iter().map(|(_, sequence)| sequence).collect();
    assert_eq!(heard, (1..=40).collect(), "each arrives");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_look_takes_comes_late_and_all_of_it_arrives_in_order() {
    let story = Story::begin().await;
    let ear = Ear::with(ALL);
    let mut relay = relay(&story.db, &ear).await;
    let mut late = story.db.begin().await.unwrap();
    for sequence in 1..=300 {
        publish(&mut late, "k", sequence).await;
    }
    // Every lane goes past what is written late.
    for other in 0..200 {
        written(&story.db, &format!("o{other}"), 1).await.commit().await.unwrap();
    }
    while relay.turn().await.unwrap().events > 0 {}
    late.commit().await.unwrap();
    for sequence in 301..=305 {
        written(&story.db, "k", sequence).await.commit().await.unwrap();
    }
    while relay.turn().await.unwrap().events > 0 {}
    let of_k: Vec<i64> =
        ear.heard().iter().filter(|(key, _)| key == "k").map(|(_, sequence)| *sequence).collect();
    assert_eq!(of_k, (1..=305).collect::<Vec<i64>>());
    story.end().await;
}

/// Lets a relay leave, and waits until its connection has ended: what it has read is counted by then.
async fn leave(story: &Story, relay: Relay) {
    let process: i32 = sqlx::query_scalar(
        "select l.pid from pg_locks l join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and l.objid = 7306 and d.datname = current_database()",
    )
    .fetch_one(&story.db)
    .await
    .unwrap();
    relay.leave(&story.db).await.unwrap();
    let left = format!("select count(*) from pg_stat_activity where pid = {process}");
    story.until_count(&left, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_late_is_looked_for_by_its_transaction_and_not_along_its_lane() {
    let story = Story::begin().await;
    let ear = Ear::with(ALL);
    let mut first = relay(&story.db, &ear).await;
    let many = "with me as materialized (select pg_current_xact_id() as xid)
      insert into engine.outbox (id, customer_id, topic, key, sequence, data, xid)
      select gen_random_uuid(), gen_random_uuid(), 't', 'k' || n % 100, n, '{}', xid from me, generate_series(1, 20000) n";
    sqlx::query(AssertSqlSafe(many)).execute(&story.db).await.unwrap();
    while first.turn().await.unwrap().events > 0 {}
    // Each lane waits for it.
    let late = written(&story.db, "late", 1).await;
    for other in 0..200 {
        written(&story.db, &format!("o{other}"), 1).await.commit().await.unwrap();
    }
    while first.turn().await.unwrap().events > 0 {}
    leave(&story, first).await;
    let read = "select coalesce(sum(idx_tup_read), 0)::bigint from pg_stat_user_indexes
      where schemaname = 'engine' and relname like 'outbox%'";
    let count = async || -> i64 { sqlx::query_scalar(read).fetch_one(&story.db).await.unwrap() };
    let before = count().await;
    let mut second = relay(&story.db, &ear).await;
    late.commit().await.unwrap();
    assert_eq!(second.turn().await.unwrap().events, 1);
    leave(&story, second).await;
    let looked = count().await - before;
    assert!(looked < 2_000, "it read {looked} places for one event");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_parked_with_what_comes_after_it_and_told_in_order_once_it_may_be() {
    let story = Story::begin().await;
    let ear = Ear::with(NOT_BAD);
    let mut relay = relay(&story.db, &ear).await;
    for (key, sequence) in [("a", 1), ("bad", 1), ("a", 2), ("bad", 2)] {
        written(&story.db, key, sequence).await.commit().await.unwrap();
    }
    for _ in 0..6 {
        relay.turn().await.unwrap();
    }
    written(&story.db, "bad", 3).await.commit().await.unwrap();
    relay.turn().await.unwrap();
    assert_eq!(ear.heard(), named(&[("a", 1), ("a", 2)]));
    let parked = relay::parked(&story.db, None, 0, 10).await.unwrap();
    let told: Vec<(i32, &str)> =
        parked.iter().map(|one| (one.tries, one.reason.as_str())).collect();
    let behind = "an earlier event of its key is parked";
    assert_eq!(told, [(5, "it is bad"), (0, behind), (0, behind)]);
    // Nobody tries it again by itself; who says so finds it still bad.
    relay.share().await.unwrap();
    relay::retry(&story.db, None, Some(parked[2].id), None).await.unwrap();
    relay.share().await.unwrap();
    assert_eq!(relay::parked(&story.db, None, 0, 1).await.unwrap()[0].tries, 6);
    *ear.rule.lock().unwrap() = ALL;
    relay::retry(&story.db, None, None, Some("t")).await.unwrap();
    while relay.share().await.unwrap() > 0 {}
    assert_eq!(ear.heard()[2..], named(&[("bad", 1), ("bad", 2), ("bad", 3)]));
    written(&story.db, "bad", 4).await.commit().await.unwrap();
    relay.turn().await.unwrap();
    assert_eq!(ear.heard().last(), Some(&("bad".to_owned(), 4)));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lacks_something_is_tried_again_by_itself() {
    let story = Story::begin().await;
    let ear = Ear::with(|_| Taken::Unready("there is no topic `t`".into()));
    let mut relay = relay(&story.db, &ear).await;
    written(&story.db, "a", 1).await.commit().await.unwrap();
    relay.turn().await.unwrap();
    *ear.rule.lock().unwrap() = ALL;
    relay.share().await.unwrap();
    assert_eq!(ear.heard(), [], "not at once");
    let soon = "update engine.parked set retry_at = retry_at - interval '30 seconds'";
    sqlx::query(AssertSqlSafe(soon)).execute(&story.db).await.unwrap();
    relay.share().await.unwrap();
    assert_eq!(ear.heard(), named(&[("a", 1)]));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_keeps_the_name_of_its_schema_also_when_it_is_set_aside() {
    let story = Story::begin().await;
    let unfit = |key: &str| match key {
        "bad" | "bad before" => Taken::Unfit("it is bad".into()),
        _good => Taken::Told,
    };
    let ear = Ear::with(unfit);
    let mut relay = relay(&story.db, &ear).await;
    for key in ["good", "bad", "bad before"] {
        written(&story.db, key, 1).await.commit().await.unwrap();
    }
    // As the version before writes events, and sets them aside.
    let before = "insert into engine.outbox (id, customer_id, topic, key, sequence, data)
      values (gen_random_uuid(), gen_random_uuid(), 't', 'before', 1, '{}')";
    sqlx::query(before).execute(&story.db).await.unwrap();
    while relay.turn().await.unwrap().events > 0 {}
    let before = "update engine.parked set event = event - 'schema' where key = 'bad before'";
    sqlx::query(before).execute(&story.db).await.unwrap();
    *ear.rule.lock().unwrap() = ALL;
    relay::retry(&story.db, None, None, None).await.unwrap();
    while relay.share().await.unwrap() > 0 {}
    let mut heard = ear.schemas.lock().unwrap().clone();
    heard.sort();
    let named = |key: &str, schema: Option<&str>| (key.to_owned(), schema.map(str::to_owned));
    let second = Some("t:2");
    let wanted = [
        named("bad", second),
        named("bad before", None),
        named("before", None),
        named("good", second),
    ];
    assert_eq!(heard, wanted);
    story.end().await;
}

/// Is out of reach.
struct Away;

impl Sink for Away {
    fn deliver<'a>(&'a self, _: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async { Err(OutOfReach("nobody listens".into())) }.boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_out_of_reach_parks_nothing_however_long() {
    let story = Story::begin().await;
    written(&story.db, "a", 1).await.commit().await.unwrap();
    let away = Relay::join(&story.db, Arc::new(Away), Settings::default()).await.unwrap();
    let mut away = away.unwrap();
    away.share().await.unwrap();
    for _ in 0..30 {
        assert!(away.turn().await.unwrap().refused);
    }
    away.leave(&story.db).await.unwrap();
    story.until_count("select count(*) from engine.parked", 0).await;
    let ear = Ear::with(ALL);
    relay(&story.db, &ear).await.turn().await.unwrap();
    assert_eq!(ear.heard(), named(&[("a", 1)]));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_a_lane_has_no_say_in_it_any_more() {
    let story = Story::begin().await;
    let (first, second) = (Ear::with(ALL), Ear::with(ALL));
    let mut stale = relay(&story.db, &first).await;
    written(&story.db, "a", 1).await.commit().await.unwrap();
    // It stands still beyond its lease, and another one takes over.
    for table in ["engine.relays", "engine.relay_lanes"] {
        let past =
            format!("update {table} set expires_at = clock_timestamp() - interval '1 second'");
        sqlx::query(AssertSqlSafe(past)).execute(&story.db).await.unwrap();
    }
    let mut heir = relay(&story.db, &second).await;
    heir.turn().await.unwrap();
    assert_eq!(stale.turn().await.unwrap().events, 0, "it has no lanes");
    assert_eq!((first.heard(), second.heard()), (vec![], named(&[("a", 1)])));
    // Two that live share the lanes.
    stale.share().await.unwrap();
    heir.share().await.unwrap();
    stale.share().await.unwrap();
    let shares = "select count(*) from (
        select from engine.relay_lanes group by holder having count(*) = 8) half";
    story.until_count(shares, 2).await;
    heir.leave(&story.db).await.unwrap();
    stale.share().await.unwrap();
    story.until_count("select count(distinct holder) from engine.relay_lanes", 1).await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_and_three_relays_that_come_and_go_lose_nothing_and_keep_the_order() {
    let story = Story::begin().await;
    let ear = Ear::with(ALL);
    let relaying = |name: &str| {
        let stop = CancellationToken::new();
        let settings = Settings { name: name.into(), lease: Duration::from_millis(500) };
        let sink: Arc<dyn Sink> = Arc::<Ear>::clone(&ear);
        let task = tokio::spawn(relay::run(story.db.clone(), sink, settings, stop.clone()));
        (stop, task)
    };
    let (stays, leaves, dies) = (relaying("stays"), relaying("leaves"), relaying("dies"));
    let writer = |n: u64| {
        let db = story.db.clone();
        async move {
            let mut committed = 0;
            for turn in 0..60_u64 {
                let mut tx = db.begin().await.unwrap();
                publish(&mut tx, &format!("w{n}"), committed + 1).await;
                if (turn + n).is_multiple_of(7) {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                }
                if (turn * 5 + n).is_multiple_of(3) {
                    tx.rollback().await.unwrap();
                } else {
                    tx.commit().await.unwrap();
                    committed += 1;
                }
            }
            (format!("w{n}"), committed)
        }
    };
    let writing = futures_util::future::join_all((0..8).map(writer));
    let meddling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        dies.1.abort();
        tokio::time::sleep(Duration::from_millis(300)).await;
        leaves.0.cancel();
    };
    let (written, ()) = tokio::join!(writing, meddling);
    story.until_count("select count(*) from engine.untold", 0).await;
    stays.0.cancel();
    let mut first: HashMap<String, Vec<i64>> = HashMap::new();
    for (key, sequence) in ear.heard() {
        let seen = first.entry(key).or_default();
        if !seen.contains(&sequence) {
            seen.push(sequence);
        }
    }
    for (key, committed) in written {
        assert_eq!(first[&key], (1..=committed).collect::<Vec<i64>>(), "{key}");
    }
    story.end().await;
}

/// Takes events while another relay takes the lanes.
struct Robbed(PgPool);

impl Sink for Robbed {
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async move {
            let taken =
                "update engine.relay_lanes set holder = gen_random_uuid(), epoch = epoch + 1";
            sqlx::query(taken).execute(&self.0).await.unwrap();
            Ok(vec![Taken::Unfit("it is bad".into()); events.len()])
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_lost_while_its_events_are_told_is_not_written() {
    let story = Story::begin().await;
    let robbed = Arc::new(Robbed(story.db.clone()));
    let relay = Relay::join(&story.db, robbed, Settings::default()).await.unwrap();
    let mut relay = relay.unwrap();
    relay.share().await.unwrap();
    written(&story.db, "a", 1).await.commit().await.unwrap();
    relay.turn().await.unwrap();
    story.until_count("select count(*) from engine.untold", 1).await;
    story.until_count("select count(*) from engine.parked", 0).await;
    story.end().await;
}
