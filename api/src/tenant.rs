//! Who asks, and the transaction in which a customer's data is read and written.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use crm::user::Role;
use engine::{id, transaction};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::State;
use crate::permission::Permission;
use crate::problem::{Kind, Problem};
use crate::work::{Tx, Work};

/// Whoever asks for a customer; the guard has let it in.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) customer_id: Uuid,
    pub(crate) principal: Principal,
    pub(crate) work: Work,
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

impl Caller {
    /// As the author of what it does.
    pub(crate) fn actor(&self) -> String {
        match &self.principal {
            Principal::User(user) => format!("user:{}", id::show("usr", user.user_id)),
            Principal::Key { key_id, .. } => format!("key:{}", id::show("key", *key_id)),
        }
    }

    /// The user, for what only a user has, such as a password.
    pub(crate) fn user(&self) -> Result<LoggedIn, Problem> {
        match &self.principal {
            Principal::User(user) => Ok(*user),
            Principal::Key { .. } => {
                Err(Problem::new(Kind::Forbidden).detail("this is for users, not for API keys"))
            }
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
        };
        if allowed {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden).detail(format!("{what} lacks `{}`", permission.word)))
    }

    /// What row-level security is told: the customer, and for whom only some rows are theirs.
    fn beginning(&self) -> String {
        let mut text = format!("begin; set local app.customer_id = '{}'", self.customer_id);
        if let Principal::User(LoggedIn { user_id, role, team_id, .. }) = &self.principal
            && matches!(role, Role::Rep | Role::Manager)
        {
            text.push_str(&format!("; set local app.user_id = '{user_id}'"));
            if let Some(team_id) = team_id {
                text.push_str(&format!("; set local app.team_id = '{team_id}'"));
            }
        }
        text
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        // A route that names no permission lets nobody in by mistake.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Kind::Unauthorized))
    }
}

/// The request's transaction, which sees and writes this caller's rows only. The answer decides whether it is kept.
pub(crate) async fn begin(pool: &PgPool, caller: &Caller) -> Result<Tx, Problem> {
    // It lies there already where the request has a key of its own (`idempotency`).
    let tx = match caller.work.take() {
        Some(tx) => tx,
        None => transaction::begin_with(pool, caller.beginning()).await?,
    };
    Ok(caller.work.using(tx))
}

/// A transaction that sees and writes one customer's rows, for what is done before anybody is logged in; whoever
/// begins it commits it.
pub(crate) async fn open(
    pool: &PgPool,
    customer_id: Uuid,
) -> Result<Transaction<'static, Postgres>, Problem> {
    let beginning = format!("begin; set local app.customer_id = '{customer_id}'");
    Ok(transaction::begin_with(pool, beginning).await?)
}
