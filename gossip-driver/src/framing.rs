//! Messages on a stream: four bytes, big-endian, of which the first two bits are the kind and the others the length, then
//! the message. No input or output happens here.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

/// Bytes before each message: its kind and length.
pub(crate) const PREFIX: usize = 4;

/// Length of the shortest message that can mean anything: an envelope without a body.
pub(crate) const SHORTEST: usize = 44;

/// No datagram is longer.
const LONGEST_DATAGRAM: usize = 65_535;

/// Bits of the prefix that are the length.
const LENGTH_BITS: u32 = 30;

/// Bytes of a message that are kept within its connection. What is longer takes memory of its own, once so much has come.
const START: usize = 1 << 10;

/// Bytes before a packet that goes by way of another node: what it is, and for whom or from whom.
pub(crate) const PASS: usize = 17;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A stream message.
    Message,
    /// A datagram that has no other way.
    Datagram,
    /// Something for a third node, by way of the receiver.
    Pass,
    /// Something from a third node, by way of the sender; or word that it has no way to it.
    Passed,
}

/// What came in a frame.
#[derive(PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("kind", &self.kind).field("length", &self.bytes.len()).finish()
    }
}

/// A stream that is of no use any more: where the next message begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {length} bytes was announced, the limit is {limit}")]
    Oversized { length: usize, limit: usize },
    #[error("a message of {length} bytes was announced, none is shorter than {shortest}")]
    Undersized { length: usize, shortest: usize },
    #[error("{0}")]
    Foreign(Foreign),
}

/// Another protocol, by how its streams begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    #[error(
        "the peer sends a request of HTTP to a port for gossip and was told so; a ws:// URL needs a listener for \
         WebSocket (web_listen, --ws-listen)"
    )]
    Request,
    #[error("an HTTP server answers there, no gossip port; correct the address, or write the ws:// URL of the node")]
    Answer,
    #[error(
        "the peer speaks TLS, this node does not on such connections; use it at both (tcp_tls, --tcp-tls), or at none"
    )]
    Tls,
}

/// Puts messages together from pieces of any size.
///
/// Memory grows with what has arrived, to at most twice as much: an announced length costs nothing.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limit: usize,
    prefix: [u8; PREFIX],
    prefix_filled: usize,
    /// Nothing was whole yet: what comes may be another protocol.
    is_first: bool,
    kind: Kind,
    /// Length of the message under way, once known.
    length: usize,
    /// Its beginning, as long as nothing more has come.
    start: [u8; START],
    body: Vec<u8>,
    filled: usize,
}

impl FrameReader {
    /// Reads messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        let (prefix, start) = ([0; PREFIX], [0; START]);
        let (kind, body) = (Kind::Message, Vec::new());
        Self { limit, prefix, prefix_filled: 0, is_first: true, kind, length: 0, start, body, filled: 0 }
    }

    /// Where the next bytes of the stream belong; never empty. Tell with [`filled`](Self::filled) how many were put
    /// there.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.prefix_filled < PREFIX {
            return &mut self.prefix[self.prefix_filled..];
        }
        if self.filled < START {
            let end = START.min(self.length);
            return &mut self.start[self.filled..end];
        }
        let capacity = self.capacity();
        if self.body.len() < capacity {
            self.body.reserve_exact(capacity - self.body.len());
            if self.body.is_empty() {
                self.body.extend_from_slice(&self.start);
            }
            self.body.resize(capacity, 0);
        }
        &mut self.body[self.filled..]
    }

    /// Bytes of memory that the message under way takes once [`space`](Self::space) is called.
    pub(crate) fn capacity(&self) -> usize {
        if self.filled < START {
            return 0;
        }
        let is_full = self.filled >= self.body.len();
        let step = if is_full { self.filled * 2 } else { self.body.len() };
        step.min(self.length)
    }

    /// The next `count` bytes of the stream were put in the space; the message if that completes one.
    pub(crate) fn filled(&mut self, count: usize) -> Result<Option<Frame>, FrameError> {
        if self.prefix_filled < PREFIX {
            self.prefix_filled += count;
            debug_assert!(self.prefix_filled <= PREFIX, "no more was filled than there was space");
            if self.prefix_filled == PREFIX {
                (self.kind, self.length) = self.announced()?;
            }
            return Ok(None);
        }
        self.filled += count;
        debug_assert!(self.filled <= START.max(self.body.len()), "no more was filled than there was space");
        if self.filled < self.length {
            return Ok(None);
        }
        let length = std::mem::take(&mut self.length);
        self.prefix_filled = 0;
        self.filled = 0;
        self.is_first = false;
        let body = std::mem::take(&mut self.body);
        let bytes = if length <= START { self.start[..length].to_vec() } else { body };
        Ok(Some(Frame { kind: self.kind, bytes }))
    }

    fn announced(&self) -> Result<(Kind, usize), FrameError> {
        let prefix = u32::from_be_bytes(self.prefix);
        let (kind, shortest, limit) = match prefix >> LENGTH_BITS {
            0 => (Kind::Message, SHORTEST, self.limit),
            1 => (Kind::Datagram, SHORTEST, self.limit.min(LONGEST_DATAGRAM)),
            2 => (Kind::Pass, PASS + SHORTEST, PASS + self.limit),
            _ => (Kind::Passed, PASS, PASS + self.limit),
        };
        let length = usize::try_from(prefix & ((1 << LENGTH_BITS) - 1)).unwrap_or(usize::MAX);
        if length > limit {
            let foreign = if self.is_first { Foreign::begun_by(self.prefix) } else { None };
            return Err(foreign.map_or(FrameError::Oversized { length, limit }, FrameError::Foreign));
        }
        if length < shortest { Err(FrameError::Undersized { length, shortest }) } else { Ok((kind, length)) }
    }

    /// Whether a message has begun and is not complete: if the stream ends now, it was cut off.
    pub(crate) fn is_in_message(&self) -> bool {
        self.prefix_filled > 0
    }
}

