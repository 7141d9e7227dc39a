//! What messages say: where it comes from on the command line, how it is written in JSON, and how it is shown.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::hex;
use crate::output::printable;

/// Longest payload that any agent can be configured for.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;

/// Characters and bytes of a payload that people are shown in a line.
const SHOWN_CHARACTERS: usize = 1_000;
const SHOWN_BYTES: usize = 64;

/// Where a payload comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Text(String),
    Stdin,
    File(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix('@') {
            Some(path) => Self::File(path.into()),
            None if text == "-" => Self::Stdin,
            None => Self::Text(text.to_owned()),
        })
    }
}

impl Source {
    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is longer than any payload can be.
    pub(crate) fn read(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Stdin => read_to_end("stdin", io::stdin().lock()),
            Self::File(path) => {
                let name = name_of(&path);
                let file = File::open(&path)
                    .map_err(|error| Failure::usage(format!("cannot read the payload from {name}: {error}")))?;
                read_to_end(&name, file)
            }
        }
    }
}

fn name_of(path: &Path) -> String {
    if path.as_os_str().is_empty() { "a file without a name".to_owned() } else { path.display().to_string() }
}

/// What a device or a pipe holds is not known before it is read.
fn read_to_end(name: &str, from: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(MAX_PAYLOAD as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read the payload from {name}: {error}")))?;
    if bytes.len() > MAX_PAYLOAD {
        return Err(Failure::usage(format!("{name} holds more than {MAX_PAYLOAD} bytes, the most that can be sent")));
    }
    Ok(bytes)
}

/// A payload in JSON, like bytes and texts in metadata: what reads as text is a text, the rest is `{"bytes":"hex"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Bytes { bytes: String },
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) if text.chars().all(is_text) => Self::Text(text.to_owned()),
            _ => Self::Bytes { bytes: hex::encode(bytes) },
        }
    }

    /// The bytes; `None` if they are not written in hexadecimal.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes { bytes } => hex::decode(&bytes),
        }
    }

    /// As a part of a line, cut if it is long.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Text(text) if text.is_empty() => "(empty)".to_owned(),
            Self::Text(text) => match text.char_indices().nth(SHOWN_CHARACTERS) {
                Some((end, _)) => format!("{}… ({} bytes)", printable(&text[..end]), text.len()),
                None => printable(text),
            },
            Self::Bytes { bytes } => match bytes.get(..2 * SHOWN_BYTES) {
                Some(shown) if shown.len() < bytes.len() => format!("0x{shown}… ({} bytes)", bytes.len() / 2),
                _ => format!("0x{bytes}"),
            },
        }
    }

    /// As lines of its own, in full; what could steer a terminal is written out.
    pub(crate) fn lines(&self) -> String {
        match self {
            Self::Text(text) => text.split('\n').map(printable_with_tabs).collect::<Vec<_>>().join("\n"),
            Self::Bytes { bytes } => format!("0x{bytes}"),
        }
    }
}

/// Whether people take it for a part of a text. In JSON it is short.
fn is_text(character: char) -> bool {
    !character.is_control() || matches!(character, '\n' | '\r' | '\t')
}

fn printable_with_tabs(line: &str) -> String {
    line.split('\t').map(printable).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_from_where_its_first_sign_says() {
        for (text, source) in [
            ("hello", Source::Text("hello".into())),
            ("", Source::Text(String::new())),
            ("-5", Source::Text("-5".into())),
            ("-", Source::Stdin),
            ("@a b", Source::File("a b".into())),
        ] {
            assert_eq!(text.parse(), Ok(source), "{text}");
        }
    }

    #[test]
    fn bytes_survive_the_way_through_json() {
        for bytes in [&b"hello\n\tworld"[..], b"", b"\0", b"\xff\xfe", b"\x1b[2J", "zürich".as_bytes()] {
            let line = serde_json::to_string(&Content::of(bytes)).unwrap();
            assert!(line.len() <= 2 * bytes.len() + 20, "{line}");
            assert_eq!(serde_json::from_str::<Content>(&line).unwrap().into_bytes().as_deref(), Some(bytes), "{line}");
        }
    }

    #[test]
    fn people_get_one_short_line_that_steers_nothing() {
        let line = |bytes: &[u8]| Content::of(bytes).line();
        assert_eq!(line(b""), "(empty)");
        assert_eq!(line(b"a\nb"), "a\\nb");
        assert_eq!(line(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(line(&[0; 65]), format!("0x{}… (65 bytes)", "00".repeat(64)));
        assert_eq!(line("ü".repeat(1_001).as_bytes()), format!("{}… (2002 bytes)", "ü".repeat(1_000)));
    }

    #[test]
    fn an_answer_keeps_its_lines() {
        assert_eq!(Content::of("a\tb\nc\u{202e}\r\n".as_bytes()).lines(), "a\tb\nc\\u{202e}\\r\n");
    }

    #[test]
    fn what_is_endless_or_not_there_is_refused() {
        assert!(Source::File("/nonexistent/file".into()).read().unwrap_err().to_string().contains("/nonexistent"));
        let endless = read_to_end("zeros", io::repeat(0)).unwrap_err();
        assert!(endless.to_string().contains("more than 67108864"), "{endless}");
    }
}
