//! Suppressions: addresses and domains that get no mail of a customer, whatever a sequence says. Owns `suppressions` and
//! `suppression_keys`, by which addresses of erased people are known again.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use engine::clock;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::address;

/// The most entries that are added at once.
pub const MOST: usize = 1_000;

/// The actor of inbound mail: a bounce, an unsubscription by the recipient.
const INBOUND: &str = "inbound";

/// Why an address gets no mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SuppressionReason)]
pub enum Reason {
    /// They asked for it.
    Unsubscribed,
    /// There is no such mailbox.
    Bounced,
    /// They called a mail spam.
    Complained,
    /// Somebody added it.
    #[default]
    Manual,
    /// The person was erased; only a hash of the address is left.
    Erased,
}

impl Reason {
    /// The stored word.
    fn word(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Manual => "manual",
            Self::Erased => "erased",
        }
    }

    fn stored(word: &str) -> Result<Self, sqlx::Error> {
        [Self::Unsubscribed, Self::Bounced, Self::Complained, Self::Manual, Self::Erased]
            .into_iter()
            .find(|reason| reason.word() == word)
            .ok_or_else(|| {
                sqlx::Error::Decode(
                    format!("suppressions.reason is `{word}`, which is unknown").into(),
                )
            })
    }
}

/// What gets no mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// One address, as [`address::read`] gives it.
    Email(String),
    /// All addresses of exactly this domain, as [`domain`] gives it; those of its subdomains are others.
    Domain(String),
}

/// A suppression to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSuppression {
    /// What gets no mail.
    pub what: What,
    /// Why.
    pub reason: Reason,
}

/// A suppression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Its id (`sup_…`).
    pub id: Uuid,
    /// The address, if it is one.
    pub email: Option<String>,
    /// The domain, if it is one. An erased person's entry has neither.
    pub domain: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Who added it: `user:usr_…`, `key:key_…`, `cli`, `import` or `inbound`; unknown for old ones.
    pub actor: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// A suppression's row.
struct Row {
    id: Uuid,
    email: Option<String>,
    domain: Option<String>,
    reason: String,
    actor: Option<String>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn read(self) -> Result<Suppression, sqlx::Error> {
        let Self { id, email, domain, reason, actor, created_at } = self;
        let reason = Reason::stored(&reason)?;
        Ok(Suppression { id, email, domain, reason, actor, created_at })
    }
}

/// A domain as it is compared: in lower case, without the `@` that may precede it. `None` if no address could have
/// it.
pub fn domain(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('@').unwrap_or(text);
    // One parser says what an address may end in.
    let address = address::read(&format!("a@{text}"))?;
    address.strip_prefix("a@").map(str::to_lowercase)
}

/// Suppresses an address because of inbound mail; the first reason stays.
///
/// # Errors
/// What the statement returned.
pub async fn add(
    tx: &mut PgConnection,
    customer_id: Uuid,
    email: &str,
    reason: Reason,
) -> Result<(), sqlx::Error> {
    let entry = NewSuppression { what: What::Email(address::stored(email)), reason };
    add_all(tx, customer_id, &[entry], INBOUND).await.map(drop)
}

/// Adds suppressions, at most [`MOST`]; what is suppressed already keeps its first reason. Gives all of them, each once,
/// and whether it is new, in the order of the request.
///
/// # Errors
/// What the statements returned.
pub async fn add_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    entries: &[NewSuppression],
    actor: &str,
) -> Result<Vec<(Suppression, bool)>, sqlx::Error> {
    let ids: Vec<Uuid> = entries.iter().map(|_| clock::new_id()).collect();
    let of = |what: &What| match what {
        What::Email(email) => (Some(email.clone()), None),
        What::Domain(domain) => (None, Some(domain.clone())),
    };
    let (emails, domains): (Vec<Option<String>>, Vec<Option<String>>) =
        entries.iter().map(|entry| of(&entry.what)).unzip();
    let reasons: Vec<&str> = entries.iter().map(|entry| entry.reason.word()).collect();
    // In one order, so that two requests for the same entries never wait for each other.
    let added = sqlx::query_scalar!(
        "insert into suppressions (customer_id, id, email, domain, reason, actor)
         select $1, n.id, n.email, n.domain, n.reason, $6
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as n(id, email, domain, reason)
         -- The address of an erased person is suppressed by its hash and not stored again.
         where n.email is null or not exists (select from crm.suppressions_of($1, n.email) as known(id)
           join suppressions s on s.customer_id = $1 and s.id = known.id where s.email_hash is not null)
         order by lower(n.email), n.domain, n.id
         on conflict do nothing returning id",
        customer_id,
        &ids,
        &emails as &[Option<String>],
        &domains as &[Option<String>],
        &reasons as &[&str],
        actor,
    )
    .fetch_all(&mut *tx)
    .await?;
    let added: HashSet<Uuid> = added.into_iter().collect();
    let found = sqlx::query_as!(
        Row,
        r#"select s.id, s.email, s.domain, s.reason, s.actor, s.created_at from (
             select distinct on (s.id) s.*, n.place
             from unnest($2::text[], $3::text[]) with ordinality as n(email, domain, place)
             cross join lateral crm.suppressions_of($1, coalesce(n.email, '@' || n.domain)) as known(id)
             join suppressions s on s.customer_id = $1 and s.id = known.id
               and (lower(s.email) = lower(n.email) or s.domain = n.domain or (s.domain is null and s.email is null))
             order by s.id, n.place) s
           order by s.place"#,
        customer_id,
        &emails as &[Option<String>],
        &domains as &[Option<String>],
    )
    .fetch_all(tx)
    .await?;
    let with_new = |row: Row| row.read().map(|read| (added.contains(&read.id), read));
    let read = found.into_iter().map(with_new).map(|read| read.map(|(is_new, one)| (one, is_new)));
    read.collect()
}

