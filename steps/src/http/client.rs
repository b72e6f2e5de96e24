//! The way to the outside: to allowed hosts only, at the very address that was looked at,
//! over verified TLS, with bounds on everything that comes back.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crm::public_address::is_public;
use engine::step::StepError;
use futures_util::future::{BoxFuture, FutureExt};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::allowed::AllowedHosts;

/// The most bytes of a body, in either direction.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// The longest address that a reason shows.
const MAX_SHOWN: usize = 200;
/// How often an answer may send the request elsewhere.
const MAX_REDIRECTS: usize = 3;
const CONNECT: Duration = Duration::from_secs(10);
/// How long a body may take that nobody reads, before its connection is dropped.
const UNREAD: Duration = Duration::from_secs(1);

/// Finds the addresses of a host.
pub type FindAddresses =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The way to the hosts that are allowed.
#[derive(Clone)]
pub struct Http {
    allowed: AllowedHosts,
    client: Client,
    reachable: fn(IpAddr) -> bool,
}

/// A request, all filled in.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
}

/// What came back: its head, behind which the body is still to be read.
pub(crate) struct Answer(Response);

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn host(&self) -> &str {
        host(self.0.url())
    }

    /// Whether the body says that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
        let kind = self.header(&CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    }

    /// How long the host wants to be left alone.
    pub(crate) fn after(&self) -> Option<Duration> {
        self.header(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
    }

    /// Where a redirect leads, without its query, which may hold a secret.
    pub(crate) fn location(&self) -> Option<Url> {
        let mut url = self.0.url().join(self.header(&LOCATION)?).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        let plain = url.username().is_empty() && url.password().is_none();
        (plain && url.as_str().len() <= MAX_SHOWN).then_some(url)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// The body; `None` if it has more than 64 KiB, of which no more is read.
    ///
    /// # Errors
    /// `Retry` if it ends too early or can't be read.
    pub(crate) async fn body(mut self) -> Result<Option<Vec<u8>>, StepError> {
        let mut body = Vec::new();
        loop {
            let chunk = self.0.chunk().await.map_err(|error| failed(self.0.url(), &error))?;
            let Some(chunk) = chunk else { return Ok(Some(body)) };
            if body.len() + chunk.len() > MAX_BODY {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// Reads past a body that nobody needs, so that the connection can be used again. A body that is long, slow or
    /// broken costs only its connection.
    pub(crate) async fn read_past(mut self) {
        let mut left = MAX_BODY;
        let read = async move {
            while let Ok(Some(chunk)) = self.0.chunk().await {
                let Some(rest) = left.checked_sub(chunk.len()) else { return };
                left = rest;
            }
        };
        let _read_or_dropped = tokio::time::timeout(UNREAD, read).await;
    }
}

impl Http {
    /// Reaches these hosts, where their addresses lie in the public internet.
    pub fn new(allowed: AllowedHosts) -> Self {
        Self::reaching(allowed, asked(), is_public)
    }

    /// Reaches every host over TLS, where its addresses lie in the public internet; in development this machine as well,
    /// and without TLS.
    pub fn anywhere(development: bool) -> Self {
        let reachable = if development { or_loopback } else { is_public };
        Self::reaching(AllowedHosts::anywhere(development), asked(), reachable)
    }

    /// The same as `new` for tests: addresses are found by `find`, and this machine's own count as public.
    pub fn on_this_machine(allowed: AllowedHosts, find: FindAddresses) -> Self {
        Self::reaching(allowed, find, or_loopback)
    }

    fn reaching(allowed: AllowedHosts, find: FindAddresses, reachable: fn(IpAddr) -> bool) -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(Guarded { find, reachable }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .user_agent(concat!("SalesOS/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("a client whose TLS is set up can be built");
        Self { allowed, client, reachable }
    }

    /// Asks, and follows where the answer sends to, as long as that is allowed, too.
    ///
    /// # Errors
    /// `Fail` where it may not be asked, `Retry` where it could not be reached.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Answer, StepError> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send_once(&request).await?;
            match redirected(&answer.0, &request)? {
                Some(elsewhere) => request = elsewhere,
                None => return Ok(answer),
            }
        }
        Err(fail(format!("{} redirects more than {MAX_REDIRECTS} times", host(&request.url))))
    }

    /// Asks, and follows no redirect.
    ///
    /// # Errors
    /// `Fail` where it may not be asked, `Retry` where it could not be reached.
    pub(crate) async fn send_once(&self, request: &Request) -> Result<Answer, StepError> {
        self.permit(&request.url)?;
        let asked = self.client.request(request.method.clone(), request.url.clone());
        let mut asked = asked.headers(request.headers.clone());
        if let Some(body) = &request.body {
            asked = asked.body(body.clone());
        }
        asked.send().await.map(Answer).map_err(|error| failed(&request.url, &error))
    }

    /// Refuses hosts that are not listed, and addresses that are written out and lie inside.
    fn permit(&self, url: &Url) -> Result<(), StepError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(fail("the url holds a name or a password; write them as a header".into()));
        }
        self.allowed.permit(url).map_err(|what| {
            fail(format!("{}://{} may not be asked; {what}", url.scheme(), shown(url)))
        })?;
        // Where the host is an address, nobody is asked for it.
        let written = host(url).trim_matches(['[', ']']).parse::<IpAddr>();
        match written {
            Ok(address) if !(self.reachable)(address) => Err(fail(NotPublic(address).to_string())),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Asks this machine's resolver.
fn asked() -> FindAddresses {
    Arc::new(|host| {
        async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        }
        .boxed()
    })
}

fn or_loopback(address: IpAddr) -> bool {
    address.is_loopback() || is_public(address)
}

/// Where an answer sends the request to, and as what (RFC 9110, section 15.4).
fn redirected(response: &Response, request: &Request) -> Result<Option<Request>, StepError> {
    let (status, from) = (response.status(), &request.url);
    let Some(location) = response.headers().get(LOCATION).filter(|_| status.is_redirection())
    else {
        return Ok(None);
    };
    let location = location.to_str().ok().and_then(|location| from.join(location).ok());
    let url =
        location.ok_or_else(|| fail(format!("{} redirects to what is no address", host(from))))?;
    let becomes_get = match status {
        StatusCode::SEE_OTHER => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => request.method == Method::POST,
        _kept => false,
    };
    let mut headers = request.headers.clone();
    if url.origin() != from.origin() {
        // What was meant for one host, such as a token, is not told to another.
        headers.clear();
    }
    let (method, body) = if becomes_get {
        headers.remove(CONTENT_TYPE);
        (Method::GET, None)
    } else {
        (request.method.clone(), request.body.clone())
    };
    Ok(Some(Request { method, url, headers, body }))
}

/// What it means that a request failed: what the guard refused fails alike the next time.
fn failed(url: &Url, error: &reqwest::Error) -> StepError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut deepest = String::new();
    while let Some(at) = cause {
        if let Some(refused) = at.downcast_ref::<NotPublic>() {
            return fail(format!("{}: {refused}", host(url)));
        }
        deepest = at.to_string();
        cause = at.source();
    }
    let reason = format!("{} could not be asked: {deepest}", host(url));
    StepError::Retry { reason, after: None }
}

fn fail(reason: String) -> StepError {
    StepError::Fail { reason }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// A host with its port, where that is not the usual one.
fn shown(url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{}:{port}", host(url)),
        None => host(url).to_owned(),
    }
}

/// An address that lies inside.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no address of the public internet")]
struct NotPublic(IpAddr);

/// Gives the client the addresses of a host, if all of them may be reached: it connects to what was looked
/// at here, whatever the next answer of the DNS says.
struct Guarded {
    find: FindAddresses,
    reachable: fn(IpAddr) -> bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, reachable) = ((self.find)(name.as_str().to_owned()), self.reachable);
        Box::pin(async move {
            let found = found.await?;
            if let Some(inside) = found.iter().find(|address| !reachable(**address)) {
                return Err(NotPublic(*inside).into());
            }
            // The client puts the port of the request in.
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}
