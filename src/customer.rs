//! For which customer a command works: the one that it names, else the only one. And which of its sequences.

use anyhow::{Context, Result, bail};
use crm::customer::{self, Customer};
use crm::sequence::{self, Sequence};
use engine::id;
use sqlx::PgPool;

use crate::out;
use crate::spelling;

/// Finds the customer.
pub(crate) async fn choose(db: &PgPool, named: Option<&str>) -> Result<Customer> {
    if let Some(named) = named {
        let id = id::read("cus", named)?;
        let found = customer::find(db, id).await?;
        return found.with_context(|| format!("there is no customer {named}"));
    }
    let mut customers = customer::list(db).await?;
    if customers.len() > 1 {
        let names: Vec<String> = customers
            .iter()
            .take(5)
            .map(|customer| format!("{} ({})", id::show("cus", customer.id), customer.name))
            .collect();
        bail!("there are several customers; name one by --customer: {}", names.join(", "));
    }
    customers
        .pop()
        .context("there is no customer yet; run `salesos seed`, or sign up through the API")
}

/// A customer's sequence by name; where there is none, says which there are.
pub(crate) async fn sequence(
    db: &PgPool,
    customer: &Customer,
    name: &str,
) -> Result<Option<Sequence>> {
    let found = sequence::find_named(db, customer.id, name).await?;
    if found.is_none() {
        out::problem(format_args!("error: {}", unknown(db, customer, name).await?));
    }
    Ok(found)
}

async fn unknown(db: &PgPool, customer: &Customer, name: &str) -> Result<String> {
    let known = sequence::list(db, customer.id, None, 200).await?;
    let names: Vec<&str> = known.iter().map(|sequence| sequence.name.as_str()).collect();
    let hint = if names.is_empty() {
        "bring one by `salesos workflows apply FILE`".into()
    } else {
        spelling::hint(name, &names)
    };
    Ok(format!("there is no sequence `{name}`; {hint}"))
}
