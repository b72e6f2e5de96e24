//! The world outside of Postgres, which no fault reaches: a provider that takes every message it is given,
//! a broker that takes events, and a witness of when steps acted. It lives in the process that directs the
//! faults; workers call it over TCP, one line of JSON there and one back.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::dice::Dice;

/// What a worker says.
#[derive(Serialize, Deserialize)]
pub(crate) enum Call {
    /// A message to be sent. The provider never looks whether it has it: what is sent twice was sent twice.
    Send(Message),
    /// Whether the provider has a message of this key.
    Find(String),
    /// A step under a limit acts.
    Turn { line: String, at: DateTime<Utc> },
    /// A step that slept is run again.
    Woke { run_id: Uuid, due_at: DateTime<Utc> },
    /// Events of the relay.
    Tell(Vec<Told>),
}

/// A message on its way.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Message {
    pub(crate) key: String,
    /// The process that sends it.
    pub(crate) process: u32,
    /// When the step let go of it, by the machine's [`uptime`].
    pub(crate) asked_at: f64,
}

/// An event as it reached the broker.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Told {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) sequence: i64,
}

/// All that was seen from outside, in the order in which it came.
#[derive(Default)]
pub(crate) struct Seen {
    /// Messages, with the [`uptime`] at which they were accepted.
    pub(crate) accepted: Vec<(Message, f64)>,
    keys: HashSet<String>,
    pub(crate) turns: Vec<(String, DateTime<Utc>)>,
    /// Runs that woke: due when, and awake when.
    pub(crate) woke: Vec<(Uuid, DateTime<Utc>, DateTime<Utc>)>,
    pub(crate) told: Vec<Told>,
}

/// How long the machine has run, in seconds: the same for all its processes, whatever their clocks say.
pub(crate) fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("Linux tells its uptime");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("an uptime is a number")
}

#[expect(clippy::disallowed_methods, reason = "an outside witness must not ask the engine's clock")]
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

/// Opens the outside; gives its port and what it sees.
pub(crate) async fn open(seed: u64) -> (u16, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (shared, dice) = (Arc::clone(&seen), Arc::new(Dice::new(seed, "outside")));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, dice) = (Arc::clone(&shared), Arc::clone(&dice));
            tokio::spawn(async move {
                // A worker that died or froze in the middle of a call is what this is about.
                let _hung_up = answer(stream, &seen, &dice).await;
            });
        }
    });
    (port, seen)
}

async fn answer(stream: TcpStream, seen: &Mutex<Seen>, dice: &Dice) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let Ok(call) = serde_json::from_str::<Call>(&line) else { return Ok(()) };
    let said = seen.lock().unwrap().take(call);
    // An answer takes its time, so that there is one to be lost.
    tokio::time::sleep(dice.milliseconds(0, 20)).await;
    stream.write_all(if said { b"true\n" } else { b"false\n" }).await
}

impl Seen {
    fn take(&mut self, call: Call) -> bool {
        match call {
            Call::Send(message) => {
                self.keys.insert(message.key.clone());
                self.accepted.push((message, uptime()));
            }
            Call::Find(key) => return self.keys.contains(&key),
            Call::Turn { line, at } => self.turns.push((line, at)),
            Call::Woke { run_id, due_at } => self.woke.push((run_id, due_at, wall_clock())),
            Call::Tell(events) => self.told.extend(events),
        }
        true
    }
}

/// A worker's way to the outside.
#[derive(Clone, Copy)]
pub(crate) struct Outside {
    pub(crate) port: u16,
}

impl Outside {
    /// Says something and waits for the answer.
    pub(crate) async fn call(self, call: &Call) -> std::io::Result<bool> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        let talk = async {
            let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port)).await?);
            stream.write_all(&line).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            Ok(answer.trim() == "true")
        };
        tokio::time::timeout(Duration::from_secs(10), talk).await?
    }
}
