//! What a member's metadata must be like to belong to a group.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::str::FromStr;

use crate::metadata::{MAX_KEY, Metadata, Value};

/// Conditions on a member's metadata, all of which must hold. Without a condition everybody fits.
///
/// Values are compared as they read when written out, whatever their type: `80` is equal to the number and to the text,
/// `true` to the truth value and to the text, bytes are hexadecimal digits. So a condition that was typed at a command
/// line means the same as one from a program. The order of conditions does not matter.
///
/// ```
/// use gossip_core::Criteria;
///
/// let criteria = Criteria::all().equals("role", "db").equals("port", 80_i64).any("zone").contains("version", "1.4");
/// assert_eq!(Criteria::parse(["role=db", "port=80", "zone=*", "version=~1.4"]), Ok(criteria));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Criteria {
    /// Sorted, and none twice.
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Condition {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Test {
    Any,
    Equals(String),
    Contains(String),
}

impl Criteria {
    /// No condition: everybody fits.
    pub const fn all() -> Self {
        Self { conditions: Vec::new() }
    }

    /// And the value under `key` is this one. A key that is not 1 to 255 bytes long is one that nobody has.
    #[must_use]
    pub fn equals(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let text = match value.into() {
            Value::String(text) => text,
            value => value.to_string(),
        };
        self.and(Condition { key: key.into(), test: Test::Equals(text) })
    }

    /// And there is a value under `key`.
    #[must_use]
    pub fn any(self, key: impl Into<String>) -> Self {
        self.and(Condition { key: key.into(), test: Test::Any })
    }

    /// And the value under `key` contains this text.
    #[must_use]
    pub fn contains(self, key: impl Into<String>, text: impl Into<String>) -> Self {
        self.and(Condition { key: key.into(), test: Test::Contains(text.into()) })
    }

    /// Reads conditions, each written as one of these:
    ///
    /// | text | the value under `key` |
    /// | --- | --- |
    /// | `key=value` | is `value`, which may be empty |
    /// | `key=*` | may be anything |
    /// | `key=~text` | contains `text` |
    /// | `key:=value` | is `value`, also if it begins with `*` or `~` |
    ///
    /// A single one can also be read with [`str::parse`].
    ///
    /// # Errors
    ///
    /// The first text that is none of these, and what to write instead.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, ParseCriteriaError> {
        texts.into_iter().try_fold(Self::all(), |criteria, text| Ok(criteria.and(text.as_ref().parse()?)))
    }

    fn and(mut self, condition: Condition) -> Self {
        if let Err(at) = self.conditions.binary_search(&condition) {
            self.conditions.insert(at, condition);
        }
        self
    }

    /// Whether this metadata fulfils every condition.
    pub fn matches(&self, metadata: &Metadata) -> bool {
        self.conditions.iter().all(|condition| condition.holds(metadata))
    }

    /// Number of different conditions.
    pub fn len(&self) -> usize {
        self.conditions.len()
    }

    /// Whether there is no condition, so that everybody fits.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }
}

impl Condition {
    fn holds(&self, metadata: &Metadata) -> bool {
        let Some(value) = metadata.get(&self.key) else { return false };
        match &self.test {
            Test::Any => true,
            Test::Equals(text) => is_written(value, text),
            Test::Contains(text) => match value {
                Value::String(value) => value.contains(text.as_str()),
                value => value.to_string().contains(text.as_str()),
            },
        }
    }
}

/// Whether a value reads like this when it is written out.
fn is_written(value: &Value, text: &str) -> bool {
    /// What is still to come.
    struct Rest<'a>(&'a str);

    impl Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }

    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}

/// A text that is no condition on metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("condition {text:?}: {problem}")]
pub struct ParseCriteriaError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub problem: CriteriaProblem,
}

/// What is wrong with a condition on metadata, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CriteriaProblem {
    /// There is no `=`.
    #[error("no = in it; write key=value, key=* for any value, or key=~text for one that contains a text")]
    NoEquals,
    /// Nothing stands before the `=`.
    #[error("no key before the =; write key=value")]
    NoKey,
    /// No member can have such a key.
    #[error("the key has {length} bytes, and keys have at most 255")]
    LongKey {
        /// Length of the key in bytes.
        length: usize,
    },
    /// Nothing stands after the `~`.
    #[error("no text after =~; write key=* for any value")]
    NoText,
    /// More stands after the `*`.
    #[error(
        "* stands alone, for any value; write key=~text for a value that contains a text, or key:=*text for a value \
         that begins with *"
    )]
    Pattern,
}

impl FromStr for Condition {
    type Err = ParseCriteriaError;

    fn from_str(text: &str) -> Result<Self, ParseCriteriaError> {
        let fail = |problem| Err(ParseCriteriaError { text: text.to_owned(), problem });
        let Some((key, value)) = text.split_once('=') else { return fail(CriteriaProblem::NoEquals) };
        let (key, is_literal) = key.strip_suffix(':').map_or((key, false), |key| (key, true));
        match key.len() {
            0 => return fail(CriteriaProblem::NoKey),
            1..=MAX_KEY => {}
            length => return fail(CriteriaProblem::LongKey { length }),
        }
        let condition = match value {
            literal if is_literal => Test::Equals(literal.to_owned()),
            "*" => Test::Any,
            "~" => return fail(CriteriaProblem::NoText),
            pattern if pattern.starts_with('*') => return fail(CriteriaProblem::Pattern),
            value => match value.strip_prefix('~') {
                Some(part) => Test::Contains(part.to_owned()),
                None => Test::Equals(value.to_owned()),
            },
        };
        Ok(Self { key: key.to_owned(), test: condition })
    }
}

