//! What is left of contacts that were erased: ids, instants, and addresses that are nobody's.

use engine::id;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::event::contact::{self as event, Deleted};

/// A contact that is to be erased.
pub(crate) struct Known {
    pub(crate) id: Uuid,
    pub(crate) email: String,
}

/// A contact by id, deleted or not, and all that were merged into it, locked.
pub(crate) async fn lock_all(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Vec<Known>, sqlx::Error> {
    sqlx::query_as!(
        Known,
        "with recursive one as (
           select id from contacts where customer_id = $1 and id = $2
           union select c.id from one join contacts c on c.customer_id = $1 and c.merged_into = one.id
         )
         select id, email from contacts where customer_id = $1 and id in (select id from one) order by id for update",
        customer_id,
        id,
    )
    .fetch_all(db)
    .await
}

/// Those of the contacts that were erased.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erased_among(
    db: impl PgExecutor<'_>,
    of: &[(Uuid, Uuid)],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let (customers, ids): (Vec<Uuid>, Vec<Uuid>) = of.iter().copied().unzip();
    sqlx::query_scalar!(
        "select c.id from unnest($1::uuid[], $2::uuid[]) as o(customer_id, id)
         join contacts c on c.customer_id = o.customer_id and c.id = o.id where c.status = 'erased'",
        &customers,
        &ids,
    )
    .fetch_all(db)
    .await
}

/// Empties contacts, and forgets the words that they alone had; `contact.deleted` tells of each.
pub(crate) async fn erase(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(), sqlx::Error> {
    let words = sqlx::query_scalar!(
        r#"select distinct unnest(tsvector_to_array(search)) as "word!" from contacts
           where customer_id = $1 and id = any($2)"#,
        customer_id,
        contacts,
    )
    .fetch_all(&mut *tx)
    .await?;
    // RFC 2606: nobody ever has an address of this domain.
    let emptied = sqlx::query!(
        "update contacts set first_name = '', last_name = '', email = id || '@erased.invalid', phone = null, title = null,
           linkedin_url = null, country = null, region = null, city = null, time_zone = null, zone_source = null,
           locale = null, company = null, account_id = null, tags = '{}', custom = '{}', status = 'erased',
           deleted_at = coalesce(deleted_at, engine.now()), updated_at = engine.now(),
           event_sequence = event_sequence + 1
         where customer_id = $1 and id = any($2) and status <> 'erased' returning id, event_sequence",
        customer_id,
        contacts,
    )
    .fetch_all(&mut *tx)
    .await?;
    crate::search::forget(&mut *tx, customer_id, &words).await?;
    for contact in emptied {
        let told = Deleted { erased: true, ..Deleted::of(id::show("con", contact.id)) };
        let sequence = contact.event_sequence;
        super::write::tell(tx, customer_id, contact.id, &event::DELETED, sequence, &told).await?;
    }
    Ok(())
}
