//! Metadata in JSON.

use std::fmt;
use std::time::{Duration, SystemTime};

use gossip_tokio::Value;
use serde::{Deserialize, Serialize};

use crate::hex;

/// Microseconds from 1970 to the first year that a timestamp cannot show.
const YEAR_10000: u64 = 253_402_300_800_000_000;

/// One metadata key.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaRow {
    pub(crate) key: String,
    pub(crate) value: MetaValue,
}

/// A metadata value in JSON: what JSON has as itself, a time as `{"time_us":…}`, bytes as `{"bytes":"hex"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, a number, a text, {time_us = N} or {bytes = \"hex\"}")]
pub(crate) enum MetaValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time { time_us: i64 },
    Bytes { bytes: String },
}

impl MetaValue {
    /// The value that this text looks like. A number that would lose a sign or zeros in front, like `007`, stays text.
    ///
    /// # Errors
    ///
    /// A whole number that does not fit; only its author knows whether text would do.
    pub(crate) fn guess(text: &str) -> Result<Self, String> {
        if let Ok(value) = text.parse() {
            return Ok(Self::Bool(value));
        }
        match text.parse::<i64>() {
            Ok(value) if value.to_string() == text => return Ok(Self::Int(value)),
            Err(_) if looks_whole(text) => return Err(format!("{text} does not fit into 64 bits with sign")),
            _ => {}
        }
        Ok(match text.parse::<f64>() {
            Ok(value) if value.is_finite() && looks_fractional(text) => Self::Float(value),
            _ => Self::Text(text.to_owned()),
        })
    }

    /// The value as the protocol stores it.
    ///
    /// # Errors
    ///
    /// Bytes that are not written in hexadecimal.
    pub(crate) fn into_value(self) -> Result<Value, String> {
        Ok(match self {
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Text(value) => Value::String(value),
            Self::Time { time_us } => Value::Time(time_us),
            Self::Bytes { bytes } => {
                Value::Bytes(hex::decode(&bytes).ok_or("bytes: expected pairs of hexadecimal digits")?)
            }
        })
    }
}

impl fmt::Display for MetaValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Time { time_us } => match u64::try_from(*time_us) {
                Ok(micros) if micros < YEAR_10000 => {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
                    write!(f, "{}", humantime::format_rfc3339_micros(time))
                }
                _ => write!(f, "{time_us} µs since 1970"),
            },
            Self::Bytes { bytes } => write!(f, "0x{bytes}"),
        }
    }
}

impl From<&Value> for MetaValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Float(value) if value.is_finite() => Self::Float(*value),
            // JSON has no infinities and no NaN.
            Value::Float(value) => Self::Text(value.to_string()),
            Value::String(value) => Self::Text(value.clone()),
            Value::Time(time_us) => Self::Time { time_us: *time_us },
            Value::Bytes(_) => Self::Bytes { bytes: value.to_string() },
        }
    }
}

/// Digits, perhaps after a minus, without zeros in front.
fn looks_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// A number with a point or an exponent, and without zeros in front that a number would lose.
fn looks_fractional(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leads_with_zeros = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains(['.', 'e', 'E']) && !leads_with_zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_takes_only_plain_numbers_for_numbers() {
        for (text, value) in [
            ("true", MetaValue::Bool(true)),
            ("-17", MetaValue::Int(-17)),
            ("1.5", MetaValue::Float(1.5)),
            ("1e3", MetaValue::Float(1000.0)),
            ("0.25", MetaValue::Float(0.25)),
        ] {
            assert_eq!(MetaValue::guess(text), Ok(value), "{text}");
        }
        for text in ["007", "+5", "00.5", "1e999", "inf", "NaN", "True", "1.2.3", "", "-", "."] {
            assert_eq!(MetaValue::guess(text), Ok(MetaValue::Text(text.to_owned())), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999"] {
            assert!(MetaValue::guess(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_shows_is_told_as_a_number() {
        assert_eq!(MetaValue::Time { time_us: 0 }.to_string(), "1970-01-01T00:00:00.000000Z");
        for time_us in [i64::MIN, -1, i64::MAX] {
            assert_eq!(MetaValue::Time { time_us }.to_string(), format!("{time_us} µs since 1970"));
        }
    }

    #[test]
    fn a_value_survives_the_way_through_json() {
        let values = [
            Value::Bool(false),
            Value::Int(i64::MIN),
            Value::Float(2.0),
            Value::String("12".into()),
            Value::Time(-5),
            Value::Bytes(vec![0, 0xff]),
        ];
        for value in values {
            let line = serde_json::to_string(&MetaValue::from(&value)).unwrap();
            let back: MetaValue = serde_json::from_str(&line).unwrap();
            assert_eq!(back.into_value(), Ok(value), "{line}");
        }
        assert!(MetaValue::Bytes { bytes: "abc".into() }.into_value().is_err());
        assert!(MetaValue::Bytes { bytes: "é".into() }.into_value().is_err());
    }
}
