//! Random edits of a definition, and their rollbacks, while cohorts of runs live on a clock that is moved:
//! nobody gets a step twice, nobody is lost, and going back restores.

use std::collections::{BTreeMap, BTreeSet};

use engine::change::Map;
use serde_json::Value;
use uuid::Uuid;

use super::story::Story;

/// How many cohorts are tried, each with edits of its own.
const CASES: u64 = 10;
/// How many edits each lives through.
const EDITS: u32 = 8;
/// How many runs each edit finds new.
const FRESH: usize = 6;

/// Draws by a seed, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Step {
    id: String,
    kind: &'static str,
    minutes: usize,
}

/// A workflow that is edited: its steps, how many came so far, and under which first id each was born.
#[derive(Debug, Clone)]
struct Draft {
    steps: Vec<Step>,
    born: usize,
    words: usize,
}

impl Draft {
    fn first() -> Self {
        let mut draft = Self { steps: Vec::new(), born: 0, words: 0 };
        for kind in ["send", "sleep", "act", "listen", "send", "sleep", "send"] {
            let step = draft.fresh(kind);
            draft.steps.push(step);
        }
        draft
    }

    fn fresh(&mut self, kind: &'static str) -> Step {
        self.born += 1;
        Step { id: format!("s{}", self.born), kind, minutes: 30 }
    }

    fn text(&self, table: &str) -> String {
        let again = if self.words.is_multiple_of(2) { "never" } else { "always" };
        let mut text = format!("[enroll]\nagain = \"{again}\"\n{table}");
        for Step { id, kind, minutes } in &self.steps {
            text.push_str(&format!("[[steps]]\nid = \"{id}\"\ntype = \"{kind}\"\n"));
            match *kind {
                "sleep" => text.push_str(&format!("minutes = {minutes}\n")),
                "listen" => text.push_str(&format!("minutes = {minutes}\nsignal = \"ping\"\n")),
                _ => {}
            }
        }
        text
    }

    /// Edits it at random; gives the map that goes with the edit.
    fn edit(&mut self, dice: &mut Dice) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        // Early steps are those that most have done.
        let at = dice.roll(self.steps.len()).min(dice.roll(self.steps.len()));
        match dice.roll(8) {
            0 => self.words += 1,
            1 => {
                for step in &mut self.steps {
                    step.minutes = 1 + dice.roll(90);
                }
            }
            2 => {
                let kind = ["send", "act", "sleep", "listen"][dice.roll(4)];
                let step = self.fresh(kind);
                self.steps.insert(at, step);
            }
            3 if self.steps.len() > 2 => {
                let gone = self.steps.remove(at);
                let behind = self.steps.get(at).map_or("exit", |step| step.id.as_str());
                let wishes =
                    [behind, "exit", "stay", self.steps[dice.roll(self.steps.len())].id.as_str()];
                map.insert(gone.id, wishes[dice.roll(4)].to_owned());
            }
            4 => {
                self.born += 1;
                let id = format!("s{}", self.born);
                let was = std::mem::replace(&mut self.steps[at].id, id.clone());
                map.insert(was, id);
            }
            _ => {
                let moved = self.steps.remove(at);
                self.steps.insert(dice.roll(self.steps.len() + 1), moved);
            }
        }
        map
    }
}

fn table(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(was, is)| format!("{was} = \"{is}\"")).collect();
    format!("[[migrate]]\nmap = {{ {} }}\n", pairs.join(", "))
}

/// Lets everything that is due be done, and nothing else: the clock stands still meanwhile.
async fn settle(story: &Story) {
    story
        .until_count(
            "select (select count(*) from engine.jobs) + (select count(*) from engine.operations where ended_at is null)
               + (select count(*) from engine.timers where due_at <= engine.now())",
            0,
        )
        .await;
}

/// How an open run stands, and the last row of its history.
type Standing = (i32, Value);

async fn standings(story: &Story) -> BTreeMap<Uuid, Standing> {
    let rows: Vec<(Uuid, i32, Value)> = sqlx::query_as(
        "select r.id, r.seq, jsonb_build_object('version', r.definition_id, 'step', r.step, 'place', r.place,
           'iteration', r.iteration, 'next_at', r.next_at, 'remaining', r.remaining, 'wait', r.wait_signal,
           'data', r.data, 'due', t.due_at)
         from engine.runs r left join engine.timers t on t.run_id = r.id where r.ended_at is null",
    )
    .fetch_all(&story.db)
    .await
    .unwrap();
    rows.into_iter().map(|(run, seq, stands)| (run, (seq, stands))).collect()
}

