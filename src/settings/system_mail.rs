//! Settings of the mail that SalesOS itself writes, such as links that set a password.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use providers::mail::Address;
use providers::mime;
use providers::system_mail::{MailServer, SystemMail, Way};

/// By what way our own mail leaves. It may hold a password, so it has no `Debug`.
pub(crate) enum SystemMailSettings {
    /// It can't: whatever needs a mail says so.
    Nowhere,
    /// Into files of the data folder.
    Files,
    /// Through a server, as this sender.
    Server(MailServer, Address),
}

impl SystemMailSettings {
    /// Reads them by their names.
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>, production: bool) -> Result<Self> {
        let from = get("SYSTEM_MAIL_FROM").map(|text| sender(&text)).transpose()?;
        match (get("SYSTEM_MAIL_URL").as_deref(), from) {
            (None, Some(_)) if production => {
                bail!("SYSTEM_MAIL_FROM is set without SYSTEM_MAIL_URL; set both")
            }
            (None, _) if production => Ok(Self::Nowhere),
            (Some("mock"), _) if production => bail!(
                "SYSTEM_MAIL_URL is `mock`, which production refuses; write the URL of a mail server, such as \
                 smtps://user:password@host:465"
            ),
            (None | Some("mock"), _) => Ok(Self::Files),
            (Some(url), from) => {
                let server = MailServer::parse(url);
                let server = server.map_err(|problem| anyhow!("SYSTEM_MAIL_URL {problem}"))?;
                let from = from.ok_or_else(|| {
                    anyhow!(
                        "SYSTEM_MAIL_FROM is not set, which SYSTEM_MAIL_URL needs; write such as \
                         SalesOS <no-reply@example.com>"
                    )
                })?;
                Ok(Self::Server(server, from))
            }
        }
    }

    /// What sends it, if anything does.
    pub(crate) fn sender(&self, data_dir: &Path) -> Option<SystemMail> {
        match self {
            Self::Nowhere => None,
            Self::Files => {
                let from =
                    Address { name: "SalesOS".into(), email: "no-reply@salesos.invalid".into() };
                Some(SystemMail { from, way: Way::files(data_dir) })
            }
            Self::Server(server, from) => {
                Some(SystemMail { from: from.clone(), way: Way::Server(server.clone()) })
            }
        }
    }
}

/// Reads `name@example.com`, or `Name <name@example.com>`.
fn sender(text: &str) -> Result<Address> {
    mime::read_sender(text).ok_or_else(|| {
        anyhow!(
            "SYSTEM_MAIL_FROM is `{text}`, which is not a sender; write such as SalesOS <no-reply@example.com>"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)], production: bool) -> Result<SystemMailSettings> {
        let get = |asked: &str| {
            let found = settings.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        };
        SystemMailSettings::of(&get, production)
    }

    fn refused(settings: &[(&str, &str)], production: bool) -> String {
        read(settings, production).map(|_| ()).expect_err("it is refused").to_string()
    }

    const URL: (&str, &str) = ("SYSTEM_MAIL_URL", "smtps://u:hush@mail.example");
    const FROM: (&str, &str) = ("SYSTEM_MAIL_FROM", "Acme Sales <no-reply@acme.example>");

    #[test]
    fn mail_goes_to_files_in_development_and_nowhere_in_production_unless_a_server_is_set() {
        let of = |settings: &[_], production| read(settings, production).expect("it is right");
        assert!(matches!(of(&[], false), SystemMailSettings::Files));
        assert!(matches!(of(&[("SYSTEM_MAIL_URL", "mock")], false), SystemMailSettings::Files));
        assert!(matches!(of(&[], true), SystemMailSettings::Nowhere));
        let server = of(&[URL, FROM], true);
        assert!(matches!(server, SystemMailSettings::Server(_, from)
            if from.name == "Acme Sales" && from.email == "no-reply@acme.example"));
    }

    #[test]
    fn a_bad_setting_is_named_with_what_is_expected_and_never_tells_the_password() {
        for (settings, expected) in [
            (vec![URL], "SYSTEM_MAIL_FROM is not set"),
            (vec![FROM], "SYSTEM_MAIL_FROM is set without SYSTEM_MAIL_URL"),
            (vec![("SYSTEM_MAIL_URL", "mock")], "SYSTEM_MAIL_URL is `mock`, which production"),
            (vec![("SYSTEM_MAIL_URL", "u:hush@mail"), FROM], "SYSTEM_MAIL_URL "),
            (
                vec![("SYSTEM_MAIL_URL", "smtp://u:hush@mail.example?tls=no"), FROM],
                "SYSTEM_MAIL_URL has `tls=no`",
            ),
            (vec![URL, ("SYSTEM_MAIL_FROM", "nobody")], "SYSTEM_MAIL_FROM is `nobody`"),
            (
                vec![URL, ("SYSTEM_MAIL_FROM", "a@b.example, c@d.example")],
                "SYSTEM_MAIL_FROM is `a@",
            ),
        ] {
            let said = refused(&settings, true);
            assert!(said.starts_with(expected) && !said.contains("hush"), "{said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }
}
