//! Whatever a listing is asked reads an index: row-level security alone would keep it from most of them.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::desk::Desk;
use crate::reach::Teams;

/// What is asked, and the index that answers it.
const ASKED: &[(&str, &str)] = &[
    ("/contacts?q=first77", "contacts_search"),
    ("/contacts?q=fisrt770", "search_words_near"),
    ("/contacts?filter[tags][has]=tag7", "contacts_tags"),
    ("/contacts?filter[custom.seats][eq]=7", "contacts_custom"),
    ("/contacts?filter[email][eq]=P7@lead.example", "contacts_email"),
    ("/contacts?sort=last_name&limit=5", "contacts_name"),
    ("/accounts?q=name77", "accounts_search"),
    ("/accounts?filter[tags][has]=tag7", "accounts_tags"),
];

#[tokio::test]
async fn a_listing_reads_the_index_that_answers_it() {
    let desk = Desk::open().await;
    let seats = json!({ "entity": "contact", "key": "seats", "label": "Seats", "type": "number" });
    desk.make("/custom-fields", seats).await;
    for statement in [
        "insert into contacts (customer_id, id, email, first_name, last_name, tags, custom)
         select id, gen_random_uuid(), 'p' || n || '@lead.example', 'first' || n, 'last' || n, array['tag' || n],
           jsonb_build_object('seats', n) from customers, generate_series(1, 10000) n",
        "insert into accounts (customer_id, id, name, tags)
         select id, gen_random_uuid(), 'name' || n, array['tag' || n] from customers, generate_series(1, 10000) n",
        "insert into search_words (customer_id, word)
         select distinct customer_id, word from contacts, unnest(tsvector_to_array(search)) word on conflict do nothing",
        "analyze",
    ] {
        sqlx::query(statement).execute(&desk.database.pool).await.unwrap();
    }
    for (path, _) in ASKED {
        desk.good("GET", path, Value::Null).await;
    }
    // A connection tells the statistics what it read when it ends.
    let Desk { door, database, pool, .. } = desk;
    drop(door);
    pool.close().await;
    were_read(&database.pool, ASKED.iter().map(|(_, index)| *index).collect()).await;
    database.drop().await;
}

#[tokio::test]
async fn a_rep_reads_the_timeline_and_the_tasks_of_an_account_or_a_deal_by_their_index() {
    let teams = Teams::open().await;
    let (pipeline, stage) = teams.pipeline().await;
    let account = teams.make("nora", "/accounts", json!({ "name": "Lead" })).await;
    let deal = json!({ "name": "Deal", "pipeline_id": pipeline, "stage_id": stage });
    let deal = teams.make("nora", "/opportunities", deal).await;
    for body in [json!({ "account_id": account }), json!({ "opportunity_id": deal })] {
        let mut body = body;
        body["title"] = json!("call");
        teams.make("nora", "/activities/tasks", body).await;
    }
    // Those of others: what a rep does not reach may be most of what there is.
    for statement in [
        "insert into accounts (customer_id, id, name, owner_id)
         select customer_id, gen_random_uuid(), 'name' || n, id from users, generate_series(1, 500) n where name = 'sam'",
        "insert into activities (customer_id, id, kind, title, actor, occurred_at, account_id)
         select a.customer_id, gen_random_uuid(), 'note', 'x', 'x', now() - n * interval '1 minute', a.id
         from accounts a, generate_series(1, 40) n where a.owner_id is not null",
        "insert into tasks (customer_id, id, kind, title, source, account_id)
         select a.customer_id, gen_random_uuid(), 'todo', 'x', gen_random_uuid(), a.id
         from accounts a, generate_series(1, 40) n where a.owner_id is not null",
        "analyze",
    ] {
        sqlx::query(statement).execute(&teams.desk.database.pool).await.unwrap();
    }
    for (path, count) in [
        (format!("/activities?account_id={account}"), 0),
        (format!("/activities?opportunity_id={deal}"), 0),
        (format!("/activities/tasks?account_id={account}"), 1),
        (format!("/activities/tasks?opportunity_id={deal}"), 1),
    ] {
        assert_eq!(teams.listed("nora", &path, "id").await.len(), count, "{path}");
    }
    let Teams { desk: Desk { door, database, pool, .. }, .. } = teams;
    drop(door);
    pool.close().await;
    let indexes =
        ["activities_account", "activities_opportunity", "tasks_account", "tasks_opportunity"];
    were_read(&database.pool, indexes.to_vec()).await;
    database.drop().await;
}

/// Waits until the statistics say that all of these indexes were read.
async fn were_read(db: &PgPool, mut unread: Vec<&str>) {
    for _ in 0..100 {
        let read: Vec<String> = sqlx::query_scalar(
            "select indexrelname::text from pg_stat_user_indexes where idx_scan > 0",
        )
        .fetch_all(db)
        .await
        .unwrap();
        unread.retain(|index| !read.iter().any(|read| read == index));
        if unread.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(unread, Vec::<&str>::new(), "these indexes were not read");
}
