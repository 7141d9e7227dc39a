//! A fingerprint of everything that happened, and on request the whole story in a file.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use gossip_core::{Delivery, Event, NodeId};

use crate::facts::Subject;
use crate::history::History;
use crate::world::Addr;

/// Kinds of what is noted.
pub(crate) const SENT: u8 = 1;
pub(crate) const RECEIVED: u8 = 2;
pub(crate) const TIMER: u8 = 3;
pub(crate) const MEMBER: u8 = 4;
pub(crate) const METADATA: u8 = 5;
pub(crate) const ACCEPTED: u8 = 6;
pub(crate) const FAILED: u8 = 7;
pub(crate) const LEFT: u8 = 8;
pub(crate) const OTHER: u8 = 9;
pub(crate) const MESSAGE: u8 = 10;
pub(crate) const FAULT: u8 = 11;
pub(crate) const STARTED: u8 = 12;
pub(crate) const DELIVERED: u8 = 13;
pub(crate) const LOCK: u8 = 14;

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A running 64-bit hash. It is not meant against forgery, only to tell two runs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0x6a09_e667_f3bc_c908)
    }

    pub(crate) fn value(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.word(u64::from_le_bytes(*chunk));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }
}

/// An event in words.
pub(crate) fn sentence(event: &Event<Addr>) -> String {
    match event {
        Event::Member(change) => {
            let member = &change.member;
            let who = Subject::of(member.id).map_or_else(|| member.id.to_string(), |subject| subject.to_string());
            let before = change.previous.map_or("unknown", |state| state.name());
            let (state, incarnation, cause) = (member.state, member.incarnation, &change.cause);
            format!("{who} {before} -> {state} at {incarnation} ({cause:?})")
        }
        Event::Metadata { member, keys } => {
            format!(
                "metadata of {:?} at version {}: {}",
                Subject::of(member.id),
                member.metadata.version(),
                keys.join(", ")
            )
        }
        other => format!("{other:?}"),
    }
}

/// What came for an application, in words.
pub(crate) fn delivery(delivery: &Delivery) -> String {
    let who = |id: &NodeId| Subject::of(*id).map_or_else(|| id.to_string(), |subject| subject.to_string());
    match delivery {
        Delivery::Broadcast { id, hops, .. } => {
            format!("broadcast {} of {} over {hops} hops", id.sequence, who(&id.origin))
        }
        Delivery::Message { from, payload, .. } => format!("a message of {} bytes from {}", payload.len(), who(from)),
        Delivery::Request { from, payload, .. } => format!("a request of {} bytes from {}", payload.len(), who(from)),
        Delivery::Answer { request, by, result: Ok(_) } => format!("the answer of {} to request {request}", who(by)),
        Delivery::Answer { request, by, result: Err(error) } => {
            format!("no answer of {} to request {request}: {error}", who(by))
        }
        other => format!("{other:?}"),
    }
}

/// The hash of a run, and the file that tells it line by line, if one is wanted.
pub(crate) struct Trace {
    hash: Hash,
    pub(crate) history: History,
    file: Option<BufWriter<File>>,
    /// The first error that writing met; nothing is written after it.
    error: Option<io::Error>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self { hash: Hash::new(), history: History::default(), file: None, error: None }
    }

    pub(crate) fn write_to(&mut self, path: &Path) -> io::Result<()> {
        self.file = Some(BufWriter::new(File::create(path)?));
        Ok(())
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// Notes that something of `kind` happened to `node`.
    pub(crate) fn note(&mut self, at: u64, node: u32, kind: u8, value: u64) {
        self.hash.word(at);
        self.hash.word(u64::from(node) << 8 | u64::from(kind));
        self.hash.word(value);
        self.history.note(at, node, kind, value);
    }

    /// Notes that bytes went to or came from `node`.
    pub(crate) fn note_bytes(&mut self, at: u64, node: u32, kind: u8, bytes: &[u8]) {
        if kind == MESSAGE && self.history.is_kept() {
            let mut content = Hash::new();
            content.bytes(bytes);
            self.history.note(at, node, kind, content.value());
        }
        self.hash.word(at);
        self.hash.word(u64::from(node) << 8 | u64::from(kind));
        self.hash.bytes(bytes);
    }

    /// Whether there is a file, so that lines are worth making.
    pub(crate) fn is_told(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn tell(&mut self, at: u64, line: fmt::Arguments<'_>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = writeln!(file, "{:>6}.{:06} {line}", at / 1_000_000, at % 1_000_000) {
            self.error = Some(error);
            self.file = None;
        }
    }

    /// Ends the file; the first error that writing it met.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.file.take().map_or(Ok(()), |mut file| file.flush())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({:016x})", self.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_every_byte_and_on_the_length() {
        let of = |bytes: &[u8]| {
            let mut hash = Hash::new();
            hash.bytes(bytes);
            hash.value()
        };
        assert_eq!(of(b"some bytes of a packet"), of(b"some bytes of a packet"));
        assert_ne!(of(b"some bytes of a packet"), of(b"some bytes of a packeu"));
        assert_ne!(of(b"abc"), of(b"abc\0"));
        assert_ne!(of(b""), of(b"\0\0\0\0\0\0\0\0"));
    }
}
