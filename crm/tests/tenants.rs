//! One customer never sees or points to another's rows; what guards the door.

use crm::reach::Refusal;
use crm::token::{self, NewToken, Spent};
use crm::user::{self, NewUser, Role};
use engine::clock;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::world::world;

#[tokio::test]
async fn every_table_of_a_customer_is_under_row_level_security() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    world.enroll(&[contact]).await;
    let tables = sqlx::query(
        "select c.relname::text, c.relrowsecurity and c.relforcerowsecurity,
           has_table_privilege('salesos_api', c.oid, 'select') as read
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'customer_id'
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') order by 1",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert!(tables.len() >= 13, "only {} tables", tables.len());
    let mut db = PgConnection::connect_with(&world.database.options).await.unwrap();
    sqlx::raw_sql("set role salesos_api").execute(&mut db).await.unwrap();
    for table in &tables {
        let name: String = table.get(0);
        assert!(table.get::<bool, _>(1), "{name} is open");
        // The key by which erased people's addresses are known is asked by functions alone.
        assert_eq!(table.get::<bool, _>(2), name != "suppression_keys", "{name}");
        if !table.get::<bool, _>(2) {
            continue;
        }
        let count = format!("select count(*) from {name}");
        for (customer, sees) in [(clock::new_id(), false), (world.customer_id, true)] {
            let mut tx = db.begin().await.unwrap();
            sqlx::query("select set_config('app.customer_id', $1, true)")
                .bind(customer.to_string())
                .execute(&mut *tx)
                .await
                .unwrap();
            let seen: i64 =
                sqlx::query_scalar(AssertSqlSafe(count.clone())).fetch_one(&mut *tx).await.unwrap();
            let filled =
                ["contacts", "search_words", "sequences", "enrollments", "email_provider_accounts"];
            let expected = sees && filled.contains(&name.as_str());
            assert_eq!(seen > 0, expected, "{name} of {customer}");
        }
    }
    db.close().await.unwrap();
    world.database.drop().await;
}

#[tokio::test]
async fn every_table_of_what_somebody_reaches_has_the_policy_and_checks_what_is_written() {
    let world = world("").await;
    // Certificates of erasures and deliveries to webhooks are for admins alone, who reach everything.
    let open: Vec<String> = sqlx::query_scalar(
        "select distinct c.oid::regclass::text from pg_class c
         join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
           and a.attname in ('owner_id', 'contact_id', 'account_id', 'opportunity_id', 'activity_id')
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
           and c.oid not in ('erasures'::regclass, 'webhook_deliveries'::regclass)
           and not exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'reach'
             and not p.polpermissive and pg_get_expr(p.polqual, c.oid) like '%reaches%'
             and pg_get_expr(p.polwithcheck, c.oid) like '%reaches%')",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
    world.database.drop().await;
}

