//! Tables that people open in a spreadsheet: CSV (RFC 4180) in UTF-8. A cell that a spreadsheet would run as a formula
//! stands behind a quote (OWASP, CSV injection).

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::problem::{Kind, Problem};

/// Rows as bytes.
pub(super) fn rows<'a, R: IntoIterator<Item = &'a str>>(
    rows: impl IntoIterator<Item = R>,
) -> Result<Bytes, Problem> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let broken = |_| Problem::new(Kind::Internal);
    for row in rows {
        writer
            .write_record(row.into_iter().map(|cell| harmless(cell).into_owned()))
            .map_err(broken)?;
    }
    writer.into_inner().map(Bytes::from).map_err(|_| Problem::new(Kind::Internal))
}

/// A cell that no spreadsheet runs.
fn harmless(cell: &str) -> Cow<'_, str> {
    // A telephone number in international form is none.
    let is_number = cell.strip_prefix(['+', '-']).is_some_and(|rest| {
        !rest.is_empty()
            && rest.chars().all(|letter| letter.is_ascii_digit() || " ().-/".contains(letter))
    });
    // A cell that begins like a guarded one is guarded as well, so that an import takes off what was put on.
    let is_like_guarded = cell.starts_with('\'') && begins_formula(cell.trim_start_matches('\''));
    match cell.chars().next() {
        Some('\'') if is_like_guarded => Cow::Owned(format!("'{cell}")),
        Some('=' | '@' | '\t' | '\r') => Cow::Owned(format!("'{cell}")),
        Some('+' | '-') if !is_number => Cow::Owned(format!("'{cell}")),
        Some(_) | None => Cow::Borrowed(cell),
    }
}

fn begins_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A table as a file of this name.
pub(super) fn answer(name: &'static str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_stands_behind_a_quote() {
        for formula in ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3+cmd", "\t=1"] {
            assert_eq!(harmless(formula), format!("'{formula}"));
        }
        assert_eq!(harmless("'=1"), "''=1");
        assert_eq!(harmless("''+43"), "'''+43");
        for plain in ["'t Hooft", "+43 1 234-567", "-12.50", "a=b", "", "O'Neill"] {
            assert_eq!(harmless(plain), plain);
        }
    }

    #[test]
    fn a_table_is_quoted_where_it_must_be() {
        let table = rows([["a,b", "say \"hi\""], ["two\nlines", ""]]).ok();
        let text = table.map(|bytes| String::from_utf8(bytes.to_vec()));
        assert_eq!(text, Some(Ok("\"a,b\",\"say \"\"hi\"\"\"\n\"two\nlines\",\n".into())));
    }
}