impl Foreign {
    /// What begins like this. As the prefix of a frame it would be longer than any.
    fn begun_by(prefix: [u8; PREFIX]) -> Option<Self> {
        match &prefix {
            b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"CONN" | b"OPTI" | b"TRAC" | b"PATC" | b"PRI " => {
                Some(Self::Request)
            }
            b"HTTP" => Some(Self::Answer),
            // A handshake, or an alert.
            [0x16 | 0x15, 3, 0..=4, _] => Some(Self::Tls),
            _ => None,
        }
    }
}

/// What goes before a message of this kind and length.
pub(crate) fn prefix(kind: Kind, length: usize) -> Option<[u8; PREFIX]> {
    let length = u32::try_from(length).ok().filter(|length| length >> LENGTH_BITS == 0)?;
    let kind = match kind {
        Kind::Message => 0,
        Kind::Datagram => 1,
        Kind::Pass => 2,
        Kind::Passed => 3,
    };
    Some((kind << LENGTH_BITS | length).to_be_bytes())
}

/// Frames on their way out: as many as the writer takes at once, from the first byte that it has not taken yet.
#[derive(Debug)]
pub(crate) struct FrameWriter<F> {
    frames: VecDeque<F>,
    /// Bytes of the first frame that are gone.
    written: usize,
}

/// Frames handed to the system at once.
pub(crate) const BATCH: usize = 16;

impl<F: AsRef<[u8]>> FrameWriter<F> {
    pub(crate) fn new() -> Self {
        Self { frames: VecDeque::new(), written: 0 }
    }

    pub(crate) fn push(&mut self, frame: F) {
        self.frames.push_back(frame);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= BATCH
    }