/// Suppresses an address without keeping it: by a hash that only this customer's key gives.
///
/// # Errors
/// What the statement returned.
pub async fn add_hashed(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    email: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"select crm.suppress_hashed($1, $2, $3)::text as "nothing""#,
        customer_id,
        clock::new_id(),
        email,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Gives suppressions of addresses whose domain is spelled in its script the spelling of addresses as they are stored; one
/// of two spellings of the same address goes.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn respell(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut after = Uuid::nil();
    loop {
        let page = sqlx::query!(
            r#"select customer_id, id, email as "email!" from suppressions
               where octet_length(email) <> char_length(email) and id > $1 order by id limit 500"#,
            after,
        )
        .fetch_all(&mut *db)
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for row in page {
            let email = address::stored(&row.email);
            if email == row.email {
                continue;
            }
            sqlx::query!(
                "with another as (
                   delete from suppressions s where s.customer_id = $1 and s.id = $2
                     and exists (select from suppressions o where o.customer_id = $1 and lower(o.email) = lower($3))
                   returning id
                 )
                 update suppressions s set email = $3
                 where s.customer_id = $1 and s.id = $2 and not exists (select from another)",
                row.customer_id,
                row.id,
                email,
            )
            .execute(&mut *db)
            .await?;
        }
    }
}

/// Those of the addresses that are suppressed, in lower case.
///
/// # Errors
/// What the statement returned.
pub async fn among(
    tx: &mut PgConnection,
    customer_id: Uuid,
    emails: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    // An address is stored in ASCII; earlier rows and hashes are of the spelling in its script.
    let spelled = |email: &String| {
        let spellings = address::spellings(email).into_iter();
        spellings.map(|spelling| (email.to_lowercase(), spelling)).collect::<Vec<_>>()
    };
    let (emails, spellings): (Vec<String>, Vec<String>) = emails.iter().flat_map(spelled).unzip();
    sqlx::query_scalar!(
        r#"select distinct e.email as "email!" from unnest($2::text[], $3::text[]) as e(email, spelling)
           where crm.is_suppressed($1, e.spelling)"#,
        customer_id,
        &emails,
        &spellings,
    )
    .fetch_all(tx)
    .await
}

/// Suppressions, newest first, older than `before`, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Suppression>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        "select id, email, domain, reason, actor, created_at from suppressions
         where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit.min(200)),
    )
    .fetch_all(db)
    .await?;
    found.into_iter().map(Row::read).collect()
}

/// The suppressions by which an address, or a domain that begins with `@`, gets no mail, newest first: its own, its
/// domain's, that of an erased person. There are three at most.
///
/// # Errors
/// What the statement returned.
pub async fn of_address(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    address: &str,
) -> Result<Vec<Suppression>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        r#"select s.id, s.email, s.domain, s.reason, s.actor, s.created_at
           from crm.suppressions_of($1, $2) as known(id) join suppressions s on s.customer_id = $1 and s.id = known.id
           order by s.id desc"#,
        customer_id,
        address,
    )
    .fetch_all(db)
    .await?;
    found.into_iter().map(Row::read).collect()
}

/// A suppression by id, locked.
///
/// # Errors
/// What the statement returned.
pub async fn lock(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Suppression>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        "select id, email, domain, reason, actor, created_at from suppressions
         where customer_id = $1 and id = $2 for update",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    found.map(Row::read).transpose()
}

/// Removes a suppression that [`lock`] gave.
///
/// # Errors
/// What the statement returned.
pub async fn remove(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from suppressions where customer_id = $1 and id = $2", customer_id, id)
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn a_domain_is_compared_in_lower_case_and_may_stand_behind_an_at() {
        for given in ["acme.example", " ACME.example ", "@Acme.Example"] {
            assert_eq!(domain(given).as_deref(), Some("acme.example"), "{given}");
        }
        for bad in [
            "",
            "@",
            "acme",
            "a@acme.example",
            "https://acme.example",
            "acme .example",
            ".acme.example",
        ] {
            assert_eq!(domain(bad), None, "{bad}");
        }
    }
}
