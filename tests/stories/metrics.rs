//! What Prometheus reads.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::services::is_ci;
use crate::salesos::{Dev, Folder, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_to_say_of_the_metrics() {
    let program = Path::new("/usr/bin/promtool");
    if !program.exists() {
        assert!(
            !is_ci(),
            "CI skips nothing, but promtool is missing (Debian's package prometheus)"
        );
        eprintln!("skipped: promtool is missing (Debian's package prometheus)");
        return;
    }
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "3600"]).await;
    let api = dev.api().await;
    assert_eq!(folder.run(&["seed", "--enroll"]).await.code, 0);
    // A step was recorded and an event told, so that each kind of metric is there.
    let wanted = [
        "salesos_steps_total",
        "salesos_outbox_told_total",
        "salesos_claim_seconds_bucket",
        "salesos_outbox_parked",
    ];
    let text = until("the metrics of some work", std::time::Duration::from_secs(30), || async {
        let text = api.get("/metrics").await.text;
        wanted.iter().all(|name| text.contains(name)).then_some(text)
    })
    .await;
    let mut command = Command::new(program);
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    to.write_all(text.as_bytes()).await.unwrap();
    drop(to);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!((output.status.code(), &said), (Some(0), &[String::new(), String::new()]), "{text}");
    assert_eq!(json!(dev.errors()), json!([]));
    dev.interrupt().await;
}
