//! Suppressions: addresses and domains that get no mail, whatever a sequence says.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::address;
use crm::audit::{self, NewEntry};
use crm::suppression::{self, MOST, NewSuppression, Reason, Suppression, What};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Fault, Kind, Problem};
use crate::tenant::{self, Caller};

/// How many invalid entries a refusal lists.
const FAULTS: usize = 100;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, add)).routes(routes!(remove))
}

/// A suppression as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Suppression)]
struct SuppressionBody {
    #[schema(example = "sup_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// The address that gets no mail; `null` for a domain and for an erased person, whose address is kept as a hash.
    email: Option<String>,
    /// The domain whose addresses get no mail, without its subdomains; `null` for an address.
    domain: Option<String>,
    reason: Reason,
    /// Who added it: `user:usr_…`, `key:key_…`, `cli` (a command), `import` (a row of a file), or `inbound` (a bounce, or an
    /// unsubscription by the recipient); `null` if unknown.
    actor: Option<String>,
    created_at: DateTime<Utc>,
    /// As `created_at`: a suppression is added and removed, never changed.
    updated_at: DateTime<Utc>,
}

fn show(suppression: Suppression) -> SuppressionBody {
    let Suppression { id, email, domain, reason, actor, created_at } = suppression;
    let id = id::show("sup", id);
    SuppressionBody { id, email, domain, reason, actor, created_at, updated_at: created_at }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// An address: the suppressions by which it gets no mail, which are its own, its domain's or that of an erased person.
    email: Option<String>,
    /// A domain: its own suppression.
    domain: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Suppressed addresses and domains, newest first. The list is the whole customer's, for every role.
#[utoipa::path(
    get, path = "/suppressions",
    params(List),
    responses((status = 200, description = "As asked", body = Page<SuppressionBody>)),
    security(("bearer" = ["suppressions:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<SuppressionBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let address = match (&wanted.email, &wanted.domain) {
        (None, None) => None,
        (Some(email), None) => Some(read_email("email", email)?),
        (None, Some(domain)) => Some(format!("@{}", read_domain("domain", domain)?)),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("domain", "is given beside `email`; give one of them"));
        }
    };
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    if let Some(address) = address {
        let found = suppression::of_address(&mut *tx, customer_id, &address).await?;
        return Ok(Json(Page::ending(found.into_iter().map(show).collect(), None)));
    }
    let found = suppression::list(&mut *tx, customer_id, before, limit).await?;
    let cursor = |suppression: &Suppression| cursors.after_id(suppression.id);
    Ok(Json(Page::of(found, limit, cursor, show)))
}

/// An address or a domain to suppress.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSuppression)]
struct Entry {
    /// An address.
    email: Option<String>,
    /// A domain, without its subdomains; `@acme.example` is read as `acme.example`.
    domain: Option<String>,
    /// Why: `manual` by default, `unsubscribed`, `bounced` or `complained`.
    reason: Option<Reason>,
}

/// One entry, or up to 1,000 in `entries`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSuppressions)]
struct Entries {
    /// An address.
    email: Option<String>,
    /// A domain, without its subdomains; `@acme.example` is read as `acme.example`.
    domain: Option<String>,
    /// Why: `manual` by default, `unsubscribed`, `bounced` or `complained`.
    reason: Option<Reason>,
    /// Several at once, in place of one: all are added, or none if one is invalid.
    #[schema(min_items = 1, max_items = 1000)]
    entries: Option<Vec<Entry>>,
}

/// Several suppressions.
#[derive(Serialize, ToSchema)]
struct Added {
    /// How many are new.
    added: usize,
    /// How many were suppressed already; each keeps its first reason.
    existing: usize,
    /// All of them, each once, in the order of the request.
    data: Vec<SuppressionBody>,
}

/// What one entry answers, or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document alone names it")]
enum Answer {
    One(SuppressionBody),
    Several(Added),
}

fn read_email(field: &str, text: &str) -> Result<String, Problem> {
    let invalid =
        || Problem::invalid(field, "is not a valid email address; write it as name@domain.tld");
    address::read(text).ok_or_else(invalid)
}

fn read_domain(field: &str, text: &str) -> Result<String, Problem> {
    let invalid = || Problem::invalid(field, "is not a domain; write it as example.com");
    suppression::domain(text).ok_or_else(invalid)
}

