//! A customer's system that breaks HTTP: each of its paths answers with bytes of its own, once a request has come whole.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How one connection is answered.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// With these bytes, then the connection ends.
    Ends(String),
    /// With the first bytes, then with the second again and again, as fast as they are taken.
    Endless(String, String),
    /// With these bytes, then with one more every so often.
    Drips(String, Duration),
    /// By a reset.
    Resets,
}

impl Fault {
    pub(crate) fn ends(answer: &str) -> Self {
        Self::Ends(answer.to_owned())
    }
}

/// Such a system. A path that has several answers gives them in turn, and the last one for ever.
pub(crate) struct Faulty {
    address: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Faulty {
    pub(crate) async fn open(answers: &[(&str, Vec<Fault>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = answers.iter().map(|(path, faults)| ((*path).to_owned(), faults.clone()));
        let answers: Arc<HashMap<String, Vec<Fault>>> = Arc::new(answers.collect());
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let counting = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, asked) = (Arc::clone(&answers), Arc::clone(&counting));
                tokio::spawn(async move { serve(stream, &answers, &asked).await });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How often a path was asked.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: &HashMap<String, Vec<Fault>>,
    asked: &Mutex<HashMap<String, usize>>,
) {
    let Some(path) = request(&mut stream).await else { return };
    let times = {
        let mut asked = asked.lock().unwrap();
        let times = asked.entry(path.clone()).or_default();
        *times += 1;
        *times
    };
    let Some(faults) = answers.get(&path) else { return };
    // Whoever has heard enough may have gone.
    let _gone = answer(&mut stream, &faults[times.min(faults.len()) - 1]).await;
}

async fn answer(stream: &mut TcpStream, fault: &Fault) -> std::io::Result<()> {
    match fault {
        Fault::Ends(bytes) => {
            stream.write_all(bytes.as_bytes()).await?;
            stream.shutdown().await?;
            // Not before the other side has ended, so that no reset takes the answer away.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
        }
        Fault::Endless(first, more) => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                stream.write_all(more.as_bytes()).await?;
            }
        }
        Fault::Drips(first, every) => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                tokio::time::sleep(*every).await;
                stream.write_all(b"x").await?;
            }
        }
        Fault::Resets => stream.set_zero_linger()?,
    }
    Ok(())
}

/// Reads a request to its end; gives its path.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return head.split(' ').nth(1).map(str::to_owned);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            Ok(_) | Err(_) => return None,
        }
    }
}
