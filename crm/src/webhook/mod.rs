//! Webhooks: where a customer's systems are told of events. Owns `webhooks` and `webhook_deliveries`.

mod delivery;
mod kept;

use std::time::Duration;

use chrono::{DateTime, Utc};
use engine::limit::{self, Rule, RuleError};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::event;
use crate::vault::Vault;

pub use delivery::{
    ATTEMPTS, Answered, Delivery, Filter, Redelivery, Sending, Written, fan_out, redeliver,
    to_send, try_out,
};
pub(crate) use delivery::{answered, give_up};
pub(crate) use kept::erase;
pub use kept::{deliveries, find_delivery, forget};

/// The kind of limit by which no slow system takes all hands; its name is the webhook's id (`whk_…`).
pub const LIMIT: &str = "webhook";
/// The most webhooks of a customer.
pub const MOST: i64 = 20;
/// How many deliveries to one webhook are under way at once.
const AT_ONCE: u32 = 4;
/// For how long the secret before a change still signs.
const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a webhook may get deliveries.
pub const STATUSES: &[&str] = &["active", "paused", "disabled"];
/// What may have become of a delivery.
pub const DELIVERY_STATUSES: &[&str] = &["pending", "delivered", "failed"];

/// A webhook.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Its id (`whk_…`).
    pub id: Uuid,
    /// Where it is.
    pub url: String,
    /// Of what it is told: topics, all of an entity's (`contact.*`), or `*`.
    pub events: Vec<String>,
    /// What people say of it.
    pub description: Option<String>,
    /// `active`, `paused` by somebody, or `disabled` because nothing arrived.
    pub status: String,
    /// Why it was disabled.
    pub status_reason: Option<String>,
    /// Since when nothing arrived.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What people say of a webhook.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Of what it is told.
    pub events: &'a [String],
    /// What it is.
    pub description: Option<&'a str>,
}

/// Why none was made.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There are enough.
    #[error("there are {MOST} webhooks, which is the most; delete one first")]
    TooMany,
    /// The rule of its limit is impossible: a mistake of ours.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Whether events may be asked for by this text.
///
/// # Errors
/// What is wrong, in a fragment that says what to write.
pub fn check_event(text: &str) -> Result<(), String> {
    let word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if text == "*" {
        return Ok(());
    }
    let (first, rest) = text.split_once('.').unwrap_or((text, ""));
    let shaped = text.len() <= 100
        && word(first)
        && (rest == "*" || (!rest.is_empty() && rest.split('.').all(word)));
    if !shaped {
        return Err(format!("`{text}` is no event; write such as contact.created, contact.* or *"));
    }
    let topics = event::topics();
    let own: Vec<&str> =
        topics.into_iter().filter(|topic| topic.split('.').next() == Some(first)).collect();
    if own.is_empty() || rest == "*" || own.contains(&text) {
        return Ok(());
    }
    Err(format!("there is no event `{text}`; there are: {}", own.join(", ")))
}

