//! The ciphers, as their standards define them: authenticated encryption in place, with the tag apart.

use core::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit, KeySizeUser, Nonce, Tag};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};

/// Bytes of the tag behind a sealed packet.
pub(crate) const TAG: usize = 16;

/// A cipher that packets can be sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha): 32-byte keys, fast without hardware support. The default.
    XChaCha20Poly1305,
    /// AES-128-GCM (NIST SP 800-38D): 16-byte keys.
    #[cfg(feature = "aes-gcm")]
    Aes128Gcm,
    /// AES-192-GCM: 24-byte keys.
    #[cfg(feature = "aes-gcm")]
    Aes192Gcm,
    /// AES-256-GCM: 32-byte keys.
    #[cfg(feature = "aes-gcm")]
    Aes256Gcm,
}

/// Why bytes could not be sealed or opened with explicit parts. What was handed in is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The key or the nonce does not have the length that the suite wants, or the content is too long for it.
    #[error("a key, nonce or content of the wrong length: expected a key of {key} and a nonce of {nonce} bytes")]
    Length {
        /// Bytes of a key.
        key: usize,
        /// Bytes of a nonce.
        nonce: usize,
    },
    /// Content, associated data, nonce, key and tag do not belong together.
    #[error("the tag does not fit: wrong key, or changed bytes")]
    Tag,
}

impl Suite {
    /// Those that were built in, the default first.
    pub const ALL: &'static [Self] = &[
        Self::XChaCha20Poly1305,
        #[cfg(feature = "aes-gcm")]
        Self::Aes128Gcm,
        #[cfg(feature = "aes-gcm")]
        Self::Aes192Gcm,
        #[cfg(feature = "aes-gcm")]
        Self::Aes256Gcm,
    ];

    /// The suite with this name, if it was built in.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.name() == name)
    }

    /// The name used in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            #[cfg(feature = "aes-gcm")]
            Self::Aes128Gcm => "aes-128-gcm",
            #[cfg(feature = "aes-gcm")]
            Self::Aes192Gcm => "aes-192-gcm",
            #[cfg(feature = "aes-gcm")]
            Self::Aes256Gcm => "aes-256-gcm",
        }
    }

    /// Bytes of a key.
    pub const fn key_length(self) -> usize {
        match self {
            Self::XChaCha20Poly1305 => 32,
            #[cfg(feature = "aes-gcm")]
            Self::Aes128Gcm => 16,
            #[cfg(feature = "aes-gcm")]
            Self::Aes192Gcm => 24,
            #[cfg(feature = "aes-gcm")]
            Self::Aes256Gcm => 32,
        }
    }

    /// Bytes of a nonce.
    pub const fn nonce_length(self) -> usize {
        match self {
            Self::XChaCha20Poly1305 => 24,
            #[cfg(feature = "aes-gcm")]
            Self::Aes128Gcm | Self::Aes192Gcm | Self::Aes256Gcm => 12,
        }
    }

    /// Seals `content` in place under this very key and nonce; returns the tag.
    ///
    /// This is the bare cipher, for checking it against published vectors: packets are sealed by the node, which sees to it
    /// that no nonce comes twice. Sealing twice with one key and nonce gives the content away.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Length`].
    pub fn seal(self, key: &[u8], nonce: &[u8], associated: &[u8], content: &mut [u8]) -> Result<[u8; 16], SuiteError> {
        match self {
            Self::XChaCha20Poly1305 => seal::<XChaCha20Poly1305>(key, nonce, associated, content),
            #[cfg(feature = "aes-gcm")]
            suite => suite.seal_within(key, nonce, associated, content),
        }
        .ok_or(self.length_error())
    }

    /// Opens in place what [`seal`](Self::seal) sealed.
    ///
    /// # Errors
    ///
    /// [`SuiteError::Length`]; [`SuiteError::Tag`] if anything differs, with the content still sealed.
    pub fn open(
        self,
        key: &[u8],
        nonce: &[u8],
        associated: &[u8],
        content: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), SuiteError> {
        let is_authentic = match self {
            Self::XChaCha20Poly1305 => open::<XChaCha20Poly1305>(key, nonce, associated, content, tag),
            #[cfg(feature = "aes-gcm")]
            suite => suite.open_within(key, nonce, associated, content, tag),
        }
        .ok_or(self.length_error())?;
        if is_authentic { Ok(()) } else { Err(SuiteError::Tag) }
    }

    /// Seals with a key that is for one sender, and 12 bytes of nonce: what XChaCha20-Poly1305 does after the first step.
    pub(crate) fn seal_within(
        self,
        key: &[u8],
        nonce: &[u8],
        associated: &[u8],
        content: &mut [u8],
    ) -> Option<[u8; TAG]> {
        match self {
            Self::XChaCha20Poly1305 => seal::<ChaCha20Poly1305>(key, nonce, associated, content),
            #[cfg(feature = "aes-gcm")]
            Self::Aes128Gcm => seal::<aes_gcm::Aes128Gcm>(key, nonce, associated, content),
            #[cfg(feature = "aes-gcm")]
            Self::Aes192Gcm => seal::<Aes192Gcm>(key, nonce, associated, content),
            #[cfg(feature = "aes-gcm")]
            Self::Aes256Gcm => seal::<aes_gcm::Aes256Gcm>(key, nonce, associated, content),
        }
    }

    /// Opens what [`seal_within`](Self::seal_within) sealed: whether it was authentic; nothing if a length is wrong.
    pub(crate) fn open_within(
        self,
        key: &[u8],
        nonce: &[u8],
        associated: &[u8],
        content: &mut [u8],
        tag: &[u8; TAG],
    ) -> Option<bool> {
        match self {
            Self::XChaCha20Poly1305 => open::<ChaCha20Poly1305>(key, nonce, associated, content, tag),
            #[cfg(feature = "aes-gcm")]
            Self::Aes128Gcm => open::<aes_gcm::Aes128Gcm>(key, nonce, associated, content, tag),
            #[cfg(feature = "aes-gcm")]
            Self::Aes192Gcm => open::<Aes192Gcm>(key, nonce, associated, content, tag),
            #[cfg(feature = "aes-gcm")]
            Self::Aes256Gcm => open::<aes_gcm::Aes256Gcm>(key, nonce, associated, content, tag),
        }
    }

    const fn length_error(self) -> SuiteError {
        SuiteError::Length { key: self.key_length(), nonce: self.nonce_length() }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "aes-gcm")]
