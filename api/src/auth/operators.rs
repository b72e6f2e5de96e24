//! Logins of operators of the platform. Their token is a secret that the database knows by its hash, as header and as
//! cookie alike: it is good for half a day, no longer than nobody has ended it, and there is nothing to refresh.

use crm::operator::{self, NewLogin, Operator};
use engine::{clock, id};
use serde::Serialize;
use utoipa::ToSchema;

use super::session::{hash, secret};
use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Principal};
use crate::work::Work;

/// What stands before the random part of a token.
pub(super) const PREFIX: &str = "opr_";

/// How long a login is good, in seconds.
pub(super) const LIFETIME_SECONDS: u64 = 12 * 60 * 60;

/// An operator as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Operator)]
pub(super) struct OperatorBody {
    id: String,
    email: String,
    name: String,
}

impl From<Operator> for OperatorBody {
    fn from(operator: Operator) -> Self {
        Self { id: id::show("opr", operator.id), email: operator.email, name: operator.name }
    }
}

/// What an operator's login is answered with.
#[derive(Serialize, ToSchema)]
pub(super) struct OperatorSession {
    operator: OperatorBody,
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
}

impl OperatorSession {
    pub(super) fn of(operator: Operator, access_token: String) -> Self {
        let (token_type, expires_in) = ("Bearer", LIFETIME_SECONDS);
        Self { operator: operator.into(), access_token, token_type, expires_in }
    }
}

/// Opens a login; gives its token.
pub(super) async fn open(state: &State, operator: &Operator) -> Result<String, Problem> {
    let token = format!("{PREFIX}{}", secret()?);
    let new = NewLogin {
        id: clock::new_id(),
        operator_id: operator.id,
        hash: &hash(&token),
        lifetime_seconds: std::time::Duration::from_secs(LIFETIME_SECONDS).as_secs_f64(),
    };
    let mut tx = tenant::look_up(&state.pool).await?;
    operator::keep_login(&mut *tx, new).await?;
    tx.commit().await?;
    tracing::info!(operator.id = %operator.id, "an operator logged in");
    Ok(token)
}

/// Whose token it is.
pub(super) async fn asker(state: &State, token: &str) -> Result<Asker, Problem> {
    let mut tx = tenant::look_up(&state.pool).await?;
    let known = operator::find_login(&mut *tx, &hash(token)).await?;
    let known = known.ok_or_else(|| Problem::new(Kind::Unauthorized).detail("log in again"))?;
    Ok(Asker {
        customer_id: None,
        principal: Principal::Operator {
            operator_id: known.operator.id,
            login: known.login,
            email: known.operator.email,
            name: known.operator.name,
        },
        work: Work::default(),
        trace: None,
    })
}
