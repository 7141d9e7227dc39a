use std::time::Duration;

use futures_util::future::join;
use futures_util::io::AsyncReadExt;
use proptest::prelude::*;

use super::*;
use crate::memory::{Memory, Stream};
use crate::transport::talk::talk;

const LIMIT: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(25);
const TOKEN: &str = "correct-horse";

type Web = WebStream<Stream, Memory>;

fn token() -> Token {
    Token::new(TOKEN).unwrap()
}

fn doorway(token: Option<&Token>) -> Doorway<'_> {
    Doorway { path: Some("/gossip"), token }
}

fn shake(url: &str, shown: Option<&Token>, wanted: Option<&Token>) -> (Result<Web, WebError>, Result<Web, WebError>) {
    let memory = Memory::new();
    let keep = || KeepAlive::new(memory.clone(), PING);
    let (one, other) = Stream::pair();
    let address = url.parse().unwrap();
    let door = doorway(wanted);
    memory.block_on(LIMIT, join(connect(one, &address, shown, keep()), accept(other, &door, keep())))
}

/// Two ends of one WebSocket, and the world in which they are.
fn pair(memory: &Memory) -> (Web, Web) {
    let keep = || KeepAlive::new(memory.clone(), PING);
    let (one, other) = Stream::pair();
    let address = "ws://node.test/gossip?x=1".parse().unwrap();
    let door = doorway(None);
    let ends = join(connect(one, &address, None, keep()), accept(other, &door, keep()));
    let (one, other) = memory.block_on(LIMIT, ends);
    (one.unwrap(), other.unwrap())
}