type Aes192Gcm = aes_gcm::AesGcm<aes_gcm::aes::Aes192, aes_gcm::aead::consts::U12>;

fn seal<C: AeadInOut + KeyInit + KeySizeUser>(
    key: &[u8],
    nonce: &[u8],
    associated: &[u8],
    content: &mut [u8],
) -> Option<[u8; TAG]> {
    let cipher = C::new_from_slice(key).ok()?;
    let nonce: &Nonce<C> = nonce.try_into().ok()?;
    let tag = cipher.encrypt_inout_detached(nonce, associated, content.into()).ok()?;
    tag.as_slice().try_into().ok()
}

/// Whether it was authentic; nothing if a length is wrong.
fn open<C: AeadInOut + KeyInit + KeySizeUser>(
    key: &[u8],
    nonce: &[u8],
    associated: &[u8],
    content: &mut [u8],
    tag: &[u8; TAG],
) -> Option<bool> {
    let cipher = C::new_from_slice(key).ok()?;
    let nonce: &Nonce<C> = nonce.try_into().ok()?;
    let tag: &Tag<C> = tag.as_slice().try_into().ok()?;
    Some(cipher.decrypt_inout_detached(nonce, associated, content.into(), tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439 §2.8.2. Through the public face only the cipher with the long nonce is to be had.
    #[test]
    fn the_inner_cipher_is_that_of_rfc_8439() {
        let key: [u8; 32] = core::array::from_fn(|index| 0x80 + u8::try_from(index).unwrap());
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut content =
            *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
            sunscreen would be it.";
        let tag = Suite::XChaCha20Poly1305.seal_within(&key, &nonce, &associated, &mut content).unwrap();
        assert_eq!(content[..8], [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb]);
        let expected = [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91];
        assert_eq!(tag, expected);
    }
}