impl Entry {
    /// Reads it; `at` is the path of its fields.
    fn read(&self, at: &str) -> Result<NewSuppression, Problem> {
        let reason = self.reason.unwrap_or_default();
        if reason == Reason::Erased {
            let message = "is what an erasure leaves; give `manual`, `unsubscribed`, `bounced` or `complained`";
            return Err(Problem::invalid(&format!("{at}reason"), message));
        }
        let what = match (&self.email, &self.domain) {
            (Some(email), None) => What::Email(read_email(&format!("{at}email"), email)?),
            (None, Some(domain)) => What::Domain(read_domain(&format!("{at}domain"), domain)?),
            (None, None) => {
                let message = "is missing; give an address, or a domain in `domain`";
                return Err(Problem::invalid(&format!("{at}email"), message));
            }
            (Some(_), Some(_)) => {
                let message = "is given beside `email`; give one of them in an entry";
                return Err(Problem::invalid(&format!("{at}domain"), message));
            }
        };
        Ok(NewSuppression { what, reason })
    }
}

/// All entries, or what is wrong with each that is invalid.
fn read_all(entries: &[Entry]) -> Result<Vec<NewSuppression>, Problem> {
    if !(1..=MOST).contains(&entries.len()) {
        let message = format!("has {} entries; give 1 to {MOST} in one request", entries.len());
        return Err(Problem::invalid("entries", message));
    }
    let mut read = Vec::with_capacity(entries.len());
    let mut faults: Vec<Fault> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        match entry.read(&format!("entries[{at}].")) {
            Ok(entry) => read.push(entry),
            Err(problem) => faults.extend(problem.faults()),
        }
    }
    if faults.is_empty() {
        return Ok(read);
    }
    faults.truncate(FAULTS);
    Err(faults.into_iter().fold(Problem::new(Kind::Invalid), Problem::fault))
}

/// Suppresses an address, a domain, or up to 1,000 of them. Enrolling them is refused from then on, and a run that is
/// about to write to one stops at that mail.
#[utoipa::path(
    post, path = "/suppressions",
    request_body = Entries,
    responses(
        (status = 201, description = "Added; for `entries` also if some were suppressed already", body = Answer),
        (status = 200, description = "Suppressed already", body = Answer),
    ),
    security(("bearer" = ["suppressions:write"])),
)]
async fn add(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(given): Body<Entries>,
) -> Result<Response, Problem> {
    let Entries { email, domain, reason, entries } = given;
    let one = Entry { email, domain, reason };
    let is_one = one.email.is_some() || one.domain.is_some() || one.reason.is_some();
    let read = match &entries {
        Some(_) if is_one => {
            let message = "is given beside a single entry; give one of them";
            return Err(Problem::invalid("entries", message));
        }
        Some(entries) => read_all(entries)?,
        None => vec![one.read("")?],
    };
    let (customer_id, actor) = (caller.customer_id, caller.actor());
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = suppression::add_all(&mut tx, customer_id, &read, &actor).await?;
    let added = found.iter().filter(|(_, is_new)| *is_new).count();
    let status = if added > 0 { StatusCode::CREATED } else { StatusCode::OK };
    let existing = found.len() - added;
    let mut data: Vec<SuppressionBody> = found.into_iter().map(|(one, _)| show(one)).collect();
    if entries.is_some() {
        return Ok((status, Json(Added { added, existing, data })).into_response());
    }
    let one = data.pop().ok_or_else(|| Problem::new(Kind::Internal))?;
    let location = format!("/api/v1/suppressions/{}", one.id);
    Ok((status, [(header::LOCATION, location)], Json(one)).into_response())
}

/// Removes a suppression: the address or the domain may be written to again. A contact that is unsubscribed or bounced
/// stays so. What an erasure left can't be removed.
#[utoipa::path(
    delete, path = "/suppressions/{id}",
    responses((status = 204, description = "It is removed")),
    security(("bearer" = ["suppressions:write"])),
)]
async fn remove(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(suppression): Path<String>,
) -> Result<StatusCode, Problem> {
    let suppression_id = path_id("sup", &suppression)?;
    let (customer_id, actor) = (caller.customer_id, caller.actor());
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = suppression::lock(&mut *tx, customer_id, suppression_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    if found.reason == Reason::Erased {
        let detail =
            "the person was erased; the hash of the address keeps them from being written to again";
        return Err(Problem::new(Kind::WrongState).detail(detail));
    }
    suppression::remove(&mut *tx, customer_id, suppression_id).await?;
    // Without the address, which an erasure would not find here.
    let entry = NewEntry {
        actor: &actor,
        action: "suppression.removed",
        target: Some(id::show("sup", suppression_id)),
        address: None,
        data: json!({ "reason": found.reason, "domain": found.domain, "added_by": found.actor }),
    };
    audit::write(&mut *tx, customer_id, entry).await?;
    Ok(StatusCode::NO_CONTENT)
}
