use serde::{Deserialize, Serialize};

use super::*;
use crate::{CodecError, Postcard, Read};

const LIMIT: usize = 100_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u64,
    items: Vec<String>,
}

fn order() -> Order {
    Order { number: 7, items: vec!["tea".to_owned(), "milk".to_owned()] }
}

fn format_of(compress_from: Option<usize>) -> Arc<Format> {
    format(Postcard, compress_from)
}

fn format(codec: impl Codec, compress_from: Option<usize>) -> Arc<Format> {
    Arc::new(Format { codec: Arc::new(codec), compress_from, limit: LIMIT })
}

fn packed(format: &Arc<Format>, body: impl Encode) -> Payload {
    Payload::new(format.pack(body).unwrap(), format)
}

/// What another program may send: these bytes.
fn forged(first: u8, content: &[u8]) -> Payload {
    let bytes: Vec<u8> = std::iter::once(first).chain(content.iter().copied()).collect();
    Payload::new(bytes.into(), &format(Postcard, None))
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn comes_back_in(codec: impl Codec) {
    let id = codec.id();
    let format = format(codec, Some(16));
    let payload = packed(&format, order());
    assert_eq!((payload.codec_id(), payload.decode::<Order>()), (Some(id), Ok(order())));
    let error = payload.decode::<Vec<(bool, String)>>().unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { .. }), "{error}");
    let mut longer = vec![id];
    longer.extend_from_slice(&payload.bytes().unwrap());
    longer.push(b'1');
    let error = Payload::new(longer.into(), &format).decode::<Order>().unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { .. }), "{error}");
}

#[test]
fn a_value_comes_back_from_postcard() {
    comes_back_in(Postcard);
}

#[cfg(feature = "messagepack")]
#[test]
fn a_value_comes_back_from_messagepack() {
    comes_back_in(crate::MessagePack);
}

#[cfg(feature = "json")]
#[test]
fn a_value_comes_back_from_json() {
    comes_back_in(crate::Json);
}

#[test]
fn the_beginning_of_a_longer_value_is_an_error() {
    let payload = packed(&format_of(None), (1_u8, "another value than what is read"));
    let error = payload.decode::<u8>().unwrap_err().to_string();
    assert!(error.ends_with("32 bytes are left behind it"), "{error}");
    assert_eq!(packed(&format_of(None), ()).decode::<()>(), Ok(()));
}

#[test]
fn raw_bytes_come_back_as_they_are_and_are_no_value() {
    let format = format(Postcard, None);
    for body in [&b""[..], b"x", &noise(5_000)] {
        let payload = packed(&format, Raw(body));
        assert_eq!(payload.bytes().unwrap(), body);
        assert_eq!(payload.wire_len(), body.len() + 1);
        let error = payload.decode::<u8>().unwrap_err();
        assert!(error.to_string().contains("raw bytes") && error.to_string().contains("postcard"), "{error}");
    }
}

#[test]
fn content_in_another_codec_is_an_error_that_names_both() {
    let payload = forged(3, b"{}");
    let error = DecodeError::WrongCodec { written_in: CodecName(3), read_as: "postcard" };
    assert_eq!(payload.decode::<u8>(), Err(error.clone()));
    assert_eq!(
        error.to_string(),
        "the payload was written in JSON and read as postcard; let all nodes use the same codec"
    );
    assert_eq!(forged(77, b"").decode::<u8>().unwrap_err().to_string().matches("codec 77").count(), 1);
}

#[test]
fn content_is_compressed_from_the_limit_on_and_only_if_it_gets_smaller() {
    let text = "all work and no play ".repeat(100);
    let format = format(Postcard, Some(1_000));
    let never = format_of(None);
    let large = packed(&format, &text);
    assert!(large.is_compressed() && large.wire_len() < text.len() / 5, "{large:?}");
    assert_eq!(large.decode::<String>().as_ref(), Ok(&text));
    assert!(!packed(&format, &text[..900]).is_compressed(), "too short");
    let noise = noise(10_000);
    let incompressible = packed(&format, Raw(&noise));
    assert!(!incompressible.is_compressed() && incompressible.bytes().unwrap() == noise);
    assert!(!packed(&never, &text).is_compressed(), "never");
}

