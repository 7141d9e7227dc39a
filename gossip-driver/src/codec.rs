//! How values become bytes and come back: the formats that are built in, and the trait for others.

use std::fmt;
use std::ops::RangeInclusive;

use erased_serde::{Deserializer, Serialize};
use gossip_core::ConfigError;

/// What a [`Codec`] calls with its deserializer, exactly once.
pub type Read<'a> = dyn FnMut(&mut dyn Deserializer<'_>) -> Result<(), erased_serde::Error> + 'a;

/// A format for payloads. All nodes of a cluster should use the same; see [`Config::codec`](crate::Config::codec).
///
/// ```
/// use gossip_driver::{Codec, CodecError, Read, erased_serde};
///
/// /// postcard with every byte inverted.
/// #[derive(Debug)]
/// struct Inverted;
///
/// impl Codec for Inverted {
///     fn id(&self) -> u8 {
///         64
///     }
///
///     fn name(&self) -> &'static str {
///         "inverted"
///     }
///
///     fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
///         let begin = out.len();
///         gossip_driver::Postcard.encode(value, out)?;
///         out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
///         Ok(())
///     }
///
///     fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError> {
///         let inverted: Vec<u8> = bytes.iter().map(|byte| !*byte).collect();
///         gossip_driver::Postcard.decode(&inverted, read)
///     }
/// }
/// ```
pub trait Codec: fmt::Debug + Send + Sync + 'static {
    /// What payloads of this format are marked with: 64 to 127 for formats that are not built in.
    fn id(&self) -> u8;

    /// What errors call it.
    fn name(&self) -> &'static str;

    /// Appends the value to `out`.
    ///
    /// # Errors
    ///
    /// The value cannot be written in this format.
    fn encode(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Hands a deserializer over these bytes to `read`, and passes on its error.
    ///
    /// # Errors
    ///
    /// The bytes are not of this format, not what `read` wants, or more than it uses.
    fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError>;
}

/// What a codec says of a value or of bytes that it can do nothing with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    /// An error with this text.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// Whether a codec has an id that it may have.
pub(crate) fn validate(codec: &dyn Codec) -> Result<(), ConfigError> {
    const CUSTOM: RangeInclusive<u8> = 64..=127;
    let (id, name) = (codec.id(), codec.name());
    let is_built_in = crate::payload::built_in(id) == Some(name);
    if is_built_in || CUSTOM.contains(&id) {
        return Ok(());
    }
    let reason = format!("{name} has the id {id}, expected {CUSTOM:?} for codecs that are not built in");
    Err(ConfigError { field: "codec", reason })
}

/// An error if bytes are left behind a value: then it is another value that was written.
fn all_used(rest: &[u8]) -> Result<(), CodecError> {
    match rest.len() {
        0 => Ok(()),
        left => Err(CodecError::new(format!("{left} bytes are left behind it"))),
    }
}

/// [postcard](https://postcard.jamesmunns.com): small and fast, both sides must know the type. The default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Postcard;

impl Codec for Postcard {
    fn id(&self) -> u8 {
        1
    }

    fn name(&self) -> &'static str {
        "postcard"
    }

    fn encode(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        *out = postcard::to_extend(value, std::mem::take(out)).map_err(CodecError::new)?;
        Ok(())
    }

    fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError> {
        let mut source = postcard::Deserializer::from_bytes(bytes);
        read(&mut <dyn Deserializer<'_>>::erase(&mut source)).map_err(CodecError::new)?;
        all_used(source.finalize().map_err(CodecError::new)?)
    }
}

/// [MessagePack](https://msgpack.org), with the names of fields, so that they can be added and reordered.
#[cfg(feature = "messagepack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessagePack;

#[cfg(feature = "messagepack")]
impl Codec for MessagePack {
    fn id(&self) -> u8 {
        2
    }

    fn name(&self) -> &'static str {
        "MessagePack"
    }

    fn encode(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        rmp_serde::encode::write_named(out, value).map_err(CodecError::new)
    }

    fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError> {
        let mut source = rmp_serde::Deserializer::new(bytes);
        read(&mut <dyn Deserializer<'_>>::erase(&mut source)).map_err(CodecError::new)?;
        all_used(source.get_ref())
    }
}

/// JSON: readable everywhere, and several times as long.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

#[cfg(feature = "json")]
impl Codec for Json {
    fn id(&self) -> u8 {
        3
    }

    fn name(&self) -> &'static str {
        "JSON"
    }

    fn encode(&self, value: &dyn Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(CodecError::new)
    }

    fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError> {
        let mut source = serde_json::Deserializer::from_slice(bytes);
        read(&mut <dyn Deserializer<'_>>::erase(&mut source)).map_err(CodecError::new)?;
        source.end().map_err(CodecError::new)
    }
}
