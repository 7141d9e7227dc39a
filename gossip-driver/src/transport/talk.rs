//! What the tests of all layers let two ends say to each other.

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::join;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A long speech and its end arrive, and the answer after that.
pub(super) async fn talk<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S, server: &mut S) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let mut received = Vec::new();
    let speech = async {
        client.write_all(&sent).await.unwrap();
        client.close().await.unwrap();
    };
    join(speech, server.read_to_end(&mut received)).await.1.unwrap();
    assert!(received == sent, "{} bytes arrived changed", received.len());
    server.write_all(b"thanks").await.unwrap();
    server.close().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"thanks");
}
