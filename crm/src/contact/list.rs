//! Listings of contacts.

use sqlx::{PgConnection, PgExecutor, QueryBuilder};
use uuid::Uuid;

use super::{Contact, PAGE};
use crate::address;
use crate::filter::{self, After, Checked, Field, Kind, Sort, SortField};
use crate::search::{self, CANDIDATES};

/// What may have become of a contact.
pub const STATUSES: &[&str] = &["active", "unsubscribed", "bounced", "erased"];
/// How engaged a contact may be.
pub const LEVELS: &[&str] = &["cold", "warm", "hot"];

/// What may be asked of a contact.
pub const FIELDS: &[Field] = &[
    Field { name: "id", column: "c.id", kind: Kind::Id("con") },
    Field { name: "account_id", column: "c.account_id", kind: Kind::Id("acc") },
    Field { name: "company", column: "c.company", kind: Kind::Text },
    Field { name: "first_name", column: "c.first_name", kind: Kind::Text },
    Field { name: "last_name", column: "c.last_name", kind: Kind::Text },
    Field { name: "email", column: "c.email", kind: Kind::Address },
    Field { name: "phone", column: "c.phone", kind: Kind::Text },
    Field { name: "title", column: "c.title", kind: Kind::Text },
    Field { name: "country", column: "c.country", kind: Kind::Text },
    Field { name: "region", column: "c.region", kind: Kind::Text },
    Field { name: "city", column: "c.city", kind: Kind::Text },
    Field { name: "time_zone", column: "c.time_zone", kind: Kind::Text },
    Field { name: "locale", column: "c.locale", kind: Kind::Text },
    Field { name: "owner_id", column: "c.owner_id", kind: Kind::Id("usr") },
    Field { name: "status", column: "c.status", kind: Kind::Word(STATUSES) },
    Field {
        name: "score",
        column: "coalesce(crm.score(g.sum, g.as_of, g.half_life_seconds), 0)",
        kind: Kind::Number,
    },
    Field { name: "level", column: "coalesce(g.level, 'cold')", kind: Kind::Word(LEVELS) },
    Field { name: "tags", column: "c.tags", kind: Kind::Words },
    Field { name: "created_at", column: "c.created_at", kind: Kind::Instant },
    Field { name: "updated_at", column: "c.updated_at", kind: Kind::Instant },
];

/// What contacts may be ordered by.
pub const SORTS: &[SortField] = &[
    // Ids are made in the order of time.
    SortField { name: "created_at", column: "c.id", cast: "uuid" },
    SortField { name: "updated_at", column: "c.updated_at", cast: "timestamptz" },
    SortField { name: "last_name", column: "lower(c.last_name)", cast: "text" },
    SortField { name: "email", column: "lower(c.email)", cast: "text" },
];

const COLUMNS: &str = "c.customer_id, c.id, c.account_id, c.company, c.owner_id, c.first_name, c.last_name, c.email, \
    c.phone, c.title, c.linkedin_url, c.country, c.region, c.city, c.time_zone, c.zone_source, c.locale, c.status, \
    c.tags, c.custom, coalesce(crm.score(g.sum, g.as_of, g.half_life_seconds), 0) as score, \
    coalesce(g.level, 'cold') as level, c.created_at, c.updated_at";

const FROM: &str = " from crm.contacts_in_reach c left join engagement g on g.customer_id = c.customer_id and g.contact_id = c.id \
    where c.deleted_at is null and c.customer_id = ";

#[derive(sqlx::FromRow)]
struct Listed {
    #[sqlx(flatten)]
    contact: Contact,
    sort_key: String,
}

/// Contacts in an order, each with where a page after it begins; at most `limit` (bounded to [`PAGE`]).
///
/// # Errors
/// What the statements returned.
pub async fn list(
    db: &mut PgConnection,
    customer_id: Uuid,
    checked: &Checked,
    sort: Sort,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<(Contact, After)>, sqlx::Error> {
    let words = match &checked.q {
        Some(q) => search::query(&mut *db, customer_id, &searched(q)).await?,
        None => None,
    };
    let mut sql = QueryBuilder::new(format!(
        "select {COLUMNS}, ({})::text as sort_key{FROM}",
        sort.by.column
    ));
    sql.push_bind(customer_id);
    if let Some(words) = words {
        sql.push(" and c.search @@ ").push_bind(words).push("::tsquery");
    }
    filter::push_where(&mut sql, "c", checked);
    filter::push_order(&mut sql, "c", sort, after, i64::from(limit.min(PAGE)));
    let found: Vec<Listed> = sql.build_query_as().fetch_all(db).await?;
    let with_after = |Listed { contact, sort_key }| {
        let after = After { key: sort_key, id: contact.id };
        (contact, after)
    };
    Ok(found.into_iter().map(with_after).collect())
}

/// The contacts that a search means best, at most `limit` (bounded to [`PAGE`]): whose address it is first.
///
/// # Errors
/// What the statements returned.
pub async fn search(
    db: &mut PgConnection,
    customer_id: Uuid,
    checked: &Checked,
    limit: u32,
) -> Result<Vec<Contact>, sqlx::Error> {
    let Some(q) = &checked.q else { return Ok(Vec::new()) };
    let q = searched(q);
    let Some(words) = search::query(&mut *db, customer_id, &q).await? else {
        return Ok(Vec::new());
    };
    // Of words that very many have, some are looked at: nobody reads them all.
    let mut sql = QueryBuilder::new(format!("with found as (select c.customer_id, c.id{FROM}"));
    sql.push_bind(customer_id);
    sql.push(" and c.search @@ ").push_bind(words.clone()).push("::tsquery");
    filter::push_where(&mut sql, "c", checked);
    sql.push(" limit ").push_bind(CANDIDATES).push(") select ").push(COLUMNS);
    sql.push(" from found f join crm.contacts_in_reach c on c.customer_id = f.customer_id and c.id = f.id");
    sql.push(" left join engagement g on g.customer_id = c.customer_id and g.contact_id = c.id");
    sql.push(" order by lower(c.email) = lower(").push_bind(q);
    sql.push(") desc, ts_rank(c.search, ").push_bind(words);
    sql.push("::tsquery) desc, c.id desc limit ").push_bind(i64::from(limit.min(PAGE)));
    sql.build_query_as().fetch_all(db).await
}

/// The words of a search, each address and domain among them as it is stored.
fn searched(q: &str) -> String {
    q.split_whitespace().map(address::stored_part).collect::<Vec<_>>().join(" ")
}

/// The contacts who can be mailed, older than `before` where one is named, newest first, at most [`PAGE`]: for who goes
/// over all of a customer's.
///
/// # Errors
/// What the statement returned.
pub async fn active(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
) -> Result<Vec<Contact>, sqlx::Error> {
    sqlx::query_as!(
        Contact,
        r#"select c.customer_id, c.id, c.account_id, c.company, c.owner_id, c.first_name, c.last_name, c.email, c.phone,
             c.title, c.linkedin_url, c.country, c.region, c.city, c.time_zone, c.zone_source, c.locale, c.status,
             c.tags, c.custom, coalesce(crm.score(g.sum, g.as_of, g.half_life_seconds), 0) as "score!",
             coalesce(g.level, 'cold') as "level!", c.created_at, c.updated_at
           from contacts c left join engagement g on g.customer_id = c.customer_id and g.contact_id = c.id
           where c.customer_id = $1 and c.deleted_at is null and c.status = 'active' and ($2::uuid is null or c.id < $2)
           order by c.id desc limit $3"#,
        customer_id,
        before,
        i64::from(PAGE),
    )
    .fetch_all(db)
    .await
}
