//! The mail that SalesOS itself writes, such as a link that sets a password: through the server of whoever runs
//! SalesOS, or as files in development. It never leaves through a customer's mailbox.
//!
//! Owns no table, and keeps no connection between two mails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use url::Url;
use uuid::Uuid;

use crate::mail::{Address, OutgoingMail, SendError};
use crate::mime;
use crate::mock::files;

/// How long it may take until the server is ready to take a mail, login included.
const CONNECT: Duration = Duration::from_secs(15);
/// How long it may then take the mail.
const HAND_OVER: Duration = Duration::from_secs(30);
/// How long a farewell is waited for, which nothing depends on.
const GOODBYE: Duration = Duration::from_secs(1);
/// How much of what the server says a reason holds.
const MAX_SHOWN: usize = 200;
/// What a URL of a server looks like.
const EXPECTED: &str =
    "write smtp://user:password@host:587?tls=required or smtps://user:password@host:465";

/// By what way our own mail leaves, and as whose. It may hold a password, so it has no `Debug`.
#[derive(Clone)]
pub struct SystemMail {
    /// As whose it leaves.
    pub from: Address,
    /// By what way.
    pub way: Way,
}

/// A way for our own mail.
#[derive(Clone)]
pub enum Way {
    /// Through a server.
    Server(MailServer),
    /// As `.eml` files in this folder.
    Folder(PathBuf),
}

/// A mail server. It may hold a password, so it has no `Debug`.
#[derive(Clone)]
pub struct MailServer {
    host: String,
    port: u16,
    tls: Tls,
    /// What we call ourselves there.
    name: ClientId,
    login: Option<Credentials>,
}

/// How the way to a server is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS, or no mail leaves.
    Required,
    /// By STARTTLS, if the server offers it.
    Opportunistic,
    /// Not at all.
    Plain,
}

impl Way {
    /// Files below a data folder, apart from those of mailboxes.
    pub fn files(data_dir: &Path) -> Self {
        Self::Folder(data_dir.join("mail/system"))
    }
}

impl SystemMail {
    /// Hands one mail over at `now`.
    ///
    /// # Errors
    /// `Refused` if the server takes this mail never, `Unknown` if nobody knows whether it took it, else `Temporary`.
    pub async fn send(&self, mail: &OutgoingMail, now: DateTime<Utc>) -> Result<(), SendError> {
        let refused = |reason: String| SendError::Refused { reason };
        let raw = mime::build(mail, now).map_err(|invalid| refused(invalid.to_string()))?;
        match &self.way {
            Way::Folder(folder) => write(folder.clone(), mail.send_key.clone(), raw).await,
            Way::Server(server) => {
                let address = |address: &Address| {
                    address.email.parse().map_err(|_| refused("an address is not valid".into()))
                };
                let envelope = Envelope::new(Some(address(&mail.from)?), vec![address(&mail.to)?]);
                let envelope = envelope.map_err(|error| refused(error.to_string()))?;
                server.send(&envelope, &raw).await
            }
        }
    }
}

async fn write(folder: PathBuf, send_key: String, raw: Vec<u8>) -> Result<(), SendError> {
    let name = format!("{}--{}.eml", files::name_for(&send_key), Uuid::now_v7().simple());
    let written = tokio::task::spawn_blocking(move || files::write_whole(&folder, &name, &raw));
    let written = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| SendError::Temporary {
        reason: format!("the mail could not be written; check the data folder: {error}"),
        after: None,
    })
}

