//! `email.send`: writes to the contact through the enrollment's mailbox, at most once. The intent is
//! written before the provider is asked; after a crash the mailbox is asked what it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crm::address;
use crm::mailbox::{self, Mailbox};
use crm::message::{self, Intent, Sent, Thread};
use crm::writers::MESSAGE_SENT;
use engine::context::Context;
use engine::definition::{Definition, Template};
use engine::fact::Fact;
use engine::foresight::{Lack, Sight};
use engine::step::{
    FieldType, Outcome, Output, Reconciled, Reference, Step, StepError, StepText, StepType,
};
use futures_util::future::{BoxFuture, FutureExt};
use providers::mail::{Address, MailProvider, OutgoingMail, SendError, SentMail};
use providers::message_id;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::template::{self, Prepared, Use};
use crate::{Behaviour, Manual, Services, made, unavailable};

/// For what a run draws.
const DRAW: &str = "variant";
const MAX_VARIANTS: usize = 26;

/// Sends a mail.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The template of `[templates]` whose text is sent.
    #[schemars(extend("x-change" = "copy"))]
    template: String,
    /// The earlier step whose mail it answers, in the same thread and under its subject. If that mail was skipped, the
    /// mail starts a thread of its own with the template's subject.
    #[schemars(extend("x-change" = "copy"))]
    thread: Option<String>,
    /// Subjects of which each run gets one, by weight.
    #[schemars(extend("x-change" = "copy"))]
    #[serde(default)]
    variants: Vec<Variant>,
}

/// A subject of several.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Variant {
    /// Its name in reports.
    id: String,
    /// Its share beside the others, from 1 to 1000; 1 where nothing stands.
    #[serde(default = "one")]
    weight: u32,
    /// The subject line; a template.
    subject: String,
}

fn one() -> u32 {
    1
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[
        Output {
            name: "sent",
            kind: FieldType::Bool,
            description: "Whether the mail was accepted.",
        },
        Output {
            name: "variant",
            kind: FieldType::Text,
            description: "The id of the subject that this contact got.",
        },
        Output { name: "opened", kind: FieldType::Bool, description: "Whether it was opened." },
        Output {
            name: "clicked",
            kind: FieldType::Bool,
            description: "Whether a link in it was followed.",
        },
        Output { name: "replied", kind: FieldType::Bool, description: "Whether it was answered." },
    ],
    example: r#"[[steps]]
id = "intro"
type = "email.send"
template = "intro"
variants = [
  { id = "question", subject = "Question about {{ contact.company | default('your team') }}" },
  { id = "quick", subject = "A quick one", weight = 2 },
]

[[steps]]
id = "settle"
type = "wait"
for = "3 business days"

[[steps]]
id = "bump"
type = "email.send"
template = "bump"
thread = "intro"

[templates.intro]
text = "Hi {{ contact.first_name | default('there') }}, a question about your follow-ups: …"

[templates.bump]
text = "Did this reach you at a bad time?"
"#,
};

struct EmailSend {
    keys: Keys,
    services: Services,
    /// The texts of what it sends, each read once.
    texts: OnceLock<Texts>,
}

/// The texts of a mail.
struct Texts {
    /// The template's own subject; of a mail with variants, theirs in their order.
    subjects: Vec<Arc<Prepared>>,
    text: Option<Arc<Prepared>>,
    html: Option<Arc<Prepared>>,
}

/// The step type.
pub(crate) fn step_type(services: Services, behaviour: Behaviour, manual: Manual) -> StepType {
    made("email.send", behaviour, manual, move |keys: Keys| {
        if keys.variants.len() > MAX_VARIANTS {
            return Err(format!(
                "`variants` has {}; write at most {MAX_VARIANTS}",
                keys.variants.len()
            ));
        }
        if let Some(variant) = keys.variants.iter().find(|v| !(1..=1_000).contains(&v.weight)) {
            return Err(format!("`weight` {} is out of range; write 1 to 1000", variant.weight));
        }
        let subjects: Vec<_> =
            keys.variants.iter().map(|v| ("variants", v.subject.as_str())).collect();
        template::check_all(&subjects)?;
        Ok(Arc::new(EmailSend { keys, services: services.clone(), texts: OnceLock::new() }))
    })
}

