//! What browsers are told: which origins' pages may ask (CORS), and what no page may do with an answer.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::CorsLayer;

use crate::idempotency;

/// How long a browser may remember what it may ask.
const REMEMBERED: Duration = Duration::from_secs(600);

/// For answers that are no page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// For the pages at `/docs`, which bring all that they load, and style themselves.
const PAGES_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                            object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The origins whose pages may ask with a user's cookies or token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Reads origins with commas between, such as `https://app.example.com, http://localhost:3010`.
    ///
    /// # Errors
    /// Which of them is none, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(origin).collect::<Result<_, _>>().map(Self)
    }
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    if text == "*" {
        return Err("`*` would let every page act for whoever visits it; name each origin".into());
    }
    let wanted = || format!("`{text}` is no origin; write such as https://app.example.com");
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(wanted());
    };
    // What a browser sends: scheme, host and port, in lower case, without a slash.
    let plain = uri.path_and_query().is_none_or(|rest| rest == "/") && !text.ends_with('/');
    if !plain || authority.as_str().contains('@') {
        return Err(wanted());
    }
    HeaderValue::try_from(text.to_ascii_lowercase()).map_err(|_| wanted())
}

/// Lets the pages of these origins ask, and read what an answer says beside its body.
pub(super) fn cors(origins: &Origins) -> CorsLayer {
    let asked = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        idempotency::KEY,
        header::IF_MATCH,
        HeaderName::from_static("x-request-id"),
    ];
    let told = [
        header::ETAG,
        header::LOCATION,
        header::RETRY_AFTER,
        HeaderName::from_static("ratelimit"),
        HeaderName::from_static("ratelimit-policy"),
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("idempotency-replayed"),
    ];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    CorsLayer::new()
        .allow_origin(origins.0.clone())
        .allow_credentials(true)
        .allow_headers(asked)
        .allow_methods(methods)
        .expose_headers(told)
        .max_age(REMEMBERED)
}

/// Adds what holds of the answer to a request of this path.
pub(super) fn secure(headers: &mut HeaderMap, path: &str, production: bool) {
    let is_page = path == "/docs" || path.starts_with("/docs/");
    let policy = if is_page { PAGES_POLICY } else { DATA_POLICY };
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (OPENER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, policy),
        // Answers hold a customer's data; no cache keeps them.
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if production {
        let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, two_years);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        let read = Origins::parse("http://localhost:3010, https://App.example.com,").unwrap();
        let values: Vec<&str> = read.0.iter().map(|origin| origin.to_str().unwrap()).collect();
        assert_eq!(values, ["http://localhost:3010", "https://app.example.com"]);
        for bad in ["*", "null", "app.example.com", "https://a.example/", "https://a.example/b"] {
            assert!(Origins::parse(bad).unwrap_err().starts_with(&format!("`{bad}`")), "{bad}");
        }
    }

    #[test]
    fn only_production_binds_browsers_to_https_and_only_the_documentation_is_a_page() {
        let told = |path, production| {
            let mut headers = HeaderMap::new();
            secure(&mut headers, path, production);
            headers
        };
        let development = told("/api/v1/contacts", false);
        assert!(!development.contains_key(header::STRICT_TRANSPORT_SECURITY));
        assert_eq!(development[header::CONTENT_SECURITY_POLICY], DATA_POLICY);
        let production = told("/docs/index.html", true);
        assert!(production.contains_key(header::STRICT_TRANSPORT_SECURITY));
        assert_eq!(production[header::CONTENT_SECURITY_POLICY], PAGES_POLICY);
        assert_eq!(told("/docsx", false)[header::CONTENT_SECURITY_POLICY], DATA_POLICY);
    }
}