impl MailServer {
    /// Reads a URL as lettre's transport does: `smtps://` is TLS from the first byte, `smtp://` with `?tls=required`
    /// or `?tls=opportunistic` is STARTTLS, and `smtp://` alone is plain text; but with a login at another machine it is
    /// STARTTLS, too.
    ///
    /// # Errors
    /// What is wrong and what to write, without the login.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; {EXPECTED}");
        let url = Url::parse(text).map_err(|error| wrong(&format!("is not a URL ({error})")))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("names no host"))?.trim_matches(['[', ']']).to_owned();
        let (tls, port) = guarded(&url).map_err(|what| wrong(&what))?;
        let port = url.port().unwrap_or(port);
        if port == 0 {
            return Err(wrong("names port 0"));
        }
        let login = login(&url).map_err(wrong)?;
        // A password never leaves this machine in plain text.
        let tls = match tls {
            Tls::Plain | Tls::Opportunistic if login.is_some() && !is_here(&host) => Tls::Required,
            Tls::Plain | Tls::Implicit | Tls::Required | Tls::Opportunistic => tls,
        };
        let name = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { host, port, tls, name, login })
    }

    /// Its host and port.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Connects and logs in, without a mail.
    ///
    /// # Errors
    /// Why that fails, and what to check.
    pub async fn check(&self) -> Result<(), String> {
        let mut connection = self.ready().await?;
        let _polite = tokio::time::timeout(GOODBYE, connection.quit()).await;
        Ok(())
    }

    async fn send(&self, envelope: &Envelope, raw: &[u8]) -> Result<(), SendError> {
        let connection = self.ready().await;
        let mut connection =
            connection.map_err(|reason| SendError::Temporary { reason, after: None })?;
        let sent = tokio::time::timeout(HAND_OVER, connection.send(envelope, raw)).await;
        match sent {
            Ok(Ok(_taken)) => {
                let _polite = tokio::time::timeout(GOODBYE, connection.quit()).await;
                Ok(())
            }
            Ok(Err(error)) => Err(self.refused(&error)),
            Err(_elapsed) => Err(SendError::Unknown {
                reason: format!("{} did not confirm the mail within {HAND_OVER:?}", self.address()),
            }),
        }
    }

    /// A connection that takes a mail. Whatever fails so far can come right later, a wrong login as well.
    async fn ready(&self) -> Result<AsyncSmtpConnection, String> {
        let waited = tokio::time::timeout(CONNECT, self.connect()).await;
        waited.unwrap_or_else(|_| {
            let address = self.address();
            Err(format!("{address} was not ready within {CONNECT:?}; check SYSTEM_MAIL_URL"))
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
        let failed = |what: &str, error: &Error| {
            format!("{} {what}: {}; check SYSTEM_MAIL_URL", self.address(), shown(error))
        };
        let tls = || {
            TlsParameters::new(self.host.clone()).map_err(|error| failed("can't have TLS", &error))
        };
        let wrapped = if self.tls == Tls::Implicit { Some(tls()?) } else { None };
        let server = (self.host.as_str(), self.port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT), &self.name, wrapped, None);
        let mut connection =
            connected.await.map_err(|error| failed("can't be reached as a mail server", &error))?;
        let upgrades = match self.tls {
            Tls::Required => true,
            Tls::Opportunistic => connection.can_starttls(),
            Tls::Implicit | Tls::Plain => false,
        };
        if upgrades {
            let upgraded = connection.starttls(tls()?, &self.name).await;
            upgraded.map_err(|error| failed("refused STARTTLS", &error))?;
        }
        if let Some(login) = &self.login {
            let accepted = connection.auth(DEFAULT_MECHANISMS, login).await;
            accepted.map_err(|error| self.login_refused(&error))?;
        }
        Ok(connection)
    }

    /// Says nothing that the server said, which may repeat the login.
    fn login_refused(&self, error: &Error) -> String {
        let address = self.address();
        match error.status() {
            Some(code) => format!(
                "{address} refused the login with {code}; check the user and the password in SYSTEM_MAIL_URL"
            ),
            None if error.is_client() => format!(
                "{address} offers no login that works here; add ?tls=required to SYSTEM_MAIL_URL, or remove the login"
            ),
            None => format!("{address} ended the connection at the login; check SYSTEM_MAIL_URL"),
        }
    }

    /// What it means that a server did not take a mail.
    fn refused(&self, error: &Error) -> SendError {
        let reason = format!("{} did not take the mail: {}", self.address(), shown(error));
        match error.status().map(u16::from) {
            // It wants another login or TLS (RFC 4954, section 6), which the settings can give it.
            Some(code @ (530 | 534 | 535 | 538)) => SendError::Temporary {
                reason: format!(
                    "{} wants a login or TLS first ({code}); check SYSTEM_MAIL_URL",
                    self.address()
                ),
                after: None,
            },
            Some(500..) => SendError::Refused { reason },
            Some(_later) => SendError::Temporary { reason, after: None },
            None if error.is_client() => SendError::Refused { reason },
            None => SendError::Unknown { reason },
        }
    }
}

