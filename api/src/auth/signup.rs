//! Sign-up: a new customer and its owner.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use crm::user::{NewUser, Role, UserError};
use crm::{customer, user};
use engine::clock;
use engine::timing::Zone;
use serde::Deserialize;
use utoipa::ToSchema;

use super::mails;
use super::password;
use super::session::{self, Origin, Session};
use crate::State;
use crate::input::{Body, address, bounded};
use crate::problem::{Kind, Problem};
use crate::tenant;

/// Who signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SignUp {
    email: String,
    password: String,
    name: String,
    company: String,
    time_zone: Option<String>,
}

impl SignUp {
    /// Refuses what nobody could log in with.
    fn check(&self) -> Result<(), Problem> {
        password::check("password", &self.password)?;
        for (field, text) in [("name", &self.name), ("company", &self.company)] {
            bounded(field, text, 200)?;
            if text.trim().is_empty() {
                return Err(Problem::invalid(field, "is empty"));
            }
        }
        let zone = self.time_zone.as_deref().map(Zone::parse).transpose();
        zone.map(drop).map_err(|error| Problem::invalid("time_zone", error.to_string()))
    }
}

/// Makes the customer and its owner, and logs the owner in.
#[utoipa::path(
    post, path = "/signup",
    request_body = SignUp,
    responses(
        (status = 201, description = "Made", body = Session),
        (status = 409, description = "The address has an account", body = crate::problem::Body),
        (status = 503, description = "No mail server is set, or try again soon", body = crate::problem::Body),
    ),
)]
pub(super) async fn sign_up(
    Shared(state): Shared<State>,
    Body(new): Body<SignUp>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<Session>), Problem> {
    let email = address("email", &new.email)?;
    new.check()?;
    // Whoever signs up has to be able to set another password, and to invite others.
    mails::require(&state)?;
    let password_hash = state.passwords.hash(new.password).await?;
    let customer_id = clock::new_id();
    let zone = new.time_zone.as_deref().unwrap_or("UTC");
    let mut tx = tenant::open(&state.pool, customer_id).await?;
    let customer = customer::create(&mut *tx, customer_id, new.company.trim(), zone).await?;
    let owner = NewUser {
        id: clock::new_id(),
        email: &email,
        name: new.name.trim(),
        role: Role::Owner,
        team_id: None,
        password_hash: &password_hash,
    };
    let owner = user::create(&mut *tx, customer_id, owner).await.map_err(refused)?;
    let session = session::open(&mut tx, &state, owner, customer, Origin::Login).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [(header::LOCATION, "/api/v1/auth/me")], Json(session)))
}

pub(super) fn refused(error: UserError) -> Problem {
    match error {
        UserError::EmailTaken => Problem::new(Kind::EmailTaken).detail(error.to_string()),
        UserError::Database(error) => error.into(),
    }
}
