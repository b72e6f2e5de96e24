//! Runs of workflows of our own: a record ends with the run that works on it.

use engine::id;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Desk;

/// A delivery, an import and a bulk change, each with its run; with the path of each.
async fn records(desk: &Desk) -> [(Uuid, String); 3] {
    let (delivery, import) = (desk.delivery(None).await, desk.delivery(None).await);
    let change = desk.delivery(Some("why")).await;
    sqlx::query(
        "with hook as (
           insert into webhooks (customer_id, id, url, events, secret)
           values ($1, gen_random_uuid(), 'https://hooks.example.com', '{*}', 'sealed') returning customer_id, id
         ), delivery as (
           insert into webhook_deliveries (customer_id, id, webhook_id, event_id, topic, body)
           select customer_id, $2, id, gen_random_uuid(), 'webhook.test', '{}' from hook
         ), import as (
           insert into imports (customer_id, id, name, header, mapping, on_duplicate, create_accounts, actor, rows)
           values ($1, $3, 'a.csv', '{Email}', '[null]', 'skip', true, 'test', 1) returning customer_id, id
         ), chunk as (
           insert into import_chunks (customer_id, import_id, n, contacts) select customer_id, id, 0, '[]' from import
         )
         insert into bulk_changes (customer_id, id, entity, filter, wanted, actor, total)
         values ($1, $4, 'contact', '{}', '{}', 'test', 0)",
    )
    .bind(desk.customer)
    .bind(delivery)
    .bind(import)
    .bind(change)
    .execute(&desk.db)
    .await
    .unwrap();
    [
        (delivery, format!("/webhooks/deliveries/{}", id::show("whd", delivery))),
        (import, format!("/imports/{}", id::show("imp", import))),
        (change, format!("/bulk-changes/{}", id::show("blk", change))),
    ]
}

/// The statuses of the records, of which each that has ended says why and when.
async fn statuses(desk: &Desk, records: &[(Uuid, String); 3]) -> Vec<String> {
    let mut statuses = Vec::new();
    for (_, path) in records {
        let (status, record) = desk.ask("admin", "GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {record}");
        let open = ["pending", "queued"].contains(&record["status"].as_str().unwrap());
        assert_eq!(record["ended_at"].is_null(), open, "{record}");
        let error = record["error"].as_str().unwrap_or_default();
        assert_eq!(error.contains("cancelled"), !open, "{record}");
        statuses.push(record["status"].as_str().unwrap().to_owned());
    }
    statuses
}

#[tokio::test]
async fn a_record_ends_with_its_run_that_is_cancelled_by_id_or_by_filter() {
    for by_filter in [false, true] {
        let desk = Desk::new().await;
        let records = records(&desk).await;
        let open = statuses(&desk, &records).await;
        assert_eq!(open, ["pending", "queued", "queued"]);
        let ids: Vec<String> = records.iter().map(|(run, _)| id::show("run", *run)).collect();
        let preview = json!({ "ids": ids, "preview": true });
        assert_eq!(desk.post("admin", "/ops/jobs/cancel", preview).await.0, 200);
        assert_eq!(statuses(&desk, &records).await, open, "a preview changes nothing");
        let which = match by_filter {
            false => json!({ "ids": ids }),
            true => json!({ "filter": { "queue": "webhook.deliver" } }),
        };
        let (status, answer) = desk.post("admin", "/ops/jobs/cancel", which).await;
        assert_eq!(status, if by_filter { 202 } else { 200 }, "{answer}");
        if by_filter {
            desk.work().await;
        }
        assert_eq!(statuses(&desk, &records).await, ["failed", "failed", "stopped"]);
        assert_eq!(desk.count("select count(*) from import_chunks").await, 0);
        let pending = "/webhooks/deliveries?status=pending";
        let (_, pending) = desk.ask("admin", "GET", pending, Value::Null).await;
        assert_eq!(pending["data"], json!([]));
        // A webhook is not at fault for what a person cancels.
        assert_eq!(
            desk.count("select count(*) from webhooks where failing_since is not null").await,
            0
        );
        desk.database.drop().await;
    }
}

#[tokio::test]
async fn a_record_that_has_ended_stays_as_it_is_when_its_run_is_cancelled() {
    let desk = Desk::new().await;
    let records = records(&desk).await;
    sqlx::query(
        "with delivery as (update webhook_deliveries set status = 'delivered', ended_at = engine.now()),
           import as (update imports set status = 'done', ended_at = engine.now())
         update bulk_changes set status = 'done', ended_at = engine.now()",
    )
    .execute(&desk.db)
    .await
    .unwrap();
    let ids: Vec<String> = records.iter().map(|(run, _)| id::show("run", *run)).collect();
    let (_, done) = desk.post("admin", "/ops/jobs/cancel", json!({ "ids": ids })).await;
    assert_eq!(done["changed"], 3, "{done}");
    for ((_, path), status) in records.iter().zip(["delivered", "done", "done"]) {
        let (_, record) = desk.ask("admin", "GET", path, Value::Null).await;
        assert_eq!(
            (&record["status"], &record["error"]),
            (&json!(status), &Value::Null),
            "{record}"
        );
    }
    desk.database.drop().await;
}
