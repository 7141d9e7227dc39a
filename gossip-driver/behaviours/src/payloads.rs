//! What is in a message: values in the codec of the cluster, and nothing else.

use std::time::Duration;

use gossip_driver::{
    Cluster, Codec, CodecError, Config, DecodeError, Encode, Postcard, Raw, Read, Reliability, Runtime, SendError,
    erased_serde,
};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::harness::{converged, heard_by, join, kind, next, quick, start, stop, within};
use crate::stranger::Stranger;

/// postcard, every byte inverted.
#[derive(Debug)]
struct Inverted;

impl Codec for Inverted {
    fn id(&self) -> u8 {
        64
    }

    fn name(&self) -> &'static str {
        "inverted"
    }

    fn encode(&self, value: &dyn erased_serde::Serialize, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let begin = out.len();
        Postcard.encode(value, out)?;
        out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(())
    }

    fn decode(&self, bytes: &[u8], read: &mut Read<'_>) -> Result<(), CodecError> {
        let inverted: Vec<u8> = bytes.iter().map(|byte| !*byte).collect();
        Postcard.decode(&inverted, read)
    }
}

pub(crate) async fn nodes_with_a_codec_of_their_own_understand_each_other_and_others_say_which_it_is<R: Runtime>() {
    let config = || quick("codecs");
    let nodes = [
        start::<R>(config().codec(Inverted)).await,
        start::<R>(config().codec(Inverted)).await,
        start::<R>(config()).await,
    ];
    join(&nodes[1], &nodes[0]).await;
    join(&nodes[2], &nodes[0]).await;
    converged(&nodes).await;
    let mut heard: Vec<_> = nodes.iter().map(heard_by).collect();
    let value = ("tea".to_owned(), 3_u64);
    let ids: Vec<_> = nodes.iter().map(Cluster::id).collect();
    let sent = within("the sends", nodes[0].send_to(&ids[1..], kind(), &value, Reliability::Reliable)).await;
    assert!(sent.iter().all(|(_, outcome)| outcome.is_ok()), "{sent:?}");
    assert_eq!(next(&mut heard[1]).await.payload.decode(), Ok(value.clone()));
    let payload = next(&mut heard[2]).await.payload;
    let error = payload.decode::<(String, u64)>().unwrap_err();
    assert!(matches!(error, DecodeError::WrongCodec { read_as: "postcard", .. }), "{error}");
    assert!(error.to_string().contains("codec 64"), "{error}");
    assert_eq!(payload.decode_with(&Inverted), Ok(value));
    stop(nodes).await;
}

pub(crate) async fn a_codec_with_an_id_of_others_is_refused_at_the_start<R: Runtime>() {
    #[derive(Debug)]
    struct Impostor;

    impl Codec for Impostor {
        fn id(&self) -> u8 {
            1
        }

        fn name(&self) -> &'static str {
            "impostor"
        }

        fn encode(&self, _: &dyn erased_serde::Serialize, _: &mut Vec<u8>) -> Result<(), CodecError> {
            Ok(())
        }

        fn decode(&self, _: &[u8], _: &mut Read<'_>) -> Result<(), CodecError> {
            Ok(())
        }
    }

    let error = Cluster::<R>::start(Config::local("x").codec(Impostor)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "configuration: codec: impostor has the id 1, expected 64..=127 for codecs that are not built in"
    );
}

pub(crate) async fn a_value_that_cannot_be_written_is_an_error_by_all_ways<R: Runtime>() {
    struct Secret;

    impl Serialize for Secret {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("nobody may know"))
        }
    }

    let node = start::<R>(quick("secret")).await;
    let sent = node.send(node.id(), kind(), &Secret, Reliability::Reliable).await.unwrap_err();
    let asked = node.request(node.id(), kind(), &Secret, Duration::from_secs(1)).await.unwrap_err();
    let spread = node.broadcast(kind(), &Secret, gossip_driver::BroadcastOptions::new()).await.unwrap_err();
    for text in [sent.to_string(), asked.to_string(), spread.to_string()] {
        assert!(text.starts_with("postcard cannot write the body"), "{text}");
    }
    stop([node]).await;
}

pub(crate) async fn large_text_travels_compressed_and_noise_does_not<R: Runtime>() {
    let config = || quick("compression").compress_from(Some(512));
    let nodes = [start::<R>(config()).await, start::<R>(config()).await];
    join(&nodes[1], &nodes[0]).await;
    converged(&nodes).await;
    let mut heard = heard_by(&nodes[1]);
    let send = async |body: &[u8]| {
        let sent = within("a send", nodes[0].send(nodes[1].id(), kind(), Raw(body), Reliability::Reliable)).await;
        sent.expect("it is within the limits");
    };
    let text = "what is said twice is shorter the second time; ".repeat(100_000).into_bytes();
    let text = &text[..4_000_000];
    send(text).await;
    let payload = next(&mut heard).await.payload;
    assert!(payload.is_compressed() && payload.wire_len() < text.len() / 4, "{payload:?}");
    assert!(payload.bytes().expect("it can be expanded") == text);
    send(&text[..511]).await;
    assert!(!next(&mut heard).await.payload.is_compressed());
    stop(nodes).await;
}

pub(crate) async fn what_another_program_forges_is_an_error_and_harms_nobody<R: Runtime>() {
    let node = start::<R>(quick("forged")).await;
    let mut heard = heard_by(&node);
    let mut stranger = Stranger::join(&node, "forged").await;
    // 4 GiB - 1 once it is expanded, as snappy announces it.
    let bomb = [0x80, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xfe, 0x01, 0x00];
    let limit = quick("any").protocol.max_payload() - 1;
    let cases: [(&[u8], DecodeError); 2] =
        [(&bomb, DecodeError::TooLarge { size: 0xffff_ffff, limit }), (&[], DecodeError::Empty)];
    for (forged, error) in cases {
        stranger.send(&node, kind(), forged);
        let message = next(&mut heard).await;
        assert_eq!((message.from, message.payload.bytes()), (stranger.id(), Err(error)));
    }
    stranger.send(&node, kind(), &[0x01, 0xff]);
    let error = next(&mut heard).await.payload.decode::<String>().unwrap_err();
    assert!(matches!(error, DecodeError::Invalid { codec: "postcard", .. }), "{error}");
    stop([node]).await;
}

pub(crate) async fn bodies_may_bring_their_own_form<R: Runtime>() {
    struct Shout<'a>(&'a str);

    impl Encode for Shout<'_> {
        fn encode(self, codec: &dyn Codec, out: &mut Vec<u8>) -> Result<u8, CodecError> {
            if self.0.is_empty() {
                return Err(CodecError::new("nothing to shout"));
            }
            codec.encode(&self.0.to_uppercase(), out)?;
            Ok(codec.id())
        }
    }

    let node = start::<R>(quick("own")).await;
    let mut heard = heard_by(&node);
    within("a send", node.send(node.id(), kind(), Shout("tea"), Reliability::Reliable)).await.expect("it is well");
    assert_eq!(next(&mut heard).await.payload.decode::<String>().as_deref(), Ok("TEA"));
    let error = node.send(node.id(), kind(), Shout(""), Reliability::Reliable).await.unwrap_err();
    assert!(matches!(error, SendError::Encode { .. }), "{error}");
    stop([node]).await;
}
