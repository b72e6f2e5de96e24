//! What happened and what is to be done: the timeline, notes, calls, tasks, and how much a contact cares.

mod engagement;
mod log;
mod tasks;
mod timeline;

use chrono::{DateTime, Utc};
use crm::activity::{About, Activity};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::input::optional_id;
use crate::problem::Problem;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(timeline::list))
        .routes(routes!(timeline::find, timeline::change, timeline::delete))
        .routes(routes!(timeline::edits))
        .routes(routes!(log::note))
        .routes(routes!(log::call))
        .merge(tasks::router())
        .merge(engagement::router())
}

/// An activity as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Activity)]
struct ActivityBody {
    #[schema(example = "act_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// `note call task email meeting system`.
    kind: String,
    title: String,
    body: Option<String>,
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    actor: String,
    occurred_at: DateTime<Utc>,
    /// What else is to know: of a note its `mentions`, of a call `outcome` and `duration_seconds`, of what was told by an
    /// event the event.
    #[schema(value_type = Object)]
    data: Value,
    created_at: DateTime<Utc>,
    /// When its words were changed, else when it was written.
    updated_at: DateTime<Utc>,
}

fn show(activity: Activity) -> ActivityBody {
    ActivityBody {
        id: id::show("act", activity.id),
        kind: activity.kind,
        title: activity.title,
        body: activity.body,
        contact_id: activity.contact_id.map(|contact| id::show("con", contact)),
        account_id: activity.account_id.map(|account| id::show("acc", account)),
        opportunity_id: activity.opportunity_id.map(|deal| id::show("opp", deal)),
        actor: activity.actor,
        occurred_at: activity.occurred_at,
        data: activity.data,
        created_at: activity.created_at,
        updated_at: activity.updated_at.unwrap_or(activity.created_at),
    }
}

/// What something is about, as it is named.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Named {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
}

impl Named {
    fn read(&self) -> Result<About, Problem> {
        Ok(About {
            contact_id: optional_id("contact_id", "con", self.contact_id.as_deref())?,
            account_id: optional_id("account_id", "acc", self.account_id.as_deref())?,
            opportunity_id: optional_id("opportunity_id", "opp", self.opportunity_id.as_deref())?,
        })
    }

    /// The same, of which each is there; at least one is named.
    async fn existing(&self, tx: &mut PgConnection, customer_id: Uuid) -> Result<About, Problem> {
        let about = self.read()?;
        if about == About::default() {
            let message = "stands here, or `account_id`, or `opportunity_id`";
            return Err(Problem::invalid("contact_id", message));
        }
        let missing =
            |field: &str, what: &str| Problem::invalid(field, format!("there is no such {what}"));
        if let Some(id) = about.contact_id {
            let found = crm::contact::find(&mut *tx, customer_id, id).await?;
            found.ok_or_else(|| missing("contact_id", "contact"))?;
        }
        if let Some(id) = about.account_id {
            let found = crm::account::find(&mut *tx, customer_id, id).await?;
            found.ok_or_else(|| missing("account_id", "account"))?;
        }
        if let Some(id) = about.opportunity_id {
            let found = crm::opportunity::find(tx, customer_id, id).await?;
            found.ok_or_else(|| missing("opportunity_id", "opportunity"))?;
        }
        Ok(about)
    }
}
