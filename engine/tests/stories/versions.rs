//! Definitions that change while runs live.

use chrono::TimeDelta;
use engine::change::{Lead, Map, OrderError};
use engine::definition::Destination;
use engine::limit::{self, Rule};
use engine::run::Action;
use serde_json::{Value, json};
use uuid::Uuid;

use super::story::Story;

fn nap(minutes: u32) -> String {
    format!(
        "[[steps]]\nid = \"a\"\ntype = \"act\"\n[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = {minutes}
[[steps]]\nid = \"c\"\ntype = \"act\"\n"
    )
}

/// Steps in a row, each `id:type`; what sleeps does so for an hour.
fn row(steps: &str) -> String {
    let step = |step: &str| {
        let (id, kind) = step.split_once(':').unwrap();
        let keys = if kind == "sleep" { "minutes = 60\n" } else { "" };
        format!("[[steps]]\nid = \"{id}\"\ntype = \"{kind}\"\n{keys}")
    };
    steps.split_whitespace().map(step).collect()
}

/// What is stored of how a run stands.
async fn stands(story: &Story, run: Uuid) -> Value {
    sqlx::query_scalar(
        "select jsonb_build_object('step', r.step, 'queue', r.queue, 'iteration', r.iteration, 'place', r.place,
           'state', r.state, 'next_at', r.next_at, 'remaining', r.remaining, 'wait', r.wait_signal, 'data', r.data,
           'due', t.due_at, 'timer', t.step, 'job', j.step, 'version', r.definition_id)
         from engine.runs r left join engine.timers t on t.run_id = r.id left join engine.jobs j on j.run_id = r.id
         where r.id = $1",
    )
    .bind(run)
    .fetch_one(&story.db)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_words_go_forward_and_a_sleeper_sleeps_on() {
    let story = Story::begin().await;
    let run = story.start(&nap(60)).await;
    let worker = story.worker().await;
    let before = story.until(run, "sleeping").await.next_at;
    let words = format!("[enroll]\nagain = \"always\"\n{}", nap(60));
    let plan = story.plan(&words).await;
    assert_eq!((plan.moves, plan.stays, plan.changes()), (1, 0, true), "{plan:#?}");
    assert_eq!(plan.versions[0].way, "forward");
    assert_eq!(plan.versions[0].delayed, Vec::new());
    let new = story.apply(&words).await;
    assert_eq!((story.follows(run).await, story.run(run).await.next_at), (new, before));
    story.pass(61.0).await;
    story.until(run, "completed").await;
    let told = "started done:a waiting:nap migrated done:nap done:c completed";
    assert_eq!(story.told(run).await, told);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_longer_delay_counts_from_when_the_wait_began() {
    let story = Story::begin().await;
    let run = story.start(&nap(60)).await;
    let worker = story.worker().await;
    let before = story.until(run, "sleeping").await.next_at.unwrap();
    story.pass(20.0).await;
    let plan = story.plan(&nap(120)).await;
    let delayed = &plan.versions[0].delayed[0];
    assert_eq!((delayed.runs, delayed.at_once, delayed.median_seconds), (1, 0, Some(3_600)));
    story.apply(&nap(120)).await;
    assert_eq!(story.run(run).await.next_at, Some(before + TimeDelta::hours(1)));
    story.pass(60.0).await;
    assert_eq!(story.run(run).await.state, "sleeping");
    story.pass(41.0).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_that_is_over_by_the_new_version_goes_on_at_once() {
    let story = Story::begin().await;
    let run = story.start(&nap(60)).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(20.0).await;
    let delayed = story.plan(&nap(10)).await.versions[0].delayed[0].clone();
    assert_eq!((delayed.at_once, delayed.least_seconds), (1, Some(-3_000)));
    story.apply(&nap(10)).await;
    story.until(run, "completed").await;
    assert_eq!(story.board.calls("c"), 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_left_of_a_delay_moves_with_it_and_comes_back_with_it() {
    let story = Story::begin().await;
    let old = story.define(&nap(60)).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(20.0).await;
    story.ask(run, Action::Pause).await;
    let before = stands(&story, run).await;
    story.apply(&nap(10)).await;
    assert_ne!(stands(&story, run).await["remaining"], before["remaining"]);
    story.roll_back(old, &Map::new()).await.unwrap();
    assert_eq!(stands(&story, run).await, before);
    story.apply(&nap(120)).await;
    story.ask(run, Action::Resume).await;
    story.pass(99.0).await;
    assert_eq!(story.run(run).await.state, "sleeping");
    story.pass(2.0).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_signal_gets_an_end_and_loses_it_again() {
    let ear =
        |end: &str| format!("[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n{end}");
    let story = Story::begin().await;
    let old = story.define(&ear("")).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "waiting").await;
    let before = stands(&story, run).await;
    story.apply(&ear("minutes = 30")).await;
    assert_eq!(stands(&story, run).await["place"], "timer");
    story.roll_back(old, &Map::new()).await.unwrap();
    assert_eq!(stands(&story, run).await, before);
    story.apply(&ear("minutes = 30")).await;
    story.pass(31.0).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_keeps_the_version_where_steps_came_and_nothing_maps_them() {
    let story = Story::begin().await;
    let old = story.define(&row("a:act nap:sleep c:act")).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    let new = row("a:act nap:sleep c:act d:act");
    let plan = story.plan(&new).await;
    assert_eq!((plan.moves, plan.stays, plan.versions[0].way), (0, 1, "pinned"));
    let new = story.apply(&new).await;
    let fresh = story.start_many(new, 1).await[0];
    story.until(fresh, "sleeping").await;
    story.pass(61.0).await;
    story.until(fresh, "completed").await;
    story.until(run, "completed").await;
    assert_eq!((story.follows(run).await, story.board.calls("d")), (old, 1));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mapped_runs_stand_enter_or_end_as_the_map_says() {
    let story = Story::begin().await;
    let old = story.define(&row("a:act nap:sleep c:act")).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    let before = story.until(run, "sleeping").await.next_at;
    let renamed =
        format!("[[migrate]]\nmap = {{ nap = \"rest\" }}\n{}", row("a:act rest:sleep c:act d:act"));
    story.apply(&renamed).await;
    let row_now = story.run(run).await;
    assert_eq!((row_now.step.as_str(), row_now.next_at), ("rest", before), "it sleeps on");
    let entered = format!("[[migrate]]\nmap = {{ rest = \"d\" }}\n{}", row("a:act d:act"));
    story.apply(&entered).await;
    story.until(run, "completed").await;
    assert_eq!((story.board.calls("c"), story.board.calls("d")), (0, 1));
    let other = story.start(&row("a:act nap:sleep c:act")).await;
    story.until(other, "sleeping").await;
    let ended = format!("[[migrate]]\nmap = {{ nap = \"exit\" }}\n{}", row("a:act e:act"));
    story.apply(&ended).await;
    assert_eq!(story.run(other).await.reason.as_deref(), Some("workflow changed"));
    assert_eq!(story.told(other).await, "started done:a waiting:nap exited");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_at_which_somebody_stands_can_not_vanish_unmapped() {
    let story = Story::begin().await;
    let old = story.define(&row("a:act nap:sleep c:act")).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    for table in ["", "[[migrate]]\n"] {
        let new = format!("{table}{}", row("a:act c:act"));
        let plan = story.plan(&new).await;
        assert_eq!(plan.refused.len(), 1, "{plan:#?}");
        assert_eq!((plan.refused[0].reason, plan.refused[0].runs), ("vanishes", 1));
        assert!(plan.refused[0].help.contains("map = { nap = "), "{}", plan.refused[0].help);
        let (definition, source) = story.read("story", &new);
        let ordered = story.order(&definition, &source, &Map::new()).await;
        assert!(matches!(ordered, Err(OrderError::Refused)));
    }
    let stays = format!("[[migrate]]\nmap = {{ nap = \"stay\" }}\n{}", row("a:act c:act"));
    story.apply(&stays).await;
    assert_eq!(story.follows(run).await, old);
    story.pass(61.0).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_led_again_to_what_they_were_sent() {
    let story = Story::begin().await;
    let old = story.define(&row("mail:send nap:sleep c:act")).await;
    let run = story.start_many(old, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    let new = format!("[[migrate]]\n{}", row("nap:sleep mail:send c:act"));
    let plan = story.plan(&new).await;
    assert_eq!((plan.twice, plan.refused[0].reason), (1, "twice"), "{plan:#?}");
    assert_eq!(plan.refused[0].again, ["mail"]);
    assert_eq!(plan.refused[0].sample, [engine::id::show("run", run)]);
    assert_eq!(plan.refused[0].step, "nap");
    let mapped =
        format!("[[migrate]]\nmap = {{ nap = \"c\" }}\n{}", row("nap:sleep mail:send c:act"));
    let plan = story.plan(&mapped).await;
    assert_eq!((plan.twice, &plan.refused), (0, &Vec::new()));
    story.apply(&mapped).await;
    story.until(run, "completed").await;
    assert_eq!((story.board.calls("sent:mail"), story.board.calls("c")), (1, 1));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_to_be_in_the_way_after_the_plan_keeps_the_version() {
    let story = Story::begin().await;
    let old = story.define(&row("ear:act mail:send nap:sleep c:act")).await;
    let run = story.start_many(old, 1).await[0];
    let new = format!("[[migrate]]\n{}", row("ear:act nap:sleep mail:send c:act"));
    let (definition, source) = story.read("story", &new);
    let (_, ordered) = story.order(&definition, &source, &Map::new()).await.unwrap();
    // Nobody had been sent anything when it was planned. By the time that it is applied, they have.
    story.sql("update engine.operations set migrates_at = 'infinity'").await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.sql("update engine.operations set migrates_at = clock_timestamp()").await;
    story.came_over(ordered).await;
    let operation = story.operation(ordered.unwrap()).await;
    assert_eq!((operation.changed, operation.skipped), (0, 1));
    assert_eq!(story.follows(run).await, old);
    story.pass(61.0).await;
    story.until(run, "completed").await;
    assert_eq!(story.board.calls("sent:mail"), 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_worked_at_comes_over_once_its_step_is_done() {
    let story = Story::begin().await;
    let steps = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n";
    let steps = format!("{steps}{}", row("nap:sleep"));
    let run = story.start(&steps).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    let (definition, source) =
        story.read("story", &format!("[enroll]\nagain = \"always\"\n{steps}"));
    let (new, ordered) = story.order(&definition, &source, &Map::new()).await.unwrap();
    story.until_count("select count(*) from engine.operations where state = 'running'", 1).await;
    assert_ne!(story.follows(run).await, new);
    assert_eq!(story.told(run).await, "started");
    story.board.gate.add_permits(1);
    story.came_over(ordered).await;
    assert_eq!(story.follows(run).await, new);
    assert_eq!(story.told(run).await, "started done:a waiting:nap migrated");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_under_a_limit_keeps_the_place_in_the_line() {
    let steps = |more: &str| {
        format!(
            "{more}[[steps]]\nid = \"a\"\ntype = \"act\"\nlimits = [\"line\"]\ndoes = \"block\"\n"
        )
    };
    let story = Story::begin().await;
    let mut tx = story.db.begin().await.unwrap();
    let one = Rule { at_once: Some(1), ..Rule::default() };
    limit::set(&mut tx, story.customer, "line", "one", &one).await.unwrap();
    tx.commit().await.unwrap();
    let old = story.define(&steps("")).await;
    story.start_many(old, 4).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    let in_line =
        "select coalesce(jsonb_agg(jsonb_build_array(run_id, pass, share) order by run_id), '[]')
                   from engine.lane_jobs";
    story.until_count("select count(*) from engine.lane_jobs", 3).await;
    let line: Value = sqlx::query_scalar(in_line).fetch_one(&story.db).await.unwrap();
    let (definition, source) = story.read("story", &steps("[enroll]\nagain = \"always\"\n"));
    let (_, ordered) = story.order(&definition, &source, &Map::new()).await.unwrap();
    story.until_count("select changed from engine.operations", 3).await;
    let after: Value = sqlx::query_scalar(in_line).fetch_one(&story.db).await.unwrap();
    assert_eq!(after, line);
    story.board.gate.add_permits(4);
    story.until_count("select count(*) from engine.runs where state = 'completed'", 4).await;
    story.came_over(ordered).await;
    assert_eq!(story.board.calls("a"), 4);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_runs_come_over_held_and_try_again_by_the_new_version() {
    let broken = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"refuse\"\n";
    let mended = "[[migrate]]\n[[steps]]\nid = \"a\"\ntype = \"act\"\n";
    let story = Story::begin().await;
    let run = story.start(broken).await;
    let worker = story.worker().await;
    story.until(run, "held").await;
    let new = story.apply(mended).await;
    let row = story.run(run).await;
    assert_eq!(
        (row.state.as_str(), row.definition_id, row.reason.as_deref()),
        ("held", new, Some("never"))
    );
    story.ask(run, Action::Retry).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_in_the_middle_leaves_the_rest_to_the_next() {
    let story = Story::begin().await;
    let old = story.define(&nap(60)).await;
    story.start_many(old, 1_700).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 1_700).await;
    let (definition, source) = story.read("story", &nap(90));
    let (new, ordered) = story.order(&definition, &source, &Map::new()).await.unwrap();
    // It dies as soon as a page is there, wherever it is by then.
    let mut look = tokio::time::interval(std::time::Duration::from_millis(1));
    while story.operation(ordered.unwrap()).await.changed == 0 {
        look.tick().await;
    }
    worker.die().await;
    let worker = story.worker().await;
    story.came_over(ordered).await;
    let operation = story.operation(ordered.unwrap()).await;
    assert_eq!(
        (operation.status.as_str(), operation.changed, operation.skipped),
        ("done", 1_700, 0)
    );
    story
        .until_count("select count(*) from engine.history where kind = 'run.migrated'", 1_700)
        .await;
    let moved: i64 =
        sqlx::query_scalar("select count(*) from engine.runs where definition_id = $1")
            .bind(new)
            .fetch_one(&story.db)
            .await
            .unwrap();
    assert_eq!(moved, 1_700);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_restores_who_has_not_moved_on_and_leads_back_who_has() {
    let story = Story::begin().await;
    let old = story.define(&row("a:act nap:sleep c:act")).await;
    let runs = story.start_many(old, 2).await;
    let worker = story.worker().await;
    story.until(runs[0], "sleeping").await;
    story.until(runs[1], "sleeping").await;
    story.ask(runs[1], Action::Pause).await;
    let before = (stands(&story, runs[0]).await, stands(&story, runs[1]).await);
    let map = "[[migrate]]\nmap = { nap = \"rest\" }\n";
    let steps = row("a:act rest:listen c:act e:sleep");
    let steps = steps.replace("\"listen\"\n", "\"listen\"\nsignal = \"ping\"\n");
    story.apply(&format!("{map}{steps}")).await;
    story.until(runs[0], "waiting").await;
    assert_eq!(story.run(runs[1]).await.step, "rest");
    story.roll_back(old, &Map::new()).await.unwrap();
    assert_eq!(stands(&story, runs[1]).await, before.1, "it had not moved");
    let row_now = story.until(runs[0], "sleeping").await;
    assert_eq!((row_now.step.as_str(), row_now.definition_id), ("nap", old));
    assert_ne!(stands(&story, runs[0]).await, before.0, "it had begun to listen: it sleeps anew");
    story.pass(61.0).await;
    story.until(runs[0], "completed").await;
    assert_eq!(story.board.calls("c"), 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_only_the_newer_version_has_is_left_by_a_persons_map() {
    let story = Story::begin().await;
    let old = story.define(&row("a:act")).await;
    let new = story.apply(&row("a:act nap:sleep")).await;
    let run = story.start_many(new, 1).await[0];
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    let refused = story.roll_back(old, &Map::new()).await;
    assert!(matches!(refused, Err(OrderError::Refused)));
    let asked = Map::from([("nap".to_owned(), Destination::Exit)]);
    story.roll_back(old, &asked).await.unwrap();
    assert_eq!(story.run(run).await.state, "exited");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_is_what_is_done_or_it_is_refused() {
    let story = Story::begin().await;
    story.define(&nap(60)).await;
    let (definition, _) = story.read("story", &nap(90));
    let plan = story.plan_for(&definition, &Map::new()).await;
    let verify = |shown: Option<String>| {
        let (story, definition, plan) = (&story, &definition, &plan);
        async move {
            let mut tx = story.db.begin().await.unwrap();
            let (customer, asked) = (story.customer, Map::new());
            engine::change::verify(&mut tx, customer, definition, &asked, plan, shown.as_deref())
                .await
        }
    };
    assert!(verify(Some(plan.plan_id.clone())).await.is_ok());
    assert!(matches!(verify(Some("other".into())).await, Err(OrderError::Changed)));
    story.define(&nap(70)).await;
    assert!(matches!(verify(None).await, Err(OrderError::Changed)));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_where_all_stand_what_differs_and_how_long_the_caps_take() {
    let story = Story::begin().await;
    let steps = |minutes: u32| {
        format!(
            "{}limits = [\"line\"]\n{}",
            nap(minutes),
            "[[steps]]\nid = \"d\"\ntype = \"act\"\nlimits = [\"line\"]\n"
        )
    };
    let old = story.define(&steps(60)).await;
    story.start_many(old, 30).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 30).await;
    let plan = story.plan(&steps(90)).await;
    assert!(!plan.capacity.known);
    let mut tx = story.db.begin().await.unwrap();
    let daily = limit::Daily { cap: 20, ramp: None, zone: engine::timing::Zone::utc() };
    let rule = Rule { daily: Some(daily), ..Rule::default() };
    limit::set(&mut tx, story.customer, "line", "one", &rule).await.unwrap();
    tx.commit().await.unwrap();
    let plan = story.plan(&steps(90)).await;
    assert_eq!((plan.capacity.days, plan.capacity.limits[0].acts), (Some(3), 60));
    let version = &plan.versions[0];
    assert_eq!((version.runs, version.places.len()), (30, 1));
    assert_eq!(version.places[0].leads, Lead::Stand("nap".into()));
    assert_eq!(json!(version.places[0].states), json!({ "sleeping": 30 }));
    assert_eq!(
        json!(version.difference.of("nap").unwrap().touched[0]),
        json!({ "key": "minutes", "kind": "timing", "was": 60, "is": 90 })
    );
    assert!(!story.plan(&steps(60)).await.changes());
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_binary_leaves_a_change_and_a_newer_change_ends_it() {
    let story = Story::begin().await;
    let old = story.define(&nap(60)).await;
    story.start_many(old, 1).await;
    let (definition, source) = story.read("story", &nap(90));
    let (_, first) = story.order(&definition, &source, &Map::new()).await.unwrap();
    // What binaries look for that know no changes of versions.
    let due = "select count(*) from engine.operations where ended_at is null and next_at <= clock_timestamp()";
    story.until_count(due, 0).await;
    let (definition, source) = story.read("story", &nap(30));
    let (new, second) = story.order(&definition, &source, &Map::new()).await.unwrap();
    assert_eq!(story.operation(first.unwrap()).await.status, "stopped");
    let worker = story.worker().await;
    story.came_over(second).await;
    story.until_count("select count(*) from engine.timers", 1).await;
    let follows: i64 = sqlx::query_scalar("select definition_id from engine.runs")
        .fetch_one(&story.db)
        .await
        .unwrap();
    assert_eq!(follows, new);
    worker.stop().await;
    story.end().await;
}
