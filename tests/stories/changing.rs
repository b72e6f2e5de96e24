//! A sequence changes while people are in it, by the command line and by the API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

/// Rests so long under this id, and then takes a note.
fn sequence(rest: &str, hours: u32) -> String {
    format!(
        "name = \"hello\"\ntitle = \"Hello\"\nsubject = \"contact\"\n\
         [[steps]]\nid = \"{rest}\"\ntype = \"wait\"\nfor = \"{hours} hours\"\n\
         [[steps]]\nid = \"note\"\ntype = \"activity.log\"\ntitle = \"Noted\"\n"
    )
}

/// Waits until so many runs sleep that follow a version.
async fn until_follow(dev: &Dev, version: i32, count: i64) {
    let statement = "select count(*) from engine.run_states s join engine.definitions d on d.id = s.definition_id
      where d.version = $1 and s.state = 'sleeping'";
    until(&format!("{count} runs to follow version {version}"), SOON, || async {
        let found = sqlx::query_scalar(statement).bind(version).fetch_one(&dev.db).await;
        (found.ok() == Some(count)).then_some(())
    })
    .await;
}

struct Files {
    same: String,
    longer: String,
    gone: String,
}

async fn prepared(folder: &Folder, dev: &Dev) -> Files {
    folder.run(&["seed"]).await.done();
    let write = |name: &str, text: &str| folder.write(name, text).to_str().unwrap().to_owned();
    let same = write("hello.toml", &sequence("rest", 3));
    let said = folder.run(&["workflows", "plan", &same]).await;
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.out.contains("it is new: nobody is in it"), "{said:?}");
    let said = folder.run(&["workflows", "apply", &same]).await.done();
    assert_eq!(said, "hello version 1 is active\n");
    let contacts = write("three.csv", "Email\na@lead.example\nb@lead.example\nc@lead.example\n");
    let enroll = ["enroll", &contacts, "--sequence", "hello", "--json"];
    assert_eq!(folder.run(&enroll).await.json()["enrolled"], 3);
    until_follow(dev, 1, 3).await;
    Files {
        same,
        longer: write("longer.toml", &sequence("rest", 5)),
        gone: write("gone.toml", &sequence("nap", 3)),
    }
}

#[tokio::test]
async fn a_plan_is_shown_applied_and_taken_back_on_the_command_line() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    let files = prepared(&folder, &dev).await;
    let nothing = folder.run(&["workflows", "plan", &files.same]).await.done();
    assert!(nothing.ends_with("nothing changes\n"), "{nothing}");

    let refused = folder.run(&["workflows", "plan", &files.gone]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.contains("refused: 3 runs of version 1 stand at `rest`"), "{refused:?}");
    let refused = folder.run(&["workflows", "apply", &files.gone]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    let mapped = folder.run(&["workflows", "plan", &files.gone, "--map", "rest=nap"]).await;
    assert_eq!(mapped.code, 2, "{mapped:?}");
    assert!(mapped.out.contains("come over as they stand, to `nap`"), "{mapped:?}");

    let planned = folder.run(&["workflows", "plan", &files.longer]).await;
    assert_eq!(planned.code, 2, "{planned:?}");
    assert!(planned.out.contains("timing     rest: for \"3 hours\" -> \"5 hours\""), "{planned:?}");
    assert!(planned.out.contains("3 go on at another time, by +2h"), "{planned:?}");
    let other = folder.run(&["workflows", "apply", &files.longer, "--plan", "0123"]).await;
    assert_eq!(other.code, 1, "{other:?}");
    let plan_id = planned.out.lines().find_map(|line| line.strip_prefix("plan ")).unwrap();
    let apply = ["workflows", "apply", &files.longer, "--plan", plan_id];
    let said = folder.run(&apply).await.done();
    assert!(said.starts_with("hello version 2 is active\n3 of its runs come over"), "{said}");
    until_follow(&dev, 2, 3).await;

    let back = folder.run(&["workflows", "rollback", "hello", "--dry-run", "--json"]).await;
    let planned: Value = serde_json::from_str(&back.out).unwrap();
    assert_eq!((back.code, &planned["moves"], &planned["to_version"]), (2, &json!(3), &json!(1)));
    let said = folder.run(&["workflows", "rollback", "hello"]).await.done();
    assert!(said.starts_with("hello version 1 is active\n"), "{said}");
    until_follow(&dev, 1, 3).await;
    let versions = folder.run(&["workflows", "versions", "hello", "--json"]).await.json();
    let shown = |row: &Value| (row["version"].clone(), row["current"].clone(), row["runs"].clone());
    let shown: Vec<_> = versions.as_array().unwrap().iter().map(shown).collect();
    let wanted = [(json!(2), json!(false), json!(0)), (json!(1), json!(true), json!(3))];
    assert_eq!(shown, wanted);
    dev.interrupt().await;
}

