//! The payloads that follow requests: bounded in size, and in how many large ones are read at once.

use std::io;

use tokio::sync::Semaphore;

use super::server::Lines;
use crate::content::MAX_PAYLOAD;
use crate::exit::Failure;

/// Payloads up to this size need no place.
const SMALL: usize = 64 << 10;
/// Larger ones that are read at once; further ones wait.
const LARGE_AT_ONCE: usize = 4;

/// What came, or why it was not kept.
pub(crate) type Body = Result<Vec<u8>, Failure>;

#[derive(Debug)]
pub(crate) struct Bodies {
    limit: usize,
    large: Semaphore,
}

impl Bodies {
    /// `limit` is the most that the node sends, in bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, large: Semaphore::new(LARGE_AT_ONCE) }
    }

    /// Takes the next `size` bytes. What is over the limit is passed over, so that the client can be told.
    ///
    /// # Errors
    ///
    /// The connection broke, or so much is announced that it is no use to wait for its end.
    pub(crate) async fn receive(&self, size: usize, lines: &mut Lines) -> io::Result<Body> {
        if size > self.limit {
            // What no client of this command sends.
            if size > MAX_PAYLOAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a payload larger than any can be"));
            }
            lines.bytes(size, 0).await?;
            let limit = self.limit;
            return Ok(Err(Failure::Usage(format!("payload of {size} bytes, the limit is {limit}; nothing was sent"))));
        }
        let _place = if size > SMALL { self.large.acquire().await.ok() } else { None };
        lines.bytes(size, size).await.map(Ok)
    }
}
