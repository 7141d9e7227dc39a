//! WebSocket under connections: the handshakes over any stream of bytes, and messages as a stream of bytes.

mod error;
mod head;
mod stream;
mod token;
mod upgrade;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use base64ct::{Base64, Encoding};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::io::AsyncWriteExt;

pub use error::{Refusal, WebError};
pub(crate) use stream::KeepAlive;
pub use stream::WebStream;
pub use token::{Token, TokenError};
pub(crate) use upgrade::{Doorway, answered};

use super::answer;
use crate::WebAddress;
use crate::runtime::Runtime;

/// Longest message of either direction, in bytes. A stream is cut into messages as its writer likes.
const MESSAGE: usize = 64 << 10;
/// Bytes asked for when reading.
const READ: usize = 8 << 10;

/// Speaks WebSocket as the one who opened the connection. The caller bounds the time.
pub(crate) async fn connect<S, R>(
    mut stream: S,
    address: &WebAddress,
    token: Option<&Token>,
    keep_alive: KeepAlive<R>,
) -> Result<WebStream<S, R>, WebError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Runtime,
{
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| WebError::Randomness(error.to_string()))?;
    let key = Base64::encode_string(&nonce);
    let request = upgrade::request(address, token, &key);
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (head, rest) = head::read_response(&mut stream).await?;
    upgrade::check_response(&head, &key)?;
    Ok(WebStream::new(over(stream, rest, Role::Client).await, keep_alive))
}

/// Speaks WebSocket as the one who accepted the connection. Requests for something else are answered as HTTP demands.
/// The caller bounds the time.
pub(crate) async fn accept<S, R>(
    mut stream: S,
    doorway: &Doorway<'_>,
    keep_alive: KeepAlive<R>,
) -> Result<WebStream<S, R>, WebError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Runtime,
{
    let judged = match head::read_request(&mut stream).await {
        Ok((request, rest)) => doorway.judge(&request).map(|accepted| (accepted, rest)),
        Err(WebError::Refused(refusal)) => Err(refusal),
        Err(WebError::NotHttp) => {
            // A node that takes this for a port of TCP understands that it is not.
            let reason = "This is a gossip port for WebSocket: use its ws:// URL.";
            answer::refuse(&keep_alive.runtime, &mut stream, "400 Bad Request", &[], reason).await;
            return Err(WebError::NotHttp);
        }
        Err(error) => return Err(error),
    };
    match judged {
        Ok((accepted, rest)) => {
            stream.write_all(upgrade::response(&accepted).as_bytes()).await?;
            stream.flush().await?;
            Ok(WebStream::new(over(stream, rest, Role::Server).await, keep_alive))
        }
        Err(refusal) => {
            let (status, headers) = (refusal.status_line(), refusal.headers());
            answer::refuse(&keep_alive.runtime, &mut stream, status, headers, &refusal.to_string()).await;
            Err(WebError::Refused(refusal))
        }
    }
}

/// A connection that the application's own server has upgraded already.
pub(crate) async fn upgraded<S, R>(stream: S, keep_alive: KeepAlive<R>) -> WebStream<S, R>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Runtime,
{
    WebStream::new(over(stream, Vec::new(), Role::Server).await, keep_alive)
}

/// Messages of WebSocket over a stream of which `rest` was read already.
async fn over<S: AsyncRead + AsyncWrite + Unpin>(stream: S, rest: Vec<u8>, role: Role) -> WebSocketStream<S> {
    // Each message is written at once. What is held beyond it are answers to pings.
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE)
        .max_frame_size(Some(MESSAGE))
        .max_message_size(Some(MESSAGE));
    WebSocketStream::from_partially_read(stream, rest, role, Some(config)).await
}

#[cfg(test)]
mod tests;