/// What each run was sent or did, by the first id of the step: none twice.
async fn nobody_gets_a_step_twice(story: &Story, acting: &BTreeSet<String>, seed: u64) {
    let rows: Vec<(Uuid, String, String, Option<Value>)> = sqlx::query_as(
        "select run_id, kind, step, data -> 'renamed' from engine.history
         where kind in ('step.done', 'run.migrated') order by run_id, seq",
    )
    .fetch_all(&story.db)
    .await
    .unwrap();
    let mut done: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
    for (run, kind, step, renamed) in rows {
        let steps = done.entry(run).or_default();
        if kind == "step.done" && acting.contains(&step) {
            assert!(steps.insert(step.clone()), "seed {seed}: {run} got {step} twice");
        }
        for (was, is) in renamed.iter().filter_map(Value::as_object).flatten() {
            if steps.contains(was) {
                steps.insert(is.as_str().unwrap().to_owned());
            }
        }
    }
}

/// What cohorts came upon, so that a test that met nothing fails.
#[derive(Debug, Default)]
struct Found {
    /// Runs that came back and stood as before.
    back: usize,
    /// Runs that an edit would have led again to what they had done.
    twice: i64,
}

/// One cohort: edits and rollbacks, at instants between which the runs go on; gives what
/// it has found.
async fn live_through(seed: u64) -> Found {
    let mut dice = Dice(seed);
    let story = Story::begin().await;
    let worker = story.worker().await;
    let mut draft = Draft::first();
    let mut acting: BTreeSet<String> = BTreeSet::new();
    let mut current = story.define(&draft.text("")).await;
    let (mut started, mut found) = (0, Found::default());
    for _ in 0..EDITS {
        started += story.start_many(current, FRESH).await.len();
        acting.extend(
            draft
                .steps
                .iter()
                .filter(|step| ["send", "act"].contains(&step.kind))
                .map(|step| step.id.clone()),
        );
        settle(&story).await;
        story.pass(dice.roll(40) as f64).await;
        settle(&story).await;
        let mut edited = draft.clone();
        let map = edited.edit(&mut dice);
        let mapped = dice.roll(4) > 0;
        let text = edited.text(&if mapped { table(&map) } else { String::new() });
        let (definition, source) = story.read("story", &text);
        let plan = story.plan_for(&definition, &Map::new()).await;
        if !plan.refused.is_empty() {
            found.twice += plan.twice;
            assert!(story.order(&definition, &source, &Map::new()).await.is_err());
            continue;
        }
        assert_eq!(plan.twice, 0, "seed {seed}");
        let before = standings(&story).await;
        let (new, ordered) = story.order(&definition, &source, &Map::new()).await.unwrap();
        story.came_over(ordered).await;
        let acts: Vec<Step> = edited
            .steps
            .iter()
            .filter(|step| ["send", "act"].contains(&step.kind))
            .cloned()
            .collect();
        acting.extend(acts.into_iter().map(|step| step.id));
        if dice.roll(3) == 0 && story.roll_back(current, &Map::new()).await.is_ok() {
            found.back += restored(&before, &standings(&story).await, seed);
        } else {
            (current, draft) = (new, edited);
        }
    }
    for _ in 0..30 {
        settle(&story).await;
        story.pass(90.0).await;
    }
    settle(&story).await;
    let ended = "select count(*) from engine.runs where ended_at is not null";
    story.until_count(ended, i64::try_from(started).unwrap()).await;
    nobody_gets_a_step_twice(&story, &acting, seed).await;
    worker.stop().await;
    story.end().await;
    found
}

/// Whoever was brought over and back, and did nothing in between, stands as before; gives how many.
fn restored(
    before: &BTreeMap<Uuid, Standing>,
    after: &BTreeMap<Uuid, Standing>,
    seed: u64,
) -> usize {
    let mut count = 0;
    for (run, (seq, was)) in before {
        let Some((now, is)) = after.get(run) else { continue };
        if *now == seq + 2 && is["version"] == was["version"] {
            assert_eq!(is, was, "seed {seed}: {run} was not restored");
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_what_lives_lose_nobody_repeat_nothing_and_can_be_taken_back() {
    let mut all = Found::default();
    for seed in 0..CASES {
        let found = live_through(seed).await;
        all = Found { back: all.back + found.back, twice: all.twice + found.twice };
    }
    assert!(all.back > 50 && all.twice > 20, "{all:?} shows little");
}
