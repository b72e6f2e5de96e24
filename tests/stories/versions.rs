//! Two versions, one migration apart, on one database.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::records::{all_has_ended, enroll, nothing_is_done_twice, nothing_is_lost};
use crate::salesos::{Dev, Folder, until};

const EACH: usize = 300;
const DAY_A_SECOND: [&str; 2] = ["--time-scale", "86400"];
const WITHIN: Duration = Duration::from_secs(120);

/// The binary of the version before the newest migration, where there is one.
#[expect(clippy::disallowed_methods, reason = "they are settings of the tests alone")]
fn previous() -> Option<PathBuf> {
    let setting = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let program = setting("SALESOS_PREVIOUS");
    if program.is_none() {
        let may_skip = setting("CI").is_none() || history_is_cut_off();
        assert!(may_skip, "CI skips nothing, but SALESOS_PREVIOUS is not set");
        println!(
            "skipped: without SALESOS_PREVIOUS there is no other version; make test builds it"
        );
    }
    program.map(PathBuf::from)
}

/// Whether this is a shallow clone, from which no other version can be built.
fn history_is_cut_off() -> bool {
    let asked = Command::new("git").args(["rev-parse", "--is-shallow-repository"]).output();
    asked.is_ok_and(|said| said.stdout.starts_with(b"true"))
}

/// How many workers have recorded a step.
async fn workers(dev: &Dev) -> i64 {
    dev.count("select count(distinct actor) from engine.history where kind = 'step.done'").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_a_migration_apart_work_side_by_side() {
    let Some(program) = previous() else { return };
    let old_folder = Folder::new().await.with_program(program);
    let old = Dev::start(&old_folder, &DAY_A_SECOND).await;
    old_folder.run(&["seed"]).await.done();
    enroll(&old_folder, 0..EACH).await;
    let migrations = "select count(*) from _sqlx_migrations";
    let before = old.count(migrations).await;

    let url = old_folder.run(&["db", "--print-url"]).await.done();
    let new_folder = Folder::beside(&old_folder, url.trim().to_owned());
    let new = Dev::start(&new_folder, &[]).await;
    assert!(new.count(migrations).await > before, "the newer one brings no migration");
    enroll(&new_folder, EACH..2 * EACH).await;
    until("both to work", WITHIN, || async { (workers(&new).await == 2).then_some(()) }).await;

    new.kill().await;
    enroll(&old_folder, 2 * EACH..3 * EACH).await;
    let new = Dev::start(&new_folder, &[]).await;
    enroll(&new_folder, 3 * EACH..4 * EACH).await;
    until("another to work", WITHIN, || async { (workers(&new).await == 3).then_some(()) }).await;
    all_has_ended(&new).await;
    nothing_is_lost(&new, 4 * EACH).await;
    nothing_is_done_twice(&old_folder, &new).await;
    assert_eq!((old.errors(), new.errors()), (Vec::new(), Vec::new()));
    assert!(new.interrupt().await.success());
    old.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_begins_again_on_a_database_that_a_newer_one_has_migrated() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (29991231000000, 'of a newer version', true, '', 0)",
    )
    .execute(&dev.db)
    .await
    .unwrap();
    dev.interrupt().await;
    let dev = Dev::start(&folder, &[]).await;
    let told = folder.run(&["migrate", "--status"]).await.done();
    assert!(told.contains("applied 29991231000000 by a newer version of SalesOS"), "{told}");
    let told = folder.run(&["doctor"]).await;
    assert!(told.out.contains("and 1 of a newer version of SalesOS"), "{told:?}");
    dev.interrupt().await;
}