impl FromStr for Criteria {
    type Err = ParseCriteriaError;

    /// Reads one condition, as [`Criteria::parse`] does.
    fn from_str(text: &str) -> Result<Self, ParseCriteriaError> {
        Self::parse([text])
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, test } = self;
        match test {
            Test::Any => write!(f, "{key}=*"),
            Test::Contains(text) => write!(f, "{key}=~{text}"),
            Test::Equals(text) if text.starts_with(['*', '~']) || key.ends_with(':') => write!(f, "{key}:={text}"),
            Test::Equals(text) => write!(f, "{key}={text}"),
        }
    }
}

impl fmt::Display for Criteria {
    /// The conditions as they are parsed, with commas between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, condition) in self.conditions.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{condition}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn metadata(key: &str, value: impl Into<Value>) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.set(key, value.into(), 1 << 20).unwrap();
        metadata
    }

    fn parsed(text: &str) -> Criteria {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_is_compared_as_it_is_written_whatever_its_type() {
        let cases: [(Value, &str); 7] = [
            (true.into(), "true"),
            ((-7_i64).into(), "-7"),
            (2.5.into(), "2.5"),
            ("two words".into(), "two words"),
            ("".into(), ""),
            (Value::Time(1_700_000_000), "1700000000"),
            (vec![0_u8, 0xab].into(), "00ab"),
        ];
        for (value, text) in cases {
            let metadata = metadata("key", value.clone());
            assert!(parsed(&alloc::format!("key={text}")).matches(&metadata), "{value:?}");
            assert!(Criteria::all().equals("key", value.clone()).matches(&metadata), "{value:?}");
            for other in [alloc::format!("{text}0"), alloc::format!("x{text}")] {
                assert!(!Criteria::all().equals("key", other).matches(&metadata), "{value:?}");
            }
            assert!(parsed("key=*").matches(&metadata) && !parsed("other=*").matches(&metadata));
        }
    }

    #[test]
    fn a_text_is_contained_in_what_is_written() {
        for (text, expected) in [("key=~b c", true), ("key=~a b c d", true), ("key=~bc", false), ("other=~b", false)] {
            assert_eq!(parsed(text).matches(&metadata("key", "a b c d")), expected, "{text}");
        }
        assert!(parsed("key=~23").matches(&metadata("key", 1_234_i64)));
        assert!(!parsed("key=~24").matches(&metadata("key", 1_234_i64)));
    }

    #[test]
    fn all_conditions_must_hold_also_several_on_one_key() {
        let criteria = Criteria::parse(["v=~1.", "v=~-rc", "zone=*"]).unwrap();
        let mut metadata = metadata("v", "1.4-rc2");
        assert!(!criteria.matches(&metadata));
        metadata.set("zone", "a".into(), 1_000).unwrap();
        assert!(criteria.matches(&metadata));
        metadata.set("v", "1.4".into(), 1_000).unwrap();
        assert!(!criteria.matches(&metadata));
        assert!(Criteria::all().matches(&metadata) && Criteria::all().matches(&Metadata::default()));
    }

    #[test]
    fn order_and_repetition_of_conditions_make_no_difference() {
        let criteria = Criteria::parse(["a=1", "b=*", "a=1"]).unwrap();
        assert_eq!(criteria, Criteria::all().any("b").equals("a", 1_i64));
        assert_eq!((criteria.len(), criteria.to_string().as_str()), (2, "a=1, b=*"));
    }

    #[test]
    fn a_text_that_is_no_condition_is_refused_with_what_to_write_instead() {
        let long = "k".repeat(MAX_KEY + 1);
        let cases = [
            ("role", "no = in it; write key=value"),
            ("", "no = in it"),
            ("=db", "no key before the ="),
            (":=db", "no key before the ="),
            ("role=~", "write key=* for any value"),
            ("role=*db", "* stands alone"),
            (&alloc::format!("{long}=db"), "256 bytes, and keys have at most 255"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Criteria>().unwrap_err();
            assert_eq!(error.text, text);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let error = Criteria::parse(["a=b", "role"]).unwrap_err();
        assert_eq!(error.text, "role");
    }

    #[test]
    fn a_value_may_hold_what_else_has_a_meaning() {
        for (text, value) in [("key:=*", "*"), ("key:=~x", "~x"), ("key=a=b", "a=b"), ("key:=", ""), ("key=a*", "a*")] {
            assert!(parsed(text).matches(&metadata("key", value)), "{text}");
            assert!(!parsed(text).matches(&metadata("key", "other")), "{text}");
        }
    }

    #[test]
    fn a_key_that_ends_in_a_colon_is_written_so_that_it_reads_as_the_same() {
        let criteria = Criteria::all().equals("zone:", "a");
        assert_eq!(criteria.to_string(), "zone::=a");
        assert_eq!(criteria.to_string().parse(), Ok(criteria));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(key in "[^=:]{1,20}", text in ".{1,20}", kind in 0..3_u8) {
            let criteria = match kind {
                0 => Criteria::all().any(key),
                1 => Criteria::all().equals(key, text),
                _ => Criteria::all().contains(key, text),
            };
            prop_assert_eq!(criteria.to_string().parse(), Ok(criteria));
        }
    }
}
