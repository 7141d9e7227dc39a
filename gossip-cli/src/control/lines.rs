//! Lines of bounded length from a connection, and lines of JSON to one. A payload among them may be a key, so no copy
//! of it is left in memory.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

/// Bytes asked of the connection at once.
const STEP: usize = 8 << 10;

/// Reads lines without ever holding more than the limit.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    reader: R,
    limit: usize,
    buffer: Zeroizing<Vec<u8>>,
    /// Bytes at the front that hold no line end.
    searched: usize,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, buffer: Zeroizing::default(), searched: 0 }
    }

    /// The next line without its end; `None` when the other side has closed. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// What reading says; `InvalidData` for a line over the limit, `UnexpectedEof` for one that was cut off.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.take(self.searched + length + 1);
                return Ok(Some(line.trim_ascii_end().to_vec()));
            }
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                let text = format!("a line is longer than {} bytes", self.limit);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            let mut step = Zeroizing::new([0; STEP]);
            match self.reader.read(&mut *step).await? {
                0 if self.buffer.is_empty() => return Ok(None),
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a line")),
                count => append(&mut self.buffer, &step[..count]),
            }
        }
    }

    /// Takes so many bytes from the front of the buffer; what follows them is for the next call.
    fn take(&mut self, count: usize) -> Zeroizing<Vec<u8>> {
        let rest = Zeroizing::new(self.buffer[count..].to_vec());
        let mut front = std::mem::replace(&mut self.buffer, rest);
        front.truncate(count);
        self.searched = 0;
        front
    }

    /// The next `size` bytes, whatever they are. The first `kept` of them are given, the others are dropped.
    ///
    /// # Errors
    ///
    /// What reading says; `UnexpectedEof` if there are fewer.
    pub(crate) async fn bytes(&mut self, size: usize, kept: usize) -> io::Result<Vec<u8>> {
        let early = self.take(self.buffer.len().min(size));
        let mut missing = size - early.len();
        // Large enough for all of it, so that it is not moved.
        let mut bytes = Zeroizing::new(Vec::with_capacity(kept.min(size)));
        bytes.extend_from_slice(&early[..early.len().min(kept)]);
        while missing > 0 {
            let mut step = Zeroizing::new([0; STEP]);
            let count = self.reader.read(&mut step[..missing.min(STEP)]).await?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed in the middle of a payload"));
            }
            missing -= count;
            let room = kept.saturating_sub(bytes.len());
            bytes.extend_from_slice(&step[..count.min(room)]);
        }
        Ok(std::mem::take(&mut *bytes))
    }

    /// Ends when the other side closes or breaks. What it sends meanwhile is kept, as far as a line may be long.
    pub(crate) async fn ends(&mut self) {
        while self.buffer.len() <= self.limit {
            let mut step = Zeroizing::new([0; STEP]);
            match self.reader.read(&mut *step).await {
                Ok(count @ 1..) => append(&mut self.buffer, &step[..count]),
                Ok(0) | Err(_) => return,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Ends when the other side sends anything, closes, or breaks.
    pub(crate) async fn stirs(&mut self) {
        if self.buffer.is_empty() {
            let _ = self.reader.read(&mut [0; 1]).await;
        }
    }
}

/// Appends bytes; a buffer that has to grow is wiped where it was.
fn append(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let needed = buffer.len() + bytes.len();
    if needed > buffer.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * buffer.capacity())));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(bytes);
}

/// Writes objects as lines of JSON; a reader that does not take them in time is given up.
#[derive(Debug)]
pub(crate) struct LineWriter<W> {
    writer: W,
    /// What waits to be written: at most [`STEP`] bytes.
    buffer: Zeroizing<Vec<u8>>,
    patience: Duration,
}

impl<W: AsyncWrite + Unpin> LineWriter<W> {
    pub(crate) fn new(writer: W, patience: Duration) -> Self {
        Self { writer, buffer: Zeroizing::new(Vec::with_capacity(STEP)), patience }
    }

    /// How long from now on a reader may take nothing.
    pub(crate) fn wait_for(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Appends bytes as they are.
    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > STEP {
            self.write_out().await?;
        }
        if bytes.len() > STEP {
            return in_time(self.patience, self.writer.write_all(bytes)).await;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a line; it may wait in the buffer until the next [`flush`](Self::flush).
    pub(crate) async fn write(&mut self, object: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(object)?;
        line.push(b'\n');
        self.write_bytes(&line).await
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.write_out().await?;
        in_time(self.patience, self.writer.flush()).await
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let written = in_time(self.patience, self.writer.write_all(&self.buffer)).await;
        self.buffer.zeroize();
        written
    }
}

async fn in_time(patience: Duration, write: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    match timeout(patience, write).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the other side does not read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], limit: usize) -> (Vec<String>, Option<io::ErrorKind>) {
        let mut reader = LineReader::new(input, limit);
        let mut lines = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error.kind())),
            }
        }
    }

    #[tokio::test]
    async fn lines_come_one_by_one_with_either_ending() {
        let (lines, error) = lines(b"one\r\n\ntwo\n", 100).await;
        assert_eq!(lines, ["one", "", "two"]);
        assert_eq!(error, None);
    }

    #[tokio::test]
    async fn bytes_between_lines_are_taken_as_they_are() {
        let mut reader = LineReader::new(&b"one\n\n\0\xfftwo\nthree"[..], 100);
        assert_eq!(reader.next().await.unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(reader.bytes(3, 3).await.unwrap(), b"\n\0\xff");
        assert_eq!(reader.next().await.unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(reader.bytes(4, 2).await.unwrap(), b"th");
        assert_eq!(reader.bytes(2, 2).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_not_kept_costs_no_memory() {
        let large = vec![b'x'; 1 << 20];
        let bytes = LineReader::new(&large[..], 100).bytes(1 << 20, 10).await.unwrap();
        assert_eq!((bytes.len(), bytes.capacity() < 100_000), (10, true));
    }

    #[tokio::test]
    async fn what_comes_before_the_end_is_kept() {
        let mut reader = LineReader::new(&b"more\n"[..], 100);
        reader.ends().await;
        assert_eq!(reader.next().await.unwrap().as_deref(), Some(&b"more"[..]));
    }

    #[tokio::test]
    async fn a_line_over_the_limit_or_cut_off_is_an_error() {
        let endless = vec![b'x'; 100_000];
        assert_eq!(lines(&endless, 1_000).await, (vec![], Some(io::ErrorKind::InvalidData)));
        assert_eq!(lines(b"whole\nhal", 1_000).await, (vec!["whole".to_owned()], Some(io::ErrorKind::UnexpectedEof)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (_held, other) = tokio::io::duplex(16);
        let mut writer = LineWriter::new(other, Duration::from_secs(10));
        writer.write(&"x".repeat(100)).await.unwrap();
        assert_eq!(writer.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
