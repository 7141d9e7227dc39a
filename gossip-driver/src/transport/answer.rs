//! Answers to those who speak HTTP where something else is expected, or ask for something else than is offered.

use std::io;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of a request that are read, and thrown away, after it was answered: else the system would take the answer back.
const UNREAD: usize = 2 << 20;

/// Answers with a status, a reason for people, and nothing after it; then waits for the peer to close.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    status: &str,
    headers: &[(&str, &str)],
    reason: &str,
) -> io::Result<()> {
    let length = reason.len() + 1;
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let headers = headers.concat();
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{reason}\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.flush().await?;
    stream.close().await?;
    let mut rest = [0; 4096];
    let mut left = UNREAD;
    while left > 0 {
        match stream.read(&mut rest).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// Whether a stream that begins with this byte may be a request of HTTP: they begin with a method, in capitals.
pub(crate) fn may_be_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}
