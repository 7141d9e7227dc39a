//! Keys as text: one in a line, in base64, after the name of its suite and a colon unless that is the default.

use base64ct::{Base64, Encoding};
use gossip_tokio::{Key, KeyRing, KeyRingError, Suite};
use zeroize::Zeroizing;

/// Longest key in bytes.
const LONGEST: usize = 32;

/// How a file begins that this command wrote.
const HEADING: &str = "\
# Keys of a gossip cluster, one in a line. The first one seals, all of them open. Keep this file secret.
# An agent writes it anew when its keys change.
";

/// The text of a file with this ring.
pub(super) fn of(ring: &KeyRing) -> Zeroizing<String> {
    /// More than a line can take, so that nothing is moved and left behind.
    const LINE: usize = 128;
    let mut text = Zeroizing::new(String::with_capacity(HEADING.len() + KeyRing::MOST * LINE));
    text.push_str(HEADING);
    for key in ring.keys() {
        text.push_str(&key_line(key));
        text.push_str(" # ");
        text.push_str(&key.id().to_string());
        text.push('\n');
    }
    text
}

/// A key as it stands in a line.
pub(crate) fn key_line(key: &Key) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new([0; 48]);
    let encoded = Base64::encode(key.secret(), &mut *encoded).expect("48 bytes hold the base64 of any key");
    let mut line = Zeroizing::new(String::with_capacity(96));
    if key.suite() != Suite::XChaCha20Poly1305 {
        line.push_str(key.suite().name());
        line.push(':');
    }
    line.push_str(encoded);
    line
}

/// Reads the keys in a text, the primary first. The error says where and what is wrong, and nothing of a key.
pub(crate) fn parse(text: &str) -> Result<KeyRing, String> {
    let mut ring: Option<KeyRing> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.split_once('#').map_or(line, |(content, _)| content).trim();
        if content.is_empty() {
            continue;
        }
        let wrong = |problem: String| format!(":{number}: {problem}");
        let key = key_of(content).map_err(wrong)?;
        match &mut ring {
            None => ring = Some(KeyRing::new(key)),
            Some(ring) => match ring.add(key) {
                Ok(true) => {}
                Ok(false) => return Err(wrong("the same key stands above already; give each once".to_owned())),
                Err(KeyRingError::Collision(id)) => {
                    let problem = format!("another key above has the same id {id}; generate a new one");
                    return Err(wrong(problem));
                }
                Err(error) => return Err(wrong(error.to_string())),
            },
        }
    }
    ring.ok_or_else(|| ": no key in it, expected a line like those that 'gossip keys generate' prints".to_owned())
}

/// Whether this could be a key, typed where it should not be.
pub(crate) fn looks_like_key(text: &str) -> bool {
    key_of(text.trim()).is_ok()
}

fn key_of(content: &str) -> Result<Key, String> {
    let (suite, encoded) = match content.split_once(':') {
        None => (Suite::XChaCha20Poly1305, content),
        Some((name, encoded)) => (suite_of(name.trim())?, encoded.trim()),
    };
    let length = suite.key_length();
    let expected = || {
        let characters = length.div_ceil(3) * 4;
        format!("not a key of {suite}: expected {length} bytes as {characters} characters of base64")
    };
    let mut bytes = Zeroizing::new([0; LONGEST + 2]);
    let bytes = Base64::decode(encoded, &mut *bytes).map_err(|_| expected())?;
    Key::with_suite(suite, bytes).map_err(|_| expected())
}

/// Reads the name of a suite; the error names those that there are.
pub(crate) fn suite_of(name: &str) -> Result<Suite, String> {
    Suite::named(name).ok_or_else(|| {
        let names: Vec<&str> = Suite::ALL.iter().map(|suite| suite.name()).collect();
        let hint = if names.len() == 1 { " (AES-GCM needs a build with the feature aes-gcm)" } else { "" };
        format!("not a suite that this command has: expected {}{hint}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_reads_back_with_its_order() {
        let mut ring = KeyRing::new(Key::new(&[2; 32]));
        ring.add(Key::new(&[1; 32])).unwrap();
        for suite in Suite::ALL {
            ring.add(Key::with_suite(*suite, &[9; 32][..suite.key_length()]).unwrap()).unwrap();
        }
        let text = of(&ring);
        assert_eq!(parse(&text), Ok(ring));
        assert!(text.lines().all(|line| line.len() <= 128));
    }

    #[test]
    fn comments_spaces_and_the_default_suite_by_name_are_read() {
        let key = Key::new(&[5; 32]);
        let line = key_line(&key);
        let text = format!("\n# ours\r\n  xchacha20-poly1305: {} # {}\r\n\n", *line, key.id());
        assert_eq!(parse(&text), Ok(KeyRing::new(key)));
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let (one, two) = (key_line(&Key::new(&[1; 32])), key_line(&Key::new(&[2; 32])));
        let cases = [
            (String::new(), ": no key", ""),
            ("# nothing\n".to_owned(), ": no key", ""),
            (format!("{}\nsecretword\n", *one), ":2:", "secretword"),
            (format!("\n\n{}AA\n", *one), ":3:", &one),
            (format!("{}\n{}\n{}\n", *one, *two, *one), ":3: the same key", &one),
            (format!("rot13:{}\n", *one), ":1: not a suite", &one),
            (format!("{}\n", &one[..40]), ":1:", &one[..40]),
        ];
        for (text, expected, secret) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(secret.is_empty() || !error.contains(secret), "{error}");
        }
    }
}
