//! Two thousand runs while their process is killed again and again: nothing is lost, nothing is done twice.

use std::time::{Duration, Instant};

use super::records::{all_has_ended, enroll, nothing_is_done_twice, nothing_is_lost};
use crate::promises::events_keep_their_promises;
use crate::salesos::{Dev, Folder};

const CONTACTS: usize = 2_000;
const KILLS: usize = 20;
/// How many more are enrolled in each life, so that the last kill, too, meets runs under way.
const MORE: usize = 25;
const ALL: usize = CONTACTS + KILLS * MORE;
const LIVES_FOR: Duration = Duration::from_secs(2);
const DAY_A_SECOND: [&str; 2] = ["--time-scale", "86400"];

/// Kills a `dev` two seconds after it was ready, again and again, while runs are under way. What it said
/// was enrolled just before has to be there in the end.
async fn kill_again_and_again(folder: &Folder) {
    for turn in 0..KILLS {
        let dev = Dev::start(folder, &DAY_A_SECOND).await;
        let killed_at = Instant::now() + LIVES_FOR;
        let more = CONTACTS + turn * MORE;
        enroll(folder, more..more + MORE).await;
        tokio::time::sleep_until(killed_at.into()).await;
        let open = dev.count("select count(*) from engine.runs where ended_at is null").await;
        let done = dev.count("select count(*) from engine.history where kind = 'step.done'").await;
        println!("kill {}: {open} runs under way, {done} steps done", turn + 1);
        dev.kill().await;
    }
}

/// Lets the runs come to their end undisturbed.
async fn run_to_the_end(folder: &Folder) -> Dev {
    let dev = Dev::start(folder, &DAY_A_SECOND).await;
    all_has_ended(&dev).await;
    dev
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_runs_outlive_twenty_kills_with_nothing_lost_and_nothing_done_twice() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    enroll(&folder, 0..CONTACTS).await;
    dev.interrupt().await;

    let began = Instant::now();
    kill_again_and_again(&folder).await;
    let killed = began.elapsed();
    let dev = run_to_the_end(&folder).await;
    println!("{KILLS} kills in {killed:?}, the end after {:?}", began.elapsed());
    nothing_is_lost(&dev, ALL).await;
    let topics = events_keep_their_promises(&dev.db).await;
    assert!(topics.contains("enrollment.step_completed"), "{topics:?}");
    nothing_is_done_twice(&folder, &dev).await;
    dev.interrupt().await;
}
