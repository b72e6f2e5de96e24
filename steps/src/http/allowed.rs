//! The hosts that may be asked.

use reqwest::Url;

/// The most hosts of a list.
const MAX_HOSTS: usize = 200;

/// Hosts that may be asked; none where nothing is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts(Hosts);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// These, as whoever runs SalesOS lists them.
    Listed(Vec<AllowedHost>),
    /// All, over TLS.
    ByTls,
    /// All.
    Any,
}

impl Default for AllowedHosts {
    fn default() -> Self {
        Self(Hosts::Listed(Vec::new()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedHost {
    scheme: &'static str,
    host: Name,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// This host alone.
    Exactly(String),
    /// Every host whose name ends so; begins with a dot.
    Below(String),
}

impl AllowedHosts {
    /// Reads a list with commas or blanks between: `api.example.com`, `*.example.com` for every host below,
    /// `api.example.com:8443`, and `http://intranet.example.com` for one that speaks no TLS.
    ///
    /// # Errors
    /// The entry that is no host, in a fragment that says what to write.
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries = list.split([',', ' ', '\n', '\t']).filter(|entry| !entry.is_empty());
        let hosts = entries.map(host).collect::<Result<Vec<_>, _>>()?;
        if hosts.len() > MAX_HOSTS {
            return Err(format!("these are {} hosts; list at most {MAX_HOSTS}", hosts.len()));
        }
        Ok(Self(Hosts::Listed(hosts)))
    }

    /// The hosts of the list whose names have no dot: nobody has such a name outside of an inner network.
    pub fn without_domain(&self) -> Vec<&str> {
        let Hosts::Listed(hosts) = &self.0 else { return Vec::new() };
        let names = hosts.iter().map(|host| match &host.host {
            Name::Exactly(name) => name.as_str(),
            Name::Below(end) => end.trim_start_matches('.'),
        });
        // An IPv6 address has colons instead.
        names.filter(|name| !name.contains(['.', ':'])).collect()
    }

    /// Every host, over TLS; in development also without.
    pub(super) fn anywhere(development: bool) -> Self {
        Self(if development { Hosts::Any } else { Hosts::ByTls })
    }

    /// Whether an address may be asked.
    ///
    /// # Errors
    /// What to do where it may not.
    pub(super) fn permit(&self, url: &Url) -> Result<(), &'static str> {
        match &self.0 {
            Hosts::Any => Ok(()),
            Hosts::ByTls if url.scheme() == "https" => Ok(()),
            Hosts::ByTls => Err("write https://"),
            Hosts::Listed(hosts) if hosts.iter().any(|host| host.is_of(url)) => Ok(()),
            Hosts::Listed(_) => Err("whoever runs SalesOS lists it in SALESOS_HTTP_ALLOW"),
        }
    }
}

impl AllowedHost {
    fn is_of(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let named = match &self.host {
            Name::Exactly(name) => name == host,
            Name::Below(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        };
        named && self.scheme == url.scheme() && url.port_or_known_default() == Some(self.port)
    }
}

fn host(entry: &str) -> Result<AllowedHost, String> {
    let wrong = || {
        format!(
            "`{entry}` is no host; write api.example.com, *.example.com or api.example.com:8443"
        )
    };
    let (scheme, rest) = match entry.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        None => ("https", entry),
        Some(_) => return Err(wrong()),
    };
    let (below, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|_| wrong())?;
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let (Some(name), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(wrong());
    };
    if !plain || name.contains('*') {
        return Err(wrong());
    }
    if below && !name.contains('.') {
        return Err(format!("`{entry}` is half of the internet; name a domain, as *.example.com"));
    }
    let host = if below { Name::Below(format!(".{name}")) } else { Name::Exactly(name.to_owned()) };
    Ok(AllowedHost { scheme, host, port })
}

#[cfg(test)]
mod tests {
    use super::{AllowedHosts, Url};

    fn permits(list: &str, url: &str) -> bool {
        let allowed = AllowedHosts::parse(list).expect("the list can be read");
        allowed.permit(&Url::parse(url).expect("the address can be read")).is_ok()
    }

    #[test]
    fn only_what_is_listed_may_be_asked() {
        let list = "api.example.com, *.hooks.example, flow.example:8443 http://plain.example";
        for url in [
            "https://api.example.com/x?y=1",
            "https://API.example.com:443/",
            "https://a.b.hooks.example/",
            "https://flow.example:8443/",
            "http://plain.example/",
        ] {
            assert!(permits(list, url), "{url}");
        }
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com.evil.example/",
            "https://evil-api.example.com/",
            "https://hooks.example/",
            "https://evilhooks.example/",
            "https://flow.example/",
            "https://plain.example/",
            "https://other.example/",
        ] {
            assert!(!permits(list, url), "{url}");
        }
        assert!(!permits("", "https://api.example.com/"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_to_write() {
        for entry in [
            "https://api.example.com/path",
            "ftp://x.example",
            "*",
            "*.com",
            "a@b.example",
            "a b:x",
        ] {
            let refused = AllowedHosts::parse(entry).expect_err(entry);
            assert!(refused.contains("example.com"), "{refused}");
        }
    }
}