/// Makes a webhook; `sealed` is its secret.
///
/// # Errors
/// `TooMany`, or what the statements returned.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    wanted: Wanted<'_>,
    sealed: &[u8],
) -> Result<Webhook, WebhookError> {
    let there = sqlx::query_scalar!(
        r#"select count(*) as "count!" from webhooks where customer_id = $1 and deleted_at is null"#,
        customer_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    if there >= MOST {
        return Err(WebhookError::TooMany);
    }
    let made = sqlx::query_as!(
        Webhook,
        "insert into webhooks (customer_id, id, url, events, description, secret) values ($1, $2, $3, $4, $5, $6)
         returning id, url, events, description, status, status_reason, failing_since, created_at, updated_at",
        customer_id,
        id,
        wanted.url,
        wanted.events,
        wanted.description,
        sealed,
    )
    .fetch_one(&mut *tx)
    .await?;
    let rule = Rule { at_once: Some(AT_ONCE), ..Rule::default() };
    limit::set(tx, customer_id, LIMIT, &engine::id::show("whk", id), &rule).await?;
    Ok(made)
}

/// A webhook by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Webhook>, sqlx::Error> {
    sqlx::query_as!(
        Webhook,
        "select id, url, events, description, status, status_reason, failing_since, created_at, updated_at
         from webhooks where customer_id = $1 and id = $2 and deleted_at is null",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// How many of the newest webhooks a check of their secrets opens.
const OPENED: i64 = 1_000;

/// How many of the newest 1,000 webhooks have a secret that this vault does not open.
///
/// # Errors
/// Returns what the statement returned.
pub async fn unopened(db: impl PgExecutor<'_>, vault: &Vault) -> Result<usize, sqlx::Error> {
    let sealed = sqlx::query!(
        "select id, secret from webhooks where deleted_at is null order by id desc limit $1",
        OPENED,
    )
    .fetch_all(db)
    .await?;
    Ok(sealed.iter().filter(|webhook| vault.open(webhook.id, &webhook.secret).is_err()).count())
}

/// The same, locked.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Webhook>, sqlx::Error> {
    sqlx::query_as!(
        Webhook,
        "select id, url, events, description, status, status_reason, failing_since, created_at, updated_at
         from webhooks where customer_id = $1 and id = $2 and deleted_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A customer's webhooks, newest first; at most [`MOST`].
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Webhook>, sqlx::Error> {
    sqlx::query_as!(
        Webhook,
        "select id, url, events, description, status, status_reason, failing_since, created_at, updated_at
         from webhooks where customer_id = $1 and deleted_at is null and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await
}

/// Changes a webhook that [`lock`] gave, and whether it is told of anything; one that is active again begins anew.
///
/// # Errors
/// What the statement returned.
pub async fn change(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    wanted: Wanted<'_>,
    status: &str,
) -> Result<Webhook, sqlx::Error> {
    sqlx::query_as!(
        Webhook,
        "update webhooks set url = $3, events = $4, description = $5, status = $6, updated_at = engine.now(),
           status_reason = case when $6 = status then status_reason end,
           failing_since = case when $6 = status then failing_since end,
           active_since = case when $6 = status then active_since else engine.now() end
         where customer_id = $1 and id = $2
         returning id, url, events, description, status, status_reason, failing_since, created_at, updated_at",
        customer_id,
        id,
        wanted.url,
        wanted.events,
        wanted.description,
        status,
    )
    .fetch_one(db)
    .await
}

/// Gives a webhook that [`lock`] gave another secret; the one before signs as well for a day.
///
/// # Errors
/// What the statement returned.
pub async fn rotate(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    sealed: &[u8],
) -> Result<Webhook, sqlx::Error> {
    sqlx::query_as!(
        Webhook,
        "update webhooks set previous_secret = secret, secret = $3, updated_at = engine.now(),
           previous_until = engine.now() + make_interval(secs => $4)
         where customer_id = $1 and id = $2
         returning id, url, events, description, status, status_reason, failing_since, created_at, updated_at",
        customer_id,
        id,
        sealed,
        OVERLAP.as_secs_f64(),
    )
    .fetch_one(db)
    .await
}

/// Takes a webhook that [`lock`] gave away; what is under way to it ends.
///
/// # Errors
/// What the statement returned.
pub async fn delete(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhooks set deleted_at = clock.now, updated_at = clock.now from (select engine.now() as now) clock
         where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_event;

    #[test]
    fn events_are_topics_all_of_an_entity_or_all() {
        let told = ["*", "contact.*", "contact.created", "lead.warm", "lead.*", "lead.a.b_2"];
        let ahead = ["email.delivered", "meeting.booked", "schedule.fired", "published.once"];
        for event in told.into_iter().chain(ahead) {
            assert_eq!(check_event(event), Ok(()), "{event}");
        }
        for event in
            ["", "contact", "Contact.created", "contact.", ".created", "*.created", "a b.c"]
        {
            let refused = check_event(event).expect_err(event);
            assert!(
                refused.ends_with("write such as contact.created, contact.* or *"),
                "{refused}"
            );
        }
        let refused = check_event("task.done").expect_err("no such event");
        assert_eq!(
            refused,
            "there is no event `task.done`; there are: task.completed, task.created"
        );
    }
}
