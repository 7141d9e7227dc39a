//! Answers to those who speak HTTP where something else is expected, or ask for something else than is offered.

use std::io;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use crate::runtime::{Runtime, within};

/// Bytes of a request that are read, and thrown away, after it was answered: else the system would take the answer back.
const UNREAD: usize = 2 << 20;

/// Longest wait for a peer that was refused to read why, and to close.
const LINGER: Duration = Duration::from_secs(1);

/// Answers with a status and a reason for people, then waits a moment for the peer to close.
pub(crate) async fn refuse<R: Runtime, S: AsyncRead + AsyncWrite + Unpin>(
    runtime: &R,
    stream: &mut S,
    status: &str,
    headers: &[(&str, &str)],
    reason: &str,
) {
    // Apart, because the tasks of all connections would otherwise have room for it. Whether the answer arrives makes no
    // difference here.
    let work = Box::pin(async {
        tell(stream, status, headers, reason).await?;
        read_on(stream).await
    });
    let _ = within(runtime, LINGER, work).await;
}

/// Answers with a status, a reason for people, and nothing after it.
pub(crate) async fn tell<S: AsyncWrite + Unpin>(
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
    stream.flush().await
}

/// Closes a connection over which the peer was told why, and waits a moment for the peer to do so too.
#[cfg(feature = "tls")]
pub(crate) async fn linger<R: Runtime, S: AsyncRead + AsyncWrite + Unpin>(runtime: &R, stream: &mut S) {
    let _ = within(runtime, LINGER, Box::pin(read_on(stream))).await;
}

/// Closes this direction, and reads what the peer still sends until it closes as well.
async fn read_on<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
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
#[cfg(any(feature = "tls", feature = "websocket"))]
pub(crate) fn may_be_http(first: u8) -> bool {
    first.is_ascii_uppercase()
}
