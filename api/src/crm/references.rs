//! Other records that a body names: each is looked up under the caller's eyes, so that nobody names what is not theirs.

use engine::id;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::{Fault, Kind, Problem};

/// The account of a field, where one is named.
pub(super) async fn account(
    tx: &mut PgConnection,
    customer_id: Uuid,
    field: &str,
    named: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let Some(named) = named else { return Ok(None) };
    let read =
        id::read("acc", named).map_err(|error| Problem::invalid(field, error.to_string()))?;
    let found = crm::account::find(tx, customer_id, read).await?;
    found
        .map(|found| Some(found.id))
        .ok_or_else(|| Problem::invalid(field, "there is no such account"))
}

/// The active user of a field, where one is named.
async fn user(
    tx: &mut PgConnection,
    customer_id: Uuid,
    field: &str,
    named: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let Some(named) = named else { return Ok(None) };
    let read =
        id::read("usr", named).map_err(|error| Problem::invalid(field, error.to_string()))?;
    let found = crm::user::find(tx, customer_id, read).await?.filter(|user| user.active);
    found
        .map(|found| Some(found.id))
        .ok_or_else(|| Problem::invalid(field, "there is no such user"))
}

/// The owner of a field, where one is named: a user whose records the caller reaches. Whoever gave a record to somebody
/// else would lose sight of it.
pub(super) async fn owner(
    tx: &mut PgConnection,
    customer_id: Uuid,
    named: Option<&str>,
) -> Result<Option<Uuid>, Problem> {
    let owner = user(&mut *tx, customer_id, "owner_id", named).await?;
    match owner {
        Some(owner) if !crm::reach::reaches(tx, owner).await? => Err(out_of_reach()),
        Some(_) | None => Ok(owner),
    }
}

/// Refuses an owner of another team.
pub(super) fn out_of_reach() -> Problem {
    let message = "belongs to another team; name yourself, somebody of your team or `null`, or ask an admin to \
        hand the record over";
    Problem::new(Kind::Forbidden).detail("you would not reach the record any more").fault(Fault {
        field: Some("owner_id".into()),
        message: message.into(),
        ..Fault::default()
    })
}

/// The contacts of a field, all of them.
pub(super) async fn contacts(
    tx: &mut PgConnection,
    customer_id: Uuid,
    field: &str,
    named: &[String],
) -> Result<Vec<Uuid>, Problem> {
    let mut read = Vec::with_capacity(named.len());
    for (at, text) in named.iter().enumerate() {
        let contact = id::read("con", text);
        read.push(
            contact
                .map_err(|error| Problem::invalid(&format!("{field}[{at}]"), error.to_string()))?,
        );
    }
    read.sort_unstable();
    read.dedup();
    let found = crm::contact::find_all(tx, customer_id, &read).await?;
    match read.iter().find(|id| !found.iter().any(|contact| contact.id == **id)) {
        None => Ok(read),
        Some(missing) => {
            let message = format!("there is no contact {}", id::show("con", *missing));
            Err(Problem::invalid(field, message))
        }
    }
}