/// A mail ready to leave, and through what.
struct Ready {
    provider: MailProvider,
    mail: OutgoingMail,
    intent: Intent,
}

impl EmailSend {
    async fn mailbox(&self, cx: &Context) -> Result<Mailbox, StepError> {
        let db = &self.services.db;
        let gone = |reason: &str| StepError::Fail { reason: reason.into() };
        let id = message::mailbox_of(db, cx.customer_id(), cx.root_run_id()).await;
        let id = id.map_err(|error| unavailable(&error))?;
        let id = id.ok_or_else(|| gone("the run is no enrollment, so it has no mailbox"))?;
        let found = mailbox::find(db, cx.customer_id(), id).await;
        found.map_err(|error| unavailable(&error))?.ok_or_else(|| gone("the mailbox is gone"))
    }

    /// The mailbox through which an intent was to be sent, whichever the enrollment has by now.
    async fn intended(&self, cx: &Context, intent: &Intent) -> Result<Mailbox, StepError> {
        let found = mailbox::find(&self.services.db, cx.customer_id(), intent.mailbox_id).await;
        found.map_err(|error| unavailable(&error))?.ok_or_else(|| StepError::Unknown {
            reason: "the mailbox that it was to leave through is gone".into(),
        })
    }

    /// The mail that this one answers. Where that step sent none, because it was skipped, the mail that that one was to
    /// answer is answered.
    async fn thread(&self, cx: &Context) -> Result<Option<Thread>, StepError> {
        let (root, run) = (cx.root_run_id(), cx.run_id());
        let mut named = self.keys.thread.clone();
        // No chain is longer than the document.
        for _step in &cx.definition().steps {
            let Some(step) = named else { return Ok(None) };
            let thread = message::thread(&self.services.db, cx.customer_id(), root, run, &step);
            if let Some(thread) = thread.await.map_err(|error| unavailable(&error))? {
                return Ok(Some(thread));
            }
            named = thread_of(cx.definition(), &step);
        }
        Ok(None)
    }

    /// The index of the variant that a draw falls on.
    fn drawn(&self, draw: u64) -> Option<usize> {
        let total: u64 = self.keys.variants.iter().map(|variant| u64::from(variant.weight)).sum();
        let mut rest = draw.checked_rem(total)?;
        self.keys.variants.iter().position(|variant| {
            let weight = u64::from(variant.weight);
            let falls = rest < weight;
            rest = rest.saturating_sub(weight);
            falls
        })
    }

    /// The variant that this run gets.
    fn variant(&self, cx: &Context) -> Option<&Variant> {
        self.drawn(cx.draw(DRAW)).and_then(|index| self.keys.variants.get(index))
    }

    fn texts(&self, definition: &Definition) -> Result<&Texts, StepError> {
        let name = &self.keys.template;
        let template = definition
            .templates
            .get(name)
            .ok_or_else(|| StepError::Fail { reason: format!("there is no template `{name}`") })?;
        Ok(self.texts.get_or_init(|| {
            let plain = |text: &String| Prepared::shared(text, Use::Prose);
            let variants = self.keys.variants.iter().map(|variant| &variant.subject);
            let own = template.subject.iter().filter(|_| self.keys.variants.is_empty());
            Texts {
                subjects: variants.chain(own).map(plain).collect(),
                text: template.text.as_ref().map(plain),
                html: template.html.as_ref().map(|html| Prepared::shared(html, Use::Html)),
            }
        }))
    }

    /// A part of the template, as errors name it.
    fn part(&self, part: &str, step: &str) -> String {
        format!("{} in step `{step}`", template::part(part, &self.keys.template))
    }

    /// The subject of a mail that begins a thread.
    fn subject(&self, cx: &Context, texts: &Texts, variables: &Value) -> Result<String, StepError> {
        let index = self.drawn(cx.draw(DRAW));
        let Some(subject) = texts.subjects.get(index.unwrap_or_default()) else {
            return Err(StepError::Fail { reason: self.no_subject(cx) });
        };
        let what = match index.and_then(|index| self.keys.variants.get(index)) {
            Some(variant) => {
                format!("the subject of variant `{}` in step `{}`", variant.id, cx.step())
            }
            None => self.part("subject", cx.step()),
        };
        Ok(one_line(&subject.render(&what, variables)?))
    }

