//! The head of a request or an answer of HTTP, read within limits.

use futures_io::AsyncRead;
use futures_util::io::AsyncReadExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use httparse::{EMPTY_HEADER, Header, Status};

use super::{Refusal, WebError};

/// Most bytes of a head. Proxies add headers, browsers bring cookies; more than that is no handshake.
pub(super) const LONGEST: usize = 16 << 10;
/// Most headers.
const HEADERS: usize = 96;
/// Bytes read at once.
const PIECE: usize = 2 << 10;

/// The first byte of every handshake of TLS.
const TLS: u8 = 0x16;

/// The request that a stream begins with, and what was read after it.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Request<()>, Vec<u8>), WebError> {
    let begins_well = |bytes: &[u8]| match bytes.first() {
        Some(&TLS) => Err(WebError::Tls),
        Some(&first) if !crate::transport::answer::may_be_http(first) => Err(WebError::NotHttp),
        _ => Ok(()),
    };
    let (mut bytes, end) = match read(stream, begins_well).await {
        Err(WebError::TooLarge { .. }) => return Err(WebError::Refused(Refusal::TooLarge)),
        read => read?,
    };
    let request = parse_request(&bytes[..end]).map_err(WebError::Refused)?;
    bytes.drain(..end);
    Ok((request, bytes))
}

/// The answer that a stream begins with, and what was read after it.
pub(super) async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Response<()>, Vec<u8>), WebError> {
    const START: &[u8] = b"HTTP/1.";
    let begins_well = |bytes: &[u8]| {
        let known = bytes.len().min(START.len());
        if bytes[..known] == START[..known] { Ok(()) } else { Err(WebError::NotHttp) }
    };
    let (mut bytes, end) = read(stream, begins_well).await?;
    let response = parse_response(&bytes[..end])?;
    bytes.drain(..end);
    Ok((response, bytes))
}

/// Reads until the empty line that ends a head: everything that was read, and where the head ends.
async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    begins_well: impl Fn(&[u8]) -> Result<(), WebError>,
) -> Result<(Vec<u8>, usize), WebError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST {
        let had = bytes.len();
        bytes.resize((had + PIECE).min(LONGEST), 0);
        let count = stream.read(&mut bytes[had..]).await?;
        bytes.truncate(had + count);
        match (count, had) {
            (0, 0) => return Err(WebError::Silent),
            (0, _) => return Err(WebError::Ended),
            _ => begins_well(&bytes)?,
        }
        let from = had.saturating_sub(END.len() - 1);
        if let Some(at) = bytes[from..].windows(END.len()).position(|window| window == END) {
            return Ok((bytes, from + at + END.len()));
        }
    }
    Err(WebError::TooLarge { limit: LONGEST })
}

fn parse_request(head: &[u8]) -> Result<Request<()>, Refusal> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Ok(Status::Partial) | Err(_) => return Err(Refusal::Malformed),
    }
    let mut request = Request::new(());
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let target = parsed.path.unwrap_or_default().parse::<Uri>();
    *request.method_mut() = method.map_err(|_| Refusal::Malformed)?;
    *request.uri_mut() = target.map_err(|_| Refusal::Malformed)?;
    *request.version_mut() = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = map(parsed.headers).ok_or(Refusal::Malformed)?;
    Ok(request)
}

fn parse_response(head: &[u8]) -> Result<Response<()>, WebError> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(WebError::TooLarge { limit: LONGEST }),
        Ok(Status::Partial) | Err(_) => return Err(WebError::NotHttp),
    }
    let mut response = Response::new(());
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default());
    *response.status_mut() = status.map_err(|_| WebError::NotHttp)?;
    *response.headers_mut() = map(parsed.headers).ok_or(WebError::NotHttp)?;
    Ok(response)
}

fn map(headers: &[Header<'_>]) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(map)
}
