//! Whatever a listing is asked reads an index: row-level security alone would keep it from most of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::desk::Desk;

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
    let mut unread: Vec<&str> = ASKED.iter().map(|(_, index)| *index).collect();
    for _ in 0..100 {
        let read: Vec<String> = sqlx::query_scalar(
            "select indexrelname::text from pg_stat_user_indexes where idx_scan > 0",
        )
        .fetch_all(&database.pool)
        .await
        .unwrap();
        unread.retain(|index| !read.iter().any(|read| read == index));
        if unread.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(unread, Vec::<&str>::new(), "these indexes were not read");
    database.drop().await;
}
