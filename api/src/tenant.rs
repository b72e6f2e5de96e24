//! Who asks, and the transaction in which a customer's data is read and written.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use crm::bulk_change::Reach;
use crm::orderer::Orderer;
use crm::user::Role;
use engine::id;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::State;
use crate::gateway::trace::Trace;
use crate::permission::{self, Permission};
use crate::pool::Pool;
use crate::problem::{Kind, Problem};
use crate::work::{Tx, Work};

/// Whoever asks; the guard has let it in. What an operator of the platform may do as well takes it as it is, all else
/// takes a [`Caller`].
#[derive(Clone)]
pub(crate) struct Asker {
    /// For which customer; an operator asks for all of them.
    pub(crate) customer_id: Option<Uuid>,
    pub(crate) principal: Principal,
    pub(crate) work: Work,
    /// The trace that events of what it writes are part of; nothing where it only reads.
    pub(crate) trace: Option<Trace>,
}

/// Whoever asks for a customer.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) customer_id: Uuid,
    asker: Asker,
}

impl Deref for Caller {
    type Target = Asker;

    fn deref(&self) -> &Asker {
        &self.asker
    }
}

/// As what somebody asks.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// A user who has logged in.
    User(LoggedIn),
    /// A program, with the scopes of its key.
    Key {
        /// The key (`key_…`).
        key_id: Uuid,
        /// Words of `permission`.
        scopes: Vec<String>,
    },
    /// Who runs the platform, for all customers.
    Operator {
        /// The operator (`opr_…`).
        operator_id: Uuid,
        /// The login.
        login: Uuid,
        email: String,
        name: String,
    },
}

/// A user with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LoggedIn {
    pub(crate) user_id: Uuid,
    pub(crate) role: Role,
    pub(crate) team_id: Option<Uuid>,
    /// The login that the token descends from.
    pub(crate) login: Uuid,
}

impl Asker {
    /// Somebody who asks for a customer.
    pub(crate) fn of(customer_id: Uuid, principal: Principal) -> Self {
        Self { customer_id: Some(customer_id), principal, work: Work::default(), trace: None }
    }

    /// As the author of what it does.
    pub(crate) fn actor(&self) -> String {
        match &self.principal {
            Principal::User(user) => format!("user:{}", id::show("usr", user.user_id)),
            Principal::Key { key_id, .. } => format!("key:{}", id::show("key", *key_id)),
            Principal::Operator { operator_id, .. } => {
                format!("operator:{}", id::show("opr", *operator_id))
            }
        }
    }

    /// Who orders work that runs in the background.
    pub(crate) fn orderer(&self) -> Orderer {
        match &self.principal {
            Principal::User(user) => Orderer::User(user.user_id),
            Principal::Key { key_id, .. } => Orderer::Key(*key_id),
            Principal::Operator { operator_id, .. } => Orderer::Operator(*operator_id),
        }
    }

    /// The user, for what only a user has, such as a password.
    pub(crate) fn user(&self) -> Result<LoggedIn, Problem> {
        match &self.principal {
            Principal::User(user) => Ok(*user),
            Principal::Key { .. } => {
                Err(Problem::new(Kind::Forbidden).detail("this is for users, not for API keys"))
            }
            Principal::Operator { .. } => Err(no_customer()),
        }
    }

