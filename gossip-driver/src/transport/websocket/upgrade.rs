//! What is asked for and answered so that HTTP becomes WebSocket (RFC 6455, section 4).

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use base64ct::{Base64, Encoding};
use http::header::{
    AUTHORIZATION, CONNECTION, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use zeroize::Zeroizing;

use super::{Refusal, Token, WebError};
use crate::WebAddress;

/// Most characters of a foreign address that are shown.
const SHOWN: usize = 200;

/// The request of a node that dials.
pub(super) fn request(address: &WebAddress, token: Option<&Token>, key: &str) -> Zeroizing<String> {
    let (authority, target) = (address.host_header(), address.target());
    let mut request = Zeroizing::new(format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    ));
    if let Some(token) = token {
        // At once, so that no shorter memory with the token in it is left behind.
        request.reserve_exact(token.text().len() + 32);
        request.push_str("Authorization: Bearer ");
        request.push_str(token.text());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// Whether the answer to [`request`] makes the stream a WebSocket.
pub(super) fn check_response(response: &Response<()>, key: &str) -> Result<(), WebError> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection()
        && let Some(location) = headers.get(LOCATION)
    {
        let location = String::from_utf8_lossy(location.as_bytes()).chars().take(SHOWN).collect();
        return Err(WebError::Moved { status: status.as_u16(), location });
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(WebError::Status { status: status.as_u16() });
    }
    if !has(headers, &UPGRADE, "websocket") || !has(headers, &CONNECTION, "upgrade") {
        return Err(WebError::NotUpgraded("it names another protocol"));
    }
    let accepted = headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(WebError::NotUpgraded("it answers another handshake"));
    }
    Ok(())
}

/// What a listener lets in.
#[derive(Debug)]
pub(crate) struct Doorway<'a> {
    /// The path that requests must be for; `None` where somebody else looks at it.
    pub(crate) path: Option<&'a str>,
    /// The token that requests must show.
    pub(crate) token: Option<&'a Token>,
}

impl Doorway<'_> {
    /// What to answer to a request: the proof that it was understood.
    pub(super) fn judge<B>(&self, request: &Request<B>) -> Result<String, Refusal> {
        let headers = request.headers();
        if self.path.is_some_and(|path| path != request.uri().path()) {
            return Err(Refusal::Path);
        }
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        let is_upgrade = has(headers, &UPGRADE, "websocket") && has(headers, &CONNECTION, "upgrade");
        if !is_upgrade || request.version() != Version::HTTP_11 {
            return Err(Refusal::Plain);
        }
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
            return Err(Refusal::Version);
        }
        self.check_token(headers)?;
        let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?.as_bytes();
        let mut nonce = [0; 16];
        match Base64::decode(key, &mut nonce) {
            Ok(nonce) if nonce.len() == 16 => Ok(derive_accept_key(key)),
            _ => Err(Refusal::Key),
        }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).ok_or(Refusal::TokenMissing)?.as_bytes();
        let (scheme, shown) = shown.split_at_checked(7).ok_or(Refusal::TokenMissing)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Refusal::TokenMissing);
        }
        if token.is(shown.trim_ascii()) { Ok(()) } else { Err(Refusal::TokenWrong) }
    }
}

/// The answer that makes the stream a WebSocket.
pub(super) fn response(accepted: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accepted}\r\n\r\n"
    )
}

/// The answer to a request that came to a server of the application, for it to send.
pub(crate) fn answered<B>(doorway: &Doorway<'_>, request: &Request<B>) -> (Response<String>, Option<Refusal>) {
    let mut response = Response::new(String::new());
    match doorway.judge(request) {
        Ok(accepted) => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.extend(HeaderValue::try_from(accepted).ok().map(|accepted| (SEC_WEBSOCKET_ACCEPT, accepted)));
            (response, None)
        }
        Err(refusal) => {
            *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            for &(name, value) in refusal.headers() {
                let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            *response.body_mut() = format!("{refusal}\n");
            (response, Some(refusal))
        }
    }
}

/// Whether a header that is a list names this, in whatever case.
fn has(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut items = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}
