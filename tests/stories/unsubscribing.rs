//! Somebody asks for no more mail, by telephone: an operator unsubscribes them, and nothing leaves for them any more.

use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(60);

/// A sequence that rests, and then writes; its `[exit]` names no signal.
fn sequence(name: &str) -> String {
    format!(
        "name = \"{name}\"\ntitle = \"{name}\"\nsubject = \"contact\"\n\
         [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 hours\"\n\
         [[steps]]\nid = \"mail\"\ntype = \"email.send\"\ntemplate = \"hello\"\nwindowed = false\n\
         [templates.hello]\nsubject = \"Hello\"\ntext = \"Hello\"\n"
    )
}

async fn enroll(folder: &Folder, name: &str) -> Value {
    let args = ["enroll", "people.csv", "--sequence", name, "--json"];
    folder.run(&args).await.json()
}

async fn sign_up(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    api
}

/// The contact of an address.
async fn contact(api: &Api, email: &str) -> Value {
    let page = api.get(&format!("/api/v1/contacts?filter[email][eq]={email}")).await.with(200);
    page["data"][0].clone()
}

/// Hours later the mails leave: for Eve, who is left. Kim's domain was suppressed on the way.
async fn mails_leave_for_eve_alone(folder: &Folder) {
    let dev = Dev::start(folder, &["--time-scale", "3600"]).await;
    until("a mail to Eve", SOON, || async {
        let sent = "select count(*) from emails where sent_at is not null";
        (dev.count(sent).await > 0).then_some(())
    })
    .await;
    until("the runs for Kim to be held", SOON, || async {
        let held = "select count(*) from engine.runs r join contacts c on c.id = r.subject_id
          where r.state = 'held' and c.email = 'kim@rival.example'";
        (dev.count(held).await == 2).then_some(())
    })
    .await;
    let others = "select count(*) from emails where recipient <> 'eve@lead.example'";
    assert_eq!(dev.count(others).await, 0);
    assert_eq!(
        dev.count("select count(*) from engine.outbox where topic = 'contact.unsubscribed' and data ->> 'actor' = 'cli'").await,
        2
    );
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_unsubscribed_by_hand_gets_no_mail_of_any_sequence_and_the_timeline_says_who_did_it()
{
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    folder.write(
        "people.csv",
        "Email\nada@lead.example\nbob@lead.example\neve@lead.example\nkim@rival.example\n",
    );
    for name in ["one", "two"] {
        let file = folder.write(&format!("{name}.toml"), &sequence(name));
        folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
        assert_eq!(enroll(&folder, name).await["enrolled"], 4);
    }
    // Ada asked for it; of her runs, one is paused meanwhile.
    let ada = contact(&api, "ada@lead.example").await["id"].as_str().unwrap().to_owned();
    let runs = folder.run(&["runs", "list", "--json", "--limit", "100"]).await.json();
    let of = |contact: &str| {
        let runs = runs.as_array().unwrap().iter().filter(|run| run["contact"] == contact);
        runs.map(|run| run["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    folder.run(&["runs", "pause", &of(&ada)[0]]).await.done();
    let unsubscribe = ["contacts", "unsubscribe", "ADA@lead.example", "--json"];
    let said = folder.run(&unsubscribe).await.json();
    assert_eq!(
        (&said["id"], &said["status"], &said["changed"], &said["runs_ended"]),
        (&json!(ada), &json!("unsubscribed"), &json!(true), &json!(2)),
        "{said}"
    );
    let again = folder.run(&unsubscribe).await.json();
    assert_eq!((&again["changed"], &again["runs_ended"]), (&json!(false), &json!(0)));
    let nobody = folder.run(&["contacts", "unsubscribe", "nobody@lead.example"]).await.refused(3);
    assert!(nobody.contains("no contact `nobody@lead.example`"), "{nobody}");
    assert_eq!(folder.run(&["contacts", "unsubscribe", "nobody"]).await.code, 2);

    // The signal by hand says the same of Bob, to one of his runs.
    let bob = contact(&api, "bob@lead.example").await["id"].as_str().unwrap().to_owned();
    let told = folder.run(&["runs", "signal", &of(&bob)[0], "contact.unsubscribed"]).await.done();
    assert_eq!(told, format!("unsubscribed {bob}; 2 of its runs ended\n"));
    for contact in [&ada, &bob] {
        let read = api.get(&format!("/api/v1/contacts/{contact}")).await.with(200);
        assert_eq!(read["status"], "unsubscribed");
        let path = format!("/api/v1/activities?contact_id={contact}&kind=system");
        until("the timeline to say so", SOON, || async {
            let page = api.get(&path).await.with(200);
            let rows = page["data"].as_array().unwrap();
            let row = rows.iter().filter(|row| row["title"] == "Contact unsubscribed");
            let actors: Vec<&Value> = row.map(|row| &row["actor"]).collect();
            assert!(actors.len() < 2, "{page}");
            (actors == ["cli"]).then_some(())
        })
        .await;
    }
    let report = enroll(&folder, "one").await;
    assert_eq!(report["refused"]["unsubscribed"], 2, "{report}");
    api.post("/api/v1/suppressions", json!({ "domain": "rival.example" })).await.with(201);

    dev.interrupt().await;
    mails_leave_for_eve_alone(&folder).await;
}
