//! Who asks, and the transaction in which a customer's data is read and written.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use crm::user::Role;
use engine::id;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::State;
use crate::problem::{Kind, Problem};

/// A user whose access token is good. It may read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) customer_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) role: Role,
    /// The login that the token descends from.
    pub(crate) login: Uuid,
}

impl Caller {
    /// As the author of what it does.
    pub(crate) fn actor(self) -> String {
        format!("user:{}", id::show("usr", self.user_id))
    }
}

impl FromRequestParts<State> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = given.and_then(|value| value.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            let detail = "send the access token as `Authorization: Bearer …`";
            return Err(Problem::new(Kind::Unauthorized).detail(detail));
        }
        state.tokens.read(token.trim())
    }
}

/// A caller who may change records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer(pub(crate) Caller);

impl FromRequestParts<State> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.role.writes() {
            Ok(Self(caller))
        } else {
            Err(Problem::new(Kind::Forbidden).detail("a viewer reads only"))
        }
    }
}

/// A caller who may act on what the system does for the customer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin(pub(crate) Caller);

impl FromRequestParts<State> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match caller.role {
            Role::Owner | Role::Admin => Ok(Self(caller)),
            Role::Manager | Role::Rep | Role::Viewer => {
                Err(Problem::new(Kind::Forbidden).detail("only owners and admins do this"))
            }
        }
    }
}

/// Begins a transaction that sees and writes this customer's rows only.
pub(crate) async fn begin(
    pool: &PgPool,
    customer_id: Uuid,
) -> Result<Transaction<'static, Postgres>, Problem> {
    let mut tx = engine::transaction::begin(pool).await?;
    sqlx::query!("select set_config('salesos.customer_id', $1, true)", customer_id.to_string())
        .fetch_one(&mut *tx)
        .await?;
    Ok(tx)
}