    /// Refuses who does not have a permission.
    pub(crate) fn check(&self, permission: &Permission) -> Result<(), Problem> {
        let (allowed, what) = match &self.principal {
            Principal::User(user) => {
                (permission.allows(user.role), format!("the role {}", user.role.word()))
            }
            Principal::Key { scopes, .. } => {
                let covered = scopes.iter().any(|scope| permission.covered_by(scope));
                (covered, "the key".into())
            }
            Principal::Operator { .. } => {
                let covered = OPERATORS.iter().any(|scope| permission.covered_by(scope));
                (covered, "an operator of the platform".into())
            }
        };
        if allowed {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden).detail(format!("{what} lacks `{}`", permission.word)))
    }

    /// The settings of the transaction: the trace, and for row-level security the customer, and who asks if they reach only
    /// some of its rows.
    fn settings(&self) -> String {
        let mut text = self.trace.as_ref().map(Trace::setting).unwrap_or_default();
        let Some(customer_id) = self.customer_id else { return text };
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&of_customer(customer_id));
        if let Some(Reach { user_id, team_id }) = self.reach() {
            text.push_str(&format!("; set local app.user_id = '{user_id}'"));
            if let Some(team_id) = team_id {
                text.push_str(&format!("; set local app.team_id = '{team_id}'"));
            }
        }
        text
    }

    /// Whose records it reaches, if not all of the customer's.
    pub(crate) fn reach(&self) -> Option<Reach> {
        match &self.principal {
            Principal::User(LoggedIn {
                user_id, role: Role::Rep | Role::Manager, team_id, ..
            }) => Some(Reach { user_id: *user_id, team_id: *team_id }),
            Principal::User(_) | Principal::Key { .. } | Principal::Operator { .. } => None,
        }
    }

    /// Whether it sees and stops only work that it ordered itself. Admins, and keys that may do so, see and stop
    /// everybody's.
    pub(crate) fn owns_only(&self, work: &str) -> bool {
        match &self.principal {
            Principal::User(user) => !matches!(user.role, Role::Owner | Role::Admin),
            Principal::Key { .. } => {
                permission::find(work).is_none_or(|permission| self.check(permission).is_err())
            }
            Principal::Operator { .. } => false,
        }
    }
}

/// The resources whose permissions an operator of the platform has.
const OPERATORS: [&str; 2] = ["me", "ops"];

fn no_customer() -> Problem {
    let detail = "an operator of the platform belongs to no customer; log in as one of its users";
    Problem::new(Kind::Forbidden).detail(detail)
}

impl FromRequestParts<State> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        // A route that names no permission lets nobody in by mistake.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Kind::Unauthorized))
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let asker = Asker::from_request_parts(parts, state).await?;
        let customer_id = asker.customer_id.ok_or_else(no_customer)?;
        Ok(Self { customer_id, asker })
    }
}

/// The request's transaction, which sees and writes this asker's rows only. The answer decides whether it is kept.
pub(crate) async fn begin(pool: &Pool, asker: &Asker) -> Result<Tx, Problem> {
    // It lies there already where the request has a key of its own (`idempotency`).
    let tx = match asker.work.take() {
        Some(tx) => tx,
        None => pool.begin(&asker.settings()).await?,
    };
    Ok(asker.work.using(tx))
}

/// A transaction of its own that sees what this asker reaches, for one part of an answer that is streamed: however slow
/// its reader is, nothing is held between two parts. Nobody commits it.
pub(crate) async fn begin_part(
    pool: &Pool,
    asker: &Asker,
) -> Result<Transaction<'static, Postgres>, Problem> {
    Ok(pool.begin(&asker.settings()).await?)
}

/// A transaction that sees and writes one customer's rows, for what is done before anybody is logged in; whoever
/// begins it commits it.
pub(crate) async fn open(
    pool: &Pool,
    customer_id: Uuid,
) -> Result<Transaction<'static, Postgres>, Problem> {
    Ok(pool.begin(&of_customer(customer_id)).await?)
}

/// Sees one customer's rows from here on: for an operator of the platform who acts on what is this customer's.
pub(crate) async fn enter(tx: &mut PgConnection, customer_id: Uuid) -> Result<(), Problem> {
    let customer_id = customer_id.to_string();
    sqlx::query!("select set_config('app.customer_id', $1, true)", customer_id)
        .fetch_one(tx)
        .await?;
    Ok(())
}

/// A transaction for looking up whose something is, before a customer is known.
pub(crate) async fn look_up(pool: &Pool) -> Result<Transaction<'static, Postgres>, Problem> {
    Ok(pool.begin("").await?)
}

fn of_customer(customer_id: Uuid) -> String {
    format!("set local app.customer_id = '{customer_id}'")
}
