//! Pages of a listing, each with where the next one begins. A cursor is opaque: the key of the last row.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::hex;
use crate::problem::Problem;

/// The most rows of a page.
const MOST: u32 = 200;

/// The rows of a page that names no limit.
const USUAL: u32 = 50;

/// A page.
#[derive(Debug, Serialize)]
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

/// How many rows are wanted.
pub(crate) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    match wanted.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit),
        _other => Err(Problem::invalid("limit", format!("is a number from 1 to {MOST}"))),
    }
}

fn refused() -> Problem {
    Problem::invalid("cursor", "is none of this listing; take `next_cursor` of the page before")
}

/// A cursor after the row of this id.
pub(crate) fn after_id(id: Uuid) -> String {
    hex::write(id.as_bytes())
}

/// The id after which a listing goes on.
pub(crate) fn read_id(cursor: Option<&str>) -> Result<Option<Uuid>, Problem> {
    let read = |text| Uuid::from_slice(&hex::read(text)?).ok();
    cursor.map(|text| read(text).ok_or_else(refused)).transpose()
}

/// A cursor after the row of this instant and id.
pub(crate) fn after_instant(at: DateTime<Utc>, id: Uuid) -> String {
    hex::write(&[&at.timestamp_micros().to_be_bytes()[..], id.as_bytes()].concat())
}

/// The instant and id after which a listing goes on.
pub(crate) fn read_instant(cursor: Option<&str>) -> Result<Option<(DateTime<Utc>, Uuid)>, Problem> {
    let read = |text| {
        let bytes = hex::read(text)?;
        let (at, id) = bytes.split_first_chunk::<8>()?;
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*at))?;
        Some((at, Uuid::from_slice(id).ok()?))
    };
    cursor.map(|text| read(text).ok_or_else(refused)).transpose()
}

/// A cursor after the row of this number.
pub(crate) fn after_number(number: i32) -> String {
    hex::write(&number.to_be_bytes())
}

/// The number after which a listing goes on; before the first where there is no cursor.
pub(crate) fn read_number(cursor: Option<&str>) -> Result<i32, Problem> {
    let read = |text| Some(i32::from_be_bytes(hex::read(text)?.try_into().ok()?));
    cursor.map_or(Ok(-1), |text| read(text).ok_or_else(refused))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::{after_id, after_instant, after_number, limit, read_id, read_instant, read_number};

    #[test]
    fn a_cursor_brings_back_where_the_page_ended() {
        let id = Uuid::from_u128(7);
        let at = DateTime::from_timestamp_micros(1_790_000_000_000_001).unwrap();
        assert_eq!(read_id(Some(&after_id(id))).unwrap(), Some(id));
        assert_eq!(read_instant(Some(&after_instant(at, id))).unwrap(), Some((at, id)));
        assert_eq!(read_number(Some(&after_number(41))).unwrap(), 41);
        assert!(read_id(Some(&after_number(41))).is_err(), "a cursor of another listing");
        assert!(read_instant(Some("§")).is_err());
    }

    #[test]
    fn a_page_has_one_to_two_hundred_rows() {
        assert_eq!(limit(None).unwrap(), 50);
        assert!(limit(Some(0)).is_err());
        assert!(limit(Some(201)).is_err());
    }
}