    /// What is to be written next, in order.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; BATCH] {
        let mut slices = [IoSlice::new(&[]); BATCH];
        for (at, (slice, frame)) in slices.iter_mut().zip(&self.frames).enumerate() {
            let from = if at == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&frame.as_ref()[from..]);
        }
        slices
    }

    /// `count` bytes of it were taken; drops the frames that are complete.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(first) = self.frames.front() {
            let length = first.as_ref().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.frames.pop_front();
        }
        debug_assert_eq!(self.written, 0, "no more was taken than there was");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 100_000;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = prefix(Kind::Message, message.len()).unwrap().to_vec();
        bytes.extend_from_slice(message);
        bytes
    }

    /// Feeds a stream in pieces of at most `piece` bytes.
    fn read_in(reader: &mut FrameReader, mut stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut messages = Vec::new();
        while !stream.is_empty() {
            let space = reader.space();
            let count = space.len().min(piece).min(stream.len());
            space[..count].copy_from_slice(&stream[..count]);
            stream = &stream[count..];
            messages.extend(reader.filled(count)?.map(|frame| frame.bytes));
            assert!(reader.body.capacity() <= 2 * reader.filled, "memory follows what has arrived");
        }
        Ok(messages)
    }

    #[test]
    fn a_message_cut_at_any_byte_is_put_together() {
        let message: Vec<u8> = (0..SHORTEST + 9).map(|at| u8::try_from(at).unwrap()).collect();
        let stream = framed(&message);
        for cut in 0..stream.len() {
            let mut reader = FrameReader::new(LIMIT);
            assert_eq!(read_in(&mut reader, &stream[..cut], LIMIT), Ok(vec![]));
            assert_eq!(reader.is_in_message(), cut > 0, "a stream that ends here was cut off unless it is empty");
            assert_eq!(read_in(&mut reader, &stream[cut..], LIMIT), Ok(vec![message.clone()]));
            assert!(!reader.is_in_message());
        }
    }

    #[test]
    fn a_gibibyte_costs_nothing_but_the_connection() {
        let mut reader = FrameReader::new(LIMIT);
        let error = read_in(&mut reader, &[0xff; PREFIX], LIMIT).unwrap_err();
        assert_eq!(error, FrameError::Oversized { length: 0x3fff_ffff, limit: PASS + LIMIT });
        assert_eq!(reader.body.capacity(), 0);
    }

    #[test]
    fn the_limits_are_inclusive() {
        let announce =
            |length: usize| read_in(&mut FrameReader::new(LIMIT), &prefix(Kind::Message, length).unwrap(), LIMIT);
        assert_eq!(announce(LIMIT), Ok(vec![]));
        assert_eq!(announce(LIMIT + 1), Err(FrameError::Oversized { length: LIMIT + 1, limit: LIMIT }));
        assert_eq!(announce(SHORTEST), Ok(vec![]));
        assert_eq!(announce(SHORTEST - 1), Err(FrameError::Undersized { length: SHORTEST - 1, shortest: SHORTEST }));
        assert_eq!(announce(0), Err(FrameError::Undersized { length: 0, shortest: SHORTEST }));
    }

    #[test]
    fn a_datagram_is_told_from_a_message_and_has_its_own_limit() {
        let mut reader = FrameReader::new(LIMIT);
        let mut stream = prefix(Kind::Datagram, SHORTEST).unwrap().to_vec();
        stream.extend([7; SHORTEST]);
        let mut got = None;
        for byte in stream {
            reader.space()[0] = byte;
            got = reader.filled(1).unwrap();
        }
        assert_eq!(got, Some(Frame { kind: Kind::Datagram, bytes: vec![7; SHORTEST] }));
        let long = prefix(Kind::Datagram, LONGEST_DATAGRAM + 1).unwrap();
        let error = FrameError::Oversized { length: LONGEST_DATAGRAM + 1, limit: LONGEST_DATAGRAM };
        assert_eq!(read_in(&mut reader, &long, LIMIT), Err(error));
        assert_eq!(prefix(Kind::Message, 1 << LENGTH_BITS), None);
    }

    #[test]
    fn an_announced_length_takes_memory_only_as_bytes_arrive() {
        let mut reader = FrameReader::new(64 << 20);
        assert_eq!(read_in(&mut reader, &prefix(Kind::Message, 64 << 20).unwrap(), LIMIT), Ok(vec![]));
        assert_eq!(reader.capacity(), 0);
        assert_eq!(read_in(&mut reader, &[0; START], LIMIT), Ok(vec![]));
        assert_eq!(reader.capacity(), 2 * START);
    }

    #[test]
    fn other_protocols_are_known_by_how_they_begin_and_only_there() {
        let message = [7; SHORTEST];
        // No message is so long, whatever the limit.
        for (bytes, foreign) in [
            (&b"GET / HTTP/1.1\r\n"[..], Foreign::Request),
            (b"POST /x HTTP/1.1\r\n", Foreign::Request),
            (b"PRI * HTTP/2.0\r\n", Foreign::Request),
            (b"HTTP/1.1 400 Bad Request\r\n", Foreign::Answer),
            (&[0x16, 3, 1, 2, 0, 1], Foreign::Tls),
            (&[0x15, 3, 3, 0, 2, 2, 10], Foreign::Tls),
        ] {
            let mut reader = FrameReader::new(64 << 20);
            assert_eq!(read_in(&mut reader, bytes, 3), Err(FrameError::Foreign(foreign)));
            let mut reader = FrameReader::new(64 << 20);
            assert_eq!(read_in(&mut reader, &framed(&message), LIMIT), Ok(vec![message.to_vec()]));
            assert!(matches!(read_in(&mut reader, bytes, LIMIT), Err(FrameError::Oversized { .. })));
        }
        let mut reader = FrameReader::new(LIMIT);
        assert!(matches!(read_in(&mut reader, &[0x16, 0, 0, 0], LIMIT), Err(FrameError::Oversized { .. })));
    }

    proptest! {
        #[test]
        fn messages_survive_any_splitting(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), SHORTEST..20_000), 0..6),
            piece in 1_usize..9_000,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
            let mut reader = FrameReader::new(LIMIT);
            prop_assert_eq!(read_in(&mut reader, &stream, piece), Ok(messages));
            prop_assert!(!reader.is_in_message());
        }

        #[test]
        fn random_bytes_never_panic_nor_exceed_the_limit(stream in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut reader = FrameReader::new(1_000);
            if let Ok(messages) = read_in(&mut reader, &stream, 77) {
                prop_assert!(messages.iter().all(|message| (PASS..=PASS + 1_000).contains(&message.len())));
            }
        }

        #[test]
        fn frames_leave_in_order_whatever_the_writer_takes(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..40),
            takes in prop::collection::vec(1_usize..200, 1..50),
        ) {
            let mut waiting: VecDeque<Vec<u8>> = frames.iter().cloned().collect();
            let mut takes = takes.into_iter().cycle();
            let mut writer = FrameWriter::new();
            let mut sent = Vec::new();
            loop {
                while !writer.is_full() && let Some(frame) = waiting.pop_front() {
                    writer.push(frame);
                }
                if writer.is_empty() {
                    break;
                }
                let offered: Vec<u8> = writer.slices().iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = takes.next().unwrap().min(offered.len());
                sent.extend_from_slice(&offered[..taken]);
                writer.advance(taken);
            }
            prop_assert_eq!(sent, frames.concat());
        }
    }
}
