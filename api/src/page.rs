//! Pages of a listing, each with where the next one begins. A cursor is opaque: the key of the last row, signed for
//! its listing, so that nobody makes one up or takes it elsewhere.

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use crm::filter::After;
use ring::hmac;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::State;
use crate::hex;
use crate::problem::{Kind, Problem};

/// The most rows of a page.
pub(crate) const MOST: u32 = 200;

/// The rows of a page that names no limit.
const USUAL: u32 = 50;

/// The bytes of a signature that a cursor carries.
const SIGNATURE: usize = 8;

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    data: Vec<T>,
    /// Where the next page begins; after a full last page there may be one more that is empty.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows, whose rows stand in the listing's order.
    pub(crate) fn of<R>(
        rows: Vec<R>,
        limit: u32,
        cursor: impl Fn(&R) -> String,
        show: impl FnMut(R) -> T,
    ) -> Self {
        let full = u32::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
        let next_cursor = rows.last().filter(|_| full).map(cursor);
        Self { data: rows.into_iter().map(show).collect(), next_cursor }
    }

    /// A page whose end its maker knows.
    pub(crate) fn ending(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, next_cursor }
    }
}

/// Which page of a listing that takes nothing else.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    pub(crate) limit: Option<u32>,
    pub(crate) cursor: Option<String>,
}

/// How many rows are wanted.
pub(crate) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit),
        _other => Err(Problem::invalid("limit", format!("is a number from 1 to {MOST}"))),
    }
}

/// The cursors of the listing that is asked for.
pub(crate) struct Cursors {
    key: hmac::Key,
    listing: String,
}

impl FromRequestParts<State> for Cursors {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let path = parts.extensions.get::<MatchedPath>();
        let path = path.ok_or_else(|| Problem::new(Kind::NotFound))?;
        Ok(Self { key: state.cursor_key.clone(), listing: path.as_str().to_owned() })
    }
}

impl Cursors {
    /// A cursor after the row of this id.
    pub(crate) fn after_id(&self, id: Uuid) -> String {
        self.sign(id.as_bytes())
    }

    /// The id after which a listing goes on.
    pub(crate) fn read_id(&self, cursor: Option<&str>) -> Result<Option<Uuid>, Problem> {
        self.read(cursor, |bytes| Uuid::from_slice(bytes).ok())
    }

    /// A cursor after the row of this instant and id.
    pub(crate) fn after_instant(&self, at: DateTime<Utc>, id: Uuid) -> String {
        self.sign(&[&at.timestamp_micros().to_be_bytes()[..], id.as_bytes()].concat())
    }

    /// The instant and id after which a listing goes on.
    pub(crate) fn read_instant(
        &self,
        cursor: Option<&str>,
    ) -> Result<Option<(DateTime<Utc>, Uuid)>, Problem> {
        self.read(cursor, |bytes| {
            let (at, id) = bytes.split_first_chunk::<8>()?;
            let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*at))?;
            Some((at, Uuid::from_slice(id).ok()?))
        })
    }

    /// A cursor after the row of this number.
    pub(crate) fn after_number(&self, number: i64) -> String {
        self.sign(&number.to_be_bytes())
    }

    /// The number after which a listing goes on; before the first where there is no cursor.
    pub(crate) fn read_number(&self, cursor: Option<&str>) -> Result<i64, Problem> {
        let read = self.read(cursor, |bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
        read.map(|number| number.unwrap_or(-1))
    }

    /// A cursor after a row of a listing in this order.
    pub(crate) fn after_key(&self, order: &str, after: &After) -> String {
        let key = [order.as_bytes(), &[0], after.key.as_bytes()].concat();
        self.sign(&[after.id.as_bytes(), &key[..]].concat())
    }

    /// Where a listing in this order goes on; the cursor of another order is none.
    pub(crate) fn read_key(
        &self,
        order: &str,
        cursor: Option<&str>,
    ) -> Result<Option<After>, Problem> {
        self.read(cursor, |bytes| {
            let (id, key) = bytes.split_first_chunk::<16>()?;
            let key = std::str::from_utf8(key).ok()?;
            let (of, key) = key.split_once('\0')?;
            (of == order).then(|| After { key: key.to_owned(), id: Uuid::from_bytes(*id) })
        })
    }

    fn sign(&self, bytes: &[u8]) -> String {
        let signature = hmac::sign(&self.key, &self.signed(bytes));
        hex::write(&[&signature.as_ref()[..SIGNATURE], bytes].concat())
    }

    fn read<T>(
        &self,
        cursor: Option<&str>,
        key: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let read = |text| {
            let bytes = hex::read(text)?;
            let (signature, bytes) = bytes.split_at_checked(SIGNATURE)?;
            // It guards no secret: whoever guesses one reads the customer's own rows from another place on.
            let right = hmac::sign(&self.key, &self.signed(bytes));
            (right.as_ref()[..SIGNATURE] == *signature).then(|| key(bytes)).flatten()
        };
        let refused = || {
            let message = "is none of this listing; take `next_cursor` of the page before";
            Problem::invalid("cursor", message)
        };
        cursor.map(|text| read(text).ok_or_else(refused)).transpose()
    }

    fn signed(&self, bytes: &[u8]) -> Vec<u8> {
        [self.listing.as_bytes(), &[0], bytes].concat()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use ring::hmac;
    use uuid::Uuid;

    use super::{Cursors, limit};

    fn cursors(listing: &str) -> Cursors {
        Cursors { key: hmac::Key::new(hmac::HMAC_SHA256, b"secret"), listing: listing.into() }
    }

    #[test]
    fn a_cursor_brings_back_where_the_page_ended_in_its_own_listing_only() {
        let (contacts, others) = (cursors("/contacts"), cursors("/others"));
        let id = Uuid::from_u128(7);
        let at = DateTime::from_timestamp_micros(1_790_000_000_000_001).unwrap();
        assert_eq!(contacts.read_id(Some(&contacts.after_id(id))).unwrap(), Some(id));
        let cursor = contacts.after_instant(at, id);
        assert_eq!(contacts.read_instant(Some(&cursor)).unwrap(), Some((at, id)));
        assert_eq!(contacts.read_number(Some(&contacts.after_number(41))).unwrap(), 41);
        assert!(contacts.read_id(Some(&contacts.after_number(41))).is_err(), "of another kind");
        assert!(others.read_id(Some(&contacts.after_id(id))).is_err(), "of another listing");
        let after = crm::filter::After { key: "o'neill".into(), id };
        let cursor = contacts.after_key("-last_name", &after);
        assert_eq!(contacts.read_key("-last_name", Some(&cursor)).unwrap(), Some(after));
        assert!(contacts.read_key("last_name", Some(&cursor)).is_err(), "of another order");
        assert!(contacts.read_instant(Some("§")).is_err());
        let made_up = "00".repeat(24);
        assert!(contacts.read_id(Some(&made_up)).is_err());
    }

    #[test]
    fn a_page_has_one_to_two_hundred_rows() {
        assert_eq!(limit(None).unwrap(), 50);
        assert!(limit(Some(0)).is_err());
        assert!(limit(Some(201)).is_err());
    }
}
