//! Contacts from a messy export: as many as its makers counted, once, and each enrolled once.

use std::collections::BTreeMap;
use std::path::Path;

use crm::enrollment::RefusalReason;
use crm::import::{OnDuplicate, Options, whole};

use crate::world::world;

fn usual() -> Options {
    Options {
        name: "contacts.csv".into(),
        mapping: BTreeMap::new(),
        on_duplicate: OnDuplicate::Skip,
        create_accounts: true,
        actor: "test".into(),
    }
}

#[tokio::test]
async fn a_messy_export_is_imported_once_and_enrolled_once() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/contacts/contacts.csv");
    let Ok(bytes) = std::fs::read(file) else {
        eprintln!("skipped: no shared contacts here");
        return;
    };
    let world = world("").await;
    let mut db = world.pool().acquire().await.unwrap();
    let first = whole(&mut db, world.customer_id, &usual(), &bytes).await.unwrap();
    assert_eq!((first.counts.rows, first.counts.created, first.counts.skipped), (1000, 957, 0));
    assert_eq!(
        (first.counts.duplicate, first.counts.invalid_email, first.counts.missing_email),
        (19, 18, 6)
    );
    let accounts = "select count(*) from accounts where customer_id = $1";
    let companies = world.count(accounts).await;
    let second = whole(&mut db, world.customer_id, &usual(), &bytes).await.unwrap();
    assert_eq!((second.counts.created, second.counts.skipped), (0, 957));
    assert_eq!(second.contact_ids, first.contact_ids);
    assert_eq!(world.count(accounts).await, companies);
    let twice =
        "select count(*) - count(distinct lower(name)) from accounts where customer_id = $1";
    assert_eq!(world.count(twice).await, 0);
    drop(db);
    for chunk in first.contact_ids.chunks(300) {
        let report = world.enroll(chunk).await;
        assert_eq!((report.enrollment_ids.len(), report.refused.len()), (chunk.len(), 0));
    }
    let again = world.enroll(&first.contact_ids).await;
    assert_eq!(again.enrollment_ids.len(), 0);
    assert_eq!(again.refused.len(), 957);
    assert!(again.refused.iter().all(|r| r.reason == RefusalReason::AlreadyEnrolled));
    world.database.drop().await;
}