    fn no_subject(&self, cx: &Context) -> String {
        let name = &self.keys.template;
        match &self.keys.thread {
            Some(thread) => format!(
                "step `{thread}`, whose mail this one answers, sent none, and the template `{name}` has no subject of \
                 its own; skip step `{}` as well, or apply a version with `subject` below `[templates.{name}]` and retry",
                cx.step(),
            ),
            None => format!(
                "the template `{name}` has no subject; apply a version with `subject` below `[templates.{name}]` and retry"
            ),
        }
    }

    async fn prepare(&self, cx: &Context) -> Result<Ready, StepError> {
        let mailbox = self.mailbox(cx).await?;
        let thread = self.thread(cx).await?;
        let variables = cx.variables().await?;
        let texts = self.texts(cx.definition())?;
        let subject = match &thread {
            Some(thread) => reply(&thread.subject),
            None => self.subject(cx, texts, &variables)?,
        };
        let part = |name: &str, text: &Option<Arc<Prepared>>| {
            let text = text.as_ref();
            text.map(|text| text.render(&self.part(name, cx.step()), &variables)).transpose()
        };
        let text = part("text", &texts.text)?.unwrap_or_default();
        let html = part("html", &texts.html)?;
        let variant = self.variant(cx).filter(|_| thread.is_none());
        let contact = &variables[cx.definition().subject.as_str()];
        let word = |field: &str| contact[field].as_str().unwrap_or_default().to_owned();
        let name = one_line(&format!("{} {}", word("first_name"), word("last_name")));
        let send_key = cx.key();
        let message_id = message_id::derive(&send_key, &mailbox.email);
        let mail = OutgoingMail {
            from: Address { name: mailbox.name.clone(), email: mailbox.email.clone() },
            to: Address { name, email: address::stored(&word("email")) },
            subject: subject.clone(),
            text,
            html,
            message_id: message_id.clone(),
            in_reply_to: thread.as_ref().map(|thread| thread.message_id.clone()),
            references: thread.map(|thread| thread.references).unwrap_or_default(),
            send_key: send_key.clone(),
            unsubscribe_url: None,
            headers: Vec::new(),
        };
        let intent = Intent {
            send_key,
            mailbox_id: mailbox.id,
            subject,
            sender: mailbox.email.clone(),
            recipient: mail.to.email.clone(),
            message_id,
            variant: variant.map(|variant| variant.id.clone()),
        };
        Ok(Ready { provider: self.services.mailboxes.open(&mailbox)?, mail, intent })
    }

    async fn send(&self, cx: &Context) -> Result<Outcome, StepError> {
        let Ready { provider, mail, intent } = self.prepare(cx).await?;
        let variant = intent.variant.clone();
        cx.intent(json!(intent)).await?;
        match provider.send(&mail, cx.now()).await {
            Ok(sent) => Ok(accepted(mail.send_key, sent, variant)),
            Err(SendError::Temporary { reason, after }) => Err(StepError::Retry { reason, after }),
            Err(SendError::Unknown { reason }) => Err(StepError::Unknown { reason }),
            Err(SendError::Unauthorized { reason }) => Err(StepError::Fail { reason }),
            Err(SendError::Refused { reason }) => Err(StepError::Fail { reason }),
        }
    }
}