#[tokio::test]
async fn a_record_out_of_reach_is_a_refusal_and_a_missing_grant_is_a_fault_of_ours() {
    let world = world("").await;
    let sam = clock::new_id();
    let new = NewUser {
        id: sam,
        email: "sam@acme.example",
        name: "Sam",
        role: Role::Rep,
        team_id: None,
        password_hash: "opaque",
    };
    user::create(world.pool(), world.customer_id, new).await.unwrap();
    let mut db = PgConnection::connect_with(&world.database.options).await.unwrap();
    sqlx::raw_sql("set role salesos_api").execute(&mut db).await.unwrap();
    for (statement, refusal) in [
        (
            "insert into accounts (customer_id, id, name, owner_id) values ($1, gen_random_uuid(), 'x', $2)",
            Some(Refusal::OutOfReach),
        ),
        (
            "insert into accounts (customer_id, id, name, employees) values ($1, gen_random_uuid(), $2::text, -1)",
            Some(Refusal::Constraint("account_employees".into())),
        ),
        ("delete from suppression_keys where customer_id in ($1, $2)", None),
    ] {
        let mut tx = db.begin().await.unwrap();
        let caller =
            "select set_config('app.customer_id', $1, true), set_config('app.user_id', $2, true)";
        sqlx::query(caller)
            .bind(world.customer_id.to_string())
            .bind(clock::new_id().to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let refused = sqlx::query(statement).bind(world.customer_id).bind(sam);
        let error = refused.execute(&mut *tx).await.unwrap_err();
        assert_eq!(Refusal::of(&error), refusal, "{error}");
    }
    db.close().await.unwrap();
    world.database.drop().await;
}

#[tokio::test]
async fn nothing_is_written_for_another_customer() {
    let world = world("").await;
    let mut db = PgConnection::connect_with(&world.database.options).await.unwrap();
    sqlx::raw_sql("set role salesos_api").execute(&mut db).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("select set_config('app.customer_id', $1, true)")
        .bind(clock::new_id().to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    let changed = sqlx::raw_sql("update sequences set title = 'mine'").execute(&mut *tx).await;
    assert_eq!(changed.unwrap().rows_affected(), 0);
    let refused = sqlx::query("insert into accounts (customer_id, id, name) values ($1, $2, 'x')")
        .bind(world.customer_id)
        .bind(clock::new_id())
        .execute(&mut *tx)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("row-level security"), "{refused}");
    drop(tx);
    db.close().await.unwrap();
    world.database.drop().await;
}

#[tokio::test]
async fn every_foreign_key_of_a_customers_table_carries_the_customer() {
    let world = world("").await;
    let open: Vec<String> = sqlx::query_scalar(
        "select k.conrelid::regclass::text || ' ' || k.conname from pg_constraint k
         where k.contype = 'f' and k.connamespace = 'public'::regnamespace
           and not exists (select from pg_attribute a where a.attrelid = k.conrelid
             and a.attnum = k.conkey[1] and a.attname = 'customer_id')
           -- Operators of the platform belong to no customer.
           and k.conrelid <> 'operator_logins'::regclass",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(open, Vec::<String>::new());
    let contact = world.contact("a@x.example").await.id;
    let other = clock::new_id();
    let mut db = world.pool().acquire().await.unwrap();
    crm::customer::create(&mut *db, other, "Other", "UTC").await.unwrap();
    let crossed = crm::engagement::open(&mut db, other, contact).await.unwrap_err();
    assert!(crossed.as_database_error().unwrap().is_foreign_key_violation());
    drop(db);
    world.database.drop().await;
}

#[tokio::test]
async fn a_token_used_twice_ends_its_family_and_logins_know_no_case() {
    let world = world("").await;
    let user_id = clock::new_id();
    let mut tx = world.pool().begin().await.unwrap();
    let new = NewUser {
        id: user_id,
        email: "Ann@Acme.example",
        name: "Ann",
        role: Role::Owner,
        team_id: None,
        password_hash: "opaque",
    };
    user::create(&mut *tx, world.customer_id, new.clone()).await.unwrap();
    let login = user::find_login(&mut *tx, "aNN@acme.EXAMPLE").await.unwrap().unwrap();
    assert_eq!((login.customer_id, login.user_id), (world.customer_id, user_id));
    let family = clock::new_id();
    let first = clock::new_id();
    for (id, hash) in [(first, b"one"), (clock::new_id(), b"two")] {
        let new = NewToken { id, user_id, family, parent_id: None, hash, lifetime_seconds: 60.0 };
        token::keep(&mut tx, world.customer_id, new).await.unwrap();
    }
    let mut spent = Vec::new();
    for hash in [b"one", b"one", b"two", b"non"] {
        spent.push(token::spend(&mut tx, world.customer_id, hash).await.unwrap());
    }
    let good = Spent::Good { token_id: first, user_id, family };
    assert_eq!(spent, [good, Spent::Reused, Spent::Bad, Spent::Bad]);
    assert_eq!(token::customer_of(&mut *tx, b"two").await.unwrap(), Some(world.customer_id));
    let taken = NewUser { id: clock::new_id(), email: "ann@acme.example", ..new };
    assert!(user::create(&mut *tx, world.customer_id, taken).await.is_err());
    drop(tx);
    world.database.drop().await;
}
