//! Who reaches which records: reps and managers their own, their team's and those that nobody owns (`crm.reaches` in
//! the migrations). Row-level security applies the rule; here are its refusals and the few writes that go past it. No
//! statements on tables.

use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Whether the caller reaches the records of this owner.
///
/// # Errors
/// What the statement returned.
pub async fn reaches(db: impl PgExecutor<'_>, owner_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select crm.reaches($1) as "reaches!""#, owner_id).fetch_one(db).await
}

/// Why the database refused a record, where the record is at fault and not the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Its writer could not read it back: its owner, or what it is about, is out of reach.
    OutOfReach,
    /// It violates the constraint of this name.
    Constraint(String),
    /// A value has no form in its column, such as a NUL in a text (class 22).
    Value,
}

impl Refusal {
    /// The refusal in an error, where it is one.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?;
        if let Some(constraint) = error.constraint() {
            return Some(Self::Constraint(constraint.to_owned()));
        }
        let code = error.code()?;
        if code.starts_with("22") {
            return Some(Self::Value);
        }
        // A missing grant has the same code, and is a fault of ours.
        let routine =
            error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
        (code == "42501" && routine == Some("ExecWithCheckOptions")).then_some(Self::OutOfReach)
    }

    /// What a person reads of it.
    pub fn reason(&self) -> String {
        match self {
            Self::OutOfReach => {
                "out of reach: the owner belongs to another team; name somebody of your own".into()
            }
            Self::Constraint(name) => format!("the rule `{name}` forbids it"),
            Self::Value => "a value can't be stored as it is".into(),
        }
    }
}

/// The reach that was lifted.
pub(crate) struct Lifted(String);

/// Reaches all of the customer's records from here on, for what must not depend on who does it, such as the name of an
/// account at all of its contacts. [`restore`] ends it; so does the end of the transaction.
pub(crate) async fn lift(tx: &mut PgConnection) -> Result<Lifted, sqlx::Error> {
    let user = sqlx::query_scalar!(
        r#"with caller as materialized (select coalesce(current_setting('app.user_id', true), '') as id)
           select caller.id as "id!" from caller where set_config('app.user_id', '', true) is not null"#,
    )
    .fetch_one(tx)
    .await?;
    Ok(Lifted(user))
}

/// Goes back to the caller's reach.
pub(crate) async fn restore(tx: &mut PgConnection, lifted: Lifted) -> Result<(), sqlx::Error> {
    sqlx::query!("select set_config('app.user_id', $1, true)", lifted.0).fetch_one(tx).await?;
    Ok(())
}
