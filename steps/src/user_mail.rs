//! `user.mail`: writes to a user of ours, with a link by which they set their password. It leaves as our own mail, never
//! through a customer's mailbox, whose users would read it. The link's token exists in the mail alone; its hash is a
//! fact. It follows from the run under ENCRYPTION_KEY, so that another attempt brings the same link.

use std::collections::BTreeMap;
use std::sync::Arc;

use crm::password_link::MailedLink;
use crm::writers::PASSWORD_LINK_SENT;
use engine::context::Context;
use engine::definition::Template;
use engine::fact::Fact;
use engine::step::{Outcome, Reference, Step, StepError, StepType};
use futures_util::future::{BoxFuture, FutureExt};
use providers::mail::{Address, OutgoingMail, SendError};
use providers::message_id;
use providers::system_mail::SystemMail;
use ring::digest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::template::{self, render};
use crate::{Behaviour, Manual, Services, made};

/// What names the token among all that is derived.
const PURPOSE: &str = "password link";
/// The longest that a link may be good.
const LONGEST_MINUTES: u32 = 14 * 24 * 60;

/// Writes to a user, the workflow's subject, with a link by which they set their password: `{{ token }}` is valid
/// once. The mail leaves through `SYSTEM_MAIL_URL`, not through a mailbox.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The template of `[templates]` that is sent.
    #[schemars(extend("x-change" = "copy"))]
    template: String,
    /// For how many minutes the link is good, at most 20160; 30 where nothing stands.
    #[serde(default = "half_an_hour")]
    link_minutes: u32,
}

fn half_an_hour() -> u32 {
    30
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "link"
type = "user.mail"
template = "link"
link_minutes = 30

[templates.link]
subject = "Set your password"
text = "Set it here: https://app.example.com/password?token={{ token }}"
"#,
};

struct UserMail {
    keys: Keys,
    services: Services,
}

/// The step type.
pub(crate) fn step_type(services: Services, behaviour: Behaviour, manual: Manual) -> StepType {
    made("user.mail", behaviour, manual, move |keys: Keys| {
        if !(1..=LONGEST_MINUTES).contains(&keys.link_minutes) {
            let given = keys.link_minutes;
            return Err(format!("`link_minutes` is {given}; write 1 to {LONGEST_MINUTES}"));
        }
        Ok(Arc::new(UserMail { keys, services: services.clone() }))
    })
}

impl UserMail {
    fn system_mail(&self) -> Result<&SystemMail, StepError> {
        // Another worker may have it, or this one at its next start.
        self.services.system_mail.as_ref().ok_or_else(|| StepError::Retry {
            reason: "SYSTEM_MAIL_URL is not set for this worker; set it and SYSTEM_MAIL_FROM"
                .into(),
            after: None,
        })
    }

    /// A token that nobody can guess, the same for every attempt of the step.
    fn token(&self, cx: &Context) -> Result<String, StepError> {
        let vault = &self.services.webhooks.vault;
        let secret = vault
            .derive(PURPOSE, cx.customer_id(), &cx.key())
            .map_err(|error| StepError::Retry { reason: error.to_string(), after: None })?;
        Ok(secret.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn mail(
        &self,
        cx: &Context,
        from: &Address,
        variables: &Value,
    ) -> Result<OutgoingMail, StepError> {
        let missing = |what: &str| StepError::Fail {
            reason: format!("the template `{}` has no {what}", self.keys.template),
        };
        let template = cx.definition().templates.get(&self.keys.template);
        let template = template.ok_or_else(|| missing("text"))?;
        let subject = template.subject.as_ref().ok_or_else(|| missing("subject"))?;
        let text = template.text.as_ref().ok_or_else(|| missing("text"))?;
        let address = |name: &str, email: &str| Address { name: name.into(), email: email.into() };
        let part = |part: &str| template::part(part, &self.keys.template);
        let user = |field: &str| variables["user"][field].as_str().unwrap_or_default();
        let send_key = cx.key();
        Ok(OutgoingMail {
            from: from.clone(),
            to: address(user("name"), &crm::address::stored(user("email"))),
            subject: render(&part("subject"), subject, variables)?,
            text: render(&part("text"), text, variables)?,
            html: None,
            message_id: message_id::derive(&send_key, &from.email),
            in_reply_to: None,
            references: Vec::new(),
            send_key,
            unsubscribe_url: None,
            // RFC 3834: nobody answers it by itself.
            headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
        })
    }

    async fn write(&self, cx: &Context) -> Result<Outcome, StepError> {
        let system_mail = self.system_mail()?;
        let token = self.token(cx)?;
        let hash = digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec();
        let mut variables = cx.variables().await?;
        variables["token"] = token.into();
        let mail = self.mail(cx, &system_mail.from, &variables)?;
        system_mail.send(&mail, cx.now()).await.map_err(|error| match error {
            SendError::Refused { reason } | SendError::Unauthorized { reason } => {
                StepError::Fail { reason }
            }
            SendError::Temporary { reason, after } => StepError::Retry { reason, after },
            SendError::Unknown { reason } => StepError::Retry { reason, after: None },
        })?;
        let lifetime_seconds = self.keys.link_minutes * 60;
        let link = MailedLink { user_id: cx.subject_id(), hash, lifetime_seconds };
        let facts = vec![Fact { kind: PASSWORD_LINK_SENT, data: json!(link) }];
        Ok(Outcome { facts, ..Outcome::default() })
    }
}

impl Step for UserMail {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.write(cx).boxed()
    }

    fn rehearse(&self, _: &Context) -> Option<Result<Outcome, StepError>> {
        Some(Ok(Outcome::default()))
    }

    fn variables(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn check(&self, templates: &BTreeMap<String, Template>) -> Result<(), String> {
        let Some(template) = templates.get(&self.keys.template) else { return Ok(()) };
        for (part, text) in [("subject", &template.subject), ("text", &template.text)] {
            if text.as_ref().is_none_or(|text| text.trim().is_empty()) {
                return Err(template::lacks(&self.keys.template, part));
            }
        }
        Ok(())
    }

    fn references(&self) -> Vec<Reference> {
        vec![Reference::Template { key: "template", name: self.keys.template.clone() }]
    }
}
