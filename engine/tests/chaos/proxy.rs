//! What stands between the workers and Postgres' socket: forwards bytes, and where it is told to, cuts a
//! connection before a message is forwarded, or after it and before its answer, resets it, or takes its time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::dice::Dice;

/// What becomes of one message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection ends, the message is lost.
    Before,
    /// The server gets the message and does it; the connection ends before its answer.
    After,
    /// The same with a transaction's commit: it is done, and nobody is told.
    AfterCommit,
    /// Both sides are reset.
    Reset,
    /// The message stands still for longer than a lease.
    Stall,
}

/// How long a message stands still.
const STALL: Duration = Duration::from_millis(4_500);
/// How long the answer of a message is waited for before the connection is cut.
const ANSWER: Duration = Duration::from_secs(2);

pub(crate) struct Proxy {
    /// Where workers connect.
    pub(crate) port: u16,
    upstream: u16,
    dice: Dice,
    orders: Mutex<Vec<Cut>>,
    slow_until: Mutex<Option<Instant>>,
    parted_until: Mutex<Option<Instant>>,
    cuts: AtomicU32,
}

impl Proxy {
    pub(crate) async fn open(upstream: u16, seed: u64) -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Arc::new(Self {
            port,
            upstream,
            dice: Dice::new(seed, "proxy"),
            orders: Mutex::default(),
            slow_until: Mutex::default(),
            parted_until: Mutex::default(),
            cuts: AtomicU32::new(0),
        });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = Arc::clone(&accepting);
                tokio::spawn(async move {
                    // Whichever side ends it, the other is closed with it.
                    let _ended = proxy.carry(client).await;
                });
            }
        });
        proxy
    }

    /// Has this done to so many messages of those to come.
    pub(crate) fn order(&self, cut: Cut, times: usize) {
        self.orders.lock().unwrap().extend(std::iter::repeat_n(cut, times));
    }

    /// Is slow with every message for so long.
    pub(crate) fn slow_down(&self, length: Duration) {
        *self.slow_until.lock().unwrap() = Some(Instant::now() + length);
    }

    /// Lets nothing through for so long, either way. What was said meanwhile arrives afterwards, as it does where
    /// a network comes back, each connection's a little later than another's.
    pub(crate) fn part(&self, length: Duration) {
        *self.parted_until.lock().unwrap() = Some(Instant::now() + length);
    }

    /// Only forwards from now on.
    pub(crate) fn calm_down(&self) {
        self.orders.lock().unwrap().clear();
        *self.slow_until.lock().unwrap() = None;
        *self.parted_until.lock().unwrap() = None;
    }

    /// How many connections it has cut.
    pub(crate) fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Relaxed)
    }

    async fn carry(&self, mut client: TcpStream) -> std::io::Result<()> {
        let mut server = TcpStream::connect(("127.0.0.1", self.upstream)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let message = &up[..read?];
                    if message.is_empty() || !self.forward(message, &client, &mut server).await? {
                        return Ok(());
                    }
                }
                read = server.read(&mut down) => {
                    let answer = &down[..read?];
                    if answer.is_empty() {
                        return Ok(());
                    }
                    self.wait_for_the_network().await;
                    client.write_all(answer).await?;
                }
            }
        }
    }

    /// Forwards what a client said, or what is left of it; says whether the connection lives.
    async fn forward(
        &self,
        message: &[u8],
        client: &TcpStream,
        server: &mut TcpStream,
    ) -> std::io::Result<bool> {
        self.wait_for_the_network().await;
        if self.is_slow() {
            tokio::time::sleep(self.dice.milliseconds(5, 150)).await;
        }
        match self.fate(message) {
            None => server.write_all(message).await?,
            Some(Cut::Stall) => {
                tokio::time::sleep(STALL).await;
                server.write_all(message).await?;
            }
            Some(Cut::Before) => return Ok(false),
            Some(Cut::After | Cut::AfterCommit) => {
                server.write_all(message).await?;
                let _answered = tokio::time::timeout(ANSWER, server.read(&mut [0; 64])).await;
                return Ok(false);
            }
            Some(Cut::Reset) => {
                client.set_zero_linger()?;
                server.set_zero_linger()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn wait_for_the_network(&self) {
        let parted = *self.parted_until.lock().unwrap();
        if let Some(until) = parted.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until + self.dice.milliseconds(0, 1_000)).await;
        }
    }

    fn is_slow(&self) -> bool {
        self.slow_until.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }

    /// What is to be done to this message. Not the first that comes, so that every kind of statement is met.
    fn fate(&self, message: &[u8]) -> Option<Cut> {
        let mut orders = self.orders.lock().unwrap();
        let commits =
            message.first() == Some(&b'Q') && message.windows(6).any(|word| word == b"COMMIT");
        let place = orders.iter().position(|cut| *cut != Cut::AfterCommit || commits)?;
        if !self.dice.one_in(4) {
            return None;
        }
        self.cuts.fetch_add(1, Ordering::Relaxed);
        Some(orders.remove(place))
    }
}
