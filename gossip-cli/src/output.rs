//! What goes to stdout, and whether it may be coloured.

use std::env;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::Failure;

/// Writes a text that ends with a line end to stdout.
///
/// # Errors
///
/// [`Failure::Unheard`] if the reader is gone, as `head` is when it has enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// Writes bytes to stdout as they are.
///
/// # Errors
///
/// Those of [`print()`].
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unheard,
        _ => Failure::failed(format!("cannot write to stdout: {error}")),
    })
}

/// Writes a line to stdout.
///
/// # Errors
///
/// Those of [`print()`].
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a value to stdout as one line of JSON.
///
/// # Errors
///
/// Those of [`print()`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    line(&harmless(&text))
}

/// JSON with everything that could steer a terminal escaped. It stands in strings, where JSON allows it as it is.
fn harmless(json: &str) -> String {
    let escaped = |character: char, shown: &mut String| {
        shown.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
    };
    written_out(json, escaped)
}

/// Whether this stream shows colours: it is a terminal, and nobody asked for none (<https://no-color.org>).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && is_capable_terminal(stream)
}

/// Whether this stream is a terminal that understands more than lines.
pub(crate) fn is_capable_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The text with everything that could steer a terminal, or reorder its text, written out.
pub(crate) fn printable(text: &str) -> String {
    written_out(text, |character, shown| shown.extend(character.escape_default()))
}

fn written_out(text: &str, write: impl Fn(char, &mut String)) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            write(character, &mut shown);
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether a character could steer a terminal or reorder its text: controls, C1 ones too, and marks of direction.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_written_out() {
        assert_eq!(printable("zürich 東京"), "zürich 東京");
        assert_eq!(printable("\u{1b}[2Ja\nb\u{202e}\u{9b}"), "\\u{1b}[2Ja\\nb\\u{202e}\\u{9b}");
    }

    #[test]
    fn json_steers_no_terminal_and_says_the_same() {
        let name = "a\u{9b}31m\u{7f}\u{1b}\u{202e}\u{61c}\"ü東\\";
        let text = serde_json::to_string(name).unwrap();
        assert!(text.contains('\u{9b}'), "JSON allows it");
        let shown = harmless(&text);
        assert_eq!(shown, r#""a\u009b31m\u007f\u001b\u202e\u061c\"ü東\\""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}
