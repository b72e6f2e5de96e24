//! Imports as rows: ordered with all that was read, found, and their refusals.

use chrono::{DateTime, Utc};
use engine::clock;
use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Counts, Import, OnDuplicate, Options, Parsed, RefusedRow, Target, opt_out};

/// How many refused rows one statement writes.
const REFUSED: usize = 1_000;

/// Orders the import of a file that was read; gives its id. A file without a row to take is done at once.
///
/// # Errors
/// What the statements returned.
pub async fn store(
    tx: &mut PgConnection,
    customer_id: Uuid,
    options: &Options,
    parsed: &Parsed,
) -> Result<Uuid, sqlx::Error> {
    let id = clock::new_id();
    let header: Vec<String> = parsed.columns.iter().map(|column| column.header.clone()).collect();
    let mapping: Vec<&Option<Target>> =
        parsed.columns.iter().map(|column| &column.target).collect();
    let Counts { rows, duplicate, invalid_email, missing_email, invalid, .. } = parsed.counts;
    let refused = parsed.refused.len() as u64;
    sqlx::query!(
        "insert into imports (customer_id, id, name, header, mapping, on_duplicate, create_accounts, actor, rows, done,
           duplicate, invalid_email, missing_email, invalid, status, ended_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
           case when $10::bigint = $9::bigint then 'done' else 'queued' end,
           case when $10::bigint = $9::bigint then engine.now() end)",
        customer_id,
        id,
        options.name,
        &header,
        Json(mapping) as _,
        options.on_duplicate.word(),
        options.create_accounts,
        options.actor,
        signed(rows),
        signed(refused),
        signed(duplicate),
        signed(invalid_email),
        signed(missing_email),
        signed(invalid),
    )
    .execute(&mut *tx)
    .await?;
    opt_out::suppress(&mut *tx, customer_id, &parsed.opted_out).await?;
    for (n, chunk) in (0..).zip(&parsed.chunks) {
        sqlx::query!(
            "insert into import_chunks (customer_id, import_id, n, contacts) values ($1, $2, $3, $4)",
            customer_id,
            id,
            n,
            Json(chunk) as _,
        )
        .execute(&mut *tx)
        .await?;
    }
    for rows in parsed.refused.chunks(REFUSED) {
        refuse(tx, customer_id, id, rows).await?;
    }
    Ok(id)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn refuse(
    tx: &mut PgConnection,
    customer_id: Uuid,
    import_id: Uuid,
    rows: &[RefusedRow],
) -> Result<(), sqlx::Error> {
    let lines: Vec<i64> = rows.iter().map(|row| signed(row.line)).collect();
    let reasons: Vec<String> = rows.iter().map(|row| row.reason.word().to_owned()).collect();
    let details: Vec<String> = rows.iter().map(|row| row.value.clone()).collect();
    let cells: Vec<serde_json::Value> = rows.iter().map(|row| row.cells.clone().into()).collect();
    sqlx::query!(
        "insert into import_refusals (customer_id, import_id, line, reason, detail, cells)
         select $1, $2, line, reason, detail, array(select jsonb_array_elements_text(cells))
         from unnest($3::bigint[], $4::text[], $5::text[], $6::jsonb[]) as r(line, reason, detail, cells)
         on conflict do nothing",
        customer_id,
        import_id,
        &lines,
        &reasons,
        &details,
        &cells,
    )
    .execute(tx)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    name: String,
    header: Vec<String>,
    mapping: Json<Vec<Option<Target>>>,
    status: String,
    rows: i64,
    done: i64,
    created: i64,
    updated: i64,
    skipped: i64,
    duplicate: i64,
    invalid_email: i64,
    missing_email: i64,
    invalid: i64,
    error: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl From<Row> for Import {
    fn from(row: Row) -> Self {
        let count = |signed: i64| u64::try_from(signed).unwrap_or_default();
        Self {
            id: row.id,
            name: row.name,
            header: row.header,
            mapping: row.mapping,
            status: row.status,
            done: row.done,
            counts: Counts {
                rows: count(row.rows),
                created: count(row.created),
                updated: count(row.updated),
                skipped: count(row.skipped),
                duplicate: count(row.duplicate),
                invalid_email: count(row.invalid_email),
                missing_email: count(row.missing_email),
                invalid: count(row.invalid),
            },
            error: row.error,
            created_at: row.created_at,
            updated_at: row.updated_at,
            ended_at: row.ended_at,
        }
    }
}

/// An import by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Import>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        r#"select id, name, header, mapping as "mapping: Json<Vec<Option<Target>>>", status, rows, done, created,
             updated, skipped, duplicate, invalid_email, missing_email, invalid, error, created_at, updated_at, ended_at
           from imports where customer_id = $1 and id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(Import::from))
}

