//! What a login hands out: the user, the customer, an access token and a refresh token.

use chrono::{DateTime, Utc};
use crm::customer::Customer;
use crm::token::{self, NewToken};
use crm::user::User;
use crm::web_session;
use engine::{clock, id};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::hex;
use crate::problem::{Kind, Problem};

/// A user as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserBody {
    pub(super) id: String,
    email: String,
    name: String,
    /// `owner admin manager rep viewer`.
    pub(super) role: String,
    team_id: Option<String>,
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: id::show("usr", user.id),
            email: user.email,
            name: user.name,
            role: user.role,
            team_id: user.team_id.map(|team| id::show("team", team)),
            active: user.active,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A customer as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Customer)]
pub(super) struct CustomerBody {
    id: String,
    name: String,
    time_zone: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Customer> for CustomerBody {
    fn from(customer: Customer) -> Self {
        Self {
            id: id::show("cus", customer.id),
            name: customer.name,
            time_zone: customer.time_zone,
            created_at: customer.created_at,
            updated_at: customer.updated_at,
        }
    }
}

/// What a login is answered with.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    user: UserBody,
    customer: CustomerBody,
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: u64,
}

/// Where a session comes from.
pub(super) enum Origin {
    /// A password, or a sign-up.
    Login,
    /// A refresh token of this login.
    Refreshed { family: Uuid, token_id: Uuid },
}

/// Opens a session, or continues a login; keeps the refresh token's hash.
pub(super) async fn open(
    tx: &mut PgConnection,
    state: &State,
    user: User,
    customer: Customer,
    origin: Origin,
) -> Result<Session, Problem> {
    let (family, parent_id) = match origin {
        Origin::Login => (clock::new_id(), None),
        Origin::Refreshed { family, token_id } => (family, Some(token_id)),
    };
    let refresh_token = secret()?;
    let new = NewToken {
        id: clock::new_id(),
        user_id: user.id,
        family,
        parent_id,
        hash: &hash(&refresh_token),
        lifetime_seconds: std::time::Duration::from_secs(state.settings.refresh_seconds)
            .as_secs_f64(),
    };
    token::keep(tx, customer.id, new).await?;
    Ok(Session {
        access_token: state.tokens.issue(&user, family),
        refresh_token,
        token_type: "Bearer",
        expires_in: state.tokens.lifetime_seconds(),
        user: user.into(),
        customer: customer.into(),
    })
}

/// Ends all logins of a user, by token and by cookie, but for one.
pub(super) async fn end_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    user_id: Uuid,
    but: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    token::revoke_all(&mut *tx, customer_id, user_id, but).await?;
    web_session::end_all(tx, customer_id, user_id, but).await
}

/// What nobody can guess: 32 random bytes as hexadecimal letters.
pub(super) fn secret() -> Result<String, Problem> {
    let mut secret = [0_u8; 32];
    SystemRandom::new().fill(&mut secret).map_err(|_| Problem::new(Kind::Internal))?;
    Ok(hex::write(&secret))
}

/// What is kept of a token or a key.
pub(super) fn hash(refresh_token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, refresh_token.as_bytes()).as_ref().to_vec()
}
