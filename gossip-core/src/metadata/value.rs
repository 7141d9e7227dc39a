//! A metadata value and its conversions.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

/// A metadata value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    String(String),
    /// A time in microseconds since 1970-01-01 UTC.
    Time(i64),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A [`Value`] as it lies in a packet: the same bytes on the wire, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ValueRef<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    String(&'a str),
    Time(i64),
    Bytes(&'a [u8]),
}

impl ValueRef<'_> {
    pub(crate) fn to_owned(self) -> Value {
        match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::String(value) => Value::String(value.to_owned()),
            Self::Time(value) => Value::Time(value),
            Self::Bytes(value) => Value::Bytes(value.to_owned()),
        }
    }
}

impl Value {
    pub(crate) fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(value) => ValueRef::Bool(*value),
            Self::Int(value) => ValueRef::Int(*value),
            Self::Float(value) => ValueRef::Float(*value),
            Self::String(value) => ValueRef::String(value),
            Self::Time(value) => ValueRef::Time(*value),
            Self::Bytes(value) => ValueRef::Bytes(value),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Bool(_) => 1,
            Self::Int(_) | Self::Float(_) | Self::Time(_) => 8,
            Self::String(value) => value.len(),
            Self::Bytes(value) => value.len(),
        }
    }

    /// As a truth value: stored as one, a number other than zero, or the text `true` or `false`.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Int(value) => Some(*value != 0),
            Self::Float(value) => Some(*value != 0.0),
            Self::String(value) => value.parse().ok(),
            Self::Time(_) | Self::Bytes(_) => None,
        }
    }

    /// As a whole number: stored as one or as a time, a number without a fraction, a truth value, or text.
    #[expect(clippy::cast_possible_truncation, clippy::float_cmp, reason = "range and fraction are checked first")]
    pub fn to_int(&self) -> Option<i64> {
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        match self {
            Self::Bool(value) => Some(i64::from(*value)),
            Self::Int(value) | Self::Time(value) => Some(*value),
            Self::Float(value) if libm::trunc(*value) == *value && (-LIMIT..LIMIT).contains(value) => {
                Some(*value as i64)
            }
            Self::String(value) => value.parse().ok(),
            Self::Float(_) | Self::Bytes(_) => None,
        }
    }

    /// As a number: stored as one (large whole numbers are rounded), or text.
    pub fn to_float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            Self::String(value) => value.parse().ok(),
            Self::Bool(_) | Self::Time(_) | Self::Bytes(_) => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(value) => Some(value),
            _ => None,
        }
    }

    /// As a time in microseconds since 1970-01-01 UTC: stored as one, or as a whole number.
    pub fn to_time(&self) -> Option<i64> {
        match self {
            Self::Time(value) | Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The bytes, or those of a text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            Self::String(value) => Some(value.as_bytes()),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// Text as it is, bytes in hexadecimal, a time as microseconds since 1970.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) | Self::Time(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::String(value) => f.write_str(value),
            Self::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident,)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    bool => Bool,
    i64 => Int,
    i32 => Int,
    u32 => Int,
    f64 => Float,
    String => String,
    &str => String,
    Vec<u8> => Bytes,
    &[u8] => Bytes,
}
