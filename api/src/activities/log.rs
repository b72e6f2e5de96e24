//! What people log: notes and calls.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::activity::{self, Kind as ActivityKind, NewActivity};
use engine::{clock, id};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ActivityBody, Named, show};
use crate::State;
use crate::input::{Body, bounded};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The most letters of a note.
const LONGEST: usize = 20_000;
/// The longest call, in seconds: a day.
const LONGEST_CALL: i32 = 86_400;
/// The most users that one note mentions.
const MOST_MENTIONS: usize = 50;

/// What was made, and where.
type Made = (StatusCode, [(HeaderName, String); 1], Json<ActivityBody>);

/// A note to write.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNote)]
pub(super) struct Note {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    /// `@usr_…` mentions a user.
    body: String,
    title: Option<String>,
    /// Now by default.
    occurred_at: Option<DateTime<Utc>>,
}

/// Writes a note about a contact, a company or a deal.
#[utoipa::path(
    post, path = "/activities/notes",
    request_body = Note,
    responses((status = 201, description = "Made", body = ActivityBody)),
    security(("bearer" = ["activities:write"])),
)]
pub(super) async fn note(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Note>,
) -> Result<Made, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let mentioned = mentions(&mut tx, caller.customer_id, Some(&new.body)).await?;
    let data = if mentioned.is_empty() { json!({}) } else { json!({ "mentions": mentioned }) };
    let Note { contact_id, account_id, opportunity_id, .. } = new;
    let named = Named { contact_id, account_id, opportunity_id };
    let words = (new.title.unwrap_or_else(|| "Note".into()), Some(new.body));
    write(&mut tx, &caller, (ActivityKind::Note, named), words, new.occurred_at, data).await
}

/// A call to log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCall)]
pub(super) struct Call {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    /// How it went, such as `reached`, `voicemail`, `no_answer`, `wrong_number`.
    outcome: String,
    #[schema(minimum = 0, maximum = 86400)]
    duration_seconds: Option<i32>,
    title: Option<String>,
    /// What was said.
    body: Option<String>,
    /// Now by default.
    occurred_at: Option<DateTime<Utc>>,
}

/// Logs a call with a contact, a company or about a deal.
#[utoipa::path(
    post, path = "/activities/calls",
    request_body = Call,
    responses((status = 201, description = "Made", body = ActivityBody)),
    security(("bearer" = ["activities:write"])),
)]
pub(super) async fn call(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Call>,
) -> Result<Made, Problem> {
    bounded("outcome", &new.outcome, 100)?;
    if new.outcome.trim().is_empty() {
        return Err(Problem::invalid("outcome", "is empty"));
    }
    if new.duration_seconds.is_some_and(|seconds| !(0..=LONGEST_CALL).contains(&seconds)) {
        return Err(Problem::invalid("duration_seconds", format!("is 0 to {LONGEST_CALL}")));
    }
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let data = json!({ "outcome": new.outcome, "duration_seconds": new.duration_seconds });
    let Call { contact_id, account_id, opportunity_id, .. } = new;
    let named = Named { contact_id, account_id, opportunity_id };
    let title = new.title.unwrap_or_else(|| format!("Call: {}", new.outcome));
    write(&mut tx, &caller, (ActivityKind::Call, named), (title, new.body), new.occurred_at, data)
        .await
}

async fn write(
    tx: &mut PgConnection,
    caller: &Caller,
    (kind, named): (ActivityKind, Named),
    (title, body): (String, Option<String>),
    occurred_at: Option<DateTime<Utc>>,
    data: Value,
) -> Result<Made, Problem> {
    check_words(&title, body.as_deref())?;
    let customer_id = caller.customer_id;
    let about = named.existing(&mut *tx, customer_id).await?;
    let now = clock::now(&mut *tx).await?;
    let occurred_at = occurred_at.unwrap_or(now);
    if occurred_at > now {
        return Err(Problem::invalid("occurred_at", "is ahead; a task is for what is to come"));
    }
    let actor = caller.actor();
    let new = NewActivity {
        customer_id,
        kind,
        title,
        body,
        about,
        actor,
        occurred_at,
        data,
        source: None,
    };
    let written = activity::log(&mut *tx, &[new]).await?;
    let made = written.first().map(|(_, id)| *id).ok_or_else(|| Problem::new(Kind::Internal))?;
    let made = activity::find(tx, customer_id, made).await?;
    let made = show(made.ok_or_else(|| Problem::new(Kind::Internal))?);
    let location = format!("/api/v1/activities/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Refuses words that are none, or too many.
pub(super) fn check_words(title: &str, body: Option<&str>) -> Result<(), Problem> {
    bounded("title", title, 500)?;
    bounded("body", body.unwrap_or_default(), LONGEST)?;
    if title.trim().is_empty() {
        return Err(Problem::invalid("title", "is empty"));
    }
    if body.is_some_and(|body| body.trim().is_empty()) {
        return Err(Problem::invalid("body", "is empty"));
    }
    Ok(())
}

/// The users that a text mentions, each once, in its order.
pub(super) async fn mentions(
    tx: &mut PgConnection,
    customer_id: Uuid,
    text: Option<&str>,
) -> Result<Vec<String>, Problem> {
    let named = mentioned(text.unwrap_or_default());
    if named.len() > MOST_MENTIONS {
        let message = format!("mentions too many; {MOST_MENTIONS} are the most");
        return Err(Problem::invalid("body", message));
    }
    for name in &named {
        let unknown = || Problem::invalid("body", format!("mentions {name}, who is no user"));
        let user_id = id::read("usr", name).map_err(|_| unknown())?;
        let found = crm::user::find(&mut *tx, customer_id, user_id).await?;
        found.ok_or_else(unknown)?;
    }
    Ok(named)
}

/// What stands behind each `@` and begins as a user's id does.
fn mentioned(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for part in text.split('@').skip(1).filter(|part| part.starts_with("usr_")) {
        let id = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        let name: String = part.chars().take_while(id).collect();
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::mentioned;

    #[test]
    fn a_mention_is_an_id_behind_an_at() {
        let text =
            "ask @usr_01abc, and @usr_02def. @usr_01abc again; ann@acme.example and @bob are none";
        assert_eq!(mentioned(text), ["usr_01abc", "usr_02def"]);
    }
}
