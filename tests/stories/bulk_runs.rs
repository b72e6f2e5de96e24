//! Bulk commands over runs: what they ask before they act, what they refuse, and that they do what they showed.

use serde_json::{Value, json};

use crate::salesos::{Dev, Folder, said};

const REST: &str = "name = \"rest\"\ntitle = \"Rest\"\nsubject = \"contact\"\n\
    [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 hours\"\n\
    [[steps]]\nid = \"more\"\ntype = \"wait\"\nfor = \"3 hours\"\n";

/// A `dev` with this many contacts who rest in a sequence, of one customer.
async fn resting(folder: &Folder, count: usize) -> Dev {
    let dev = Dev::start(folder, &[]).await;
    folder.run(&["seed"]).await.done();
    let file = folder.write("rest.toml", REST);
    folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
    let rows: String = (0..count).map(|n| format!("p{n}@lead.example\n")).collect();
    let file = folder.write("contacts.csv", &format!("Email\n{rows}"));
    let args = ["enroll", file.to_str().unwrap(), "--sequence", "rest", "--json"];
    assert_eq!(folder.run(&args).await.json()["enrolled"], count);
    let sleeping = "select count(*) from engine.run_states where state = 'sleeping'";
    crate::salesos::until("the runs to sleep", std::time::Duration::from_secs(30), || async {
        (dev.count(sleeping).await == i64::try_from(count).unwrap()).then_some(())
    })
    .await;
    dev
}

