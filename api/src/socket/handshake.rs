//! The handshake that makes a socket of a request (RFC 6455, section 4).
//!
//! Plain functions over headers. There is one subprotocol, [`PROTOCOL`]; a client may also name none.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

use crate::answer::Refused;

/// The subprotocol.
pub(super) const PROTOCOL: &str = "danmu.v1.json";
/// What the RFC has appended to a key before it is hashed.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The length of a key, decoded.
const KEY_BYTES: usize = 16;

/// The answer that switches protocols.
pub(super) fn answer(request: &HeaderMap) -> Result<Response, Refused> {
    let refuse = |why: &str| Err(Refused::bad_request(why));
    let names = |name, word| names(request, name, word);
    if !names(header::UPGRADE, "websocket") || !names(header::CONNECTION, "upgrade") {
        return refuse("this is a WebSocket: ask for an upgrade");
    }
    if !names(header::SEC_WEBSOCKET_VERSION, "13") {
        return refuse("the WebSocket version is 13");
    }
    let key = request.get(header::SEC_WEBSOCKET_KEY);
    let is_key = |key: &&HeaderValue| {
        let bytes = STANDARD.decode(key.as_bytes());
        bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    };
    let Some(key) = key.filter(is_key) else {
        return refuse("the Sec-WebSocket-Key is not 16 bytes in Base64");
    };
    let names_one = request.contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    if names_one && !names(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return refuse("the subprotocol is danmu.v1.json");
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept(key.as_bytes()));
    if names_one {
        let protocol = HeaderValue::from_static(PROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

fn accept(key: &[u8]) -> HeaderValue {
    let mut hash = Sha1::from(key);
    hash.update(MAGIC.as_bytes());
    let accept = STANDARD.encode(hash.digest().bytes());
    HeaderValue::try_from(accept).expect("Base64 is ASCII")
}

/// Whether a header, a list of words, has this one.
fn names(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut words = texts.flat_map(|text| text.split(','));
    words.any(|known| known.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            let name = header::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        };
        headers.iter().map(pair).collect()
    }

    const GOOD: [(&str, &str); 5] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "other, danmu.v1.json"),
    ];

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let response = answer(&asking(&GOOD)).expect("a handshake");
        assert_eq!(response.status(), 101);
        let headers = response.headers();
        assert_eq!(
            headers["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(headers["sec-websocket-protocol"], PROTOCOL);
        let without = answer(&asking(&GOOD[..4])).expect("a handshake");
        assert!(!without.headers().contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        for (at, value) in [
            (0, "h2c"),
            (1, "close"),
            (2, "8"),
            (3, "dGhlIHNhbXBsZQ=="),
            (3, "?"),
            (4, "graphql-ws"),
        ] {
            let mut headers = GOOD;
            headers[at].1 = value;
            assert!(answer(&asking(&headers)).is_err(), "{value}");
        }
    }
}
