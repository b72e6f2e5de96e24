//! What people mean by the words that they search, also misspelled ones. Owns `search_words`, the words of a customer's
//! accounts and contacts.

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::custom_field::Entity;

/// The most words of a search that are looked at.
const WORDS: i64 = 8;

/// How many words of the records one misspelled word may stand for.
const MEANT: i64 = 5;

/// So many words that begin alike are no beginning of one word: all of them are slow to find, and mean nothing.
const BEGINNINGS: i64 = 1_000;

/// Of how many records the best are chosen.
pub(crate) const CANDIDATES: i64 = 1_000;

/// A search as Postgres reads it (`tsquery`). A word that the records have stands for itself, but for the last one, which
/// may not be written to its end: that and one that no record has stand for all that begin so, or where none does for
/// those that are written nearly so. Of very many beginnings none is meant. `None` where nothing is searched for.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn query(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    text: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with said as (
             select lexeme as word, positions[1] as place, positions[1] = max(positions[1]) over () as last
             from unnest(crm.words($2::text)) order by place limit $3
           ), asked as (
             select a.*, exists (select from crm.search_words_in_reach s where s.customer_id = $1 and s.word = a.word) as known,
               (select count(*) from (select from crm.search_words_in_reach s where s.customer_id = $1
                 and s.word >= a.word and s.word < a.word || chr(1114111) limit $5) begun) as beginnings
             from said a
           ), meant as (
             select a.place, case
               when a.known and (not a.last or a.beginnings = $5) then quote_literal(a.word)
               when a.beginnings > 0 then quote_literal(a.word) || ':*'
               else coalesce((
                 select string_agg(quote_literal(n.word), ' | ') from (
                   select s.word from crm.search_words_in_reach s where s.customer_id = $1 and s.word::text % a.word
                   order by similarity(s.word, a.word) desc, s.word limit $4
                 ) n), quote_literal(a.word) || ':*') end as term
             from asked a
           )
           select string_agg('(' || term || ')', ' & ' order by place) from meant"#,
        customer_id,
        text,
        WORDS,
        MEANT,
        BEGINNINGS,
    )
    .fetch_one(db)
    .await
}

/// Learns the words of some accounts or contacts; those that are known cost little.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn learn(
    tx: &mut PgConnection,
    entity: Entity,
    customers: &[Uuid],
    ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    // In one order, so that two that learn the same words never wait for each other.
    match entity {
        Entity::Account => {
            sqlx::query!(
                "insert into search_words (customer_id, word)
                 select distinct r.customer_id, w.word
                 from unnest($1::uuid[], $2::uuid[]) as i(customer_id, id)
                 join accounts r on r.customer_id = i.customer_id and r.id = i.id,
                   unnest(tsvector_to_array(r.search)) as w(word)
                 order by 1, 2 on conflict do nothing",
                customers,
                ids,
            )
            .execute(tx)
            .await?;
        }
        Entity::Contact => {
            sqlx::query!(
                "insert into search_words (customer_id, word)
                 select distinct r.customer_id, w.word
                 from unnest($1::uuid[], $2::uuid[]) as i(customer_id, id)
                 join contacts r on r.customer_id = i.customer_id and r.id = i.id,
                   unnest(tsvector_to_array(r.search)) as w(word)
                 order by 1, 2 on conflict do nothing",
                customers,
                ids,
            )
            .execute(tx)
            .await?;
        }
        // Those are few; they are found by their beginnings alone.
        Entity::Opportunity => {}
    }
    Ok(())
}

/// Forgets those of the words that no live account or contact has.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn forget(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    words: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from search_words s where s.customer_id = $1 and s.word = any($2)
           and not exists (select from crm.contacts_in_reach c where c.customer_id = $1 and c.deleted_at is null
             and c.search @@ quote_literal(s.word)::tsquery)
           and not exists (select from crm.accounts_in_reach a where a.customer_id = $1 and a.deleted_at is null
             and a.search @@ quote_literal(s.word)::tsquery)",
        customer_id,
        words,
    )
    .execute(db)
    .await?;
    Ok(())
}
