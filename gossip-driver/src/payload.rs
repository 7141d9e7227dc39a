//! What a message carries: a byte that says in which form, then the content (`docs/WIRE.md`).

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

use crate::Config;
use crate::codec::{Codec, CodecError};
use crate::message::{DecodeError, SendError};

/// The content is compressed.
const COMPRESSED: u8 = 0x80;
/// The codec's id of bytes that were written by none.
const RAW: u8 = 0;
/// How many times as long as its compressed form something can be: the shortest copy of 64 bytes takes three.
const MOST_EXPANDED: usize = 22;
/// Room for what most values take.
const TYPICAL: usize = 128;

/// Something that can be sent: a value that serde can serialize, in the cluster's codec, or [`Raw`] bytes as they are.
pub trait Encode {
    /// Appends the content to `out`; the id of the codec that it is in.
    ///
    /// # Errors
    ///
    /// The codec cannot write the value.
    fn encode(self, codec: &dyn Codec, out: &mut Vec<u8>) -> Result<u8, CodecError>;
}

impl<T: Serialize> Encode for T {
    fn encode(self, codec: &dyn Codec, out: &mut Vec<u8>) -> Result<u8, CodecError> {
        codec.encode(&self, out)?;
        Ok(codec.id())
    }
}

/// Bytes that are sent as they are, without a codec. [`Payload::bytes`] gives them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<B>(pub B);

impl<B: AsRef<[u8]>> Encode for Raw<B> {
    fn encode(self, _: &dyn Codec, out: &mut Vec<u8>) -> Result<u8, CodecError> {
        out.extend_from_slice(self.0.as_ref());
        Ok(RAW)
    }
}

/// How this node writes and reads payloads.
#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) codec: Arc<dyn Codec>,
    /// Content of at least this many bytes is compressed where that makes it smaller.
    pub(crate) compress_from: Option<usize>,
    /// Longest content, in bytes.
    pub(crate) limit: usize,
}

impl Format {
    pub(crate) fn of(config: &Config) -> Self {
        // One byte says in which form the content is.
        let limit = config.protocol.max_payload() - 1;
        Self { codec: Arc::clone(&config.codec), compress_from: config.compress_from, limit }
    }

    /// A payload with this content.
    pub(crate) fn pack(&self, body: impl Encode) -> Result<Bytes, SendError> {
        let mut payload = Vec::with_capacity(TYPICAL);
        payload.push(RAW);
        let unwritten = |error| SendError::Encode { codec: self.codec.name(), error };
        let id = body.encode(&*self.codec, &mut payload).map_err(unwritten)?;
        if id & COMPRESSED != 0 || payload.is_empty() {
            return Err(unwritten(CodecError::new(format!("it gave the id {id}, which no codec can have"))));
        }
        payload[0] = id;
        let size = payload.len() - 1;
        if size > self.limit {
            return Err(gossip_core::SendError::TooLarge { size, limit: self.limit }.into());
        }
        if self.compress_from.is_some_and(|from| size >= from)
            && let Some(smaller) = compressed(&payload)
        {
            return Ok(smaller);
        }
        Ok(payload.into())
    }
}

/// The same payload with its content compressed, if that makes it smaller.
fn compressed(payload: &[u8]) -> Option<Bytes> {
    let content = &payload[1..];
    let mut out = vec![0; snap::raw::max_compress_len(content.len()) + 1];
    out[0] = payload[0] | COMPRESSED;
    let length = snap::raw::Encoder::new().compress(content, &mut out[1..]).ok()?;
    if length >= content.len() {
        return None;
    }
    out.truncate(length + 1);
    Some(out.into())
}

/// The content of a message, a request or an answer. Cloning is cheap.
#[derive(Clone)]
pub struct Payload {
    bytes: Bytes,
    format: Arc<Format>,
}

impl Payload {
    pub(crate) fn new(bytes: Bytes, format: &Arc<Format>) -> Self {
        Self { bytes, format: Arc::clone(format) }
    }

    /// The content as a value, in the cluster's codec.
    ///
    /// # Errors
    ///
    /// The content is in another codec, is not such a value, or cannot be expanded.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode_with(&*self.format.codec)
    }

    /// The content as a value, in another codec than the cluster's.
    ///
    /// # Errors
    ///
    /// The content is in another codec than this, is not such a value, or cannot be expanded.
    pub fn decode_with<T: DeserializeOwned>(&self, codec: &dyn Codec) -> Result<T, DecodeError> {
        if self.codec_id() != Some(codec.id()) {
            let id = self.codec_id().ok_or(DecodeError::Empty)?;
            return Err(DecodeError::WrongCodec { written_in: CodecName(id), read_as: codec.name() });
        }
        let content = self.bytes()?;
        let mut value = None;
        let outcome = codec.decode(&content, &mut |source| {
            value = Some(erased_serde::deserialize::<T>(source)?);
            Ok(())
        });
        let invalid = |error| DecodeError::Invalid { codec: codec.name(), error };
        outcome.map_err(invalid)?;
        value.ok_or_else(|| invalid(CodecError::new("the codec read nothing")))
    }

    /// The content as it was before compression: what was sent as [`Raw`], or what the codec wrote.
    ///
    /// # Errors
    ///
    /// The content cannot be expanded, or would be longer than this node's limit.
    pub fn bytes(&self) -> Result<Bytes, DecodeError> {
        let first = *self.bytes.first().ok_or(DecodeError::Empty)?;
        let content = self.bytes.slice(1..);
        if first & COMPRESSED == 0 {
            return Ok(content);
        }
        let malformed = |error: snap::Error| DecodeError::Compression(error.to_string());
        // What is announced costs nothing; it is checked before there is memory for it.
        let size = snap::raw::decompress_len(&content).map_err(malformed)?;
        let limit = self.format.limit;
        if size > limit {
            return Err(DecodeError::TooLarge { size, limit });
        }
        if size > content.len().saturating_mul(MOST_EXPANDED) {
            let reason = format!("{} bytes cannot expand to {size}", content.len());
            return Err(DecodeError::Compression(reason));
        }
        Ok(snap::raw::Decoder::new().decompress_vec(&content).map_err(malformed)?.into())
    }

    /// The bytes as they travelled.
    pub(crate) fn as_sent(&self) -> &[u8] {
        &self.bytes
    }

    /// Wipes the content, unless somebody else has it too.
    pub(crate) fn wipe(self) {
        if let Ok(mut bytes) = self.bytes.try_into_mut() {
            bytes.zeroize();
        }
    }

    /// The id of the codec that the content is in; 0 for raw bytes. `None` where there is not even the byte that says so.
    pub fn codec_id(&self) -> Option<u8> {
        self.bytes.first().map(|first| first & !COMPRESSED)
    }

    /// Whether the content is compressed on its way.
    pub fn is_compressed(&self) -> bool {
        self.bytes.first().is_some_and(|first| first & COMPRESSED != 0)
    }

    /// Length in bytes as it travelled.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("codec", &self.codec_id().map(CodecName))
            .field("compressed", &self.is_compressed())
            .field("wire_len", &self.wire_len())
            .finish_non_exhaustive()
    }
}

/// The name of the codec that has this id in every program.
pub(crate) fn built_in(id: u8) -> Option<&'static str> {
    ["raw bytes", "postcard", "MessagePack", "JSON"].get(usize::from(id)).copied()
}

/// A codec by its id, with its name where that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodecName(pub u8);

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match built_in(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "codec {}", self.0),
        }
    }
}

impl fmt::Debug for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
