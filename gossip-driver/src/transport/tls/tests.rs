use std::time::Duration;

use futures_util::future::join;
use futures_util::io::AsyncWriteExt;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{AlertDescription, CertificateError};

use super::*;
use crate::memory::{Memory, Stream};
use crate::transport::talk::talk;

const LIMIT: Duration = Duration::from_secs(1);

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("authority of the test")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Pem {
        Pem::text(self.0.pem())
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Pem, Pem) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (Pem::text(certificate.pem()), Pem::text(key.serialize_pem()))
    }

    fn server(&self, name: &str) -> TlsConfig {
        let (chain, key) = self.issue(name, |_| {});
        TlsConfig::builder().certificate(chain, key).roots(self.pem()).build().unwrap()
    }

    fn client(&self) -> TlsConfig {
        TlsConfig::builder().roots(self.pem()).build().unwrap()
    }
}

type Ends = (Result<TlsStream<Stream>, TlsError>, Result<TlsStream<Stream>, TlsError>);

fn shake(client: &TlsConfig, name: &str, server: &TlsConfig) -> Ends {
    let (one, other) = Stream::pair();
    Memory::new().block_on(LIMIT, join(client.client(one, name), server.server(other)))
}

fn problem(result: Result<TlsStream<Stream>, TlsError>) -> TlsError {
    result.expect_err("this handshake cannot succeed")
}

#[test]
fn bytes_go_both_ways_and_the_end_is_seen() {
    let authority = Authority::new();
    let (client, server) = shake(&authority.client(), "node.test", &authority.server("node.test"));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let memory = Memory::new();
    memory.block_on(LIMIT, async {
        talk(&mut client, &mut server).await;
    });
}

#[test]
fn an_expired_certificate_is_named_on_both_sides() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node.test", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    });
    let server = TlsConfig::builder().certificate(chain, key).roots(authority.pem()).build().unwrap();
    let (client, server) = shake(&authority.client(), "node.test", &server);
    let (client, server) = (problem(client), problem(server));
    assert!(matches!(client, TlsError::Certificate(CertificateError::ExpiredContext { .. })), "{client}");
    assert!(client.to_string().contains("renew it"), "{client}");
    assert!(matches!(server, TlsError::Refused(AlertDescription::CertificateExpired)), "{server}");
    assert!(server.to_string().contains("renew this node's certificate"), "{server}");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_and_both_sides_say_what_to_add() {
    let (ours, theirs) = (Authority::new(), Authority::named("another"));
    let (client, server) = shake(&ours.client(), "node.test", &theirs.server("node.test"));
    let (client, server) = (problem(client), problem(server));
    assert!(matches!(client, TlsError::Certificate(CertificateError::UnknownIssuer)), "{client}");
    assert!(client.to_string().contains("add its authority"), "{client}");
    assert!(matches!(server, TlsError::Refused(AlertDescription::UnknownCA)), "{server}");
}

#[test]
fn the_name_must_be_in_the_certificate_unless_another_is_expected() {
    let authority = Authority::new();
    let server = authority.server("node.test");
    let error = problem(shake(&authority.client(), "other.test", &server).0);
    assert!(error.to_string().contains("\"other.test\""), "{error}");
    assert!(error.to_string().contains("node.test"), "{error}");
    let expecting = TlsConfig::builder().roots(authority.pem()).server_name("node.test").build().unwrap();
    let (client, server) = shake(&expecting, "10.0.0.1", &server);
    assert!(client.is_ok() && server.is_ok());
    let error = problem(shake(&authority.client(), "no name", &authority.server("x")).0);
    assert!(matches!(error, TlsError::Name(_)), "{error}");
}

#[test]
fn without_verification_every_certificate_does_and_the_handshake_still_holds() {
    let server = Authority::new().server("node.test");
    let client = TlsConfig::builder().dangerously_skip_verification().build().unwrap();
    assert!(client.skips_verification());
    let (client, server) = shake(&client, "other.test", &server);
    assert!(client.is_ok() && server.is_ok());
}

#[test]
fn a_client_certificate_is_required_where_so_configured() {
    let (ours, theirs) = (Authority::new(), Authority::named("another"));
    let with = |authority: &Authority| {
        let (chain, key) = authority.issue("node.test", |_| {});
        TlsConfig::builder().certificate(chain, key).roots(ours.pem())
    };
    let server = with(&ours).require_client_certificate().build().unwrap();
    let (client, accepted) = shake(&with(&ours).build().unwrap(), "node.test", &server);
    assert!(client.is_ok() && accepted.is_ok());

    let (client, accepted) = shake(&ours.client(), "node.test", &server);
    assert!(matches!(problem(accepted), TlsError::NoPeerCertificate));
    // The handshake of the client is over before the server has seen that there is no certificate.
    let mut client = client.unwrap();
    let error = Memory::new().block_on(LIMIT, client.read(&mut [0])).unwrap_err();
    assert!(error.to_string().contains("give this node a certificate"), "{error}");

    let (_, accepted) = shake(&with(&theirs).build().unwrap(), "node.test", &server);
    assert!(matches!(problem(accepted), TlsError::Certificate(CertificateError::UnknownIssuer)));
}

