//! Contacts from before domains of other scripts were stored in ASCII.

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::change::{Change, Changing, change};
use crate::address;

/// Gives live contacts whose address has a domain that is spelled in its script the spelling of addresses as they are
/// stored, each in a transaction of its own; gives how many were left as they are, because another contact of the customer
/// has that address. Those two are for a person to merge.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn respell(db: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let (mut after, mut left) = (Uuid::nil(), 0);
    loop {
        let page = sqlx::query!(
            "select customer_id, id, email from contacts
             where octet_length(email) <> char_length(email) and deleted_at is null and id > $1
             order by id limit 500",
            after,
        )
        .fetch_all(&mut *db)
        .await?;
        let Some(last) = page.last() else { return Ok(left) };
        after = last.id;
        for row in page {
            let email = address::stored(&row.email);
            if email == row.email {
                continue;
            }
            let change_email = Change { email: Some(email), ..Change::default() };
            let changing =
                Changing { customer_id: row.customer_id, contact_id: row.id, change: change_email };
            let mut tx = db.begin().await?;
            match change(&mut tx, &[changing], "upgrade").await {
                Ok(_) => tx.commit().await?,
                Err(sqlx::Error::Database(error))
                    if error.constraint() == Some("contacts_email") =>
                {
                    left += 1;
                    tx.rollback().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
