//! Accounts: the companies that contacts work for. Owns `accounts`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use engine::outbox::{self, NewEvent};
use engine::{clock, id};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

/// The accounts of these names, made where they are missing, by lowercase name.
///
/// # Errors
/// What the statements returned.
pub async fn named(
    tx: &mut PgConnection,
    customer_id: Uuid,
    names: &[&str],
) -> Result<HashMap<String, Uuid>, sqlx::Error> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let mut fresh: Vec<(Uuid, String)> = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if wanted.insert(name.to_lowercase()) {
            fresh.push((clock::new_id(), name.to_owned()));
        }
    }
    let (ids, given): (Vec<Uuid>, Vec<String>) = fresh.into_iter().unzip();
    let made = sqlx::query!(
        "insert into accounts (customer_id, id, name, event_sequence)
         select $1, id, name, 1 from unnest($2::uuid[], $3::text[]) as n(id, name) order by lower(name)
         on conflict (customer_id, lower(name)) where deleted_at is null do nothing
         returning id, name",
        customer_id,
        &ids,
        &given,
    )
    .fetch_all(&mut *tx)
    .await?;
    let events: Vec<NewEvent> = made
        .iter()
        .map(|account| NewEvent {
            customer_id,
            topic: Cow::Borrowed("account.created"),
            key: id::show("acc", account.id),
            sequence: 1,
            data: json!({ "id": id::show("acc", account.id), "name": account.name }),
        })
        .collect();
    outbox::publish(tx, &events).await?;
    let wanted: Vec<String> = wanted.into_iter().collect();
    // Postgres alone lowers both sides: its letters are not Rust's under every locale.
    let found = sqlx::query!(
        r#"select a.id, n.name as "name!" from unnest($2::text[]) as n(name)
           join accounts a on a.customer_id = $1 and lower(a.name) = lower(n.name) and a.deleted_at is null"#,
        customer_id,
        &wanted,
    )
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(|account| (account.name, account.id)).collect())
}
