//! Contacts from a messy export: as many as its makers counted, once, and each enrolled once.

use std::collections::BTreeMap;
use std::path::Path;

use crm::enrollment::RefusalReason;
use crm::import::{self, OnDuplicate, Options, whole};
use crm::respelling;

use crate::world::{World, world};

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

/// Imports a file as usual.
async fn bring(world: &World, csv: &str) -> import::Whole {
    let mut db = world.pool().acquire().await.unwrap();
    whole(&mut db, world.customer_id, &usual(), csv.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn people_who_want_no_mail_are_unsubscribed_by_an_import_also_where_their_contact_stays() {
    let world = world("").await;
    let known = world.contact("known@b.example").await.id;
    let run = world.enroll(&[known]).await.enrollment_ids[0];
    let csv =
        "Email,HASOPTEDOUTOFEMAIL\nknown@b.example,true\nnew@b.example,TRUE\nok@b.example,false\n";
    let told = bring(&world, csv).await;
    assert_eq!((told.counts.created, told.counts.skipped, told.unsubscribed), (2, 1, 2));
    let of = "select count(*) from contacts where customer_id = $1 and status = 'unsubscribed' and email in ('known@b.example', 'new@b.example')";
    assert_eq!(world.count(of).await, 2);
    let suppressed =
        "select count(*) from suppressions where customer_id = $1 and reason = 'unsubscribed'";
    assert_eq!(world.count(suppressed).await, 2);
    let ended: (String, Option<String>) =
        sqlx::query_as("select state, reason from engine.runs where id = $1")
            .bind(run)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(ended, ("exited".to_owned(), Some("contact.unsubscribed".to_owned())));
    let report = world.enroll(&told.contact_ids[1..]).await;
    assert_eq!((report.enrollment_ids.len(), report.refused.len()), (1, 1));
    assert_eq!(report.refused[0].reason, RefusalReason::Unsubscribed);
    // The same file again tells nobody anything new.
    let again = bring(&world, csv).await;
    assert_eq!((again.counts.created, again.counts.skipped), (0, 3));
    assert_eq!(world.count(suppressed).await, 2);
    world.database.drop().await;
}

#[tokio::test]
async fn an_umlaut_domain_is_one_address_in_both_spellings_and_earlier_rows_are_found() {
    let world = world("").await;
    let made = world.contact("a@müller.example").await;
    assert_eq!(made.email, "a@xn--mller-kva.example");
    // Rows of a version before: a contact, one of the same address in both spellings, and a suppression of each.
    for (was, is) in [("b@x.example", "b@müller.example"), ("c@x.example", "A@MÜLLER.example")] {
        world.contact(was).await;
        sqlx::query("update contacts set email = $2 where email = $1")
            .bind(was)
            .bind(is)
            .execute(world.pool())
            .await
            .unwrap();
    }
    world
        .execute(
            "insert into suppressions (customer_id, id, email, reason) values
             ($1, gen_random_uuid(), 'd@müller.example', 'manual'),
             ($1, gen_random_uuid(), 'e@müller.example', 'manual'),
             ($1, gen_random_uuid(), 'e@xn--mller-kva.example', 'bounced')",
        )
        .await;
    world
        .execute(
            "insert into users (customer_id, id, email, name, role, password_hash) values
           ($1, gen_random_uuid(), 'u@müller.example', 'U', 'rep', '')",
        )
        .await;
    let login = |email: &'static str| crm::user::find_login(world.pool(), email);
    assert!(login("u@xn--mller-kva.example").await.unwrap().is_some(), "before it is respelled");
    for _again in 0..2 {
        respelling::run(&mut world.pool().acquire().await.unwrap()).await.unwrap();
        let count = async |statement| world.count(statement).await;
        let respelled = "select count(*) from contacts where customer_id = $1 and email = 'b@xn--mller-kva.example'";
        assert_eq!(count(respelled).await, 1);
        let left =
            "select count(*) from contacts where customer_id = $1 and email = 'A@MÜLLER.example'";
        assert_eq!(count(left).await, 1, "two people's rows are not made one by themselves");
        let suppressed = "select count(*) from suppressions where customer_id = $1 and email like '%@xn--mller-kva.example'";
        assert_eq!(
            (
                count(suppressed).await,
                count("select count(*) from suppressions where customer_id = $1").await
            ),
            (2, 2)
        );
        let users = "select count(*) from users where customer_id = $1 and email = 'u@xn--mller-kva.example'";
        assert_eq!(count(users).await, 1);
    }
    assert!(login("U@müller.example").await.unwrap().is_some());
    let told =
        bring(&world, "Email\nB@müller.example\nb@xn--mller-kva.example\nd@MÜLLER.example\n").await;
    assert_eq!((told.counts.created, told.counts.skipped, told.counts.duplicate), (1, 1, 1));
    let refused = world.enroll(&told.contact_ids[1..]).await.refused;
    assert_eq!(refused[0].reason, RefusalReason::Suppressed);
    world.database.drop().await;
}

#[tokio::test]
async fn an_erased_person_stays_suppressed_in_whichever_spelling_their_domain_comes_again() {
    let world = world("").await;
    world.execute("select crm.suppress_hashed($1, gen_random_uuid(), 'a@müller.example')").await;
    let told = bring(&world, "Email\na@xn--mller-kva.example\n").await;
    let refused = world.enroll(&told.contact_ids).await.refused;
    assert_eq!(refused[0].reason, RefusalReason::Suppressed);
    world.database.drop().await;
}

#[tokio::test]
async fn an_export_with_a_title_and_linked_addresses_becomes_contacts_with_codes_of_countries() {
    let world = world("").await;
    let csv = "Contacts export 2026,,\n\nName,Email,Country\n\
               Ada Lovelace,ada@b.example - ada@b.example,Germany\n\
               Bo Moe,mailto:bo@b.example,Deutschland\n\
               Cy Lee,cy@b.example - di@b.example,DE\n";
    let told = bring(&world, csv).await;
    assert_eq!((told.counts.rows, told.counts.created, told.counts.invalid_email), (3, 2, 1));
    let of = "select count(*) from contacts where customer_id = $1 and country = 'DE'
      and time_zone = 'Europe/Berlin' and (email, last_name) in (('ada@b.example', 'Lovelace'), ('bo@b.example', 'Moe'))";
    assert_eq!(world.count(of).await, 2);
    world.database.drop().await;
}
