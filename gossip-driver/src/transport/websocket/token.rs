//! What a node shows to be let in.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ctutils::CtEq;
use zeroize::Zeroizing;

/// A bearer token: whoever shows it is let in. Its text is never shown, is wiped when it is dropped, and compared in
/// constant time; only its length can be told from outside.
///
/// It travels as it is: without TLS, everybody on the way can read it.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// Why a text cannot be a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("token file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// Too short to keep anybody out, or too long for a header.
    #[error("the token has {length} characters; expected {} to {}", Token::SHORTEST, Token::LONGEST)]
    Length {
        /// Characters that it has.
        length: usize,
    },
    /// A character that cannot be in a token.
    #[error("the token has a character that cannot be in one; expected letters, digits and any of -._~+/=")]
    Character,
}

impl Token {
    /// Least characters.
    pub const SHORTEST: usize = 8;
    /// Most characters.
    pub const LONGEST: usize = 1_024;

    /// A token of 8 to 1,024 letters, digits, and any of `-._~+/=`, without the spaces and line ends around it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, without repeating it.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let given = Zeroizing::new(text.into());
        let text = given.trim();
        if !(Self::SHORTEST..=Self::LONGEST).contains(&text.len()) {
            return Err(TokenError::Length { length: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)) {
            return Err(TokenError::Character);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The token in this file.
    ///
    /// # Errors
    ///
    /// Why the file cannot be read, or what is wrong with what is in it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path);
        Self::new(text.map_err(|error| TokenError::Read { path: path.to_owned(), error })?)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is the token. Takes as long for one wrong text as for another of its length.
    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(shown).to_bool()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
