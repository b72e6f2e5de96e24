//! Access tokens: short-lived JSON web tokens (RFC 7519) that carry who asks.

use std::sync::Arc;

use crm::user::{Role, User};
use engine::{clock, id};
use jsonwebtoken::{
    Algorithm, Header, Validation, decode, decode_header, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::Keys;
use crate::permission;
use crate::problem::{Kind, Problem};
use crate::tenant::{Asker, LoggedIn, Principal};

const ISSUER: &str = "salesos";
const AUDIENCE: &str = "salesos-api";

/// How far two processes' clocks may differ, in seconds.
const LEEWAY_SECONDS: u64 = 60;

/// Signs and reads tokens.
pub(crate) struct Tokens {
    keys: Arc<Keys>,
    /// What is asked of a token of each key, in the order of the keys.
    validations: Vec<Validation>,
    lifetime_seconds: u64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    cus: String,
    role: Role,
    /// The team with which the user shares records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    team: Option<Uuid>,
    scope: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    iss: String,
    aud: String,
    jti: String,
    /// The login that the token descends from; a logout ends it.
    sid: Uuid,
}

impl Tokens {
    /// Tokens under these keys, good for so many seconds.
    pub(crate) fn new(keys: Arc<Keys>, lifetime_seconds: u64) -> Self {
        let validations = keys.all().iter().map(|key| validation(key.algorithm)).collect();
        Self { keys, validations, lifetime_seconds }
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How long a token is good, in seconds.
    pub(super) fn lifetime_seconds(&self) -> u64 {
        self.lifetime_seconds
    }

    /// A token for this user, by the real clock, as all that guards a door.
    pub(super) fn issue(&self, user: &User, login: Uuid) -> String {
        let role = Role::read(&user.role);
        let issued = get_current_timestamp();
        let claims = Claims {
            sub: id::show("usr", user.id),
            cus: id::show("cus", user.customer_id),
            role,
            team: user.team_id,
            scope: permission::words(role),
            iat: issued,
            nbf: issued,
            exp: issued + self.lifetime_seconds,
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            jti: clock::new_id().to_string(),
            sid: login,
        };
        let key = self.keys.signing();
        let header = Header { kid: Some(key.id.clone()), ..Header::new(key.algorithm) };
        encode(&header, &claims, &key.signing).expect("a key that was read can sign")
    }

    /// Who a token stands for. Whatever is wrong with it, the answer is the same.
    pub(crate) fn read(&self, token: &str) -> Result<Asker, Problem> {
        let bad =
            || Problem::new(Kind::Unauthorized).detail("the access token is not good, or expired");
        let header = decode_header(token).map_err(|_| bad())?;
        // A token whose header names no key may be of any.
        let of = |id: &str| header.kid.as_deref().is_none_or(|named| named == id);
        let keys = self.keys.all().iter().zip(&self.validations).filter(|(key, _)| of(&key.id));
        let claims = keys
            .map(|(key, validation)| decode::<Claims>(token, &key.verifying, validation))
            .find_map(Result::ok);
        let claims = claims.ok_or_else(bad)?.claims;
        let user = LoggedIn {
            user_id: id::read("usr", &claims.sub).map_err(|_| bad())?,
            role: claims.role,
            team_id: claims.team,
            login: claims.sid,
        };
        let customer_id = id::read("cus", &claims.cus).map_err(|_| bad())?;
        Ok(Asker::of(customer_id, Principal::User(user)))
    }
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation
}

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
