//! Options that name something and say in one word how it is to be: `NAME,KEY=VALUE,…`.

use std::time::Duration;

/// A name, and settings that nobody has asked for yet.
#[derive(Debug)]
pub(crate) struct NamedSettings<'a> {
    pub(crate) name: &'a str,
    rest: Vec<(&'a str, &'a str)>,
}

impl<'a> NamedSettings<'a> {
    /// Takes the text apart.
    ///
    /// # Errors
    ///
    /// What stands after a comma is not `KEY=VALUE`.
    pub(crate) fn read(text: &'a str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        if name.contains('=') {
            return Err(format!("a name comes first, then settings: NAME,{text}"));
        }
        let setting = |part: &'a str| {
            part.split_once('=').ok_or_else(|| format!("{part:?} is not a setting: expected KEY=VALUE after a comma"))
        };
        Ok(Self { name, rest: parts.map(setting).collect::<Result<_, _>>()? })
    }

    /// All values of a setting that may be repeated.
    pub(crate) fn all(&mut self, key: &str) -> Vec<&'a str> {
        let (asked, rest) = self.rest.drain(..).partition(|&(found, _)| found == key);
        self.rest = rest;
        let asked: Vec<(&str, &'a str)> = asked;
        asked.into_iter().map(|(_, value)| value).collect()
    }

    /// A setting, if it is there.
    ///
    /// # Errors
    ///
    /// It is there twice, or cannot be read.
    pub(crate) fn one<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        match self.all(key)[..] {
            [] => Ok(None),
            [value] => read(value).map(Some).map_err(|reason| format!("{key}={value}: {reason}")),
            _ => Err(format!("{key} is given twice; give it once")),
        }
    }

    /// Nothing may be left that was not asked for.
    ///
    /// # Errors
    ///
    /// What is left, and which settings there are.
    pub(crate) fn finish(self, known: &str) -> Result<(), String> {
        match self.rest.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("there is no setting {key:?}, there are {known}")),
        }
    }
}

/// A whole number.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number".to_owned())
}

/// A span of time with its unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("expected a time like 500ms or 1m: {error}"))
}

/// True or false.
pub(crate) fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "expected true or false".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_taken_out_one_by_one() {
        let mut settings = NamedSettings::read("db,floor=2,where=a=b,where=c=*,lease=1s").unwrap();
        assert_eq!(settings.name, "db");
        assert_eq!(settings.one("floor", number::<usize>), Ok(Some(2)));
        assert_eq!(settings.all("where"), ["a=b", "c=*"]);
        assert_eq!(settings.one("bury", span), Ok(None));
        assert!(settings.finish("floor and where").unwrap_err().contains("\"lease\""));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, part) in [("floor=2", "NAME,floor=2"), ("db,floor", "\"floor\"")] {
            assert!(NamedSettings::read(text).unwrap_err().contains(part), "{text}");
        }
        let read = |text| NamedSettings::read(text).unwrap().one("floor", number::<usize>).unwrap_err();
        assert!(read("db,floor=two").contains("floor=two"));
        assert!(read("db,floor=1,floor=2").contains("twice"));
    }
}
