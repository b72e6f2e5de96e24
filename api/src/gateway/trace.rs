//! The trace that a request is part of (W3C Trace Context, `traceparent`), which the events of what it writes carry on.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use engine::clock;

pub(super) const HEADER: HeaderName = HeaderName::from_static("traceparent");

/// A request's place in its trace: version 00, the trace, this request, the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace(String);

impl Trace {
    /// This request in the caller's trace; in one of its own where the caller names none that can be read.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).and_then(|value| value.to_str().ok()).and_then(read);
        let own = clock::new_id().simple().to_string();
        let (trace, flags) = given.unwrap_or((&own, "00"));
        // The last half of an id is drawn, its variant bits apart.
        Self(format!("00-{trace}-{}-{flags}", &clock::new_id().simple().to_string()[16..]))
    }

    /// As the header's value, for who is asked next.
    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::try_from(&self.0).expect("it is of digits, letters and dashes")
    }

    /// As the database's setting that the outbox reads.
    pub(crate) fn setting(&self) -> String {
        format!("set local app.traceparent = '{}'", self.0)
    }
}

/// The trace and the flags of what a caller gave, where it is right.
fn read(text: &str) -> Option<(&str, &str)> {
    let hex = |part: &str, length: usize| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == length && part.bytes().all(digit)
    };
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may say more behind.
    let whole = version != "00" || parts.next().is_none();
    let right =
        hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2);
    (whole && right).then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(text: &str) -> String {
        let given = HeaderValue::try_from(text).expect("plain text");
        Trace::of(&HeaderMap::from_iter([(HEADER, given)])).0
    }

    #[test]
    fn a_request_goes_on_in_the_trace_of_its_caller() {
        let mine = of(GIVEN);
        assert_eq!(&mine[..36], &GIVEN[..36]);
        assert_ne!(mine[36..52], GIVEN[36..52], "it is a place of its own");
        assert_eq!(&mine[52..], "-01");
        assert!(read(&mine).is_some());
    }

    #[test]
    fn what_can_t_be_read_begins_a_trace_of_its_own() {
        let bad = [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-'; drop table contacts; --",
        ];
        for text in bad {
            let own = of(text);
            assert!(read(&own).is_some() && own.ends_with("-00"), "{text}: {own}");
        }
    }
}
