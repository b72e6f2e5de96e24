//! A mail server of whoever runs SalesOS, which takes mails or does what it is told instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::until;

const SOON: Duration = Duration::from_secs(60);

/// What one connection meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// The mail is taken.
    Takes,
    /// A command that begins so is answered with this line.
    Says(&'static str, &'static str),
    /// The whole mail is answered with this line.
    SaysAtTheEnd(&'static str),
    /// The mail is taken, but the connection ends without an answer.
    TakesAndCuts,
}

/// Such a server, on this machine and without TLS.
pub(crate) struct MailServer {
    /// Its host and port.
    pub(crate) address: String,
    came: Arc<Mutex<Vec<String>>>,
}

impl MailServer {
    /// Opens one that meets connections in these moods, and then takes everything.
    pub(crate) async fn open(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let came = Arc::new(Mutex::new(Vec::new()));
        let mut moods: VecDeque<Mood> = moods.iter().copied().collect();
        let noting = Arc::clone(&came);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mood = moods.pop_front().unwrap_or(Mood::Takes);
                let came = Arc::clone(&noting);
                tokio::spawn(async move { serve(stream, mood, &came).await });
            }
        });
        Self { address, came }
    }

    /// The mails that came whole, once there are so many, with soft line breaks undone.
    pub(crate) async fn came(&self, count: usize) -> Vec<String> {
        until("a mail at the server", SOON, || async {
            let came = self.came.lock().unwrap().clone();
            (came.len() >= count).then_some(came)
        })
        .await
    }
}

/// The token of the link in a mail, whose soft line breaks are undone.
pub(crate) fn token(mail: &str) -> String {
    let mail = mail.replace("=\r\n", "").replace("=3D", "=");
    let (_, rest) = mail.split_once("/password?token=").expect("the mail has a link");
    rest.split_whitespace().next().unwrap().to_owned()
}

async fn serve(stream: TcpStream, mood: Mood, came: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    say(&mut stream, "220 mail.example ESMTP").await?;
    loop {
        let line = hear(&mut stream).await?;
        let answer = match (line.split(' ').next().unwrap_or_default(), mood) {
            (_, Mood::Says(begins, answer)) if line.starts_with(begins) => answer,
            ("EHLO", _) => "250-mail.example\r\n250-AUTH PLAIN\r\n250 8BITMIME",
            ("AUTH", _) => "235 welcome",
            ("MAIL" | "RCPT", _) => "250 ok",
            ("DATA", _) => {
                say(&mut stream, "354 go on").await?;
                let mut mail = String::new();
                loop {
                    match hear(&mut stream).await?.as_str() {
                        "." => break,
                        line => mail.push_str(&format!("{line}\r\n")),
                    }
                }
                came.lock().unwrap().push(mail);
                match mood {
                    Mood::TakesAndCuts => return None,
                    Mood::SaysAtTheEnd(answer) => answer,
                    Mood::Takes | Mood::Says(..) => "250 queued",
                }
            }
            ("QUIT", _) => {
                say(&mut stream, "221 bye").await?;
                return None;
            }
            _ => "500 what?",
        };
        say(&mut stream, answer).await?;
    }
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str) -> Option<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await.ok()
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(read) if read > 0 => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
        Ok(_) | Err(_) => None,
    }
}
