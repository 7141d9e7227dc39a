//! The quantities that scenarios are written in, each with what is expected where it is wrong.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of virtual time, written like `30s`, `1m 30s` or `300us`; microseconds are the finest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Span(u64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole microseconds.
    pub const fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// A span of whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// The length in microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The same as a standard duration.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

impl From<Duration> for Span {
    /// Rounded down to a microsecond.
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.duration()).fmt(f)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was expected instead of a text that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub(crate) &'static str);

const SPAN: Expected = Expected("a span of time like \"30s\", \"1m 30s\" or \"300us\"");
const SIGNED: Expected = Expected("a span of time with or without a sign, like \"-5m\" or \"90s\"");
const SHARE: Expected = Expected("a probability from 0 to 1");
const SELECT: Expected =
    Expected("nodes: a count like 3, a list like [0, 4], a share like \"10%\", a range like \"5..10\", or \"all\"");

impl FromStr for Span {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        humantime::parse_duration(text).map(Self::from).map_err(|_| SPAN)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::new(SPAN))
    }
}

/// A span of time in either direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SignedSpan(i64);

impl SignedSpan {
    /// A span of microseconds.
    pub const fn micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The length in microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl FromStr for SignedSpan {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let span: Span = digits.trim().parse().map_err(|_| SIGNED)?;
        i64::try_from(span.as_micros()).map(|micros| Self(sign * micros)).map_err(|_| SIGNED)
    }
}

impl fmt::Display for SignedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", Span(self.0.unsigned_abs()))
    }
}

impl Serialize for SignedSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignedSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::new(SIGNED))
    }
}

/// A probability or a share: 0 to 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Default)]
pub struct Share(f64);

impl Share {
    /// Never, or nothing.
    pub const ZERO: Self = Self(0.0);

    /// The share `value`.
    ///
    /// # Errors
    ///
    /// If the value is not between 0 and 1.
    pub fn new(value: f64) -> Result<Self, Expected> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(SHARE) }
    }

    /// The value.
    pub const fn value(self) -> f64 {
        self.0
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(crate) fn is_zero(&self) -> bool {
        self.0 == 0.0
    }
}

impl FromStr for Share {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        text.parse().map_err(|_| SHARE).and_then(Self::new)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SHARE.0)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Share, E> {
                Share::new(value).map_err(|_| E::invalid_value(de::Unexpected::Float(value), &self))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Share, E> {
                Share::new(value as f64).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
        }
        deserializer.deserialize_f64(Number)
    }
}

/// Which nodes.
#[derive(Clone, PartialEq, Debug)]
pub enum Select {
    /// All of them.
    All,
    /// This share of them, chosen at random; at least one unless it is zero.
    Share(Share),
    /// This many, chosen at random.
    Count(u32),
    /// Those with numbers from the first up to but not including the second.
    Range(u32, u32),
    /// Those with these numbers.
    List(Vec<u32>),
}

impl FromStr for Select {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| SELECT)?;
            return Share::new(percent / 100.0).map(Self::Share).map_err(|_| SELECT);
        }
        let (first, end) = text.split_once("..").ok_or(SELECT)?;
        match (first.parse(), end.parse()) {
            (Ok(first), Ok(end)) if first < end => Ok(Self::Range(first, end)),
            _ => Err(SELECT),
        }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Share(share) => write!(f, "{}%", share.value() * 100.0),
            Self::Count(count) => write!(f, "{count}"),
            Self::Range(first, end) => write!(f, "{first}..{end}"),
            Self::List(nodes) => f.debug_list().entries(nodes).finish(),
        }
    }
}

impl Serialize for Select {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::List(nodes) => nodes.serialize(serializer),
            Self::All | Self::Share(_) | Self::Range(..) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Select {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = Select;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SELECT.0)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Select, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Select, E> {
                let count = u32::try_from(count);
                count.map(Select::Count).map_err(|_| E::invalid_value(de::Unexpected::Other("that count"), &self))
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Select, S::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Select::List(nodes))
            }
        }
        deserializer.deserialize_any(Nodes)
    }
}

/// Reads what is written as text; an error says what was expected.
struct Text<T> {
    expected: Expected,
    target: PhantomData<T>,
}

impl<T> Text<T> {
    fn new(expected: Expected) -> Self {
        Self { expected, target: PhantomData }
    }
}

impl<T: FromStr> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_they_are_read() {
        for text in ["30s", "1m 30s", "300us", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["-5m", "90s"] {
            let span: SignedSpan = text.parse().unwrap();
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_what_was_expected() {
        assert_eq!("soon".parse::<Span>(), Err(SPAN));
        assert_eq!("--5s".parse::<SignedSpan>(), Err(SIGNED));
        assert_eq!(Share::new(-0.1), Err(SHARE));
        assert_eq!(Share::new(f64::NAN), Err(SHARE));
        for bad in ["", "most", "101%", "-1%", "5..5", "7..3", "x..9"] {
            assert_eq!(bad.parse::<Select>(), Err(SELECT), "{bad}");
        }
    }
}
