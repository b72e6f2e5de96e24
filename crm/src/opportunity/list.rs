//! Listings of opportunities.

use sqlx::{FromRow, PgConnection, QueryBuilder};
use uuid::Uuid;

use super::Opportunity;
use crate::filter::{self, After, Checked, Field, Kind, Sort, SortField};
use crate::search;

/// What an opportunity's stage may mean.
pub const STATUSES: &[&str] = &["open", "won", "lost"];

/// What may be asked of an opportunity.
pub const FIELDS: &[Field] = &[
    Field { name: "id", column: "o.id", kind: Kind::Id("opp") },
    Field { name: "account_id", column: "o.account_id", kind: Kind::Id("acc") },
    Field { name: "name", column: "o.name", kind: Kind::Text },
    Field { name: "pipeline_id", column: "o.pipeline_id", kind: Kind::Id("pip") },
    Field { name: "stage_id", column: "o.stage_id", kind: Kind::Id("stg") },
    Field { name: "amount", column: "o.amount", kind: Kind::Number },
    Field { name: "currency", column: "o.currency", kind: Kind::Text },
    Field { name: "close_on", column: "o.close_on", kind: Kind::Date },
    Field { name: "status", column: "o.status", kind: Kind::Word(STATUSES) },
    Field { name: "lost_reason", column: "o.lost_reason", kind: Kind::Text },
    Field { name: "owner_id", column: "o.owner_id", kind: Kind::Id("usr") },
    Field { name: "tags", column: "o.tags", kind: Kind::Words },
    Field { name: "stage_changed_at", column: "o.stage_changed_at", kind: Kind::Instant },
    Field { name: "closed_at", column: "o.closed_at", kind: Kind::Instant },
    Field { name: "created_at", column: "o.created_at", kind: Kind::Instant },
    Field { name: "updated_at", column: "o.updated_at", kind: Kind::Instant },
];

/// What opportunities may be ordered by.
pub const SORTS: &[SortField] = &[
    SortField { name: "created_at", column: "o.id", cast: "uuid" },
    SortField { name: "updated_at", column: "o.updated_at", cast: "timestamptz" },
    SortField { name: "close_on", column: "coalesce(o.close_on, 'infinity')", cast: "date" },
];

#[derive(FromRow)]
struct Listed {
    #[sqlx(flatten)]
    opportunity: Opportunity,
    sort_key: String,
}

/// Opportunities in an order, each with where a page after it begins; at most `limit` (bounded to 200). Those of one
/// contact alone, where one is named.
///
/// # Errors
/// What the statements returned.
pub async fn list(
    db: &mut PgConnection,
    customer_id: Uuid,
    (checked, contact_id): (&Checked, Option<Uuid>),
    sort: Sort,
    after: Option<&After>,
    limit: u32,
) -> Result<Vec<(Opportunity, After)>, sqlx::Error> {
    let words = match &checked.q {
        Some(q) => search::query(&mut *db, customer_id, q).await?,
        None => None,
    };
    let mut sql = QueryBuilder::new(format!(
        "select o.id, o.account_id, array(select contact_id from opportunity_contacts p
           where p.customer_id = o.customer_id and p.opportunity_id = o.id order by contact_id) as contact_ids,
           o.name, o.pipeline_id, o.stage_id, o.amount::text as amount, o.currency, o.close_on, o.status, o.lost_reason,
           o.owner_id, o.tags, o.custom, o.stage_changed_at, o.closed_at, o.created_at, o.updated_at,
           ({})::text as sort_key
         from crm.opportunities_in_reach o where o.deleted_at is null and o.customer_id = ",
        sort.by.column
    ));
    sql.push_bind(customer_id);
    if let Some(words) = words {
        sql.push(" and o.search @@ ").push_bind(words).push("::tsquery");
    }
    if let Some(contact_id) = contact_id {
        sql.push(" and o.id in (select p.opportunity_id from opportunity_contacts p where p.customer_id = ");
        sql.push_bind(customer_id).push(" and p.contact_id = ").push_bind(contact_id).push(")");
    }
    filter::push_where(&mut sql, "o", checked);
    filter::push_order(&mut sql, "o", sort, after, i64::from(limit.min(200)));
    let found: Vec<Listed> = sql.build_query_as().fetch_all(db).await?;
    let with_after = |Listed { opportunity, sort_key }| {
        let after = After { key: sort_key, id: opportunity.id };
        (opportunity, after)
    };
    Ok(found.into_iter().map(with_after).collect())
}
