//! The conditions and the order of a listing, as the end of its statement. Names come from this crate's own tables of
//! fields alone; whatever somebody sent is bound.

use serde_json::json;
use sqlx::{Postgres, QueryBuilder};

use super::read::{Asks, Comparison, Condition, Of, Operand};
use super::{After, Checked, Sort};

/// Adds `and …` for each condition; custom fields lie in `table`, by its name in the statement.
pub(crate) fn push_where(sql: &mut QueryBuilder<Postgres>, table: &str, checked: &Checked) {
    for Condition { of, asks } in &checked.conditions {
        sql.push(" and ");
        match of {
            Of::Own(column) => own(sql, column, asks),
            Of::Custom(key) => custom(sql, &format!("{table}.custom"), key, asks),
        }
    }
}

/// Adds where the page begins, and the order.
pub(crate) fn push_order(
    sql: &mut QueryBuilder<Postgres>,
    table: &str,
    sort: Sort,
    after: Option<&After>,
    limit: i64,
) {
    let Sort { by, descending } = sort;
    let (comparison, direction) = if descending { ("<", "desc") } else { (">", "asc") };
    if let Some(After { key, id }) = after {
        sql.push(format!(" and ({}, {table}.id) {comparison} (", by.column));
        sql.push_bind(key.clone()).push(format!("::text::{}, ", by.cast)).push_bind(*id).push(")");
    }
    sql.push(format!(" order by {} {direction}, {table}.id {direction} limit ", by.column));
    sql.push_bind(limit);
}

fn own(sql: &mut QueryBuilder<Postgres>, column: &str, asks: &Asks) {
    match asks {
        Asks::Is(operand) => same(sql, column, operand),
        Asks::IsNot(operand) => {
            sql.push("coalesce(not (");
            same(sql, column, operand);
            sql.push("), true)");
        }
        Asks::IsIn(operands) => {
            any(sql, operands, |sql, operand| same(sql, column, operand));
        }
        Asks::IsNoneOf(operands) => {
            sql.push("coalesce(not ");
            any(sql, operands, |sql, operand| same(sql, column, operand));
            sql.push(", true)");
        }
        Asks::Compares(comparison, operand) => {
            sql.push(format!("{column} {} ", sign(*comparison)));
            bind(sql, operand);
        }
        Asks::Contains(text) => {
            sql.push(format!("strpos(lower({column}), lower("));
            sql.push_bind(text.clone()).push(")) > 0");
        }
        Asks::Starts(text) => {
            sql.push(format!("starts_with(lower({column}), lower("));
            sql.push_bind(text.clone()).push("))");
        }
        Asks::Has(word) => {
            sql.push(format!("{column} @> array["));
            sql.push_bind(word.clone()).push("]::text[]");
        }
        Asks::Empty(empty) => {
            let not = if *empty { "" } else { "not " };
            sql.push(format!("{not}coalesce({column}::text in ('', '{{}}'), true)"));
        }
    }
}

/// Both sides lowered, as the indexes of texts are.
fn same(sql: &mut QueryBuilder<Postgres>, column: &str, operand: &Operand) {
    match operand {
        Operand::Text(text) => {
            sql.push(format!("lower({column}) = lower("));
            sql.push_bind(text.clone()).push(")");
        }
        Operand::Number(_)
        | Operand::Date(_)
        | Operand::Instant(_)
        | Operand::Flag(_)
        | Operand::Id(_) => {
            sql.push(format!("{column} = "));
            bind(sql, operand);
        }
    }
}

fn bind(sql: &mut QueryBuilder<Postgres>, operand: &Operand) {
    match operand {
        Operand::Text(text) => sql.push_bind(text.clone()),
        Operand::Number(number) => sql.push_bind(*number).push("::numeric"),
        Operand::Date(date) => sql.push_bind(*date),
        Operand::Instant(at) => sql.push_bind(*at),
        Operand::Flag(flag) => sql.push_bind(*flag),
        Operand::Id(id) => sql.push_bind(*id),
    };
}

fn any(
    sql: &mut QueryBuilder<Postgres>,
    operands: &[Operand],
    each: impl Fn(&mut QueryBuilder<Postgres>, &Operand),
) {
    sql.push("(");
    for (at, operand) in operands.iter().enumerate() {
        if at > 0 {
            sql.push(" or ");
        }
        each(sql, operand);
    }
    sql.push(")");
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Greater => ">",
        Comparison::GreaterOrSame => ">=",
        Comparison::Less => "<",
        Comparison::LessOrSame => "<=",
    }
}

/// A custom field lies in an object; what is the same is found by its index.
fn custom(sql: &mut QueryBuilder<Postgres>, object: &str, key: &str, asks: &Asks) {
    let is = |sql: &mut QueryBuilder<Postgres>, operand: &Operand| {
        sql.push(format!("{object} @> ")).push_bind(json!({ key: json_of(operand) }));
    };
    match asks {
        Asks::Is(operand) => is(sql, operand),
        Asks::IsNot(operand) => {
            sql.push("not (");
            is(sql, operand);
            sql.push(")");
        }
        Asks::IsIn(operands) => any(sql, operands, is),
        Asks::IsNoneOf(operands) => {
            sql.push("not ");
            any(sql, operands, is);
        }
        Asks::Compares(comparison, operand) => {
            // Numbers compare as numbers, and dates, which are texts of one form, as texts do.
            let value = json_of(operand);
            sql.push(format!("({object} -> ")).push_bind(key.to_owned());
            sql.push(format!(") {} ", sign(*comparison))).push_bind(value.clone());
            sql.push(format!(" and jsonb_typeof({object} -> ")).push_bind(key.to_owned());
            sql.push(") = jsonb_typeof(").push_bind(value).push(")");
        }
        Asks::Contains(text) => {
            sql.push(format!("strpos(lower({object} ->> ")).push_bind(key.to_owned());
            sql.push("), lower(").push_bind(text.clone()).push(")) > 0");
        }
        Asks::Starts(text) => {
            sql.push(format!("starts_with(lower({object} ->> ")).push_bind(key.to_owned());
            sql.push("), lower(").push_bind(text.clone()).push("))");
        }
        Asks::Has(word) => {
            sql.push(format!("{object} @> ")).push_bind(json!({ key: [word] }));
        }
        Asks::Empty(empty) => {
            let not = if *empty { "not " } else { "" };
            sql.push(format!("{not}({object} ? ")).push_bind(key.to_owned()).push(")");
        }
    }
}

fn json_of(operand: &Operand) -> serde_json::Value {
    match operand {
        Operand::Text(text) => json!(text),
        Operand::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            let whole = *number as i64;
            json!(whole)
        }
        Operand::Number(number) => json!(number),
        Operand::Date(date) => json!(date.to_string()),
        Operand::Instant(at) => json!(at.to_rfc3339()),
        Operand::Flag(flag) => json!(flag),
        Operand::Id(id) => json!(id.to_string()),
    }
}
