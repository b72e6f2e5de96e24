//! The step types that ship, one file each: a struct whose fields are the TOML keys, and what it does.
//!
//! A step reads its context, calls a provider where it must, and returns an outcome. It never writes run
//! state or a table itself: what is to be written it returns as facts. Work on very many records alone goes on in
//! transactions of its own, each of which says how far it is.

mod activity_log;
mod branch;
mod bulk_change;
mod crm_update;
mod email_send;
mod event_publish;
mod exit;
mod http;
mod http_request;
mod import_rows;
mod mailboxes;
mod many_records;
mod score_adjust;
mod split;
mod task_create;
mod template;
mod texted;
mod user_mail;
mod wait;
mod wait_signal;
mod webhook_deliver;
mod workflow_start;

use std::sync::Arc;
use std::time::Duration;

use engine::step::{Effect, Output, Registry, Step, StepError, StepType, Subject};
use futures_util::FutureExt;
use providers::system_mail::SystemMail;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::PgPool;
use template::Use;
use texted::Texted;

pub use http::{AllowedHosts, FindAddresses, Http};
pub use mailboxes::Mailboxes;
pub use webhook_deliver::Webhooks;

/// What steps need of the process that runs them.
#[derive(Clone)]
pub struct Services {
    /// Where they read.
    pub db: PgPool,
    /// Through what they send.
    pub mailboxes: Mailboxes,
    /// Through what our own mail leaves, if anything is set.
    pub system_mail: Option<SystemMail>,
    /// Through what they ask other systems.
    pub http: Http,
    /// Through what they tell customers' systems, and what opens the secrets that sign that and derives others.
    pub webhooks: Webhooks,
}

/// How a step type behaves where its steps say nothing else.
#[derive(Clone, Copy)]
struct Behaviour {
    effect: Effect,
    timeout: Duration,
    windowed: bool,
    limits: &'static [&'static str],
}

/// What the reference says of a step type beside its keys.
#[derive(Clone, Copy)]
struct Manual {
    outputs: &'static [Output],
    example: &'static str,
}

const PURE: Behaviour = Behaviour {
    effect: Effect::Pure,
    timeout: Duration::from_secs(30),
    windowed: false,
    limits: &[],
};

/// All step types, contacts and users as their subjects, and the signals that may come to it.
pub fn registry(services: &Services) -> Registry {
    let sends = Behaviour {
        effect: Effect::AtMostOnce,
        timeout: Duration::from_secs(60),
        windowed: true,
        limits: &[crm::mailbox::LIMIT, crm::enrollment::DOMAIN_LIMIT, engine::limit::CUSTOMER],
    };
    let writes = Behaviour { effect: Effect::Idempotent, timeout: Duration::from_secs(60), ..PURE };
    let works = Behaviour { timeout: Duration::from_secs(60 * 60), ..writes };
    let asks = Behaviour { effect: Effect::Idempotent, timeout: http_request::TIMEOUT, ..PURE };
    let tells = Behaviour {
        effect: Effect::Idempotent,
        timeout: webhook_deliver::TIMEOUT,
        limits: &[crm::webhook::LIMIT],
        ..PURE
    };
    let mut registry = with_texts(Registry::new())
        .step(email_send::step_type(services.clone(), sends, email_send::MANUAL))
        .step(of::<wait::Wait>("wait", PURE, wait::MANUAL))
        .step(of::<wait_signal::WaitSignal>("wait.signal", PURE, wait_signal::MANUAL))
        .step(of::<branch::Branch>("branch", PURE, branch::MANUAL))
        .step(of::<split::Split>("split", PURE, split::MANUAL))
        .step(http_request::step_type(services.http.clone(), asks, http_request::MANUAL))
        .step(user_mail::step_type(services.clone(), writes, user_mail::MANUAL))
        .step(webhook_deliver::step_type(services.clone(), tells))
        .step(import_rows::step_type(services.db.clone(), works))
        .step(bulk_change::step_type(services.db.clone(), works))
        .step(of::<workflow_start::WorkflowStart>("workflow.start", PURE, workflow_start::MANUAL))
        .step(of::<exit::Exit>("exit", PURE, exit::MANUAL))
        .subject(contact(services.db.clone()))
        .subject(user(services.db.clone()))
        .subject(bare("import"))
        .subject(bare("bulk_change"))
        .subject(bare("webhook_delivery"))
        .limit(crm::mailbox::LIMIT)
        .limit(crm::enrollment::DOMAIN_LIMIT)
        .limit(crm::webhook::LIMIT)
        .check_template(template::check)
        .read_text(template::read)
        .signal("meeting.booked")
        .signal(task_create::COMPLETED);
    for signal in crm::inbound::SIGNALS {
        registry = registry.signal(signal);
    }
    registry
}

