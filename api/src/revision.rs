//! Revisions as entity tags, so that nobody overwrites what they have not seen (RFC 9110, section 13.1.1; RFC 6585,
//! section 3).

use std::fmt::Display;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};

use crate::problem::{Kind, Problem};

/// The strong tag of a revision: a number that counts changes.
pub(crate) fn tag(revision: impl Display) -> String {
    format!("\"{revision}\"")
}

/// The revision of a row that counts no changes: the instant of the last one.
pub(crate) fn of(updated_at: DateTime<Utc>) -> String {
    format!("{:x}", updated_at.timestamp_micros())
}

/// Refuses a change whose `If-Match` names other revisions only, or that names none.
pub(crate) fn require(headers: &HeaderMap, revision: impl Display) -> Result<(), Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        let detail =
            "send the `ETag` of what you read as `If-Match`, or `*` to overwrite whatever is there";
        return Err(Problem::new(Kind::NoPrecondition).detail(detail));
    }
    check(headers, revision)
}

/// Refuses where `If-Match` names other revisions only; without it everything matches.
pub(crate) fn check(headers: &HeaderMap, revision: impl Display) -> Result<(), Problem> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(());
    }
    let current = tag(revision);
    let wanted = headers.get_all(header::IF_MATCH).iter();
    let matches = wanted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    if matches.map(str::trim).any(|wanted| wanted == "*" || wanted == current) {
        return Ok(());
    }
    let detail =
        format!("it is at revision {current} now; read it again, and send that as If-Match");
    Err(Problem::new(Kind::ChangedMeanwhile).detail(detail))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_revision_itself_or_a_star_matches() {
        let matches = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().unwrap());
            check(&headers, 3).is_ok()
        };
        assert!(check(&HeaderMap::new(), 3).is_ok() && require(&HeaderMap::new(), 3).is_err());
        for value in ["\"3\"", "\"1\", \"3\"", "*"] {
            assert!(matches(value), "{value}");
        }
        for value in ["\"2\"", "3", "W/\"3\"", "", "\"33\""] {
            assert!(!matches(value), "{value}");
        }
    }
}
