//! What hangs on a contact, on its way to another one and back.

use std::collections::BTreeMap;

use engine::run;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Parting;
use crate::engagement;

/// Moves what hangs on the one that goes; gives what moved, by table.
pub(super) async fn take(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<BTreeMap<String, Vec<Uuid>>, sqlx::Error> {
    engagement::open(&mut *tx, customer_id, contact_id).await?;
    let moved = sqlx::query!(
        r#"with activity as (
             update activities set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), email as (
             update emails set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), task as (
             update tasks set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), enrollment as (
             update enrollments set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           ), part as (
             update engagement_parts set contact_id = $3 where customer_id = $1 and contact_id = $2 returning id
           )
           select 'activities' as "kind!", id as "id!" from activity union all select 'emails', id from email
           union all select 'tasks', id from task union all select 'enrollments', id from enrollment
           union all select 'parts', id from part"#,
        customer_id,
        from_id,
        contact_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut by_kind: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for row in moved {
        by_kind.entry(row.kind).or_default().push(row.id);
    }
    let runs = run::rebind(tx, customer_id, from_id, contact_id).await?;
    by_kind.insert("runs".into(), runs);
    Ok(by_kind)
}

/// Puts who stays in place of who goes in opportunities; gives those that are new to who stays.
pub(super) async fn join(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let joined = sqlx::query_scalar!(
        "insert into opportunity_contacts (customer_id, opportunity_id, contact_id)
         select customer_id, opportunity_id, $3 from opportunity_contacts where customer_id = $1 and contact_id = $2
         on conflict do nothing returning opportunity_id",
        customer_id,
        from_id,
        contact_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from opportunity_contacts where customer_id = $1 and contact_id = $2",
        customer_id,
        from_id,
    )
    .execute(tx)
    .await?;
    Ok(joined)
}

/// Moves back what moved, where it still hangs on who stayed.
pub(super) async fn give_back(
    tx: &mut PgConnection,
    customer_id: Uuid,
    [contact_id, from_id]: [Uuid; 2],
    parting: &Parting,
) -> Result<(), sqlx::Error> {
    let moved = |kind: &str| parting.moved.get(kind).cloned().unwrap_or_default();
    sqlx::query!(
        "with activity as (
           update activities set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($4)
         ), email as (
           update emails set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($5)
         ), task as (
           update tasks set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($6)
         ), enrollment as (
           update enrollments set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($7)
         ), part as (
           update engagement_parts set contact_id = $2 where customer_id = $1 and contact_id = $3 and id = any($8)
         )
         delete from opportunity_contacts where customer_id = $1 and contact_id = $3 and opportunity_id = any($9)",
        customer_id,
        from_id,
        contact_id,
        &moved("activities"),
        &moved("emails"),
        &moved("tasks"),
        &moved("enrollments"),
        &moved("parts"),
        &parting.joined,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into opportunity_contacts (customer_id, opportunity_id, contact_id)
         select $1, o.id, $2 from unnest($3::uuid[]) as w(id)
         join opportunities o on o.customer_id = $1 and o.id = w.id on conflict do nothing",
        customer_id,
        from_id,
        &parting.opportunities,
    )
    .execute(&mut *tx)
    .await?;
    run::rebind_some(tx, customer_id, &moved("runs"), from_id).await
}