/// What a listener answers to these bytes, and what it makes of them itself.
fn answer_to(request: &[u8], wanted: Option<&Token>) -> (String, Result<(), WebError>) {
    let memory = Memory::new();
    let (mut one, other) = Stream::pair();
    let talk = async {
        let _ = one.write_all(request).await;
        one.close();
        let mut answer = Vec::new();
        let _ = one.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let door = doorway(wanted);
    let listen = async { accept(other, &door, KeepAlive::new(memory.clone(), PING)).await.map(drop) };
    memory.block_on(LIMIT, join(talk, listen))
}

fn request(change: impl Fn(String) -> String) -> Vec<u8> {
    let address = "ws://node.test/gossip".parse().unwrap();
    change(upgrade::request(&address, Some(&token()), "dGhlIHNhbXBsZSBub25jZQ==").to_string()).into_bytes()
}

#[test]
fn bytes_go_both_ways_and_one_direction_can_end_first() {
    let memory = Memory::new();
    let (mut client, mut server) = pair(&memory);
    memory.block_on(LIMIT, async {
        talk(&mut client, &mut server).await;
        assert!(client.write_all(b"more").await.is_err());
    });
}

#[test]
fn a_peer_that_does_not_read_stops_the_writer() {
    let memory = Memory::new();
    let (mut client, _server) = pair(&memory);
    let (piece, mut taken) = (vec![0; MESSAGE], 0);
    memory.block_on(LIMIT, async {
        let fill = async {
            while taken < 100 * MESSAGE {
                taken += client.write(&piece).await.unwrap();
            }
        };
        let wait = crate::runtime::within(&memory, LIMIT / 2, fill);
        assert!(wait.await.is_none(), "everything was taken");
    });
    assert!(taken <= Stream::ROOM + 2 * MESSAGE, "{taken} bytes were taken");
}

#[test]
fn the_token_lets_in_and_nothing_else_does() {
    let (right, wrong) = (token(), Token::new("correct-house").unwrap());
    let (client, server) = shake("ws://node.test/gossip", Some(&right), Some(&right));
    assert!(client.is_ok() && server.is_ok());
    for (shown, refusal) in [(Some(&wrong), Refusal::TokenWrong), (None, Refusal::TokenMissing)] {
        let (client, server) = shake("ws://node.test/gossip", shown, Some(&right));
        let (client, server) = (client.unwrap_err(), server.unwrap_err());
        assert!(matches!(client, WebError::Status { status: 401 }), "{client}");
        assert!(client.to_string().contains("does not accept the token"), "{client}");
        assert!(matches!(server, WebError::Refused(it) if it == refusal), "{server}");
        assert!(!server.to_string().contains("hous"), "{server}");
    }
    let (client, server) = shake("ws://node.test/gossip", Some(&right), None);
    assert!(client.is_ok() && server.is_ok());
}

#[test]
fn each_other_request_gets_the_status_that_it_deserves() {
    let token = token();
    let long = format!("X-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = "X-Many: 1\r\n".repeat(200);
    let cases = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "404 Not Found"),
        (b"GET /gossip HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "426 Upgrade Required"),
        (b"POST /gossip HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "405 Method Not Allowed"),
        (b"GET\r\n\r\n".to_vec(), "400 Bad Request"),
        (request(|it| it.replace("HTTP/1.1", "HTTP/1.0")), "426 Upgrade Required"),
        (request(|it| it.replace("-Version: 13", "-Version: 8")), "426 Upgrade Required"),
        (request(|it| it.replace("dGhl", "")), "400 Bad Request"),
        (request(|it| it.replace("Bearer", "Basic")), "401 Unauthorized"),
        (request(|it| it.replace("\r\n\r\n", &format!("\r\n{long}"))), "431 Request Header Fields Too Large"),
        (request(|it| it.replace("\r\n\r\n", &format!("\r\n{many}\r\n"))), "431 Request Header Fields Too Large"),
    ];
    for (request, status) in cases {
        let (answer, listened) = answer_to(&request, Some(&token));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{status}: {answer}");
        assert!(matches!(listened, Err(WebError::Refused(_))));
    }
    let (answer, listened) = answer_to(&request(|it| it.replace("Bearer", "bearer")), Some(&token));
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "the example of RFC 6455: {answer}");
    assert!(listened.is_ok());
}

#[test]
fn what_is_no_http_is_told_apart() {
    let told = "HTTP/1.1 400 Bad Request\r\n";
    for (bytes, expected, start) in [
        (&[0x16_u8, 3, 1][..], "speaks TLS", ""),
        (&[0, 0, 0, 44], "does not speak HTTP", told),
        (b"", "before it said anything", ""),
        (b"GET /gossip HT", "in the middle", ""),
    ] {
        let (answer, listened) = answer_to(bytes, None);
        let error = listened.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(answer.starts_with(start) && answer.is_empty() == start.is_empty(), "{answer}");
    }
}

/// What a node that dials makes of this answer.
fn dialled(answer: &[u8]) -> WebError {
    let memory = Memory::new();
    let (one, mut other) = Stream::pair();
    let talk = async {
        let _ = other.read(&mut [0; 2_048]).await;
        let _ = other.write_all(answer).await;
        other.close();
        // Until nobody is there any more.
        let _ = other.read(&mut [0; 1]).await;
    };
    let address = "ws://node.test/gossip".parse().unwrap();
    let dial = async { connect(one, &address, None, KeepAlive::new(memory.clone(), PING)).await.map(drop) };
    memory.block_on(LIMIT, join(talk, dial)).1.unwrap_err()
}

#[test]
fn each_other_answer_says_what_to_do() {
    let long = format!("HTTP/1.1 101 X\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let upgrade = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "no gossip at this path"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "a proxy on the way"),
        ("HTTP/1.1 301 Moved\r\nLocation: wss://a/\r\n\r\n", "\"wss://a/\""),
        ("HTTP/1.1 101 X\r\n\r\n", "another protocol"),
        (upgrade, "another handshake"),
        (long.as_str(), "more than 16384 bytes"),
        ("\0\0\0\x2c", "does not speak HTTP"),
        ("", "before it said anything"),
        ("HTTP/1.1 4", "in the middle"),
    ] {
        let error = dialled(answer.as_bytes()).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// What the reader of a connection makes of frames that no node sends.
fn hearing(frame: &[u8]) -> (std::io::Result<usize>, Vec<u8>) {
    let memory = Memory::new();
    let (mut one, other) = Stream::pair();
    memory.block_on(LIMIT, async {
        let mut server = upgraded(other, KeepAlive::new(memory.clone(), PING)).await;
        one.write_all(frame).await.unwrap();
        let read = server.read(&mut [0; 100]).await;
        drop(server);
        let mut answer = Vec::new();
        let _ = one.read_to_end(&mut answer).await;
        (read, answer)
    })
}

#[test]
fn text_long_messages_and_bare_frames_are_refused_and_a_close_is_answered() {
    let (read, answer) = hearing(&[0x81, 0x81, 0, 0, 0, 0, b'x']);
    assert!(read.unwrap_err().to_string().contains("sends text"));
    assert_eq!(answer[..4], [0x88, 6, 0x03, 0xeb]);
    let (read, answer) = hearing(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert!(read.unwrap_err().to_string().contains("the limit is 65536"));
    assert_eq!(answer[2..4], [0x03, 0xf1]);
    let (read, _) = hearing(&[0x82, 1, b'x']);
    assert!(read.is_err());
    let (read, answer) = hearing(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(read.unwrap(), 0);
    assert_eq!(answer, [0x88, 2, 0x03, 0xe8]);
    let (read, answer) = hearing(&[0x89, 0x81, 0, 0, 0, 0, 7, 0x82, 0x81, 0, 0, 0, 0, 9]);
    assert_eq!(read.unwrap(), 1);
    assert_eq!(answer, [0x8a, 1, 7]);
}

#[test]
fn a_silent_connection_lives_on_while_pings_are_answered() {
    let memory = Memory::new();
    let (mut client, mut server) = pair(&memory);
    let begun = memory.now();
    memory.block_on(100 * PING, async {
        let mut byte = [0];
        let quiet = crate::runtime::within(&memory, 10 * PING, client.read(&mut byte));
        let serve = async {
            let mut byte = [0];
            server.read(&mut byte).await.unwrap()
        };
        let outcome = futures_util::future::select(Box::pin(quiet), Box::pin(serve)).await;
        let futures_util::future::Either::Left((quiet, _)) = outcome else { panic!("the server read something") };
        assert!(quiet.is_none(), "a silent connection ended: {quiet:?}");
    });
    assert!(memory.now() - begun >= 10 * PING);
}

#[test]
fn a_peer_that_answers_no_ping_is_given_up() {
    let memory = Memory::new();
    let (mut client, _server) = pair(&memory);
    let begun = memory.now();
    let error = memory.block_on(10 * PING, client.read(&mut [0])).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(memory.now() - begun, 2 * PING);
}

#[test]
fn a_token_is_checked_and_never_shown() {
    let token = token();
    assert!(token.is(TOKEN.as_bytes()) && !token.is(b"correct-hors") && !token.is(b"correct-horsf") && !token.is(b""));
    assert_eq!(format!("{token:?}"), "Token(..)");
    assert!(Token::new(" correct-horse\n").unwrap().is(TOKEN.as_bytes()));
    for (text, expected) in [("short", "has 5 characters"), ("with spaces in it", "cannot be in one"), ("", "has 0")] {
        let error = Token::new(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = Token::from_file("/nonexistent/token").unwrap_err().to_string();
    assert!(error.contains("/nonexistent/token"), "{error}");
}

#[test]
fn a_request_to_a_server_of_the_application_is_answered_the_same() {
    let token = token();
    let door = Doorway { path: None, token: Some(&token) };
    let plain = http::Request::get("/anything").body(()).unwrap();
    let (answer, refusal) = answered(&door, &plain);
    assert_eq!((answer.status().as_u16(), refusal), (426, Some(Refusal::Plain)));
    let proper = http::Request::get("/anything")
        .header("Upgrade", "websocket")
        .header("Connection", "keep-alive, Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .body(())
        .unwrap();
    let (answer, refusal) = answered(&door, &proper);
    assert_eq!((answer.status().as_u16(), refusal), (101, None));
    assert_eq!(answer.headers()["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

proptest! {
    #[test]
    fn random_bytes_end_a_handshake_in_order(
        bytes in prop::collection::vec(any::<u8>(), 0..40_000),
        begin in prop::sample::select(vec!["", "GET /gossip HTTP/1.1\r\n", "HTTP/1.1 101 X\r\nA: ", "HTTP/1.1 200"]),
    ) {
        let input = [begin.as_bytes(), &bytes].concat();
        let (_, listened) = answer_to(&input, None);
        prop_assert!(listened.is_err());
        dialled(&input);
    }

    #[test]
    fn a_head_is_never_read_beyond_its_limit(bytes in prop::collection::vec(b'a'..=b'z', 0..60_000)) {
        let input = [b"GET / HTTP/1.1\r\nX: ", &bytes[..]].concat();
        let mut rest = futures_util::io::Cursor::new(&input);
        let read = futures_util::FutureExt::now_or_never(head::read_request(&mut rest)).unwrap();
        prop_assert!(read.is_err());
        prop_assert!(rest.position() <= head::LONGEST as u64);
    }

    #[test]
    fn random_frames_end_a_connection_in_order(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let memory = Memory::new();
        let (mut one, other) = Stream::pair();
        memory.block_on(LIMIT, async {
            let mut server = upgraded(other, KeepAlive::new(memory.clone(), PING)).await;
            one.write_all(&bytes).await.unwrap();
            one.close();
            let mut read = Vec::new();
            let _ = server.read_to_end(&mut read).await;
            prop_assert!(read.len() <= bytes.len());
            Ok(())
        })?;
    }
}
