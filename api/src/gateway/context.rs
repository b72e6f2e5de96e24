//! What the gateway tells a service of who asks: a JSON web token (RFC 7519) in `X-Tenant-Context`, good for a
//! minute, for one service, one method and one path. A service believes nothing else, so that whoever reaches it
//! past the gateway is nobody.

use std::fmt::{self, Debug, Formatter};

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use crm::user::Role;
use engine::id;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::service::Service;
use crate::tenant::{Asker, LoggedIn, Principal};
use crate::work::Work;

/// The header.
pub(super) const CONTEXT: HeaderName = HeaderName::from_static("x-tenant-context");

const ISSUER: &str = "salesos-gateway";

/// How long a token is good, in seconds.
const LIFETIME_SECONDS: u64 = 60;

/// How far two machines' clocks may differ, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// The fewest bytes of a secret.
const FEWEST_BYTES: usize = 32;

/// What gateway and services share, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct InternalSecret(Vec<u8>);

impl InternalSecret {
    /// Takes one of at least 32 bytes.
    ///
    /// # Errors
    /// How long it is, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() < FEWEST_BYTES {
            return Err(format!("has {} characters; write at least {FEWEST_BYTES}", text.len()));
        }
        Ok(Self(text.as_bytes().to_vec()))
    }
}

impl Debug for InternalSecret {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "InternalSecret({} bytes)", self.0.len())
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The service, by its name.
    aud: String,
    iat: u64,
    exp: u64,
    /// The request's method, as in RFC 9449.
    htm: String,
    /// The request's path.
    htu: String,
    /// The customer; an operator of the platform asks for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cus: Option<String>,
    #[serde(flatten)]
    party: Party,
}

/// As what somebody asks.
#[derive(Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "lowercase")]
enum Party {
    User { sub: String, role: Role, team: Option<Uuid>, sid: Uuid },
    Key { sub: String, scopes: Vec<String> },
    Operator { sub: String, sid: Uuid, email: String, name: String },
}

impl From<&Principal> for Party {
    fn from(principal: &Principal) -> Self {
        match principal {
            Principal::User(user) => Self::User {
                sub: id::show("usr", user.user_id),
                role: user.role,
                team: user.team_id,
                sid: user.login,
            },
            Principal::Key { key_id, scopes } => {
                Self::Key { sub: id::show("key", *key_id), scopes: scopes.clone() }
            }
            Principal::Operator { operator_id, login, email, name } => Self::Operator {
                sub: id::show("opr", *operator_id),
                sid: *login,
                email: email.clone(),
                name: name.clone(),
            },
        }
    }
}

impl Party {
    /// None where an id is of another kind.
    fn principal(self) -> Option<Principal> {
        match self {
            Self::User { sub, role, team, sid } => Some(Principal::User(LoggedIn {
                user_id: id::read("usr", &sub).ok()?,
                role,
                team_id: team,
                login: sid,
            })),
            Self::Key { sub, scopes } => {
                Some(Principal::Key { key_id: id::read("key", &sub).ok()?, scopes })
            }
            Self::Operator { sub, sid, email, name } => Some(Principal::Operator {
                operator_id: id::read("opr", &sub).ok()?,
                login: sid,
                email,
                name,
            }),
        }
    }
}

/// Signs contexts for the services behind the gateway, by the provider that access tokens have installed.
pub(super) struct Signer(EncodingKey);

impl Signer {
    pub(super) fn new(secret: &InternalSecret) -> Self {
        Self(EncodingKey::from_secret(&secret.0))
    }

    /// The context of one request to one service.
    pub(super) fn sign(
        &self,
        asker: &Asker,
        service: Service,
        method: &Method,
        path: &str,
    ) -> HeaderValue {
        let issued = get_current_timestamp();
        let claims = Claims {
            iss: ISSUER.into(),
            aud: service.name().into(),
            iat: issued,
            exp: issued + LIFETIME_SECONDS,
            htm: method.as_str().into(),
            htu: path.into(),
            cus: asker.customer_id.map(|customer| id::show("cus", customer)),
            party: (&asker.principal).into(),
        };
        let token = self.encode(&claims);
        HeaderValue::try_from(token).expect("a token is letters, digits and dots")
    }

    fn encode(&self, claims: &Claims) -> String {
        encode(&Header::new(Algorithm::HS256), claims, &self.0)
            .expect("claims of texts and numbers are signed by the provider that is installed")
    }
}

/// Reads the contexts that are for one service.
pub(crate) struct Reader {
    key: DecodingKey,
    validation: Validation,
}

impl Reader {
    pub(crate) fn new(secret: &InternalSecret, service: Service) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[service.name()]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        Self { key: DecodingKey::from_secret(&secret.0), validation }
    }

    /// Who sends a request.
    pub(super) fn asker(&self, parts: &Parts) -> Result<Asker, Problem> {
        let refused = |detail: &str| Problem::new(Kind::Unauthorized).detail(detail);
        let bad = || refused("the tenant context is not good, or expired; ask through the gateway");
        let mut given = parts.headers.get_all(CONTEXT).iter();
        let token = match (given.next(), given.next()) {
            (Some(value), None) => value.to_str().map_err(|_| bad())?,
            (Some(_), Some(_)) => return Err(bad()),
            (None, _) => {
                return Err(refused("there is no tenant context; ask through the gateway"));
            }
        };
        let read = decode::<Claims>(token, &self.key, &self.validation).map_err(|_| bad())?;
        let claims = read.claims;
        if claims.htm != parts.method.as_str() || claims.htu != parts.uri.path() {
            return Err(bad());
        }
        let principal = claims.party.principal().ok_or_else(bad)?;
        let customer_id = claims.cus.map(|customer| id::read("cus", &customer)).transpose();
        let customer_id = customer_id.map_err(|_| bad())?;
        // Without a customer nobody but an operator asks.
        if customer_id.is_none() != matches!(principal, Principal::Operator { .. }) {
            return Err(bad());
        }
        Ok(Asker { customer_id, principal, work: Work::default(), trace: None })
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
