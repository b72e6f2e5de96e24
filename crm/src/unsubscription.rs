//! Unsubscriptions: a person wants no more mail. One transaction ends all of their runs, marks the contact, suppresses
//! the address and publishes `contact.unsubscribed`, whoever says so: a recipient, a user, an operator. No table.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::contact::{self, Contact};
use crate::enrollment;
use crate::suppression::{self, NewSuppression, Reason, What};

/// The signal by which a recipient unsubscribes, and the reason with which runs end.
pub const SIGNAL: &str = "contact.unsubscribed";

/// What an unsubscription did.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsubscription {
    /// The contact afterwards.
    pub contact: Contact,
    /// How many runs it ended.
    pub runs: usize,
    /// Whether the contact was not unsubscribed before.
    pub is_new: bool,
}

/// Unsubscribes a contact on behalf of `actor`; `None` if there is none. Doing it again changes nothing and publishes
/// nothing.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn unsubscribe(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    actor: &str,
) -> Result<Option<Unsubscription>, sqlx::Error> {
    if contact::find(&mut *tx, customer_id, contact_id).await?.is_none() {
        return Ok(None);
    }
    let (runs, is_new) = end(tx, customer_id, contact_id, actor, Some(actor)).await?;
    let Some(contact) = contact::find(&mut *tx, customer_id, contact_id).await? else {
        return Ok(None);
    };
    let entry =
        NewSuppression { what: What::Email(contact.email.clone()), reason: Reason::Unsubscribed };
    suppression::add_all(tx, customer_id, &[entry], actor).await?;
    Ok(Some(Unsubscription { contact, runs, is_new }))
}

/// Ends a contact's runs and marks it; gives how many runs ended and whether the mark is new. `said_by` is published.
pub(crate) async fn end(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    actor: &str,
    said_by: Option<&str>,
) -> Result<(usize, bool), sqlx::Error> {
    // Runs, then the contact: the order in which an intent and a record lock them too.
    let before = enrollment::exit_all(tx, customer_id, contact_id, SIGNAL, actor).await?;
    let is_new = contact::mark_unsubscribed(tx, customer_id, contact_id, said_by).await?;
    // An enrollment holds the contact's row until it commits: what it began while the row was waited for is seen now.
    let since = enrollment::exit_all(tx, customer_id, contact_id, SIGNAL, actor).await?;
    Ok((before + since, is_new))
}
