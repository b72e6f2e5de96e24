//! Mails to users, as runs of workflows of our own: they survive crashes, are tried again, and an operator sees why one
//! did not leave.

use std::time::Duration;

use crm::own_run::{self, OwnRun};
use engine::clock;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::{State, UserMail};

/// When it is worth asking again whether mail can leave: not before somebody has changed the settings.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mail {
    /// That a link sets another password, for half an hour.
    ForgottenPassword,
    /// That they were invited, with a link for seven days.
    Invitation,
}

impl Mail {
    fn workflow(self, public_url: &str) -> Value {
        let link = format!("{public_url}/password?token={{{{ token }}}}");
        let (name, title, minutes, subject, text) = match self {
            Self::ForgottenPassword => (
                "user-password-forgotten",
                "A forgotten password",
                30,
                "Set a new password",
                format!(
                    "Hello {{{{ user.name | default('there') }}}},\n\nsomebody, probably you, asked to set a new password:\n{link}\n\n\
                     The link is good once, for 30 minutes. If it was not you, nothing has changed.\n"
                ),
            ),
            Self::Invitation => (
                "user-invited",
                "An invitation",
                7 * 24 * 60,
                "You are invited",
                format!(
                    "Hello {{{{ user.name | default('there') }}}},\n\nyou are invited; set your password to begin:\n{link}\n\n\
                     The link is good once, for seven days.\n"
                ),
            ),
        };
        json!({
            "name": name,
            "title": title,
            "subject": "user",
            "steps": [
                { "id": "mail", "type": "user.mail", "template": "mail", "link_minutes": minutes },
            ],
            "templates": { "mail": { "subject": subject, "text": text } },
        })
    }
}

/// Refuses what would need a mail, if none can leave.
pub(super) fn require(state: &State) -> Result<(), Problem> {
    match state.settings.user_mail {
        UserMail::Possible => Ok(()),
        UserMail::Impossible => Err(Problem::new(Kind::NoMailServer)
            .detail("no mail can leave for users; ask whoever runs this server to set SYSTEM_MAIL_URL and SYSTEM_MAIL_FROM")
            .retry_after(LOOK_AGAIN)),
    }
}

/// Writes to a user, in the transaction of what it is about.
pub(super) async fn write(
    tx: &mut PgConnection,
    state: &State,
    customer_id: Uuid,
    user_id: Uuid,
    mail: Mail,
) -> Result<(), Problem> {
    let workflow = mail.workflow(&state.settings.public_url);
    let run = OwnRun::awaited(clock::new_id(), user_id);
    Ok(own_run::start(tx, &state.definitions, customer_id, &workflow, &[run]).await?)
}
