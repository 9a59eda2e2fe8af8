//! Who may ask: the bearer token, the page that a request comes from, the address it names.
//!
//! A browser sends requests of any page to any address. So a request that names its page (`Origin`)
//! must come from this server's own, or from one that is allowed. And a server on loopback that asks
//! for no token must be called by a name of loopback: else a page whose name is made to point there
//! (DNS rebinding) would count as its own.

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_HEADERS, AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::SharedState;
use super::refusal::{Reason, Refusal};

/// How a browser, which cannot set a header on a WebSocket, gives its token.
const TOKEN_PROTOCOL: &str = "openai-insecure-api-key.";
/// Names of loopback.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Who may ask.
#[derive(Default)]
pub struct Access {
    /// What a client must know.
    pub token: Option<Token>,
    /// Pages of other sites that may ask: `https://example.org`.
    pub origins: Vec<String>,
    /// Whether the server listens on loopback alone.
    pub loopback: bool,
}

/// A bearer token. It is never shown.
pub struct Token(String);

impl Token {
    /// A token of at least one visible ASCII character; others cannot be sent in a header.
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        let visible = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        visible.then(|| Token(text.into()))
    }

    /// Compares in a time that does not depend on where the two differ.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl Access {
    /// Whether the request names this server as the one it is meant for.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = host(headers);
        let own = |origin: &String| authority(origin) == host;
        if !self.loopback || LOOPBACK.contains(&name(&host)) || self.origins.iter().any(own) {
            return Ok(());
        }
        let sentence = "a server on loopback is called localhost, 127.0.0.1 or [::1]; \
                        --allow-origin gives it another name";
        Err(Refusal::new(Reason::Host, sentence))
    }

    /// Whether the page that asks may, if it is a page.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let origin = origin.to_str().unwrap_or_default();
        let host = host(headers);
        let own = authority(&origin.to_lowercase()) == host;
        if self.is_allowed(origin) || (!host.is_empty() && own) {
            return Ok(());
        }
        let sentence = "pages of other sites may not ask here; --allow-origin names those that may";
        Err(Refusal::new(Reason::Origin, sentence))
    }

    fn is_allowed(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            Some(token) if !given(headers).any(|given| token.is(given)) => {
                let sentence = "this server asks for its bearer token: Authorization: Bearer TOKEN";
                Err(Refusal::new(Reason::Unauthorized, sentence))
            }
            _ => Ok(()),
        }
    }
}

/// Every token that a request gives.
fn given(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let bearer = text(headers, AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let protocols = protocols
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL));
    bearer.into_iter().chain(protocols)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Host and port of an origin: `example.org:8443` of `https://example.org:8443`.
fn authority(origin: &str) -> &str {
    origin.split_once("://").map_or("", |(_, rest)| rest)
}

/// The host that a request names, with its port; names of hosts have no case.
fn host(headers: &HeaderMap) -> String {
    text(headers, HOST).unwrap_or_default().to_lowercase()
}

/// A host without its port, and without the dot that ends a name which is whole.
fn name(host: &str) -> &str {
    let name = match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Refuses requests that are not meant for this server or come from a page that may not ask; lets
/// allowed pages of other sites read the answer (CORS).
pub async fn check_page(State(shared): SharedState, request: Request, next: Next) -> Response {
    let access = &shared.settings.access;
    let headers = request.headers();
    if let Err(refusal) = access
        .check_host(headers)
        .and_then(|()| access.check_origin(headers))
    {
        return refusal.into_response();
    }
    let origin = headers.get(ORIGIN).cloned();
    let foreign = origin.filter(|o| o.to_str().is_ok_and(|o| access.is_allowed(o)));
    let mut response = match (&foreign, request.method() == Method::OPTIONS) {
        (Some(_), true) => preflight(headers),
        _ => next.run(request).await,
    };
    if let Some(origin) = foreign {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// What a browser asks before it sends a request of another site's page. The page is trusted, so any
/// header is: clients have headers of their own.
fn preflight(asked: &HeaderMap) -> Response {
    let usual = HeaderValue::from_static("authorization, content-type");
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(&usual);
    let headers = [
        (
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET, POST"),
        ),
        (ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Refuses requests without the token, where there is one.
pub async fn check_token(State(shared): SharedState, request: Request, next: Next) -> Response {
    match shared.settings.access.check_token(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_server_on_loopback_is_called_by_a_name_of_loopback() {
        let access = Access {
            loopback: true,
            origins: vec!["https://talk.example".into()],
            ..Access::default()
        };
        for host in [
            "localhost",
            "localhost:8910",
            "127.0.0.1:80",
            "[::1]:8910",
            "[::1]",
            "LOCALHOST:8910",
            "localhost.",
            "localhost.:8910",
            "Talk.Example",
            "talk.example",
        ] {
            assert!(
                access.check_host(&headers(&[(HOST, host)])).is_ok(),
                "{host}"
            );
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8910",
            "localhost.evil.example",
            "localhost..",
            ".",
            "127.0.0.1.evil:1",
        ] {
            assert!(
                access.check_host(&headers(&[(HOST, host)])).is_err(),
                "{host}"
            );
        }
        assert!(
            Access::default()
                .check_host(&headers(&[(HOST, "any.example")]))
                .is_ok()
        );
    }

    #[test]
    fn a_page_asks_its_own_server_or_one_that_allows_it() {
        let access = Access {
            origins: vec!["https://talk.example".into()],
            ..Access::default()
        };
        for (origin, allowed) in [
            ("http://127.0.0.1:8910", true),
            ("https://talk.example", true),
            ("http://talk.example", false),
            ("http://127.0.0.1:8911", false),
            ("https://talk.example.evil", false),
            ("null", false),
            ("", false),
        ] {
            let headers = headers(&[(HOST, "127.0.0.1:8910"), (ORIGIN, origin)]);
            assert_eq!(access.check_origin(&headers).is_ok(), allowed, "{origin}");
        }
        assert!(
            access.check_origin(&headers(&[(HOST, "x")])).is_ok(),
            "no page"
        );
        assert!(
            access.check_origin(&headers(&[(ORIGIN, "null")])).is_err(),
            "no host"
        );
    }

    #[test]
    fn a_token_comes_in_a_header_or_as_a_protocol() {
        let access = Access {
            token: Token::new(" s3cret\n"),
            ..Access::default()
        };
        let ok = |pairs: &[_]| access.check_token(&headers(pairs)).is_ok();
        assert!(ok(&[(AUTHORIZATION, "Bearer s3cret")]));
        assert!(ok(&[(AUTHORIZATION, "bearer  s3cret")]));
        assert!(ok(&[(
            SEC_WEBSOCKET_PROTOCOL,
            "realtime, openai-insecure-api-key.s3cret"
        )]));
        assert!(!ok(&[]));
        for wrong in [
            "s3cret",
            "Bearer",
            "Bearer ",
            "Bearer s3cre",
            "Bearer s3crett",
            "Basic s3cret",
        ] {
            assert!(!ok(&[(AUTHORIZATION, wrong)]), "{wrong}");
        }
        for none in ["", " \n", "two words", "ü"] {
            assert!(Token::new(none).is_none(), "{none:?}");
        }
    }
}
