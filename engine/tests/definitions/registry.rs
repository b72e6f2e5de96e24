//! A registry of small step types, shaped like those that ship, for tests of definitions alone.

use std::sync::Arc;
use std::time::Duration;

use engine::context::Context;
use engine::definition::Expression;
use engine::step::{
    Effect, FieldType, Outcome, Output, Reference, Registry, Step, StepError, StepType, Subject,
    TemplateProblem,
};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const MAIL: &[Output] = &[
    Output { name: "clicked", kind: FieldType::Bool, description: "Whether a link was followed." },
    Output { name: "opened", kind: FieldType::Bool, description: "Whether it was opened." },
];

const CAME: &[Output] =
    &[Output { name: "came", kind: FieldType::Bool, description: "Whether it came in time." }];

/// Knows contacts, four signals and six step types.
pub(crate) fn registry() -> Registry {
    Registry::new()
        .step(of::<EmailSend>("email.send", true, MAIL))
        .step(of::<Wait>("wait", false, &[]))
        .step(of::<WaitSignal>("wait.signal", false, CAME))
        .step(of::<Branch>("branch", false, &[]))
        .step(of::<Split>("split", false, &[]))
        .step(of::<Exit>("exit", false, &[]))
        .subject(Subject {
            name: "contact",
            fields: &[
                ("first_name", FieldType::Text),
                ("title", FieldType::Text),
                ("score", FieldType::Number),
                ("tags", FieldType::List),
                ("renewal_on", FieldType::Date),
                ("custom", FieldType::Any),
            ],
            load: Arc::new(|_, _| Box::pin(async { Ok(None) })),
        })
        .signal("email.replied")
        .signal("email.bounced.hard")
        .signal("meeting.booked")
        .signal("contact.unsubscribed")
        .check_template(|text| match text.lines().position(|line| line.contains("{{ }}")) {
            Some(line) => Err(TemplateProblem {
                line: line + 1,
                message: "nothing stands between `{{` and `}}`".into(),
            }),
            None => Ok(()),
        })
}

fn of<T: Step + DeserializeOwned + JsonSchema + 'static>(
    name: &'static str,
    windowed: bool,
    outputs: &'static [Output],
) -> StepType {
    StepType {
        name,
        effect: Effect::Pure,
        timeout: Duration::from_secs(60),
        windowed,
        limits: &[],
        outputs,
        example: "",
        schema: || schemars::schema_for!(T),
        parse: Arc::new(|value| match serde_json::from_value::<T>(value) {
            Ok(step) => Ok(Arc::new(step)),
            Err(error) => Err(error.to_string()),
        }),
    }
}

fn done<'a>() -> BoxFuture<'a, Result<Outcome, StepError>> {
    Box::pin(async { Ok(Outcome::default()) })
}

/// Sends a mail.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EmailSend {
    /// The template whose text is sent.
    template: String,
    /// The step whose mail it answers.
    thread: Option<String>,
    /// Subjects of which each run gets one.
    #[serde(default)]
    variants: Vec<Variant>,
    /// How the mail is tracked.
    #[serde(default)]
    track: Track,
}

/// One subject line.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variant {
    /// Its name in reports.
    #[expect(dead_code, reason = "read for its shape only")]
    id: String,
    /// Its share beside the others.
    #[expect(dead_code, reason = "read for its shape only")]
    weight: u32,
}

/// What is tracked.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(rename_all = "snake_case")]
enum Track {
    #[default]
    Clicks,
    Opens,
    Nothing,
}

impl Step for EmailSend {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn references(&self) -> Vec<Reference> {
        let _shape = (&self.variants, &self.track);
        let template = Reference::Template { key: "template", name: self.template.clone() };
        let thread = self.thread.clone().map(|step| Reference::Step { key: "thread", step });
        [template].into_iter().chain(thread).collect()
    }
}

/// A length of time in words.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Delay;

impl TryFrom<String> for Delay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        engine::timing::duration(&text).map(|_| Self).map_err(|error| {
            if error.contains(';') { error } else { format!("{error}; write one such as `3 days`") }
        })
    }
}

/// Lets time pass.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// How long.
    #[serde(rename = "for")]
    delay: Option<Delay>,
    /// A date of the subject.
    until: Option<String>,
}

impl Step for Wait {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn references(&self) -> Vec<Reference> {
        let path = self.until.clone();
        path.map(|path| Reference::DateField { key: "until", path }).into_iter().collect()
    }

    fn waits(&self) -> bool {
        self.delay.is_some()
    }
}

/// Waits for a signal.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitSignal {
    /// The signal.
    signal: String,
    /// How long to wait for it.
    timeout: Delay,
    /// Where to go when it does not come.
    on_timeout: Option<String>,
}

impl Step for WaitSignal {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn references(&self) -> Vec<Reference> {
        let Delay = self.timeout;
        let signal = Reference::Signal { key: "signal", name: self.signal.clone() };
        let target = self.on_timeout.clone();
        let target = target.map(|step| Reference::Target { key: "on_timeout", step });
        [signal].into_iter().chain(target).collect()
    }

    fn waits(&self) -> bool {
        true
    }
}

/// Goes one way or the other.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Branch {
    /// What decides.
    when: Expression,
    /// Where to go when it is true.
    then: Option<String>,
    /// Where to go when it is false.
    #[serde(rename = "else")]
    otherwise: Option<String>,
}

impl Step for Branch {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn references(&self) -> Vec<Reference> {
        let source = self.when.source().to_owned();
        let then = self.then.clone().map(|step| Reference::Target { key: "then", step });
        let otherwise = self.otherwise.clone().map(|step| Reference::Target { key: "else", step });
        let condition = Reference::Condition { key: "when", source };
        [condition].into_iter().chain(then).chain(otherwise).collect()
    }

    fn diverts(&self) -> bool {
        self.then.is_some() && self.otherwise.is_some()
    }
}

/// Sends each run one of several ways.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Split {
    /// The ways.
    ways: Vec<Way>,
}

/// One way.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Way {
    /// Its share beside the others.
    #[expect(dead_code, reason = "read for its shape only")]
    weight: u32,
    /// The step it leads to.
    to: String,
}

impl Step for Split {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn references(&self) -> Vec<Reference> {
        let target = |way: &Way| Reference::Target { key: "to", step: way.to.clone() };
        self.ways.iter().map(target).collect()
    }

    fn diverts(&self) -> bool {
        true
    }
}

/// Ends the run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exit {
    /// Why, as people read it.
    #[expect(dead_code, reason = "read for its shape only")]
    reason: Option<String>,
}

impl Step for Exit {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        done()
    }

    fn diverts(&self) -> bool {
        true
    }
}
