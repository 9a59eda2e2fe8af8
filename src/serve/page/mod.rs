//! The page at `/`: a conversation in the browser, over the Realtime socket of this server.
//!
//! Its files are part of the binary, as they are written: no build step, and no address but this
//! server's. [`POLICY`] holds the browser to that.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// Scripts, styles, images and connections are this server's alone; nobody frames the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A file of the page.
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
}

#[rustfmt::skip]
const FILES: &[File] = &[
    File { path: "/", media_type: HTML, content: include_str!("index.html") },
    File { path: "/page/style.css", media_type: STYLE, content: include_str!("style.css") },
    File { path: "/page/record.css", media_type: STYLE, content: include_str!("record.css") },
    File { path: "/page/icon.svg", media_type: IMAGE, content: include_str!("icon.svg") },
    File { path: "/page/main.js", media_type: SCRIPT, content: include_str!("main.js") },
    File { path: "/page/answer.js", media_type: SCRIPT, content: include_str!("answer.js") },
    File { path: "/page/conversation.js", media_type: SCRIPT, content: include_str!("conversation.js") },
    File { path: "/page/dial.js", media_type: SCRIPT, content: include_str!("dial.js") },
    File { path: "/page/line.js", media_type: SCRIPT, content: include_str!("line.js") },
    File { path: "/page/line.worklet.js", media_type: SCRIPT, content: include_str!("line.worklet.js") },
    File { path: "/page/pcm.js", media_type: SCRIPT, content: include_str!("pcm.js") },
    File { path: "/page/realtime.js", media_type: SCRIPT, content: include_str!("realtime.js") },
    File { path: "/page/resampler.js", media_type: SCRIPT, content: include_str!("resampler.js") },
    File { path: "/page/sentences.js", media_type: SCRIPT, content: include_str!("sentences.js") },
    File { path: "/page/waterfall.js", media_type: SCRIPT, content: include_str!("waterfall.js") },
    File { path: "/page/words.js", media_type: SCRIPT, content: include_str!("words.js") },
];

/// Of all files together: they are of one build, and change together.
static ETAG: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for file in FILES {
        hash.update(file.content);
    }
    let digest = hash.finalize();
    let digits: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("\"{digits}\"")
});

/// The page's addresses. They need no token: the page asks for it.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        let answer = async |headers: HeaderMap| file.answer(&headers);
        router.route(file.path, get(answer))
    })
}

impl File {
    fn answer(&self, request: &HeaderMap) -> Response {
        let known = request.get(header::IF_NONE_MATCH);
        let fixed = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::ETAG, ETAG.as_str()),
        ];
        if known.is_some_and(|tags| names(tags.as_bytes(), &ETAG)) {
            return (StatusCode::NOT_MODIFIED, fixed).into_response();
        }
        let media_type = [(header::CONTENT_TYPE, self.media_type)];
        (fixed, media_type, self.content).into_response()
    }
}

/// Whether a list of entity tags has `tag`, weak or strong.
fn names(tags: &[u8], tag: &str) -> bool {
    let tags = tags.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    tags.map(|t| t.strip_prefix(b"W/").unwrap_or(t))
        .any(|t| t == tag.as_bytes() || t == b"*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_in_the_files_is_one_of_them() {
        let paths: Vec<&str> = FILES.iter().map(|f| f.path).collect();
        for file in FILES {
            let quoted = file.content.split('"').filter_map(|part| {
                let local = part.strip_prefix("./").map(|name| format!("/page/{name}"));
                local.or_else(|| part.starts_with("/page/").then(|| part.to_owned()))
            });
            for address in quoted {
                assert!(paths.contains(&&*address), "{}: {address}", file.path);
            }
        }
    }

    #[test]
    fn the_page_names_no_other_server() {
        for file in FILES {
            let content = file.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("://"), "{}", file.path);
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let mut request = HeaderMap::new();
        let first = FILES[0].answer(&request);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        request.insert(header::IF_NONE_MATCH, tag);
        let second = FILES[0].answer(&request);
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(second.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
    }

    #[test]
    fn the_whole_page_stays_below_60_kilobytes() {
        let size: usize = FILES.iter().map(|f| f.content.len()).sum();
        assert!(size < 60_000, "{size} bytes");
    }
}
