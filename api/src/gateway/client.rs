//! Where a request comes from, as far as it can be believed: the peer of the connection, or whom a trusted proxy
//! names in `X-Forwarded-For`.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName};
use ipnet::IpNet;

/// Whom a proxy names, the nearest last.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whoever asks, by address; handlers find it in the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) IpAddr);

impl Client {
    /// As it is written down; nothing where it is not known.
    pub(crate) fn text(self) -> Option<String> {
        (!self.0.is_unspecified()).then(|| self.0.to_string())
    }

    /// The key under which its requests are counted: the address, or the network of a subscriber (RFC 6177), who
    /// has as many addresses as wanted.
    pub(super) fn key(self) -> u128 {
        match self.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() & (u128::MAX << 64),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().copied();
        Ok(known.unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
    }
}

/// The proxies whose word is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads addresses and networks with commas between, such as `10.0.0.0/8, 192.0.2.7`.
    ///
    /// # Errors
    /// Which of them is none, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let network = part.parse::<IpNet>().ok();
            let network = network.or_else(|| part.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| {
                format!("`{part}` is no address; write such as 192.0.2.7 or 10.0.0.0/8")
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whoever sent a request.
    pub(super) fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Client {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer =
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip().to_canonical());
        Client(self.behind(peer, headers))
    }

    /// The last address that no trusted proxy vouches for as another proxy's.
    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut nearest = peer;
        let lines = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
        let mut named: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
        while self.hold(nearest)
            && let Some(before) = named.pop().and_then(address)
        {
            nearest = before;
        }
        nearest
    }
}

/// An address of `X-Forwarded-For`, to which some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let plain = text.parse::<IpAddr>().ok().or_else(with_port);
    plain.or_else(|| bracketed().map(IpAddr::V6)).map(|address| address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn behind(peer: &str, lines: &[&str]) -> String {
        let trusted = TrustedProxies::parse("10.0.0.0/8, 192.0.2.7,").unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        trusted.behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(behind("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(behind("10.1.1.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(behind("10.1.1.1", &["1.1.1.1, 198.51.100.1:4711, 192.0.2.7"]), "198.51.100.1");
        assert_eq!(behind("10.1.1.1", &["1.1.1.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(behind("10.1.1.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(behind("10.1.1.1", &["nonsense"]), "10.1.1.1");
        assert_eq!(behind("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn a_subscriber_of_many_addresses_is_counted_as_one() {
        let key = |text: &str| Client(text.parse().unwrap()).key();
        assert_eq!(key("2001:db8::1"), key("2001:db8::2:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn what_is_no_address_is_named() {
        let refused = TrustedProxies::parse("10.0.0.0/8, proxy").unwrap_err();
        assert!(refused.starts_with("`proxy` is no address"), "{refused}");
    }
}
