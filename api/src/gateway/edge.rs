//! What a process's outer door is told by settings, and what it holds: whom it believes, its limits, and the
//! services behind it where they run apart.

use axum::http::request::Parts;
use axum::http::uri::Authority;

use super::TIMEOUT;
use super::browser::Origins;
use super::client::{Client, TrustedProxies};
use super::context::{InternalSecret, Reader, Signer};
use super::limits::{Limits, Rates};
use super::upstream::Upstream;
use crate::State;
use crate::auth::authenticate;
use crate::problem::Problem;
use crate::service::Service;
use crate::tenant::Asker;

/// What the outer door is told by settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Whether this is production, where browsers keep to HTTPS.
    pub production: bool,
    /// The origins whose pages may ask.
    pub origins: Origins,
    /// How many requests a second are served.
    pub rates: Rates,
    /// Who may say for whom it asks.
    pub trusted_proxies: TrustedProxies,
    /// The versions of all migrations that this binary knows.
    pub migrations: Vec<i64>,
}

impl Default for Outside {
    /// For whoever asks from the same process: no limit, no page of another origin, no proxy.
    fn default() -> Self {
        Self {
            production: false,
            origins: Origins::default(),
            rates: Rates::UNLIMITED,
            trusted_proxies: TrustedProxies::default(),
            migrations: Vec::new(),
        }
    }
}

/// How a service that runs alone knows who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMode {
    /// It verifies the user's token itself.
    Direct,
    /// It believes the gateway, which signs under this secret.
    Gateway(InternalSecret),
}

/// Where a service answers: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(pub(super) Authority);

impl Target {
    /// Reads a URL of a host and perhaps a port, and nothing else.
    ///
    /// # Errors
    /// What to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let authority = rest.and_then(|rest| rest.parse::<Authority>().ok());
        let authority = authority.filter(|found| !found.as_str().contains('@'));
        let wanted = || "write such as http://127.0.0.1:3002, without a path".to_owned();
        authority.map(Self).ok_or_else(wanted)
    }
}

/// What the outer door of a process holds.
pub(crate) struct Edge {
    pub(super) outside: Outside,
    pub(super) limits: Limits,
    pub(super) entrance: Entrance,
}

/// How a request's sender is known, and where the request goes from here.
pub(super) enum Entrance {
    /// By its own token; to a handler of this process.
    Direct,
    /// By what the gateway says; to a handler of this process.
    Behind(Box<Reader>),
    /// By its own token; to a service behind this gateway.
    Before { signer: Signer, upstreams: Vec<Upstream> },
}

impl Edge {
    /// Of the gateway with all services in its own process.
    pub(crate) fn whole(outside: Outside) -> Self {
        Self { limits: Limits::new(outside.rates), outside, entrance: Entrance::Direct }
    }

    /// Of a service alone. Its limits are the gateway's.
    pub(crate) fn alone(outside: Outside, service: Service, mode: &AuthMode) -> Self {
        let entrance = match mode {
            AuthMode::Direct => Entrance::Direct,
            AuthMode::Gateway(secret) => Entrance::Behind(Box::new(Reader::new(secret, service))),
        };
        Self { limits: Limits::new(Rates::UNLIMITED), outside, entrance }
    }

    /// Of the gateway before services that run elsewhere.
    pub(crate) fn before(
        outside: Outside,
        secret: &InternalSecret,
        target: impl Fn(Service) -> Target,
    ) -> Self {
        let upstream = |service| Upstream::new(service, target(service), TIMEOUT);
        let upstreams = Service::ALL.into_iter().map(upstream).collect();
        let entrance = Entrance::Before { signer: Signer::new(secret), upstreams };
        Self { limits: Limits::new(outside.rates), outside, entrance }
    }

    /// Who sends a request.
    pub(super) async fn asker(&self, state: &State, parts: &Parts) -> Result<Asker, Problem> {
        match &self.entrance {
            Entrance::Behind(reader) => reader.asker(parts),
            Entrance::Direct | Entrance::Before { .. } => {
                authenticate::asker(state, &parts.method, &parts.headers).await
            }
        }
    }

    /// Whether this is production, where cookies are for TLS alone.
    pub(crate) fn is_production(&self) -> bool {
        self.outside.production
    }

    /// From where a request comes.
    pub(super) fn client(&self, parts: &Parts) -> Client {
        self.outside.trusted_proxies.client(&parts.extensions, &parts.headers)
    }

    /// The services behind this gateway; none where they are in this process.
    pub(super) fn upstreams(&self) -> &[Upstream] {
        match &self.entrance {
            Entrance::Before { upstreams, .. } => upstreams,
            Entrance::Direct | Entrance::Behind(_) => &[],
        }
    }

    /// Whether browsers may come to this door, and not only the gateway.
    pub(super) fn is_public(&self) -> bool {
        match &self.entrance {
            Entrance::Direct | Entrance::Before { .. } => true,
            Entrance::Behind(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_service_answers_at_a_host_and_a_port() {
        for good in ["http://127.0.0.1:3002", "http://crm:3002/", "http://[::1]:3002"] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in ["crm:3002", "https://crm", "http://", "http://crm/api", "http://u:p@crm"] {
            assert!(Target::parse(bad).is_err_and(|said| said.contains("write such as")), "{bad}");
        }
    }
}
