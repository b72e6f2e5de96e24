//! What reps and managers do with what is, or becomes, another team's: each gets a proper answer, and nothing leaks.

mod teams;

use crm::bulk_change::{self, NewBulkChange, Reach, Wanted};
use crm::contact::Change;
use serde_json::{Value, json};

pub(crate) use self::teams::Teams;
use crate::promises::events_keep_their_promises;

#[tokio::test]
async fn a_rep_or_a_manager_gives_no_record_to_another_team_and_is_told_what_to_do() {
    let teams = Teams::open().await;
    let (pipeline, stage) = teams.pipeline().await;
    let contact = json!({ "email": "ada@lead.example" });
    let account = json!({ "name": "Lead" });
    let deal = json!({ "name": "Deal", "pipeline_id": pipeline, "stage_id": stage });
    for who in ["nora", "mia"] {
        for (path, new) in
            [("/contacts", &contact), ("/accounts", &account), ("/opportunities", &deal)]
        {
            let owned_by = |owner: Value| {
                let mut body = new.clone();
                body["owner_id"] = owner;
                body
            };
            let refused = |(status, problem): (u16, Value), what: &str| {
                assert_eq!(status, 403, "{who}: {what}: {problem}");
                assert_eq!(problem["errors"][0]["field"], "owner_id", "{what}: {problem}");
                let message = problem["errors"][0]["message"].as_str().unwrap();
                assert!(message.contains("ask an admin"), "{message}");
            };
            let sam = json!(teams.id("sam"));
            refused(teams.ask(who, "POST", path, owned_by(sam.clone())).await, path);
            let made = teams.make(who, path, owned_by(json!(teams.id("ned")))).await;
            let one = format!("{path}/{made}");
            refused(teams.ask(who, "PATCH", &one, json!({ "owner_id": sam })).await, &one);
            let bulk = format!("{path}/bulk");
            for which in [json!({ "ids": [made] }), json!({ "filter": { "id": { "eq": made } } })] {
                let mut body = which.clone();
                body["set"] = json!({ "owner_id": sam });
                refused(teams.ask(who, "POST", &bulk, body).await, &format!("{bulk} {which}"));
            }
            let mine = json!({ "owner_id": teams.id(who) });
            assert_eq!(
                teams.good(who, "PATCH", &one, mine.clone()).await["owner_id"],
                mine["owner_id"]
            );
            let nobody = json!({ "owner_id": null });
            assert_eq!(teams.good(who, "PATCH", &one, nobody).await["owner_id"], Value::Null);
            // Who reaches all hands it over; then it is out of their reach.
            teams.desk.good("PATCH", &one, json!({ "owner_id": sam })).await;
            assert_eq!(teams.ask(who, "GET", &one, Value::Null).await.0, 404);
            assert_eq!(teams.desk.ask("DELETE", &one, Value::Null).await.0, 204);
        }
    }
    events_keep_their_promises(&teams.desk.database.pool).await;
    teams.desk.database.drop().await;
}

