//! For which customer a command works: the one that it names, else the only one.

use anyhow::{Context, Result, bail};
use crm::customer::{self, Customer};
use engine::id;
use sqlx::PgPool;

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
