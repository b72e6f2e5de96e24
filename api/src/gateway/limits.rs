//! Rate limits: a token bucket for each API key, user and, of those who are nobody yet, address.
//!
//! Buckets lie in this process; where several gateways stand beside each other, each gives its share. What is left
//! is told as draft-ietf-httpapi-ratelimit-headers-10 has it.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::client::Client;
use crate::problem::{Kind, Problem};
use crate::tenant::Principal;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// After how many requests full buckets, which say nothing, are forgotten.
const FORGET_EVERY: u32 = 4_096;

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 2;

/// How many requests a second are served; 0 is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of one user, or operator of the platform.
    pub user: u32,
    /// Of one API key.
    pub key: u32,
    /// Of one address, for whoever has not logged in.
    pub address: u32,
    /// How many gateways share them.
    pub replicas: NonZeroU32,
}

impl Rates {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { user: 0, key: 0, address: 0, replicas: NonZeroU32::MIN };
}

/// Whose bucket pays for a request.
pub(super) enum Payer<'a> {
    /// Somebody who is known.
    Known(&'a Principal),
    /// Somebody of whom only the address is known.
    Unknown(Client),
}

/// All buckets.
pub(crate) struct Limits {
    users: Option<Buckets>,
    keys: Option<Buckets>,
    addresses: Option<Buckets>,
}

impl Limits {
    /// Full buckets.
    pub(crate) fn new(rates: Rates) -> Self {
        let buckets = |name, rate| Buckets::new(name, rate, rates.replicas);
        Self {
            users: buckets("user", rates.user),
            keys: buckets("key", rates.key),
            addresses: buckets("address", rates.address),
        }
    }

    /// Takes a request from a bucket; nothing stands where there is no limit.
    pub(super) fn take(&self, payer: Payer<'_>) -> Option<Standing> {
        let (buckets, key) = match payer {
            Payer::Known(Principal::User(user)) => (&self.users, user.user_id.as_u128()),
            Payer::Known(Principal::Key { key_id, .. }) => (&self.keys, key_id.as_u128()),
            Payer::Known(Principal::Operator { operator_id, .. }) => {
                (&self.users, operator_id.as_u128())
            }
            Payer::Unknown(client) => (&self.addresses, client.key()),
        };
        buckets.as_ref().map(|buckets| buckets.take(key))
    }
}

/// Where a bucket stands after a request.
pub(super) struct Standing {
    policy: HeaderValue,
    limit: HeaderValue,
    /// In how many seconds to come again, where the bucket was empty.
    wait_seconds: Option<NonZeroU64>,
}

impl Standing {
    /// Refuses a request for which there was nothing left.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let Some(seconds) = self.wait_seconds else { return Ok(()) };
        let detail =
            format!("try again in {seconds} s; `RateLimit-Policy` says how many are served");
        Err(Problem::new(Kind::TooMany).detail(detail))
    }

    /// Tells it in the answer.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(POLICY, self.policy);
        headers.insert(RATE_LIMIT, self.limit);
        if let Some(seconds) = self.wait_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
        }
    }
}

/// The buckets of one policy.
struct Buckets {
    name: &'static str,
    policy: HeaderValue,
    /// How long until there is one more.
    every: Duration,
    limiter:
        RateLimiter<u128, DefaultKeyedStateStore<u128>, DefaultClock, StateInformationMiddleware>,
    taken: AtomicU32,
}

impl Buckets {
    /// Those of so many a second, shared by so many processes.
    fn new(name: &'static str, rate: u32, replicas: NonZeroU32) -> Option<Self> {
        let every = Duration::from_secs(1).checked_mul(replicas.get())?.checked_div(rate)?;
        let burst = rate.saturating_mul(BURST_SECONDS) / replicas;
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(every)?.allow_burst(burst);
        let window = seconds(quota.burst_size_replenished_in());
        Some(Self {
            name,
            policy: value(format!("\"{name}\";q={burst};w={window}")),
            every,
            limiter: RateLimiter::dashmap(quota).with_middleware(),
            taken: AtomicU32::new(0),
        })
    }

    fn take(&self, key: u128) -> Standing {
        if self.taken.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let (left, wait, wait_seconds) = match self.limiter.check_key(&key) {
            Ok(left) => (left.remaining_burst_capacity(), self.every, None),
            Err(refused) => {
                let wait = refused.wait_time_from(self.limiter.clock().now());
                (0, wait, Some(seconds(wait)))
            }
        };
        let limit = value(format!("\"{}\";r={left};t={}", self.name, seconds(wait)));
        Standing { policy: self.policy.clone(), limit, wait_seconds }
    }
}

/// Whole seconds, at least one.
fn seconds(duration: Duration) -> NonZeroU64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    NonZeroU64::new(whole).unwrap_or(NonZeroU64::MIN)
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("names and numbers are visible letters")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    /// One request in a thousand seconds.
    fn strict() -> Limits {
        let replicas = NonZeroU32::new(1_000).unwrap();
        Limits::new(Rates { user: 0, key: 0, address: 1, replicas })
    }

    fn told(standing: Standing) -> (String, String, Option<String>) {
        let mut headers = HeaderMap::new();
        standing.tell(&mut headers);
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text(POLICY).unwrap(), text(RATE_LIMIT).unwrap(), text(header::RETRY_AFTER))
    }

    fn client(last: u8) -> Payer<'static> {
        Payer::Unknown(Client(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))))
    }

    #[test]
    fn an_empty_bucket_refuses_and_says_when_to_come_again() {
        let limits = strict();
        let first = limits.take(client(1)).unwrap();
        assert!(first.check().is_ok());
        let (policy, limit, retry) = told(first);
        assert_eq!(policy, "\"address\";q=1;w=1000");
        assert_eq!((limit.as_str(), retry), ("\"address\";r=0;t=1000", None));
        let second = limits.take(client(1)).unwrap();
        assert!(second.check().is_err());
        let (_, limit, retry) = told(second);
        assert_eq!(limit, format!("\"address\";r=0;t={}", retry.unwrap()));
        assert!(limits.take(client(2)).unwrap().check().is_ok(), "another has a bucket of its own");
    }

    #[test]
    fn a_limit_of_nothing_is_none() {
        assert!(Limits::new(Rates::UNLIMITED).take(client(1)).is_none());
        let replicas = NonZeroU32::new(3).unwrap();
        let limits = Limits::new(Rates { address: 20, replicas, ..Rates::UNLIMITED });
        let (policy, limit, _) = told(limits.take(client(1)).unwrap());
        assert_eq!(
            (policy.as_str(), limit.as_str()),
            ("\"address\";q=13;w=2", "\"address\";r=12;t=1")
        );
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let limits = Limits::new(Rates { address: 1_000_000, ..Rates::UNLIMITED });
        let buckets = limits.addresses.as_ref().unwrap();
        for key in 0..u128::from(3 * FORGET_EVERY) {
            buckets.take(key);
        }
        assert!(buckets.limiter.len() <= 2 * FORGET_EVERY as usize, "{}", buckets.limiter.len());
    }
}