/// The step whose mail a step answers.
fn thread_of(definition: &Definition, step: &str) -> Option<String> {
    let step = &definition.steps[definition.index_of(step)?];
    step.step.references().into_iter().find_map(|reference| match reference {
        Reference::Step { key: "thread", step } => Some(step),
        Reference::Step { .. }
        | Reference::Target { .. }
        | Reference::Condition { .. }
        | Reference::Template { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => None,
    })
}

/// The subject of an answer.
fn reply(subject: &str) -> String {
    let answered = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    if answered { subject.to_owned() } else { format!("Re: {subject}") }
}

/// A text on one line, as headers want it: fields that were imported hold line breaks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

fn accepted(send_key: String, sent: SentMail, variant: Option<String>) -> Outcome {
    let SentMail { provider_id, message_id, thread_id } = sent;
    let data = json!(Sent { send_key, provider_id, message_id, thread_id });
    Outcome {
        output: Some(output(variant)),
        facts: vec![Fact { kind: MESSAGE_SENT, data }],
        ..Outcome::default()
    }
}

/// What later steps read.
fn output(variant: Option<String>) -> Value {
    json!({ "sent": true, "variant": variant })
}

impl Step for EmailSend {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.send(cx).boxed()
    }

    fn rehearse(&self, cx: &Context) -> Option<Result<Outcome, StepError>> {
        let variant = self.variant(cx).map(|variant| variant.id.clone());
        Some(Ok(Outcome { output: Some(output(variant)), ..Outcome::default() }))
    }

    fn reconcile<'a>(
        &'a self,
        cx: &'a Context,
        intent: &'a Value,
    ) -> BoxFuture<'a, Result<Reconciled, StepError>> {
        async move {
            let intent: Intent = serde_json::from_value(intent.clone()).map_err(|error| {
                StepError::Unknown { reason: format!("its intent can't be read: {error}") }
            })?;
            let mailbox = self.intended(cx, &intent).await?;
            let provider = self.services.mailboxes.open(&mailbox)?;
            match provider.find(&intent.send_key).await {
                Ok(Some(sent)) => {
                    Ok(Reconciled::Happened(accepted(intent.send_key, sent, intent.variant)))
                }
                Ok(None) => Ok(Reconciled::DidNotHappen),
                Err(error) => Ok(Reconciled::Unknown(error.to_string())),
            }
        }
        .boxed()
    }

    fn texts(&self) -> Vec<StepText<'_>> {
        let subjects = self.keys.variants.iter().map(|variant| variant.subject.as_str());
        subjects.map(|source| StepText { key: "variants", source }).collect()
    }

    fn check(&self, templates: &BTreeMap<String, Template>) -> Result<(), String> {
        let Keys { template: name, thread, variants } = &self.keys;
        if thread.is_some() && !variants.is_empty() {
            return Err(
                "variants: a mail in a thread has the subject of the mail that it answers; \
                        remove `variants`, or `thread`"
                    .into(),
            );
        }
        if let Some(variant) = variants.iter().find(|variant| template::is_blank(&variant.subject))
        {
            return Err(format!(
                "variants: the subject of `{}` is empty; write one, as in `subject = \"A quick one\"`",
                variant.id
            ));
        }
        let twice = variants.iter().enumerate().find(|(index, variant)| {
            variants.iter().take(*index).any(|before| before.id == variant.id)
        });
        if let Some((_, variant)) = twice {
            return Err(format!(
                "variants: two have the id `{}`; reports could not tell them apart, so write another id",
                variant.id
            ));
        }
        let Some(template) = templates.get(name) else { return Ok(()) };
        let subject = template.subject.as_deref().is_some_and(|text| !template::is_blank(text));
        if thread.is_none() && variants.is_empty() && !subject {
            return Err(template::lacks(name, "subject"));
        }
        Ok(())
    }

    fn lacks(&self, sight: &Sight<'_>) -> Vec<Lack> {
        let Ok(texts) = self.texts(sight.definition) else { return Vec::new() };
        let step = &sight.definition.steps[sight.step].id;
        // The subject of an answer is that of the mail before. Which variant comes is known, if the mail comes once.
        let subject = match (&self.keys.thread, self.keys.variants.is_empty()) {
            (Some(_), _) => None,
            (None, true) => texts.subjects.first().map(|subject| ("subject", subject)),
            (None, false) => {
                let drawn = sight.draw(DRAW).and_then(|draw| self.drawn(draw));
                drawn
                    .and_then(|index| texts.subjects.get(index))
                    .map(|subject| ("subject", subject))
            }
        };
        let text = texts.text.as_ref().map(|text| ("text", text));
        let html = texts.html.as_ref().map(|html| ("html", html));
        let lack = |(part, text): (&str, &Arc<Prepared>)| {
            let name = text.lacks(sight)?;
            let text = match (part, self.keys.variants.is_empty()) {
                ("subject", false) => "the subject of its variant".into(),
                (part, _) => template::part(part, &self.keys.template),
            };
            Some(Lack { step: step.clone(), text, name })
        };
        [subject, text, html].into_iter().flatten().filter_map(lack).collect()
    }

    fn references(&self) -> Vec<Reference> {
        let template = Reference::Template { key: "template", name: self.keys.template.clone() };
        let thread = self.keys.thread.clone().map(|step| Reference::Step { key: "thread", step });
        [Some(template), thread].into_iter().flatten().collect()
    }
}