const PAUSED: &str = "select count(*) from engine.runs where state = 'paused'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_a_question_is_a_refusal_and_yes_does_it() {
    let folder = Folder::new().await;
    let dev = resting(&folder, 3).await;
    for more in [[].as_slice(), &["--json"]] {
        let args = [["runs", "pause", "--sequence", "rest"].as_slice(), more].concat();
        let line = folder.run(&args).await.refused(2);
        assert!(line.contains("3 runs match") && line.contains("--yes"), "{line}");
        assert_eq!(dev.count(PAUSED).await, 0);
    }
    for action in ["pause", "skip", "cancel", "undo"] {
        let asked = folder.run(&["runs", action, "--state", "sleeping"]).await;
        assert!(asked.refused(2).contains("--yes"), "{action}");
    }
    let shown = folder.run(&["runs", "pause", "--sequence", "rest", "--dry-run", "--json"]).await;
    assert_eq!(shown.json()["matched"], 3);
    // Where nothing matches there is nothing to ask.
    assert_eq!(folder.run(&["runs", "resume", "--sequence", "rest"]).await.code, 3);
    assert_eq!(folder.run(&["jobs", "retry", "--state", "held"]).await.code, 3);
    assert_eq!(dev.count("select count(*) from engine.operations").await, 0);
    let done = folder.run(&["runs", "pause", "--sequence", "rest", "--yes"]).await.done();
    assert!(done.contains("done; 3 changed, 0 skipped"), "{done}");
    assert_eq!(dev.count(PAUSED).await, 3);
    // What is paused already is not counted.
    let again = folder.run(&["runs", "pause", "--sequence", "rest", "--dry-run"]).await;
    assert_eq!((again.code, again.out.as_str()), (3, "0 runs match\n"));
    let args = ["runs", "resume", "--sequence", "rest", "--yes", "--json", "--reason", "enough"];
    let done = folder.run(&args).await.json();
    assert_eq!((&done["changed"], &done["reason"]), (&json!(3), &json!("enough")), "{done}");
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_can_be_tried_first_and_take_a_reason() {
    let folder = Folder::new().await;
    let dev = resting(&folder, 2).await;
    let runs = folder.run(&["runs", "list", "--json"]).await.json();
    let id = |n: usize| runs[n]["id"].as_str().unwrap().to_owned();
    let (one, two) = (id(0), id(1));
    let tried = folder.run(&["runs", "pause", &one, &two, "--dry-run"]).await.done();
    assert!(tried.starts_with("2 runs match\n"), "{tried}");
    let retried = folder.run(&["jobs", "retry", &one, "--dry-run"]).await;
    assert_eq!(retried.code, 3, "it is not held: {retried:?}");
    assert_eq!(dev.count(PAUSED).await, 0);
    let args = ["runs", "pause", &one, "--reason", "on holiday"];
    assert_eq!(folder.run(&args).await.done(), format!("{one}: done\n"));
    let listed = folder.run(&["operations", "list", "--json"]).await.json();
    assert_eq!(
        (&listed[0]["reason"], &listed[0]["actor"], &listed[0]["changed"]),
        (&json!("on holiday"), &json!("cli"), &json!(1)),
        "{listed}"
    );
    let history = folder.run(&["runs", "history", &one, "--json"]).await.json();
    let last = history.as_array().unwrap().last().unwrap();
    let operation = listed[0]["id"].as_str().unwrap();
    assert_eq!(last["actor"], format!("cli by {operation}"), "{history}");
    // A malformed id among others refuses all of them before anything is done.
    folder.run(&["runs", "pause", &two, "run_nonsense"]).await.refused(1);
    assert_eq!(dev.count(PAUSED).await, 1);
    let said = folder.run(&["runs", "resume", &one, &two, "--json"]).await.json();
    let changed = |n: usize| said[n]["changed"].clone();
    assert_eq!((changed(0), changed(1)), (json!(true), json!(false)), "{said}");
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_customers_a_bulk_command_names_its_own() {
    let folder = Folder::new().await;
    let mut dev = resting(&folder, 2).await;
    let mut api = dev.api().await;
    let body = json!({ "email": "eve@globex.example", "password": "correct horse", "name": "Eve", "company": "Globex" });
    let session = api.post("/api/v1/auth/signup", body).await.with(201);
    api.sign_in(&session);
    let made = api.ask("POST", "/api/v1/sequences", "application/toml", REST).await.with(201);
    let path = format!("/api/v1/sequences/{}", made["id"].as_str().unwrap());
    api.post(&format!("{path}/activate"), json!({})).await.with(200);
    let contact =
        api.post("/api/v1/contacts", json!({ "email": "bo@lead.example" })).await.with(201);
    api.post(&format!("{path}/enrollments"), json!({ "contact_ids": [contact["id"]] }))
        .await
        .with(201);
    let globex = session["customer"]["id"].as_str().unwrap();
    let open = "select count(*) from engine.runs where ended_at is null";
    for action in ["pause", "resume", "skip", "cancel", "undo"] {
        for more in [[].as_slice(), &["--yes"], &["--dry-run"]] {
            let args = [["runs", action, "--sequence", "rest"].as_slice(), more].concat();
            let line = folder.run(&args).await.refused(1);
            assert!(line.contains("--customer") && line.contains("Globex"), "{args:?}: {line}");
        }
    }
    let line = folder.run(&["jobs", "retry", "--state", "held", "--yes"]).await.refused(1);
    assert!(line.contains("--customer"), "{line}");
    assert_eq!((dev.count(PAUSED).await, dev.count(open).await), (0, 3));
    let all = folder.run(&["runs", "list", "--sequence", "rest", "--json"]).await.json();
    assert_eq!(all.as_array().unwrap().len(), 3, "a listing shows all of them");
    let own = folder.run(&["runs", "list", "--customer", globex, "--json"]).await.json();
    assert_eq!(own.as_array().unwrap().len(), 1);
    let args = ["runs", "cancel", "--sequence", "rest", "--customer", globex, "--yes"];
    let done = folder.run(&args).await.done();
    assert!(done.contains("1 changed"), "{done}");
    assert_eq!(dev.count(open).await, 2);
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_names_nothing_is_refused_with_a_suggestion_and_orders_nothing() {
    let folder = Folder::new().await;
    let dev = resting(&folder, 1).await;
    let bulk: [&[&str]; 6] = [
        &["runs", "pause"],
        &["runs", "resume"],
        &["runs", "skip"],
        &["runs", "cancel"],
        &["runs", "undo"],
        &["jobs", "retry"],
    ];
    let lists: [&[&str]; 2] = [&["runs", "list"], &["jobs", "list"]];
    for command in bulk.iter().chain(&lists) {
        for (filter, hint) in [
            (["--sequence", "rset"], "did you mean `rest`?"),
            (["--step", "mroe"], "did you mean `more`?"),
            (["--queue", "emial.send"], "did you mean `email.send`?"),
            (["--error", "*"], "write a part of the reason"),
            (["--customer", "cus_01h455vb4pex5vsknk084sn02q"], "there is no customer"),
            (["--contact", "run_01h455vb4pex5vsknk084sn02q"], "con_"),
        ] {
            let line = folder.run(&[*command, &filter].concat()).await.refused(1);
            assert!(line.contains(hint), "{command:?} {filter:?}: {line}");
        }
    }
    for command in bulk {
        let bare = folder.run(&[command, &["--yes"]].concat()).await.refused(1);
        assert!(bare.contains("a filter such as"), "{bare}");
        let gone = ["--contact", "con_01h455vb4pex5vsknk084sn02q", "--yes"];
        let line = folder.run(&[command, &gone].concat()).await.refused(1);
        assert!(line.contains("there is no contact"), "{line}");
        for rate in ["0", "-1", "0/s", "nan", "inf", "1e9", "1e400", "0.001"] {
            let rate = format!("--rate={rate}");
            let args = [command, &["--sequence", "rest", &rate, "--yes"]].concat();
            let refused = folder.run(&args).await;
            assert!(refused.code == 2 && refused.err.contains("100/s"), "{refused:?}");
        }
        let state = folder.run(&[command, &["--state", "hled"]].concat()).await;
        assert!(state.code == 2 && state.err.contains("held"), "{state:?}");
    }
    assert_eq!(dev.count("select count(*) from engine.operations").await, 0);
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_filter_means_the_same_in_listings_and_bulk_commands() {
    let folder = Folder::new().await;
    let dev = resting(&folder, 3).await;
    sqlx::query("delete from engine.timers").execute(&dev.db).await.unwrap();
    sqlx::query(
        "update engine.runs r set state = 'held', place = 'none', next_at = null, reason = w.reason
         from (select id, (array['timeout after 1s', 'no answer: timeout', 'refused'])[row_number() over (order by id)::int]
           as reason from engine.runs) w where w.id = r.id",
    )
    .execute(&dev.db)
    .await
    .unwrap();
    for (error, matches) in
        [("timeout", 2), ("timeout*", 1), ("*timeout", 1), ("Refused", 0), ("ref*", 1)]
    {
        let listed = async |list: &str| {
            let mut command = folder.command(&[list, "list", "--error", error, "--json"]);
            command.stdin(std::process::Stdio::null());
            let listed: Value = serde_json::from_str(&said(command).await.out).unwrap();
            listed.as_array().unwrap().len()
        };
        assert_eq!((listed("runs").await, listed("jobs").await), (matches, matches), "{error}");
        for action in [["jobs", "retry"], ["runs", "cancel"]] {
            let args = [action.as_slice(), &["--error", error, "--dry-run", "--json"]].concat();
            let seen: Value = serde_json::from_str(&folder.run(&args).await.out).unwrap();
            assert_eq!(seen["matched"], matches, "{action:?} {error}");
        }
    }
    let done = folder.run(&["runs", "cancel", "--error", "timeout", "--yes"]).await.done();
    assert!(done.contains("2 changed, 0 skipped"), "{done}");
    dev.interrupt().await;
}
