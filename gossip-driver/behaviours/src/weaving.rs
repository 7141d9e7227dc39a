//! Nodes over WebSocket and TLS, among themselves and with others, and those that are not let in.

use std::future::pending;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use gossip_driver::{
    ByteStream, Cluster, Config, Counter, Dialer, Dialing, Event, MemberState, NodeAddress, Pem, Request, Runtime,
    StartError, TlsBuilder, TlsConfig, Token,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::harness::{converged, event, holds, join, joined, kind, quick, start, stop, timeout, within};
use crate::streaming::all_hear_all;

/// Signs certificates for nodes of this machine.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        Self(CertifiedIssuer::self_signed(params, key).expect("it can be signed"))
    }

    fn pem(&self) -> Pem {
        Pem::text(self.0.pem())
    }

    /// Settings with a certificate of this authority for the loopback address, valid until that year, and trust in it.
    fn node(&self, until: i32) -> TlsBuilder {
        self.named(&["127.0.0.1"], until)
    }

    /// The same with a certificate for these names and addresses.
    fn named(&self, names: &[&str], until: i32) -> TlsBuilder {
        let key = KeyPair::generate().expect("there is randomness");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("they are names and addresses");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        let certificate = params.signed_by(&key, &self.0).expect("it can be signed");
        let (chain, key) = (Pem::text(certificate.pem()), Pem::text(key.serialize_pem()));
        TlsConfig::builder().certificate(chain, key).roots(self.pem())
    }

    pub(crate) fn valid(&self) -> TlsConfig {
        self.node(2_100).build().expect("it is complete")
    }

    pub(crate) fn valid_for(&self, names: &[&str]) -> TlsConfig {
        self.named(names, 2_100).build().expect("it is complete")
    }
}

fn token(text: &str) -> Token {
    Token::new(text).expect("it is long enough")
}

/// A node that is reached over WebSocket with TLS alone.
pub(crate) fn web(tls: TlsConfig) -> Config {
    sockets(tls).web_listen("wss://127.0.0.1:0/gossip").web_only(true)
}

/// A node with sockets that can reach such a node.
pub(crate) fn sockets(tls: TlsConfig) -> Config {
    quick("woven").tls(tls).token(token("open-sesame"))
}

