//! Revisions as entity tags, so that nobody overwrites what they have not seen (RFC 9110, section 13.1.1).

use axum::http::{HeaderMap, header};

use crate::problem::{Kind, Problem};

/// The strong tag of a revision.
pub(super) fn tag(revision: i32) -> String {
    format!("\"{revision}\"")
}

/// Refuses where `If-Match` names other revisions only; without it everything matches.
pub(super) fn check(headers: &HeaderMap, revision: i32) -> Result<(), Problem> {
    let mut wanted = headers.get_all(header::IF_MATCH).iter().peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let current = tag(revision);
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
        assert!(check(&HeaderMap::new(), 3).is_ok());
        for value in ["\"3\"", "\"1\", \"3\"", "*"] {
            assert!(matches(value), "{value}");
        }
        for value in ["\"2\"", "3", "W/\"3\"", "", "\"33\""] {
            assert!(!matches(value), "{value}");
        }
    }
}