/// Signs somebody up, with a sequence and a contact who is in it.
async fn enrolled(api: &mut Api) -> String {
    let body = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", body).await.with(201);
    api.sign_in(&session);
    let made = api
        .ask("POST", "/api/v1/sequences", "application/toml", &sequence("rest", 3))
        .await
        .with(201);
    let path = format!("/api/v1/sequences/{}", made["id"].as_str().unwrap());
    api.post(&format!("{path}/activate"), json!({})).await.with(200);
    let contact =
        api.post("/api/v1/contacts", json!({ "email": "bo@lead.example" })).await.with(201);
    let enroll = json!({ "contact_ids": [contact["id"]] });
    let made = api.post(&format!("{path}/enrollments"), enroll).await.with(201);
    assert_eq!(made["enrolled"], 1, "{made}");
    path
}

#[tokio::test]
async fn a_plan_is_shown_applied_and_taken_back_by_the_api() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    let nobody = dev.api().await;
    let path = enrolled(&mut api).await;
    until_follow(&dev, 1, 1).await;
    let (plan, apply) = (format!("{path}/plan"), format!("{path}/apply"));
    nobody.post(&plan, json!({})).await.with(401);
    let mut other = dev.api().await;
    let body = json!({ "email": "eve@globex.example", "password": "correct horse", "name": "Eve", "company": "Globex" });
    let session = other.post("/api/v1/auth/signup", body).await.with(201);
    other.sign_in(&session);
    other.post(&plan, json!({ "version": 1 })).await.with(404);
    other.get(&format!("{path}/versions")).await.with(404);

    let mut definition = api.get(&path).await.with(200)["definition"].clone();
    api.post(&plan, json!({})).await.with(422);
    api.post(&plan, json!({ "version": 7 })).await.with(422);
    definition["steps"][0]["id"] = json!("nap");
    let refused = api.post(&apply, json!({ "definition": definition })).await.with(409);
    assert_eq!(
        (&refused["type"], &refused["errors"][0]["field"]),
        (&json!("/problems/plan-refused"), &json!("map.rest"))
    );
    definition["steps"][0]["id"] = json!("rest");
    definition["steps"][0]["for"] = json!("5 hours");
    let planned = api.post(&plan, json!({ "definition": definition })).await.with(200);
    let delayed = &planned["versions"][0]["delayed"][0];
    assert_eq!(
        (&planned["kind"], &delayed["median_seconds"]),
        (&json!("timing"), &json!(7_200)),
        "{planned}"
    );
    let stale = json!({ "definition": definition, "plan_id": "0123" });
    let stale = api.post(&apply, stale).await.with(412);
    assert_eq!(stale["type"], "/problems/plan-changed");
    let shown = json!({ "definition": definition, "plan_id": planned["plan_id"] });
    let applied = api.post(&apply, shown.clone()).await.with(202);
    assert_eq!(
        (&applied["moves"], &applied["sequence"]["version"]),
        (&json!(1), &json!(2)),
        "{applied}"
    );
    api.post(&apply, shown).await.with(412);
    let operation = format!("/api/v1/operations/{}", applied["operation"].as_str().unwrap());
    until("the run to come over", SOON, || async {
        (api.get(&operation).await.with(200)["status"] == "done").then_some(())
    })
    .await;
    until_follow(&dev, 2, 1).await;
    api.post(&apply, json!({ "version": 1 })).await.with(202);
    until_follow(&dev, 1, 1).await;
    let versions = api.get(&format!("{path}/versions")).await.with(200);
    assert_eq!(
        (&versions["data"][1]["current"], &versions["data"][1]["open_runs"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
