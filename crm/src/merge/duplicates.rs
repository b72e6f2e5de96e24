//! Contacts that may be one person.

use sqlx::PgExecutor;
use uuid::Uuid;

/// A contact that may be the same person.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicate {
    /// The contact.
    pub contact_id: Uuid,
    /// How sure that is, of 100.
    pub score: i32,
    /// By what: `name`, `similar_name`, `domain`, `phone`, `address`.
    pub reasons: Vec<String>,
}

/// Why two contacts may be the same person.
pub const REASONS: [&str; 5] = ["address", "name", "similar_name", "domain", "phone"];

/// What two contacts have in common.
struct Judged {
    id: Uuid,
    score: i32,
    same_name: bool,
    similar_name: bool,
    same_domain: bool,
    same_phone: bool,
    same_address: bool,
}

/// Contacts that may be the same person, the surest first, at most 20: by the address without its tag, or by name, domain
/// and telephone number together.
///
/// # Errors
/// What the statement returned.
pub async fn duplicates(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<Vec<Duplicate>, sqlx::Error> {
    let found = sqlx::query_as!(
        Judged,
        r#"with me as (
             select *, split_part(lower(email), '@', 2) as domain,
               regexp_replace(split_part(lower(email), '@', 1), '\+.*$', '') as local,
               lower(first_name || ' ' || last_name) as name
             from crm.contacts_in_reach where customer_id = $1 and id = $2
           ), near as (
             select c.id from me join crm.contacts_in_reach c on c.customer_id = $1 and c.deleted_at is null
               and lower(c.last_name) = lower(me.last_name) and me.last_name <> '' and c.id <> me.id limit 500
           ), rung as (
             select c.id from me join crm.contacts_in_reach c on c.customer_id = $1 and c.deleted_at is null and c.phone is not null
               and crm.phone_end(c.phone) = crm.phone_end(me.phone) and length(crm.phone_end(me.phone)) = 7
               and c.id <> me.id limit 500
           ), addressed as (
             select c.id from me join crm.contacts_in_reach c on c.customer_id = $1 and c.deleted_at is null
               and lower(c.email) = me.local || '@' || me.domain and c.id <> me.id
           ), judged as (
             select c.id,
               lower(c.first_name || ' ' || c.last_name) = me.name and me.name <> ' ' as same_name,
               similarity(lower(c.first_name || ' ' || c.last_name), me.name) > 0.6 as similar_name,
               split_part(lower(c.email), '@', 2) = me.domain as same_domain,
               coalesce(crm.phone_end(c.phone) = crm.phone_end(me.phone) and length(crm.phone_end(me.phone)) = 7, false)
                 as same_phone,
               regexp_replace(split_part(lower(c.email), '@', 1), '\+.*$', '') = me.local
                 and split_part(lower(c.email), '@', 2) = me.domain as same_address
             from me join crm.contacts_in_reach c on c.customer_id = $1
               and c.id in (select id from near union select id from rung union select id from addressed)
           ), scored as (
             select *, greatest(same_address::int * 90, same_domain::int * 20 + same_phone::int * 35
               + case when same_name then 45 when similar_name then 30 else 0 end) as score
             from judged
           )
           select id as "id!", score as "score!", same_name as "same_name!", similar_name as "similar_name!",
             same_domain as "same_domain!", same_phone as "same_phone!", same_address as "same_address!"
           from scored where score >= 50 order by score desc, id limit 20"#,
        customer_id,
        contact_id,
    )
    .fetch_all(db)
    .await?;
    let duplicate = |row: Judged| {
        let holds = [
            row.same_address,
            row.same_name,
            row.similar_name && !row.same_name,
            row.same_domain,
            row.same_phone,
        ];
        let reasons = REASONS.into_iter().zip(holds).filter(|(_, holds)| *holds);
        Duplicate {
            contact_id: row.id,
            score: row.score,
            reasons: reasons.map(|(reason, _)| reason.to_owned()).collect(),
        }
    };
    Ok(found.into_iter().map(duplicate).collect())
}