#[test]
fn a_request_of_plain_http_is_answered_as_such() {
    let server = Authority::new().server("node.test");
    let (mut one, other) = Stream::pair();
    let talk = async {
        one.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        one.read_to_string(&mut answer).await.unwrap();
        drop(one);
        answer
    };
    let (answer, accepted) = Memory::new().block_on(LIMIT, join(talk, server.server(other)));
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("This port speaks TLS"), "{answer}");
    assert!(matches!(problem(accepted), TlsError::PlainHttp));
}

#[test]
fn a_peer_without_tls_is_told_apart_on_both_sides() {
    let authority = Authority::new();
    let server = authority.server("node.test");
    for (bytes, expected) in [(&[0_u8, 0, 0, 44][..], "does not use TLS"), (&[], "before it said anything")] {
        let (mut one, other) = Stream::pair();
        let talk = async {
            one.write_all(bytes).await.unwrap();
            one.close();
        };
        let ((), accepted) = Memory::new().block_on(LIMIT, join(talk, server.server(other)));
        let error = problem(accepted);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (bytes, expected) in
        [(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does not use TLS"), (&[], "maybe it does not")]
    {
        let (one, mut other) = Stream::pair();
        let talk = async {
            assert!(other.read(&mut [0; 1_024]).await.unwrap() > 0);
            other.write_all(bytes).await.unwrap();
            drop(other);
        };
        let client = authority.client();
        let ((), dialled) = Memory::new().block_on(LIMIT, join(talk, client.client(one, "node.test")));
        let error = problem(dialled);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn without_a_certificate_nothing_is_accepted() {
    let config = Authority::new().client();
    assert!(!config.can_accept());
    let (_one, other) = Stream::pair();
    let accepted = Memory::new().block_on(LIMIT, config.server(other));
    assert!(matches!(problem(accepted), TlsError::NoCertificate));
}

#[test]
fn each_wrong_setting_says_where_it_is_and_what_is_wrong() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node.test", |_| {});
    let (_, other_key) = authority.issue("node.test", |_| {});
    let new = TlsConfig::builder;
    let roots = || new().roots(authority.pem());
    let damaged = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let cases = [
        (new().roots(Pem::file("/nonexistent/ca.pem")), "cannot read /nonexistent/ca.pem"),
        (new().roots(Pem::text("nothing")), "has no section \"BEGIN CERTIFICATE\""),
        (new().roots(Pem::text(damaged)), "not Base64"),
        (new().roots(Pem::text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), "authorities:"),
        (roots().certificate(chain.clone(), chain.clone()), "has no section \"BEGIN PRIVATE KEY\""),
        (roots().certificate(chain.clone(), other_key), "does not belong to the first certificate"),
        (roots().client_certificate(key.clone(), key.clone()), "client certificate: "),
        (new().certificate(chain.clone(), key.clone()).require_client_certificate(), "no authority of your own"),
        (roots().require_client_certificate(), "no certificate of its own"),
        (roots().server_name("no name"), "\"no name\" cannot be the name"),
    ];
    for (builder, expected) in cases {
        let error = builder.build().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn nothing_shows_a_key() {
    let authority = Authority::new();
    let (chain, key) = authority.issue("node.test", |_| {});
    let builder = TlsConfig::builder().certificate(chain, key).roots(authority.pem());
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!shown.contains("PRIVATE") && !shown.contains("BEGIN") && shown.len() < 600, "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_end_a_handshake_in_order(mut bytes in prop::collection::vec(any::<u8>(), 0..3_000), tls: bool) {
        if tls && bytes.len() > 5 {
            bytes[..3].copy_from_slice(&[HANDSHAKE, 3, 1]);
        }
        let authority = Authority::new();
        let server = authority.server("node.test");
        let (mut one, other) = Stream::pair();
        let talk = async {
            one.write_all(&bytes).await.unwrap();
            one.close();
        };
        let ((), accepted) = Memory::new().block_on(LIMIT, join(talk, server.server(other)));
        prop_assert!(accepted.is_err());

        let (one, mut other) = Stream::pair();
        let talk = async {
            let _ = other.write_all(&bytes).await;
            other.close();
        };
        let client = authority.client();
        let ((), dialled) = Memory::new().block_on(LIMIT, join(talk, client.client(one, "node.test")));
        prop_assert!(dialled.is_err());
    }
}
