//! Access tokens: short-lived JSON web tokens (RFC 7519) that carry who asks.

use crm::user::{Role, User};
use engine::{clock, id};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use ring::hmac;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::crypto;
use crate::permission;
use crate::problem::{Kind, Problem};
use crate::tenant::{Caller, LoggedIn, Principal};
use crate::work::Work;

const ISSUER: &str = "salesos";
const AUDIENCE: &str = "salesos-api";

/// How far two processes' clocks may differ, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// Signs and reads tokens under one secret.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    lifetime_seconds: u64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    cus: String,
    role: Role,
    scope: String,
    iat: u64,
    exp: u64,
    iss: String,
    aud: String,
    jti: String,
    /// The login that the token descends from; a logout ends it.
    sid: Uuid,
}

impl Tokens {
    /// Tokens under this secret, good for so many seconds.
    pub(crate) fn new(secret: &[u8], lifetime_seconds: u64) -> Self {
        crypto::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self {
            signing: EncodingKey::from_secret(secret),
            verifying: DecodingKey::from_secret(secret),
            validation,
            lifetime_seconds,
        }
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
            scope: permission::words(role),
            iat: issued,
            exp: issued + self.lifetime_seconds,
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            jti: clock::new_id().to_string(),
            sid: login,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("claims of texts and numbers are signed by the provider that new installed")
    }

    /// Who a token stands for.
    pub(crate) fn read(&self, token: &str) -> Result<Caller, Problem> {
        let bad =
            || Problem::new(Kind::Unauthorized).detail("the access token is not good, or expired");
        let claims =
            decode::<Claims>(token, &self.verifying, &self.validation).map_err(|_| bad())?;
        let claims = claims.claims;
        let user = LoggedIn {
            user_id: id::read("usr", &claims.sub).map_err(|_| bad())?,
            role: claims.role,
            team_id: None,
            login: claims.sid,
        };
        Ok(Caller {
            customer_id: id::read("cus", &claims.cus).map_err(|_| bad())?,
            principal: Principal::User(user),
            work: Work::default(),
        })
    }
}

/// A key of its own for cursors, from the secret that signs tokens: neither can pass for the other.
pub(crate) fn cursor_key(secret: &[u8]) -> hmac::Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"cursors of listings");
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use crm::user::{Role, User};
    use uuid::Uuid;

    use super::Tokens;

    fn user() -> User {
        User {
            customer_id: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            email: "ann@example.com".into(),
            name: "Ann".into(),
            role: "viewer".into(),
            active: true,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_token_is_read_under_its_own_secret_only() {
        let tokens = Tokens::new(b"one secret of thirty-two letters", 60);
        let token = tokens.issue(&user(), Uuid::from_u128(3));
        let caller = tokens.read(&token).unwrap();
        let user = caller.user().unwrap();
        assert_eq!((caller.customer_id, user.user_id), (Uuid::from_u128(1), Uuid::from_u128(2)));
        assert_eq!(user.role, Role::Viewer);
        let others = Tokens::new(b"another secret, as long as first", 60);
        assert!(others.read(&token).is_err());
        assert!(tokens.read(&format!("{token}x")).is_err());
    }

    #[test]
    fn a_token_without_a_signature_is_refused() {
        let tokens = Tokens::new(b"one secret of thirty-two letters", 60);
        let token = tokens.issue(&user(), Uuid::from_u128(3));
        let claims = token.split('.').nth(1).unwrap();
        // {"alg":"none","typ":"JWT"}
        assert!(tokens.read(&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")).is_err());
    }
}
