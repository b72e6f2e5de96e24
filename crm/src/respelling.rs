//! Rows from before domains of other scripts were stored in ASCII: `a@müller.example` becomes what the same address is
//! stored as today. No statements of its own. What has that spelling already is left out by partial indexes, so that it
//! may run at every start.

use sqlx::PgConnection;

use crate::{contact, operator, suppression, user};

/// Respells the addresses of all customers' records, on a connection that reaches them all.
///
/// # Errors
/// What the statements returned; what was respelled before stays so.
pub async fn run(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    suppression::respell(db).await?;
    user::respell(db).await?;
    operator::respell(db).await?;
    let left = contact::respell(db).await?;
    if left > 0 {
        tracing::warn!(contacts = left, "contacts share an address in two spellings; merge them");
    }
    Ok(())
}