/// Imports, newest first.
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Import>, sqlx::Error> {
    let found = sqlx::query_as!(
        Row,
        r#"select id, name, header, mapping as "mapping: Json<Vec<Option<Target>>>", status, rows, done, created,
             updated, skipped, duplicate, invalid_email, missing_email, invalid, error, created_at, updated_at, ended_at
           from imports where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        customer_id,
        before,
        i64::from(limit),
    )
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(Import::from).collect())
}

/// A refused row as it was, with why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The line on which it begins.
    pub line: i64,
    /// The stored word of a `RowReason`.
    pub reason: String,
    /// What stood there, or what to write.
    pub detail: String,
    /// Its cells.
    pub cells: Vec<String>,
}

/// The refused rows after a line, in the file's order, at most 1,000.
///
/// # Errors
/// What the statement returned.
pub async fn refusals(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
    after_line: i64,
) -> Result<Vec<Refusal>, sqlx::Error> {
    sqlx::query_as!(
        Refusal,
        "select line, reason, detail, cells from import_refusals
         where customer_id = $1 and import_id = $2 and line > $3 order by line limit 1000",
        customer_id,
        id,
        after_line,
    )
    .fetch_all(db)
    .await
}

/// What an import would count, without writing anything.
///
/// # Errors
/// What the statements returned.
pub async fn preview(
    tx: &mut PgConnection,
    customer_id: Uuid,
    options: &Options,
    parsed: &Parsed,
) -> Result<Counts, sqlx::Error> {
    let mut counts = parsed.counts;
    for chunk in &parsed.chunks {
        let emails: Vec<String> = chunk.iter().map(|taken| taken.contact.email.clone()).collect();
        let known = sqlx::query_scalar!(
            r#"select count(*) as "known!" from unnest($2::text[]) as w(email)
               join crm.contacts_in_reach c on c.customer_id = $1 and lower(c.email) = lower(w.email) and c.deleted_at is null"#,
            customer_id,
            &emails,
        )
        .fetch_one(&mut *tx)
        .await?;
        let known = u64::try_from(known).unwrap_or_default();
        counts.created += (chunk.len() as u64).saturating_sub(known);
        match options.on_duplicate {
            OnDuplicate::Skip => counts.skipped += known,
            OnDuplicate::Update => counts.updated += known,
        }
    }
    Ok(counts)
}

/// Removes the rows of these addresses from what imports refused and from what they have still to write, where they
/// count as skipped; gives how many.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    emails: &[String],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with refusal as (
             delete from import_refusals where customer_id = $1
               and exists (select from unnest(cells) cell, unnest($2::text[]) email
                 where lower(btrim(cell)) = email or strpos(lower(cell), '<' || email || '>') > 0) returning line
           ), chunk as (
             select k.import_id, k.n, coalesce(jsonb_agg(t.taken) filter (where not t.out), '[]') as kept,
               count(*) filter (where t.out) as gone
             from import_chunks k, lateral (
               select taken, coalesce(lower(taken -> 'contact' ->> 'email') = any($2), false) as out
               from jsonb_array_elements(k.contacts) e(taken)) t
             where k.customer_id = $1 group by k.import_id, k.n having bool_or(t.out)
           ), thinned as (
             update import_chunks k set contacts = c.kept from chunk c
             where k.customer_id = $1 and k.import_id = c.import_id and k.n = c.n
           ), counted as (
             update imports i set done = i.done + c.gone, skipped = i.skipped + c.gone
             from (select import_id, sum(gone)::bigint as gone from chunk group by import_id) c
             where i.customer_id = $1 and i.id = c.import_id
           )
           select (select count(*) from refusal) + coalesce((select sum(gone) from chunk), 0)::bigint as "count!""#,
        customer_id,
        emails,
    )
    .fetch_one(db)
    .await?;
    Ok(("import_rows", erased))
}
