//! What the fuzz targets share: the step types that ship, without anything behind them.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use crm::vault::Vault;
use engine::context::{Context, Parts};
use engine::definition::{Definition, Expression, Format, from_document, read};
use engine::step::{Outcome, Registry, StepError};
use engine::timing::Zone;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use steps::{AllowedHosts, Http, Mailboxes, Services, Webhooks};
use tokio::runtime::Runtime;
use uuid::Uuid;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
});

/// The step types that ship.
pub static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let _inside = RUNTIME.enter();
    let db = PgPoolOptions::new()
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .expect("the address can be read");
    let mailboxes = Mailboxes { data_dir: PathBuf::new(), seed: 1 };
    let http = Http::new(AllowedHosts::default());
    let webhooks = Webhooks { http: Http::anywhere(true), vault: Vault::default() };
    steps::registry(&Services { db, mailboxes, system_mail: None, http, webhooks })
});

/// What is done with any text.
pub type Look = fn(&str);

/// What each target looks at, by its name.
pub const LOOKS: [(&str, Look); 4] = [
    ("toml", |source| look(source, Format::Toml)),
    ("json", |source| look(source, Format::Json)),
    ("cel", condition),
    ("template", template),
];

/// Any text as a condition: checked with a document, and decided over a contact.
pub fn condition(source: &str) {
    let _checked = with_step(&json!({ "when": source }));
    if let Ok(condition) = Expression::parse(source) {
        let _decided = condition.evaluate(&json!({ "contact": contact(), "steps": {} }));
    }
}

/// Any text as a template: checked with a document, and filled in.
pub fn template(source: &str) {
    if let Some(definition) = with_step(&json!({ "title": source })) {
        let _filled = run(definition);
    }
}

/// Reads a document, draws what is wrong with it, and reads what is right back as it is stored.
pub fn look(source: &str, format: Format) {
    match read("fuzz", source, format, &REGISTRY) {
        Err(refusals) => drop(refusals.render(true)),
        Ok(definition) => {
            let again = from_document(definition.canonical(), &REGISTRY)
                .unwrap_or_else(|refusals| panic!("it was read before: {refusals}"));
            assert_eq!(again.content_hash(), definition.content_hash());
        }
    }
}

/// A document in JSON whose first step has these keys; `None` where it is refused.
pub fn with_step(keys: &Value) -> Option<Arc<Definition>> {
    let mut step = json!({ "id": "first", "type": "activity.log", "title": "x" });
    let own = keys.as_object().into_iter().flatten();
    own.for_each(|(key, value)| step[key] = value.clone());
    let document = json!({ "name": "fuzz", "subject": "contact", "steps": [step] });
    read("fuzz", &document.to_string(), Format::Json, &REGISTRY).ok().map(Arc::new)
}

/// What conditions and texts read.
pub fn contact() -> Value {
    let tags: Vec<String> = (0..100).map(|n| format!("tag {n}")).collect();
    json!({
        "first_name": "Ada", "last_name": "Byron", "email": "ada@example.com", "title": "VP Sales", "company": "",
        "score": 4, "tags": tags, "created_on": "2026-11-24",
        "custom": { "list": [[1, 2], { "a": null }, "x"], "long": "x".repeat(10_000), "n": 1e308 },
    })
}

/// Runs the first step of a definition.
pub fn run(definition: Arc<Definition>) -> Result<Outcome, StepError> {
    let step = Arc::clone(&definition.steps[0].step);
    let parts = Parts {
        run_id: Uuid::nil(),
        root_run_id: Uuid::nil(),
        customer_id: Uuid::nil(),
        subject_id: Uuid::nil(),
        definition,
        step: 0,
        iteration: 0,
        attempt: 1,
        now: "2026-11-24T10:00:00Z".parse().expect("an instant"),
        zone: Zone::utc(),
        outputs: Arc::default(),
        observed: None,
        wake: None,
        load_subject: Arc::new(|_, _| Box::pin(async { Ok(Some(contact())) })),
        seen: 0,
        intents: None,
    };
    RUNTIME.block_on(async { step.run(&Context::new(parts)).await })
}