pub(crate) async fn nodes_find_each_other_over_secure_websocket_with_a_token<R: Runtime>() {
    let authority = Authority::new("ours");
    let nodes = joined::<R>((0..3).map(|_| web(authority.valid()))).await;
    for node in &nodes {
        assert!(node.bind_address().is_none());
        let url = node.web_address().expect("it listens");
        assert_eq!(*node.address(), NodeAddress::Web(url.clone()));
        assert!(url.as_str().starts_with("wss://127.0.0.1:") && url.as_str().ends_with("/gossip"), "{url}");
    }
    all_hear_all(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn sockets_and_secure_websockets_are_one_cluster_within_three_seconds<R: Runtime>() {
    let authority = Authority::new("ours");
    let mut nodes = Vec::new();
    for at in 0..6 {
        let config = if at % 2 == 0 { sockets(authority.valid()) } else { web(authority.valid()) };
        nodes.push(start::<R>(config).await);
    }
    let begun = Instant::now();
    for node in &nodes[1..] {
        join(node, &nodes[0]).await;
    }
    converged(&nodes).await;
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(3), "it took {taken:?}");
    all_hear_all(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn a_websocket_beside_sockets_lets_in_who_reaches_nothing_else<R: Runtime>() {
    let open = start::<R>(quick("woven").web_listen("ws://127.0.0.1:0/gossip")).await;
    assert_eq!(*open.address(), NodeAddress::Socket(open.bind_address().expect("it has sockets")));
    let other = start(quick("woven").web_listen("ws://127.0.0.1:0/").web_only(true)).await;
    let url = open.web_address().expect("it listens").to_string();
    within("a join", other.join([url])).await.expect("it is let in");
    let nodes = [open, other];
    converged(&nodes).await;
    stop(nodes).await;
}

/// A network that lets nothing through but what goes to a URL.
struct OnlyWeb<R> {
    runtime: PhantomData<fn() -> R>,
    /// Whether it says no to the rest, or nothing at all.
    refuses: bool,
}

impl<R: Runtime> Dialer for OnlyWeb<R> {
    fn dial<'a>(&'a self, to: &'a NodeAddress) -> Dialing<'a> {
        Box::pin(async move {
            let NodeAddress::Web(url) = to else {
                if self.refuses {
                    return Err(ErrorKind::ConnectionRefused.into());
                }
                return pending().await;
            };
            let address = format!("{}:{}", url.host(), url.port()).parse().expect("it is an address");
            let stream = R::current().expect("it runs").connect(address).await?;
            Ok(Box::new(stream) as ByteStream)
        })
    }
}

/// Whoever is in such a network reaches all that show a URL besides, and is reached by them.
pub(crate) async fn who_reaches_nothing_but_urls_is_a_member_like_others<R: Runtime>() {
    for refuses in [true, false] {
        let open = || quick("woven").web_listen("ws://127.0.0.1:0/gossip");
        let mut nodes = vec![start::<R>(open()).await, start(open()).await];
        join(&nodes[1], &nodes[0]).await;
        converged(&nodes).await;
        let network = OnlyWeb::<R> { runtime: PhantomData, refuses };
        let inside = start(quick("woven").dial_only(true).dialer(network)).await;
        let url = nodes[0].web_address().expect("it listens").to_string();
        within("a join", inside.join([url])).await.expect("it is let in");
        nodes.push(inside);
        converged(&nodes).await;
        for node in &nodes {
            node.handle_requests(kind(), |_: Request| async { Ok(()) }).expect("it has no handler yet");
        }
        for (one, other) in [(2, 1), (1, 2), (2, 0)] {
            let asked = nodes[one].request(nodes[other].id(), kind(), &(), Duration::from_secs(10));
            let answer = within("an answer", asked).await;
            answer.unwrap_or_else(|error| {
                let member = nodes[one].members().member(nodes[other].id()).cloned();
                panic!("{one} reaches {other}, refusing {refuses}: {error}; it knows {member:?}")
            });
        }
        let mut events = nodes[2].events();
        let is_suspected = |event| match event {
            Event::Member(change) if change.member.state == MemberState::Suspect => Some(change.member.id),
            _ => None,
        };
        let suspicion = timeout(Duration::from_secs(2), event(&mut events, "a suspicion", is_suspected)).await;
        assert_eq!(suspicion, None, "it reaches all");
        stop(nodes).await;
    }
}

pub(crate) async fn connections_of_tcp_use_tls_with_client_certificates<R: Runtime>() {
    let authority = Authority::new("ours");
    let mutual = || authority.node(2_100).require_client_certificate().build().expect("it is complete");
    let config = |tls| quick("mutual").stream_only(true).tls(tls).tcp_tls(true);
    let nodes = joined::<R>((0..3).map(|_| config(mutual()))).await;
    all_hear_all(&nodes).await;

    let bare = TlsConfig::builder().roots(authority.pem()).build().expect("it is complete");
    let strangers = [start::<R>(config(bare)).await, start::<R>(quick("mutual").stream_only(true)).await];
    for (stranger, why) in strangers.iter().zip(["give this node a certificate", "the peer speaks TLS"]) {
        kept_out(stranger, nodes[0].address().to_string(), why).await;
    }
    refused(&nodes[0], 1).await;
    converged(&nodes).await;
    stop(strangers).await;
    stop(nodes).await;
}

/// A node is not let in at this address, and is told why.
pub(crate) async fn kept_out<R: Runtime>(node: &Cluster<R>, address: String, why: &str) {
    let before = node.members().counts().live();
    match within("the end of a join", node.join([address])).await {
        Ok(report) => panic!("the node is let in: {report}"),
        Err(error) => assert!(error.to_string().contains(why), "{why}: {error}"),
    }
    assert_eq!(node.members().counts().live(), before);
}

/// Waits until this node has refused as many connections.
async fn refused<R: Runtime>(node: &Cluster<R>, count: u64) {
    let failures = || node.stats().driver.count(Counter::HandshakeFailures);
    holds("connections are refused", || failures() >= count).await;
}

pub(crate) async fn a_wrong_token_keeps_out_and_disturbs_nobody<R: Runtime>() {
    let authority = Authority::new("ours");
    let nodes = joined::<R>((0..2).map(|_| web(authority.valid()))).await;
    let stranger = start::<R>(web(authority.valid()).token(token("open-barley"))).await;
    kept_out(&stranger, nodes[0].address().to_string(), "status 401: it does not accept the token").await;
    refused(&nodes[0], 1).await;
    assert!(stranger.stats().driver.count(Counter::DialFailures) >= 1);
    converged(&nodes).await;
    all_hear_all(&nodes).await;
    stop([stranger]).await;
    stop(nodes).await;
}

pub(crate) async fn an_expired_certificate_and_an_unknown_one_keep_out_and_disturb_nobody<R: Runtime>() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let nodes = joined::<R>((0..2).map(|_| web(ours.valid()))).await;
    let expired = ours.node(2_001).build().expect("it is complete");
    let doubtful = [start::<R>(web(expired)).await, start::<R>(web(theirs.valid())).await];
    for (node, why) in doubtful.iter().zip(["certificate expired", "nobody whom this node trusts has signed it"]) {
        kept_out(&nodes[0], node.address().to_string(), why).await;
        refused(node, 1).await;
    }
    converged(&nodes).await;
    stop(doubtful).await;
    stop(nodes).await;
}

/// What is answered to these bytes.
async fn answer<R: Runtime>(to: SocketAddr, request: &[u8]) -> String {
    let runtime = R::current().expect("the test runs in the runtime");
    let mut stream = within("a connection", runtime.connect(to)).await.expect("it listens");
    stream.write_all(request).await.expect("it is taken");
    let mut answer = Vec::new();
    // It may be cut off by the end.
    let _ = within("an answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn port_of<R: Runtime>(node: &Cluster<R>) -> SocketAddr {
    let url = node.web_address().expect("it listens");
    format!("{}:{}", url.host(), url.port()).parse().expect("it is numeric")
}

pub(crate) async fn requests_that_are_no_websocket_are_answered_and_disturb_nobody<R: Runtime>() {
    let config = || quick("woven").web_listen("ws://127.0.0.1:0/gossip").web_only(true).token(token("open-sesame"));
    let nodes = joined::<R>((0..2).map(|_| config())).await;
    let plain = port_of(&nodes[0]);
    let long = format!("GET /gossip HTTP/1.1\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let upgrade = "GET /gossip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET /gossip HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (upgrade, "401"),
        ("GET\r\n\r\n", "400"),
        (&long, "431"),
        ("\x16\x03\x01", ""),
    ] {
        let answer = answer::<R>(plain, request.as_bytes()).await;
        let start = if status.is_empty() { String::new() } else { format!("HTTP/1.1 {status} ") };
        assert!(answer.starts_with(&start) && answer.is_empty() == status.is_empty(), "{status}: {answer}");
    }
    refused(&nodes[0], 6).await;

    let secure = start::<R>(web(Authority::new("ours").valid())).await;
    let answer = answer::<R>(port_of(&secure), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wss://"), "{answer}");
    kept_out(&secure, format!("wss://{plain}/gossip"), "maybe it does not use TLS").await;
    converged(&nodes).await;
    stop([secure]).await;
    stop(nodes).await;
}

pub(crate) async fn what_cannot_be_listened_at_is_refused<R: Runtime>() {
    let failed = async |config: Config| match Cluster::<R>::start(config).await {
        Ok(_) => panic!("the node starts"),
        Err(error) => error,
    };
    for url in ["ftp://127.0.0.1/", "ws:///gossip", "127.0.0.1:80"] {
        let error = failed(quick("woven").web_listen(url)).await;
        assert!(matches!(error, StartError::WebListen(_)), "{error}");
        assert!(error.to_string().contains(url), "{error}");
    }
    let error = failed(quick("woven").web_listen("wss://127.0.0.1:0/")).await;
    assert!(matches!(error, StartError::NoCertificate { .. }), "{error}");
    let error = failed(quick("woven").web_only(true)).await;
    assert!(matches!(error, StartError::NoWebListener), "{error}");
    let error = failed(quick("woven").tcp_tls(true)).await;
    assert!(error.to_string().contains("tcp_tls"), "{error}");
}
