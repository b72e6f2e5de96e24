//! Opportunities: the deals that a customer works on.

mod change;
mod create;
mod read;

pub(super) use change::Wanted;

use axum::Json;
use axum::http::{HeaderName, header};
use chrono::{DateTime, NaiveDate, Utc};
use crm::opportunity::{Money, Opportunity, OpportunityError};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::references::out_of_reach;
use crate::State;
use crate::input::bounded;
use crate::problem::Problem;
use crate::revision;

/// The most contacts of one opportunity.
const MOST_CONTACTS: usize = 100;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read::list, create::create))
        .routes(routes!(read::find, change::change, change::delete))
        .routes(routes!(change::restore))
}

/// A sum in a currency.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Money)]
struct MoneyBody {
    /// Decimal digits, at most two after the point.
    #[schema(example = "1250.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}

impl MoneyBody {
    /// The sum with two digits after its point.
    fn read(self) -> Result<Money, Problem> {
        let amount = amount(&self.amount).ok_or_else(|| {
            Problem::invalid(
                "value.amount",
                "is a sum such as 1250.00, of at most 16 digits before the point",
            )
        })?;
        let letters = self.currency.bytes().all(|byte| byte.is_ascii_uppercase());
        if self.currency.len() != 3 || !letters {
            return Err(Problem::invalid(
                "value.currency",
                "is three capital letters, such as EUR",
            ));
        }
        Ok(Money { amount, currency: self.currency })
    }
}

/// Decimal digits with two after the point.
fn amount(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, cents) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let good = (1..=16).contains(&whole.len())
        && cents.len() <= 2
        && all_digits(whole)
        && all_digits(cents);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && cents.trim_matches('0').is_empty();
    let sign = if zero { "" } else { sign };
    good.then(|| format!("{sign}{whole}.{cents:0<2}"))
}

/// An opportunity as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Opportunity)]
struct OpportunityBody {
    #[schema(example = "opp_01h455vb4pex5vsknk084sn02q")]
    id: String,
    account_id: Option<String>,
    contact_ids: Vec<String>,
    name: String,
    pipeline_id: String,
    stage_id: String,
    value: Option<MoneyBody>,
    close_on: Option<NaiveDate>,
    /// `open won lost`: what the stage means.
    status: String,
    lost_reason: Option<String>,
    owner_id: Option<String>,
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Object)]
    custom: Map<String, Value>,
    stage_changed_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(deal: Opportunity) -> OpportunityBody {
    let value = deal.amount.zip(deal.currency);
    OpportunityBody {
        id: id::show("opp", deal.id),
        account_id: deal.account_id.map(|account| id::show("acc", account)),
        contact_ids: deal.contact_ids.into_iter().map(|one| id::show("con", one)).collect(),
        name: deal.name,
        pipeline_id: id::show("pip", deal.pipeline_id),
        stage_id: id::show("stg", deal.stage_id),
        value: value.map(|(amount, currency)| MoneyBody { amount, currency }),
        close_on: deal.close_on,
        status: deal.status,
        lost_reason: deal.lost_reason,
        owner_id: deal.owner_id.map(|owner| id::show("usr", owner)),
        tags: deal.tags,
        custom: deal.custom.0,
        stage_changed_at: deal.stage_changed_at,
        closed_at: deal.closed_at,
        created_at: deal.created_at,
        updated_at: deal.updated_at,
    }
}

/// An opportunity with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<OpportunityBody>);

fn tagged(deal: Opportunity) -> Tagged {
    let tag = revision::tag(revision::of(deal.updated_at));
    ([(header::ETAG, tag)], Json(show(deal)))
}

fn refused(error: OpportunityError) -> Problem {
    let field = match error {
        OpportunityError::UnknownStage => "stage_id",
        OpportunityError::UnknownAccount => "account_id",
        OpportunityError::UnknownContact => "contact_ids",
        OpportunityError::UnknownOwner => "owner_id",
        OpportunityError::NotLost => "lost_reason",
        OpportunityError::OutOfReach => return out_of_reach(),
        OpportunityError::Database(error) => return error.into(),
    };
    Problem::invalid(field, error.to_string())
}

fn check(lost_reason: Option<&str>, contacts: &[String], tags: &[String]) -> Result<(), Problem> {
    bounded("lost_reason", lost_reason.unwrap_or_default(), 1_000)?;
    if contacts.len() > MOST_CONTACTS {
        let message = format!("are too many; {MOST_CONTACTS} are the most");
        return Err(Problem::invalid("contact_ids", message));
    }
    if tags.len() > 100 || tags.iter().any(|tag| tag.trim().is_empty() || tag.chars().count() > 100)
    {
        return Err(Problem::invalid("tags", "are at most 100, each of 1 to 100 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn a_sum_has_two_digits_after_its_point() {
        let cases = [("1250", "1250.00"), ("0012.5", "12.50"), ("-3.07", "-3.07"), ("-0", "0.00")];
        for (given, read) in cases {
            assert_eq!(amount(given).as_deref(), Some(read), "{given}");
        }
        for bad in ["", "1,250", "1.234", ".5", "1e3", "12345678901234567", "€5", "--1"] {
            assert_eq!(amount(bad), None, "{bad}");
        }
    }
}