/// Adds the step types whose own keys are texts and that need no service.
fn with_texts(registry: Registry) -> Registry {
    registry
        .step(of_texts(
            "task.create",
            PURE,
            task_create::MANUAL,
            task_create::TaskCreate::texts,
            Use::Prose,
        ))
        .step(of_texts(
            "activity.log",
            PURE,
            activity_log::MANUAL,
            activity_log::ActivityLog::texts,
            Use::Prose,
        ))
        .step(of_texts(
            "crm.update",
            PURE,
            crm_update::MANUAL,
            crm_update::CrmUpdate::texts,
            Use::Data,
        ))
        .step(of_texts(
            "score.adjust",
            PURE,
            score_adjust::MANUAL,
            score_adjust::ScoreAdjust::texts,
            Use::Prose,
        ))
        .step(of_texts(
            "event.publish",
            PURE,
            event_publish::MANUAL,
            event_publish::EventPublish::texts,
            Use::Data,
        ))
}

/// The contact, loaded when a step asks for it.
fn contact(db: PgPool) -> Subject {
    let load = move |customer_id, contact_id| {
        let db = db.clone();
        async move {
            match crm::contact::find(&db, customer_id, contact_id).await {
                Ok(contact) => Ok(contact.map(|contact| crm::contact::subject(&contact))),
                Err(error) => Err(unavailable(&error)),
            }
        }
        .boxed()
    };
    Subject { name: "contact", fields: crm::contact::FIELDS, load: Arc::new(load) }
}

/// The user, loaded when a step asks for it.
fn user(db: PgPool) -> Subject {
    let load = move |customer_id, user_id| {
        let db = db.clone();
        async move {
            match crm::user::find(&db, customer_id, user_id).await {
                Ok(user) => {
                    Ok(user.filter(|user| user.active).map(|user| crm::user::subject(&user)))
                }
                Err(error) => Err(unavailable(&error)),
            }
        }
        .boxed()
    };
    Subject { name: "user", fields: crm::user::FIELDS, load: Arc::new(load) }
}

/// A subject of which nothing is read: its step knows it by its id.
fn bare(name: &'static str) -> Subject {
    let load = |_, _| async { Ok(Some(json!({}))) }.boxed();
    Subject { name, fields: &[], load: Arc::new(load) }
}

/// The database did not answer: worth another attempt.
fn unavailable(error: &sqlx::Error) -> StepError {
    StepError::Retry { reason: format!("the database did not answer: {error}"), after: None }
}

/// The step type whose keys are the fields of `K`, of which `make` makes the step, or says what is wrong with them.
fn made<K: DeserializeOwned + JsonSchema>(
    name: &'static str,
    behaviour: Behaviour,
    manual: Manual,
    make: impl Fn(K) -> Result<Arc<dyn Step>, String> + Send + Sync + 'static,
) -> StepType {
    StepType {
        name,
        effect: behaviour.effect,
        timeout: behaviour.timeout,
        windowed: behaviour.windowed,
        limits: behaviour.limits,
        outputs: manual.outputs,
        example: manual.example,
        schema: || schemars::schema_for!(K),
        parse: Arc::new(move |keys| {
            make(serde_json::from_value(keys).map_err(|error| error.to_string())?)
        }),
    }
}

/// The step type whose keys are the fields of `T`.
fn of<T: Step + DeserializeOwned + JsonSchema + 'static>(
    name: &'static str,
    behaviour: Behaviour,
    manual: Manual,
) -> StepType {
    made(name, behaviour, manual, |step: T| Ok(Arc::new(step)))
}

/// The step type whose keys are the fields of `T`, of which these are templates, and for what.
fn of_texts<T: Step + DeserializeOwned + JsonSchema + 'static>(
    name: &'static str,
    behaviour: Behaviour,
    manual: Manual,
    texts: fn(&T) -> Vec<(&'static str, &str)>,
    used: Use,
) -> StepType {
    made(name, behaviour, manual, move |step: T| {
        template::check_all(&texts(&step))?;
        Ok(Arc::new(Texted::new(step, texts, used)))
    })
}
