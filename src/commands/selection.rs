//! The filter of listings and bulk commands over runs: the same options, with one meaning everywhere. A name that does not
//! exist is refused with the one that was probably meant.

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, Utc};
use crm::contact;
use engine::operation::{self, Names, Selection};
use engine::{id, run};
use sqlx::PgPool;
use uuid::Uuid;

use crate::settings::Settings;
use crate::{customer, process};

/// The filter, without the state: listings know more states than bulk commands.
#[derive(clap::Args)]
#[group(id = "filter")]
pub(crate) struct Filter {
    /// Only runs of this sequence, or of another workflow of this name
    #[arg(long)]
    sequence: Option<String>,
    /// Only runs at this step
    #[arg(long)]
    step: Option<String>,
    /// Only runs about this contact (`con_…`)
    #[arg(long)]
    contact: Option<String>,
    /// Only runs of this customer (`cus_…`)
    #[arg(long)]
    customer: Option<String>,
    /// Only runs at a step of this type, such as `email.send`
    #[arg(long)]
    queue: Option<String>,
    /// Only runs whose reason contains this text; with `*`, as in `timeout*`, the whole reason must match, each `*`
    /// matching any text. Case counts
    #[arg(long)]
    error: Option<String>,
    /// Only runs that changed within this time, such as `2h`
    #[arg(long)]
    since: Option<String>,
    /// Only runs that last changed longer ago than this, such as `2h`
    #[arg(long)]
    until: Option<String>,
}

/// Whether a command works for several customers at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Customers {
    /// For one, which must be named where there are several.
    One,
    /// For all of them, unless one is named.
    All,
}

impl Filter {
    /// Whether nothing is asked.
    pub(crate) fn is_empty(&self) -> bool {
        let texts = [
            &self.sequence,
            &self.step,
            &self.contact,
            &self.customer,
            &self.queue,
            &self.error,
            &self.since,
            &self.until,
        ];
        texts.iter().all(|text| text.is_none())
    }

    /// Reads it against what the database has.
    pub(crate) async fn selection(
        self,
        db: &PgPool,
        settings: &Settings,
        (state, customers): (Option<String>, Customers),
    ) -> Result<Selection> {
        let named = self.customer.as_deref();
        let customer_id = match (customers, named) {
            (Customers::All, None) => None,
            (Customers::All, Some(_)) | (Customers::One, _) => {
                Some(customer::choose(db, named).await?.id)
            }
        };
        let reason = self.error.as_deref().map(run::reason_glob).transpose();
        let reason = reason.map_err(|message| anyhow!("--error {message}"))?;
        let subject_id = contact_of(db, customer_id, self.contact.as_deref()).await?;
        let names = Names {
            customer_id,
            workflow: self.sequence.as_deref(),
            step: self.step.as_deref(),
            queue: self.queue.as_deref(),
        };
        let definitions = process::definitions(db.clone(), &settings.data_dir);
        let mut connection = db.acquire().await?;
        let unknown = operation::check_names(&mut connection, definitions.registry(), &names);
        if let Some(unknown) = unknown.await? {
            bail!("{}", unknown.message);
        }
        drop(connection);
        let (since, until) =
            (ago(db, self.since.as_deref()).await?, ago(db, self.until.as_deref()).await?);
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            bail!("--until reaches further back than --since, so nothing can match; swap the two");
        }
        Ok(Selection {
            customer_id,
            state,
            workflow: self.sequence,
            step: self.step,
            queue: self.queue,
            subject_id,
            reason,
            since,
            until,
        })
    }

    /// The same for a listing.
    pub(crate) async fn listed(
        self,
        db: &PgPool,
        settings: &Settings,
        state: Option<String>,
    ) -> Result<run::Filter> {
        let selection = self.selection(db, settings, (state, Customers::All)).await?;
        Ok(run::Filter {
            customer_id: selection.customer_id,
            state: selection.state,
            workflow: selection.workflow,
            step: selection.step,
            subject_id: selection.subject_id,
            queue: selection.queue,
            reason: selection.reason,
            since: selection.since,
            until: selection.until,
            before: None,
        })
    }
}

/// The contact of an id; of a customer's, it must exist.
async fn contact_of(
    db: &PgPool,
    customer_id: Option<Uuid>,
    text: Option<&str>,
) -> Result<Option<Uuid>> {
    let Some(text) = text else { return Ok(None) };
    let contact_id = id::read("con", text)?;
    if let Some(customer_id) = customer_id
        && contact::find(db, customer_id, contact_id).await?.is_none()
    {
        bail!("there is no contact {text}; use the id of a contact of this customer");
    }
    Ok(Some(contact_id))
}

/// The instant this long ago, by the engine's clock.
pub(crate) async fn ago(db: &PgPool, length: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    let Some(length) = length else { return Ok(None) };
    let length = engine::timing::duration(length).map_err(anyhow::Error::msg)?;
    Ok(Some(engine::clock::now(db).await? - length))
}
