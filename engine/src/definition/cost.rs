//! What a condition costs at most over the values that it reads, told before it is decided: a long list or
//! text makes an error, never a long wait.
//!
//! cel itself counts neither steps nor bytes. Conditions have no loops, so that the sizes of what they read
//! bound both: each part's size and work follow from those of the parts inside.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use serde_json::Value;

use super::rewrite::Role;

/// The largest value that a condition may read or build: bytes of texts, elements of lists.
const SIZE: u64 = 256 * 1024;
/// The most work of a condition: a byte or an element that is looked at once.
const WORK: u64 = 2_000_000;

/// What a part of a condition gives, and what giving it costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    size: u64,
    work: u64,
}

/// Refuses a condition that would read or build too much; `sizes` are those of its variables.
///
/// # Errors
/// What is too large, or something that no condition can do.
pub(super) fn bounded(tree: &IdedExpr, sizes: &[u64]) -> Result<(), String> {
    if sizes.iter().sum::<u64>() > SIZE {
        return Err(format!("the condition reads more than {} KiB", SIZE / 1024));
    }
    cost(tree, sizes).map(drop)
}

/// The size of a value as conditions see it; counting stops once it is too large.
pub(super) fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64,
        Value::Array(list) => {
            list.iter().fold(1, |sum, element| if sum > SIZE { sum } else { sum + size(element) })
        }
        // Of an object conditions only see that it is there.
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

fn cost(tree: &IdedExpr, sizes: &[u64]) -> Result<Cost, String> {
    match &tree.expr {
        Expr::Literal(literal) => {
            let size = match literal {
                LiteralValue::String(text) => 1 + text.inner().len() as u64,
                LiteralValue::Bytes(bytes) => 1 + bytes.inner().len() as u64,
                LiteralValue::Boolean(_)
                | LiteralValue::Double(_)
                | LiteralValue::Int(_)
                | LiteralValue::Null
                | LiteralValue::UInt(_) => 1,
            };
            Ok(Cost { size, work: 1 })
        }
        Expr::Ident(name) => {
            let index = name.strip_prefix('p').and_then(|index| index.parse::<usize>().ok());
            let size = index.and_then(|index| sizes.get(index)).copied().unwrap_or(1);
            Ok(Cost { size, work: size })
        }
        Expr::List(list) => {
            let all = parts(&list.elements, sizes)?;
            within(Cost { size: all.size + 1, work: all.work + all.size })
        }
        Expr::Call(call) => call_cost(call, sizes),
        Expr::Comprehension(_) => {
            Err("`all`, `exists`, `map` and `filter` are not for conditions here".into())
        }
        Expr::Unspecified | Expr::Map(_) | Expr::Select(_) | Expr::Struct(_) => {
            Err("something stands in the condition that can't be compared".into())
        }
    }
}

fn call_cost(call: &CallExpr, sizes: &[u64]) -> Result<Cost, String> {
    let function = call.func_name.as_str();
    let target = call.target.as_deref().map(|target| cost(target, sizes)).transpose()?;
    let all = parts(&call.args, sizes)?;
    let size = all.size + target.map_or(0, |target| target.size);
    let work = all.work + target.map_or(0, |target| target.work) + size;
    match Role::of(function) {
        // A choice gives one of its sides, a sum both.
        Role::Arithmetic | Role::Choice => within(Cost { size, work }),
        Role::Test if function == "matches" && !by_literal(call) => {
            Err("`matches` wants its pattern as a text in quotes".into())
        }
        Role::Logic | Role::Equality | Role::Test | Role::Remainder | Role::Size => {
            within(Cost { size: 1, work })
        }
        Role::Unknown if matches!(function, "int" | "double") => within(Cost { size: 1, work }),
        Role::Unknown if function == operators::INDEX => {
            Err("only a number or a quoted name can stand in `[ ]`".into())
        }
        Role::Unknown => Err(format!("there is no function `{function}`")),
    }
}

/// All of them together.
fn parts(parts: &[IdedExpr], sizes: &[u64]) -> Result<Cost, String> {
    parts.iter().try_fold(Cost { size: 0, work: 0 }, |sum, part| {
        let part = cost(part, sizes)?;
        within(Cost { size: sum.size + part.size, work: sum.work + part.work })
    })
}

/// Whether a pattern is known before anything is read, and was looked at when the document was.
fn by_literal(call: &CallExpr) -> bool {
    call.args.iter().all(|pattern| matches!(pattern.expr, Expr::Literal(_)))
}

fn within(cost: Cost) -> Result<Cost, String> {
    if cost.size > SIZE {
        return Err(format!("the condition builds more than {} KiB", SIZE / 1024));
    }
    if cost.work > WORK {
        return Err("the condition compares too much; compare something shorter".into());
    }
    Ok(cost)
}
