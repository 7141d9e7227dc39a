//! The content of simulated messages: it follows from a number, so that whoever gets one can tell whether it is whole.

use bytes::Bytes;

/// Smallest payload that tells its own number.
pub(crate) const NUMBERED: u32 = 8;

/// The content with this number and size.
pub(crate) fn content(number: u64, size: u32) -> Bytes {
    let mut bytes = number.to_le_bytes().repeat(size as usize / 8 + 1);
    bytes.truncate(size as usize);
    Bytes::from(bytes)
}

/// Whether a payload is the content with this number and size.
pub(crate) fn is_content(payload: &[u8], number: u64, size: u32) -> bool {
    let pattern = number.to_le_bytes();
    let (chunks, rest) = payload.as_chunks::<8>();
    payload.len() == size as usize && chunks.iter().all(|chunk| *chunk == pattern) && pattern.starts_with(rest)
}

/// The number of a payload, if it is long enough to tell.
pub(crate) fn number_of(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_recognized_by_number_size_and_every_byte() {
        for size in [0, 3, 8, 1_021] {
            assert!(is_content(&content(7_000_000_001, size), 7_000_000_001, size));
            assert!(!is_content(&content(7, size), 7, size + 1));
        }
        let mut spoiled = content(7, 100).to_vec();
        spoiled[99] ^= 1;
        assert!(!is_content(&spoiled, 7, 100));
        assert_eq!((number_of(&content(7, 100)), number_of(&content(7, 7))), (Some(7), None));
    }
}
