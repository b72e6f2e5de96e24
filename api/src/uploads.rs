//! Files that are on their way in: how many at once, and how slowly their parts may come. Slow senders take neither all
//! the memory nor other customers' places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use futures_util::StreamExt;
use uuid::Uuid;

use crate::problem::{Kind, Problem};

/// The most files at once; each takes its size of memory until it is answered.
const AT_ONCE: usize = 16;
/// The most files of one customer at once.
const OF_A_CUSTOMER: usize = 2;
/// How long it may take until the next part of a file comes.
const NEXT_PART: Duration = Duration::from_secs(30);
/// How long a file may come at any pace.
const GRACE: Duration = Duration::from_secs(30);
/// The least pace of a file after that, in bytes a second: a place is not held by drops.
const LEAST_PACE: f64 = 8.0 * 1024.0;
/// When to ask again if there is no place.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Who sends files at the moment.
#[derive(Clone, Default)]
pub(crate) struct Uploads(Arc<Mutex<HashMap<Uuid, usize>>>);

/// A place for one file, until it is dropped.
pub(crate) struct Upload {
    uploads: Uploads,
    customer_id: Uuid,
}

impl Uploads {
    /// A place for a file of a customer.
    pub(crate) fn admit(&self, customer_id: Uuid) -> Result<Upload, Problem> {
        let (all, own) = self.with(|customers| {
            let all: usize = customers.values().sum();
            let own = customers.get(&customer_id).copied().unwrap_or_default();
            if all < AT_ONCE && own < OF_A_CUSTOMER {
                customers.insert(customer_id, own + 1);
            }
            (all, own)
        });
        if own >= OF_A_CUSTOMER {
            let detail =
                format!("{own} files are being imported already; wait until one has been answered");
            return Err(Problem::new(Kind::TooMany).detail(detail).retry_after(ASK_AGAIN));
        }
        if all >= AT_ONCE {
            let detail = "too many files are being imported at the moment; try again soon";
            return Err(Problem::new(Kind::Unavailable).detail(detail).retry_after(ASK_AGAIN));
        }
        Ok(Upload { uploads: self.clone(), customer_id })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Uuid, usize>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.uploads.with(|customers| {
            if let Some(own) = customers.get_mut(&self.customer_id) {
                *own -= 1;
                if *own == 0 {
                    customers.remove(&self.customer_id);
                }
            }
        });
    }
}

/// Reads a body; `None` if it is larger, and the rest is not read.
pub(crate) async fn read(body: Body, most: usize) -> Result<Option<Bytes>, Problem> {
    read_within(body, most, NEXT_PART).await
}

async fn read_within(
    body: Body,
    most: usize,
    next_part: Duration,
) -> Result<Option<Bytes>, Problem> {
    let malformed = |detail: &str| Problem::new(Kind::Malformed).detail(detail);
    let mut bytes: Vec<u8> = Vec::new();
    let began = Instant::now();
    let mut parts = body.into_data_stream();
    loop {
        let part = tokio::time::timeout(next_part, parts.next()).await;
        let part = part.map_err(|_| {
            malformed(&format!(
                "no more of the body came for {next_part:?}; send it again without a pause"
            ))
        })?;
        let Some(part) = part else { return Ok(Some(bytes.into())) };
        let part = part.map_err(|_| malformed("the body ended early; send it again"))?;
        if bytes.len() + part.len() > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&part);
        if is_too_slow(bytes.len(), began.elapsed()) {
            return Err(malformed("the body comes too slowly; send at least 8 KiB a second"));
        }
    }
}

fn is_too_slow(bytes: usize, elapsed: Duration) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a pace needs no exact count")]
    let came = bytes as f64;
    elapsed > GRACE && came < elapsed.as_secs_f64() * LEAST_PACE
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    fn refused(uploads: &Uploads, customer: u128) -> StatusCode {
        let admitted = uploads.admit(Uuid::from_u128(customer)).map(|_| ());
        admitted.expect_err("there is no place").into_response().status()
    }

    #[test]
    fn a_customer_has_two_places_and_all_together_sixteen_until_they_let_go() {
        let uploads = Uploads::default();
        let admit = |customer| uploads.admit(Uuid::from_u128(customer)).ok();
        let mut held: Vec<Upload> = (0..16).map(|place| admit(place / 2).unwrap()).collect();
        assert_eq!(refused(&uploads, 0), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused(&uploads, 99), StatusCode::SERVICE_UNAVAILABLE);
        held.remove(0);
        assert!(admit(99).is_some());
        held.clear();
        assert!(uploads.with(|customers| customers.is_empty()));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_read_to_its_end() {
        let body = |text: &'static str| read(Body::from(text), 5);
        assert_eq!(body("12345").await.unwrap().unwrap(), "12345");
        assert!(body("123456").await.unwrap().is_none());
    }

    #[test]
    fn a_body_that_trickles_is_refused_after_half_a_minute() {
        assert!(!is_too_slow(3, Duration::from_secs(29)));
        assert!(is_too_slow(3, Duration::from_secs(31)));
        assert!(!is_too_slow(6_000_000, Duration::from_secs(40)), "150 kB a second are enough");
    }

    #[tokio::test]
    async fn a_body_that_stops_is_not_waited_for() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let stopped = read_within(Body::from_stream(never), 5, Duration::from_millis(5)).await;
        let stopped = stopped.unwrap_err();
        assert_eq!(stopped.into_response().status(), StatusCode::BAD_REQUEST);
    }
}