/// How a URL wants its way guarded, and the port that goes with it.
fn guarded(url: &Url) -> Result<(Tls, u16), String> {
    let mut wanted = None;
    for (name, value) in url.query_pairs() {
        if name != "tls" || wanted.is_some() {
            return Err(format!("has the parameter `{name}`, where only one `tls` may be"));
        }
        wanted = Some(value.into_owned());
    }
    match (url.scheme(), wanted.as_deref()) {
        ("smtps", None) => Ok((Tls::Implicit, SUBMISSIONS_PORT)),
        ("smtps", Some(_)) => Err("has `tls`, which smtps:// always is".into()),
        ("smtp", None) => Ok((Tls::Plain, SMTP_PORT)),
        ("smtp", Some("required")) => Ok((Tls::Required, SUBMISSION_PORT)),
        ("smtp", Some("opportunistic")) => Ok((Tls::Opportunistic, SUBMISSION_PORT)),
        ("smtp", Some(other)) => Err(format!("has `tls={other}`")),
        (other, _) => Err(format!("begins with `{other}:`")),
    }
}

fn login(url: &Url) -> Result<Option<Credentials>, &'static str> {
    let read = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err("has a password without a user"),
        (_, None) => Err("has a user without a password"),
        (user, Some(password)) => match (read(user), read(password)) {
            (Ok(user), Ok(password)) => Ok(Some(Credentials::new(user, password))),
            (Err(_), _) | (_, Err(_)) => Err("has a login that is not UTF-8"),
        },
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

/// An error in one line that is not too long.
fn shown(error: &Error) -> String {
    let deepest =
        std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let text = match error.status() {
        Some(_) => error.to_string(),
        None => deepest.last().map_or_else(String::new, ToString::to_string),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        MailServer::parse(text).map(|_| ()).expect_err(text)
    }

    #[test]
    fn a_url_is_read_as_lettre_reads_it_but_for_a_password_in_plain_text() {
        for (text, address, tls) in [
            ("smtp://localhost", "localhost:25", Tls::Plain),
            ("smtp://10.0.0.1:2525", "10.0.0.1:2525", Tls::Plain),
            ("smtp://u:p@mail.example?tls=required", "mail.example:587", Tls::Required),
            ("smtp://u:p@mail.example?tls=opportunistic", "mail.example:587", Tls::Required),
            ("smtp://mail.example?tls=opportunistic", "mail.example:587", Tls::Opportunistic),
            ("smtps://u:p@mail.example", "mail.example:465", Tls::Implicit),
            ("smtp://u:p@[::1]:25", "[::1]:25", Tls::Plain),
            ("smtp://u:p@mail.example:587", "mail.example:587", Tls::Required),
        ] {
            let server = MailServer::parse(text).expect(text);
            assert_eq!((server.address().as_str(), server.tls), (address, tls), "{text}");
            let builder = lettre::AsyncSmtpTransport::<lettre::Tokio1Executor>::from_url(text);
            assert!(builder.is_ok(), "{text}");
        }
        let login = MailServer::parse("smtps://a%40b.example:p%2Fw@mail.example/us.example");
        let login = login.expect("a login");
        assert!(login.login == Some(Credentials::new("a@b.example".into(), "p/w".into())));
        assert_eq!(login.name, ClientId::Domain("us.example".into()));
    }

    #[test]
    fn a_bad_url_is_refused_with_what_to_write_and_without_its_password() {
        for text in [
            "mail.example:587",
            "hush",
            "smtp://",
            "https://u:hush@mail.example",
            "smtp://u:hush@mail.example?tls=maybe",
            "smtp://u:hush@mail.example?ssl=1",
            "smtps://u:hush@mail.example?tls=required",
            "smtp://u:hush@mail.example:99999",
            "smtp://u:hush@mail.example:0?tls=required",
            "smtp://u@mail.example?tls=required",
            "smtp://:hush@mail.example?tls=required",
            "smtp://u:hush%ff@mail.example?tls=required",
        ] {
            let said = refused(text);
            assert!(said.ends_with(EXPECTED) && !said.contains("hush"), "{text}: {said}");
        }
    }
}
