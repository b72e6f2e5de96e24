//! Listings of accounts.

use engine::id;
use sqlx::{FromRow, PgConnection, QueryBuilder};
use uuid::Uuid;

use super::Account;
use crate::filter::{self, After, Checked, Field, Kind, Sort, SortField};
use crate::search::{self, CANDIDATES};

/// What may be asked of an account.
pub const FIELDS: &[Field] = &[
    Field { name: "id", column: "a.id", kind: Kind::Id("acc") },
    Field { name: "name", column: "a.name", kind: Kind::Text },
    Field { name: "domain", column: "a.domain", kind: Kind::Text },
    Field { name: "industry", column: "a.industry", kind: Kind::Text },
    Field { name: "employees", column: "a.employees", kind: Kind::Number },
    Field { name: "phone", column: "a.phone", kind: Kind::Text },
    Field { name: "website", column: "a.website", kind: Kind::Text },
    Field { name: "country", column: "a.address ->> 'country'", kind: Kind::Text },
    Field { name: "owner_id", column: "a.owner_id", kind: Kind::Id("usr") },
    Field { name: "tags", column: "a.tags", kind: Kind::Words },
    Field { name: "created_at", column: "a.created_at", kind: Kind::Instant },
    Field { name: "updated_at", column: "a.updated_at", kind: Kind::Instant },
];

/// What accounts may be ordered by.
pub const SORTS: &[SortField] = &[
    SortField { name: "created_at", column: "a.id", cast: "uuid" },
    SortField { name: "updated_at", column: "a.updated_at", cast: "timestamptz" },
    SortField { name: "name", column: "lower(a.name)", cast: "text" },
];

const COLUMNS: &str = "a.id, a.name, a.domain, a.industry, a.employees, a.phone, a.website, a.address, a.owner_id, \
    a.tags, a.custom, a.created_at, a.updated_at, a.deleted_at";

#[derive(FromRow)]
struct Listed {
    #[sqlx(flatten)]
    account: Account,
    sort_key: String,
}

/// Accounts in an order, each with where a page after it begins; at most `limit` (bounded to 200).
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
) -> Result<Vec<(Account, After)>, sqlx::Error> {
    let words = match &checked.q {
        Some(q) => search::query(&mut *db, customer_id, q).await?,
        None => None,
    };
    let mut sql =
        QueryBuilder::new(format!("select {COLUMNS}, ({})::text as sort_key", sort.by.column));
    sql.push(" from crm.accounts_in_reach a where a.deleted_at is null and a.customer_id = ")
        .push_bind(customer_id);
    if let Some(words) = words {
        sql.push(" and a.search @@ ").push_bind(words).push("::tsquery");
    }
    filter::push_where(&mut sql, "a", checked);
    filter::push_order(&mut sql, "a", sort, after, i64::from(limit.min(200)));
    let found: Vec<Listed> = sql.build_query_as().fetch_all(db).await?;
    let with_after = |Listed { account, sort_key }| {
        let after = After { key: sort_key, id: account.id };
        (account, after)
    };
    Ok(found.into_iter().map(with_after).collect())
}

/// The accounts that a search means best, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statements returned.
pub async fn search(
    db: &mut PgConnection,
    customer_id: Uuid,
    checked: &Checked,
    limit: u32,
) -> Result<Vec<Account>, sqlx::Error> {
    let Some(q) = &checked.q else { return Ok(Vec::new()) };
    let Some(words) = search::query(&mut *db, customer_id, q).await? else { return Ok(Vec::new()) };
    let mut sql = QueryBuilder::new(
        "with found as (select a.customer_id, a.id from crm.accounts_in_reach a where a.deleted_at is null",
    );
    sql.push(" and a.customer_id = ").push_bind(customer_id);
    sql.push(" and a.search @@ ").push_bind(words.clone()).push("::tsquery");
    filter::push_where(&mut sql, "a", checked);
    sql.push(" limit ").push_bind(CANDIDATES).push(") select ").push(COLUMNS);
    sql.push(" from found f join crm.accounts_in_reach a on a.customer_id = f.customer_id and a.id = f.id order by lower(a.name) = lower(");
    sql.push_bind(q.trim().to_owned()).push(") desc, ts_rank(a.search, ").push_bind(words);
    sql.push("::tsquery) desc, a.id desc limit ").push_bind(i64::from(limit.min(200)));
    sql.build_query_as().fetch_all(db).await
}

/// An account's id as people read it.
pub(crate) fn shown(account_id: Uuid) -> String {
    id::show("acc", account_id)
}