#[tokio::test]
async fn an_address_or_a_name_of_an_unreachable_record_is_taken_and_nobody_says_whose_it_is() {
    let teams = Teams::open().await;
    let hidden =
        json!({ "email": "ada@lead.example", "first_name": "Ada", "owner_id": teams.id("sam") });
    let hidden = teams.make("sam", "/contacts", hidden).await;
    teams.make("sam", "/accounts", json!({ "name": "Lead", "owner_id": teams.id("sam") })).await;
    let mine = teams.make("nora", "/contacts", json!({ "email": "bob@lead.example" })).await;
    let gone = teams.make("nora", "/contacts", json!({ "email": "old@lead.example" })).await;
    teams.good("nora", "DELETE", &format!("/contacts/{gone}"), Value::Null).await;
    let heir = json!({ "email": "old@lead.example", "owner_id": teams.id("sam") });
    let heir = teams.make("sam", "/contacts", heir).await;
    for (method, path, body) in [
        ("POST", "/contacts".into(), json!({ "email": "ADA@lead.example" })),
        ("PATCH", format!("/contacts/{mine}"), json!({ "email": "ada@lead.example" })),
        ("POST", format!("/contacts/{gone}/restore"), json!({})),
    ] {
        let (status, problem) = teams.ask("nora", method, &path, body).await;
        assert_eq!(status, 409, "{method} {path}: {problem}");
        assert_eq!(problem["type"], "/problems/duplicate-contact", "{problem}");
        let said = problem.to_string();
        for secret in [&hidden, &heir, "Ada", teams.id("sam")] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    let (status, problem) = teams.ask("nora", "POST", "/accounts", json!({ "name": "lead" })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/name-taken")));
    // Somebody of an unreachable company is made all the same; the company stays a name.
    let eve = json!({ "email": "eve@lead.example", "company": "Lead" });
    let eve = teams.good("nora", "POST", "/contacts", eve).await;
    assert_eq!((&eve["company"], &eve["account_id"]), (&json!("Lead"), &Value::Null));
    teams.desk.database.drop().await;
}

#[tokio::test]
async fn a_shared_account_is_renamed_at_all_of_its_contacts() {
    let teams = Teams::open().await;
    let lead = teams.make("nora", "/accounts", json!({ "name": "Lead" })).await;
    let new = |email: &str, owner: &str| json!({ "email": email, "account_id": lead, "owner_id": teams.id(owner) });
    let mine = teams.make("nora", "/contacts", new("a@lead.example", "nora")).await;
    let theirs = teams.make("sam", "/contacts", new("b@lead.example", "sam")).await;
    teams.good("nora", "PATCH", &format!("/accounts/{lead}"), json!({ "name": "Lead AG" })).await;
    for contact in [&mine, &theirs] {
        let read = teams.desk.good("GET", &format!("/contacts/{contact}"), Value::Null).await;
        assert_eq!(read["company"], "Lead AG", "{contact}");
    }
    // The reach is back afterwards, within the same request and in the next one.
    assert_eq!(teams.ask("nora", "GET", &format!("/contacts/{theirs}"), Value::Null).await.0, 404);
    teams.desk.database.drop().await;
}

/// A note that was changed, and a task, of Sam; gives where they are.
async fn secrets(teams: &Teams, about: &Value) -> [String; 3] {
    let with = |fields: Value| {
        let mut body = about.clone();
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let note = teams.make("sam", "/activities/notes", with(json!({ "body": "secret" }))).await;
    let note = format!("/activities/{note}");
    teams.good("sam", "PATCH", &note, json!({ "body": "secret too" })).await;
    let task = teams.make("sam", "/activities/tasks", with(json!({ "title": "secret" }))).await;
    [format!("/activities/tasks/{task}"), format!("{note}/edits"), note]
}

#[tokio::test]
async fn notes_and_tasks_of_unreachable_accounts_and_deals_stay_hidden() {
    let teams = Teams::open().await;
    let (pipeline, stage) = teams.pipeline().await;
    let sam = teams.id("sam");
    let account = teams.make("sam", "/accounts", json!({ "name": "Lead", "owner_id": sam })).await;
    let deal =
        json!({ "name": "Deal", "pipeline_id": pipeline, "stage_id": stage, "owner_id": sam });
    let deal = teams.make("sam", "/opportunities", deal).await;
    // Ada is nobody's, so both teams reach her; her account is Sam's.
    let ada = json!({ "email": "ada@lead.example", "account_id": account });
    let ada = teams.make("sam", "/contacts", ada).await;
    let mut hidden = Vec::new();
    for about in [
        json!({ "account_id": account }),
        json!({ "opportunity_id": deal }),
        json!({ "opportunity_id": deal, "contact_id": ada }),
    ] {
        hidden.extend(secrets(&teams, &about).await);
    }
    for path in &hidden {
        assert_eq!(teams.ask("sam", "GET", path, Value::Null).await.0, 200, "{path}");
        for (method, path, body) in [
            ("GET", path.clone(), Value::Null),
            ("PATCH", path.trim_end_matches("/edits").into(), json!({ "title": "mine" })),
            ("DELETE", path.trim_end_matches("/edits").into(), Value::Null),
            ("POST", format!("{path}/complete"), json!({})),
        ] {
            let (status, answer) = teams.ask("nora", method, &path, body).await;
            assert!(status == 404 || status == 405, "{method} {path}: {status} {answer}");
        }
    }
    for list in ["/activities", "/activities/tasks"] {
        for about in [
            "".into(),
            format!("account_id={account}"),
            format!("opportunity_id={deal}"),
            format!("contact_id={ada}"),
        ] {
            let seen = teams.listed("nora", &format!("{list}?{about}"), "title").await;
            assert_eq!(seen, Vec::<Value>::new(), "{list}?{about}");
            if about.starts_with("account") {
                assert_eq!(teams.listed("sam", &format!("{list}?{about}"), "id").await.len(), 2);
            }
        }
    }
    // What is about a contact in reach is hers, also where the account that is filled in is another team's.
    let note = json!({ "contact_id": ada, "body": "hello" });
    let note = teams.good("nora", "POST", "/activities/notes", note).await;
    assert_eq!(note["account_id"], json!(account));
    assert_eq!(
        teams.listed("nora", &format!("/activities?contact_id={ada}"), "id").await,
        [note["id"].clone()]
    );
    assert_eq!(
        teams.listed("nora", &format!("/activities?account_id={account}"), "id").await,
        Vec::<Value>::new()
    );
    for about in [json!({ "account_id": account }), json!({ "opportunity_id": deal })] {
        let mut body = json!({ "body": "hello" });
        body.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        let (status, problem) = teams.ask("nora", "POST", "/activities/notes", body).await;
        assert_eq!(status, 422, "{problem}");
    }
    teams.desk.database.drop().await;
}

#[tokio::test]
async fn a_deal_shows_a_rep_the_contacts_in_reach_and_keeps_the_others() {
    let teams = Teams::open().await;
    let (pipeline, stage) = teams.pipeline().await;
    let theirs = json!({ "email": "a@lead.example", "owner_id": teams.id("sam") });
    let theirs = teams.make("sam", "/contacts", theirs).await;
    let first = teams.make("nora", "/contacts", json!({ "email": "b@lead.example" })).await;
    let second = teams.make("nora", "/contacts", json!({ "email": "c@lead.example" })).await;
    let deal = json!({ "name": "Deal", "pipeline_id": pipeline, "stage_id": stage, "contact_ids": [theirs, first] });
    let deal = teams.make("sam", "/opportunities", deal).await;
    let path = format!("/opportunities/{deal}");
    assert_eq!(teams.good("nora", "GET", &path, Value::Null).await["contact_ids"], json!([first]));
    let changed = teams.good("nora", "PATCH", &path, json!({ "contact_ids": [second] })).await;
    assert_eq!(changed["contact_ids"], json!([second]));
    let mut all = [theirs.clone(), second.clone()];
    all.sort();
    assert_eq!(teams.good("sam", "GET", &path, Value::Null).await["contact_ids"], json!(all));
    let (status, _) = teams.ask("nora", "PATCH", &path, json!({ "contact_ids": [theirs] })).await;
    assert_eq!(status, 422);
    // Merging two contacts in reach moves the one that goes in every deal, also in those out of reach.
    let hidden = json!({ "name": "Hidden", "pipeline_id": pipeline, "stage_id": stage, "owner_id": teams.id("sam"), "contact_ids": [second] });
    let hidden = teams.make("sam", "/opportunities", hidden).await;
    let merged = teams
        .good("nora", "POST", &format!("/contacts/{first}/merge"), json!({ "from_id": second }))
        .await;
    let in_hidden = async || {
        teams.good("sam", "GET", &format!("/opportunities/{hidden}"), Value::Null).await["contact_ids"].clone()
    };
    assert_eq!(in_hidden().await, json!([first]));
    let undo = format!("/merges/{}/undo", merged["id"].as_str().unwrap());
    teams.good("nora", "POST", &undo, json!({})).await;
    assert_eq!(in_hidden().await, json!([second]));
    teams.desk.database.drop().await;
}

#[tokio::test]
async fn a_bulk_change_whose_owner_went_out_of_reach_meanwhile_ends_and_says_why() {
    let teams = Teams::open().await;
    for n in 0..3 {
        teams.make("nora", "/contacts", json!({ "email": format!("c{n}@lead.example") })).await;
    }
    let pool = &teams.desk.database.pool;
    let customer = sqlx::query_scalar("select id from customers").fetch_one(pool).await.unwrap();
    let user = |name: &str| engine::id::read("usr", teams.id(name)).unwrap();
    let team = sqlx::query_scalar("select id from teams where name = 'Team North'");
    let team = team.fetch_one(pool).await.unwrap();
    let filter = serde_json::from_value(json!({ "email": { "contains": "@lead" } })).unwrap();
    let owner_id = Some(Some(user("ned")));
    let new = NewBulkChange {
        filter: &filter,
        wanted: &Wanted::Contact(Change { owner_id, ..Change::default() }),
        actor: &format!("user:{}", teams.id("nora")),
        reach: Some(&Reach { user_id: user("nora"), team_id: Some(team) }),
        total: 3,
    };
    let ordered = bulk_change::order(pool, customer, &new).await.unwrap();
    sqlx::query("update users set team_id = null where name = 'ned'").execute(pool).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    assert!(!bulk_change::advance(&mut tx, customer, ordered).await.unwrap());
    tx.commit().await.unwrap();
    let path = format!("/bulk-changes/{}", engine::id::show("blk", ordered));
    let found = teams.good("nora", "GET", &path, Value::Null).await;
    assert_eq!(
        (&found["status"], &found["changed"], &found["skipped"]),
        (&json!("failed"), &json!(0), &json!(3)),
        "{found}"
    );
    assert!(found["error"].as_str().unwrap().contains("another team"), "{found}");
    teams.desk.database.drop().await;
}