#[test]
fn a_bomb_is_an_error_before_there_is_memory_for_it() {
    // 4 GiB - 1, as snappy announces it, and nothing behind it.
    let bomb = forged(COMPRESSED, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(bomb.bytes(), Err(DecodeError::TooLarge { size: 0xffff_ffff, limit: LIMIT }));
    let just_over = snap::raw::Encoder::new().compress_vec(&vec![0; LIMIT + 1]).unwrap();
    assert_eq!(forged(COMPRESSED, &just_over).bytes(), Err(DecodeError::TooLarge { size: LIMIT + 1, limit: LIMIT }));
    let just_in = snap::raw::Encoder::new().compress_vec(&vec![0; LIMIT]).unwrap();
    assert_eq!(forged(COMPRESSED, &just_in).bytes().unwrap().len(), LIMIT);
    // 65,536 bytes are announced, which four bytes cannot hold: nothing is set aside for them.
    let hollow = forged(COMPRESSED, &[0x80, 0x80, 0x04, 0x00]);
    assert!(
        matches!(hollow.bytes(), Err(DecodeError::Compression(reason)) if reason.contains("cannot expand to 65536"))
    );
    let zeros = vec![0; LIMIT];
    assert_eq!(
        packed(&format_of(Some(1)), Raw(&zeros)).bytes().as_deref(),
        Ok(&zeros[..]),
        "what shrinks most comes back"
    );
}

#[test]
fn damaged_compression_and_an_empty_payload_are_errors() {
    let good = snap::raw::Encoder::new().compress_vec(&[7; 1_000]).unwrap();
    for cut in 0..good.len() {
        let error = forged(COMPRESSED, &good[..cut]).bytes().unwrap_err();
        assert!(matches!(error, DecodeError::Compression(_)), "{cut} bytes: {error}");
    }
    let empty = Payload::new(Bytes::new(), &format(Postcard, None));
    assert_eq!((empty.bytes(), empty.decode::<u8>()), (Err(DecodeError::Empty), Err(DecodeError::Empty)));
}

#[test]
fn too_large_content_is_refused_though_it_would_compress() {
    let format = format(Postcard, Some(0));
    let error = format.pack(Raw(vec![0; LIMIT + 1])).unwrap_err();
    assert_eq!(error, SendError::Refused(gossip_core::SendError::TooLarge { size: LIMIT + 1, limit: LIMIT }));
    assert!(format.pack(Raw(vec![0; LIMIT])).is_ok());
}

#[test]
fn what_a_codec_cannot_write_is_an_error_with_its_name() {
    #[derive(Debug)]
    struct Broken;

    impl Codec for Broken {
        fn id(&self) -> u8 {
            64
        }

        fn name(&self) -> &'static str {
            "broken"
        }

        fn encode(&self, _: &dyn erased_serde::Serialize, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Err(CodecError::new("out of ink"))
        }

        fn decode(&self, _: &[u8], _: &mut Read<'_>) -> Result<(), CodecError> {
            Ok(())
        }
    }

    let format = format(Broken, None);
    let error = format.pack(1).unwrap_err();
    assert_eq!(error.to_string(), "broken cannot write the body: out of ink");
    let payload = Payload::new(vec![64].into(), &format);
    let error = payload.decode::<u8>().unwrap_err();
    assert!(error.to_string().contains("the codec read nothing"), "{error}");
}

#[test]
fn an_id_that_would_say_compressed_is_refused() {
    struct Liar;

    impl Encode for Liar {
        fn encode(self, _: &dyn Codec, _: &mut Vec<u8>) -> Result<u8, CodecError> {
            Ok(COMPRESSED)
        }
    }

    let error = format(Postcard, None).pack(Liar).unwrap_err();
    assert!(matches!(error, SendError::Encode { .. }), "{error}");
}
