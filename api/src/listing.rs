//! What a listing of records is asked: `q`, `filter[FIELD][OPERATOR]=VALUE`, `sort`, `limit`, `cursor`. Whatever the
//! records don't have is refused.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use crm::custom_field::CustomField;
use crm::filter::{self, After, Checked, Field, Filter, Refused, Sort, SortField};
use serde_json::Value;
use utoipa::IntoParams;

use crate::State;
use crate::page::{self, Cursors, Page};
use crate::problem::{Fault, Kind, Problem};

/// The parameters, as the document tells of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "they are read by `Listing`, which takes any field")]
pub(crate) struct ListingParams {
    /// Words that the record has, perhaps misspelled; without `sort` the best come first, on one page.
    q: Option<String>,
    /// `filter[FIELD][OPERATOR]=VALUE`, such as `filter[country][eq]=DE` or `filter[custom.seats][gte]=10`; operators are
    /// `eq ne in gt gte lt lte contains starts has empty`.
    #[param(style = DeepObject, explode, value_type = Option<Object>)]
    filter: Option<BTreeMap<String, BTreeMap<String, String>>>,
    /// A field, with `-` before it for the greatest first; `-created_at` by default.
    #[param(example = "-created_at")]
    sort: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The order of a listing that names none: the newest first.
const USUAL: &str = "-created_at";

/// What was asked.
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) limit: u32,
    sort: Option<String>,
    cursor: Option<String>,
    cursors: Cursors,
    others: BTreeMap<String, String>,
}

impl FromRequestParts<State> for Listing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let cursors = Cursors::from_request_parts(parts, state).await?;
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) =
            pairs.map_err(|_| Problem::new(Kind::Malformed).detail("the query can't be read"))?;
        Self::of(pairs, cursors)
    }
}

impl Listing {
    fn of(pairs: Vec<(String, String)>, cursors: Cursors) -> Result<Self, Problem> {
        let (mut filter, mut others) = (Filter::default(), BTreeMap::new());
        for (name, value) in pairs {
            if name.starts_with("filter") {
                let asked = asked(&name).ok_or_else(|| {
                    Problem::invalid(&name, "is written filter[FIELD][OPERATOR]=VALUE")
                })?;
                let (field, operator) = (asked.0.to_owned(), asked.1.to_owned());
                filter.fields.entry(field).or_default().insert(operator, Value::from(value));
            } else if others.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(&name, "stands twice; write it once"));
            }
        }
        filter.q = others.remove("q");
        let limit = others.remove("limit").map(|text| text.parse::<u32>()).transpose();
        let limit = limit.map_err(|_| Problem::invalid("limit", "is a number"))?;
        Ok(Self {
            filter,
            limit: page::limit(limit)?,
            sort: others.remove("sort"),
            cursor: others.remove("cursor"),
            cursors,
            others,
        })
    }

    /// Takes a parameter that this listing has beyond those of all.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.others.remove(name)
    }

    /// Refuses parameters that nobody took, and reads the filter against what the records have.
    pub(crate) fn check(
        &self,
        fields: &[Field],
        custom: &[CustomField],
    ) -> Result<Checked, Problem> {
        if let Some(name) = self.others.keys().next() {
            return Err(Problem::invalid(name, "is no parameter of this listing"));
        }
        Checked::read(&self.filter, fields, custom).map_err(|refused| refuse("", &refused))
    }

    /// Whether the best of a search are asked for: then there is one page, in no order of a field.
    pub(crate) fn is_search(&self) -> bool {
        self.filter.q.as_ref().is_some_and(|q| !q.trim().is_empty()) && self.sort.is_none()
    }

    /// The order, and where the page begins.
    pub(crate) fn order(
        &self,
        sorts: &'static [SortField],
    ) -> Result<(Sort, Option<After>), Problem> {
        let order = self.sort.as_deref().unwrap_or(USUAL);
        let sort =
            filter::sort(order, sorts).map_err(|message| Problem::invalid("sort", message))?;
        Ok((sort, self.cursors.read_key(order, self.cursor.as_deref())?))
    }

    /// A page of rows, each with where a page after it begins.
    pub(crate) fn page<R, T>(&self, rows: Vec<(R, After)>, show: impl Fn(R) -> T) -> Page<T> {
        let order = self.sort.as_deref().unwrap_or(USUAL);
        let cursor = |(_, after): &(R, After)| self.cursors.after_key(order, after);
        Page::of(rows, self.limit, cursor, |(row, _)| show(row))
    }
}

/// The field and the operator of `filter[FIELD][OPERATOR]`.
fn asked(name: &str) -> Option<(&str, &str)> {
    let (field, operator) = name.strip_prefix("filter[")?.strip_suffix(']')?.split_once("][")?;
    let whole = |part: &str| !part.is_empty() && !part.contains(['[', ']']);
    (whole(field) && whole(operator)).then_some((field, operator))
}

/// What is wrong with a filter; `within` stands before each field, such as `filter.` of a body.
pub(crate) fn refuse(within: &str, refused: &[Refused]) -> Problem {
    refused.iter().fold(Problem::new(Kind::Invalid), |problem, Refused { field, message }| {
        let field = Some(format!("{within}{field}"));
        problem.fault(Fault { field, message: message.clone(), ..Fault::default() })
    })
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn a_condition_names_a_field_and_an_operator() {
        assert_eq!(asked("filter[country][eq]"), Some(("country", "eq")));
        assert_eq!(asked("filter[custom.seats][gte]"), Some(("custom.seats", "gte")));
        for bad in ["filter", "filter[country]", "filter[][eq]", "filter[a][b][c]", "filters[a][b]"]
        {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
