//! Names are resolved by a DNS server: their addresses, services, and for how long either holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use gossip_driver::{Cluster, Config, Counter, JoinError, Runtime, StartError};

use crate::harness::{aside, converged, holds, quick, start, stop, within};
use crate::name_server::NameServer;

const SERVICE: &str = "_gossip._tcp.example.test";
const SEED: &str = "srv+_gossip._tcp.example.test";
const HOST: &str = "host.example.test";
/// A time to live that does not end while a test runs.
const LONG: u32 = 3_600;

fn name_server() -> NameServer {
    let server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    server.addresses(HOST, LONG, &[Ipv4Addr::LOCALHOST.into()]);
    server
}

/// Settings of a node that asks this server, and believes it when it says that its answers do not hold for long.
fn asking(cluster: &str, server: SocketAddr) -> Config {
    quick(cluster).dns_servers([server]).min_name_ttl(Duration::from_millis(100))
}

pub(crate) fn address_of<R: Runtime>(node: &Cluster<R>) -> SocketAddr {
    node.address().socket_address().expect("it has a socket")
}

/// What a node says of an address through which it cannot join.
async fn trouble<R: Runtime>(node: &Cluster<R>, address: &str) -> String {
    match within("the join", node.join([address])).await {
        Err(JoinError::Nobody(report)) => report.to_string(),
        outcome => panic!("{address} leads nowhere: {outcome:?}"),
    }
}

pub(crate) async fn the_preferred_family_of_a_name_is_bound_and_advertised<R: Runtime>() {
    let server = name_server();
    server.addresses("both.example.test", LONG, &[Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
    let config = asking("family", server.address()).bind("both.example.test:0");
    let four = start::<R>(config.clone().advertise("both.example.test:7000")).await;
    assert_eq!(address_of(&four), SocketAddr::from((Ipv4Addr::LOCALHOST, 7_000)));
    match within("a start", Cluster::<R>::start(config.prefer_ipv6(true))).await {
        Ok(six) => {
            assert_eq!(address_of(&six).ip(), IpAddr::from(Ipv6Addr::LOCALHOST));
            stop([six]).await;
        }
        // A machine without IPv6 still shows which one was chosen.
        Err(StartError::Bind { address, .. }) => assert_eq!(address.ip(), IpAddr::from(Ipv6Addr::LOCALHOST)),
        Err(error) => panic!("{error}"),
    }
    stop([four]).await;
}

pub(crate) async fn each_address_of_a_long_answer_is_tried<R: Runtime>() {
    let server = name_server();
    let seed = start::<R>(asking("many", server.address()).bind(aside(31))).await;
    // More than a datagram of DNS holds, so that the rest comes over TCP. Nobody listens at the others.
    let mut addresses: Vec<IpAddr> = (1..100).map(|host| IpAddr::from([127, 78, 0, host])).collect();
    addresses.push(address_of(&seed).ip());
    server.addresses("many.example.test", LONG, &addresses);
    let node = start::<R>(asking("many", server.address())).await;
    let name = format!("many.example.test:{}", address_of(&seed).port());
    let report = within("the join", node.join([name])).await.expect("one is there");
    assert_eq!((report.accepted.len(), report.failed.len()), (1, 99), "{report}");
    assert_eq!(report.accepted[0].address, *seed.address());
    stop([seed, node]).await;
}

pub(crate) async fn an_alias_of_an_alias_leads_to_the_host<R: Runtime>() {
    let server = name_server();
    server.alias("one.example.test", LONG, "two.example.test");
    server.alias("two.example.test", LONG, HOST);
    let seed = start::<R>(asking("alias", server.address())).await;
    let node = start::<R>(asking("alias", server.address())).await;
    let name = format!("one.example.test:{}", address_of(&seed).port());
    within("the join", node.join([name])).await.expect("the seed is there");
    converged(&[seed.clone(), node.clone()]).await;
    stop([seed, node]).await;
}

pub(crate) async fn a_service_leads_to_all_who_offer_it_by_priority<R: Runtime>() {
    let server = name_server();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(start::<R>(asking("service", server.address())).await);
    }
    let port = |at: usize| address_of(&nodes[at]).port();
    let services =
        [(30, 0, port(2), HOST), (10, 0, port(0), HOST), (20, 9, port(1), HOST), (5, 0, 7_979, "gone.example.test")];
    server.services(SERVICE, LONG, &services);
    let node = start::<R>(asking("service", server.address())).await;
    let report = within("the join", node.join([SEED])).await.expect("all accept");
    let by: Vec<_> = report.accepted.iter().map(|accepted| accepted.by).collect();
    assert_eq!(by, [nodes[0].id(), nodes[1].id(), nodes[2].id()], "{report}");
    nodes.push(node);
    converged(&nodes).await;
    stop(nodes).await;
}

pub(crate) async fn a_seed_is_looked_up_again_when_its_time_to_live_is_over<R: Runtime>() {
    let server = name_server();
    let one = start::<R>(asking("expiry", server.address())).await;
    server.services(SERVICE, 1, &[(1, 1, address_of(&one).port(), HOST)]);
    let node = start::<R>(asking("expiry", server.address()).seed(SEED)).await;
    converged(&[one.clone(), node.clone()]).await;
    // The old seed goes on answering, so that nothing but the time leads to the new one.
    let other = start::<R>(asking("expiry", server.address())).await;
    server.services(SERVICE, 1, &[(1, 1, address_of(&other).port(), HOST)]);
    converged(&[one.clone(), other.clone(), node.clone()]).await;
    stop([one, other, node]).await;
}

pub(crate) async fn a_seed_that_moved_is_found_however_long_its_old_address_was_to_hold<R: Runtime>() {
    let server = name_server();
    let old = start::<R>(asking("moved", server.address())).await;
    server.services(SERVICE, LONG, &[(1, 1, address_of(&old).port(), HOST)]);
    let node = start::<R>(asking("moved", server.address()).seed(SEED)).await;
    converged(&[old.clone(), node.clone()]).await;
    within("leaving", old.leave()).await.expect("it runs");
    stop([old]).await;
    let new = start::<R>(asking("moved", server.address())).await;
    server.services(SERVICE, LONG, &[(1, 1, address_of(&new).port(), HOST)]);
    converged(&[new.clone(), node.clone()]).await;
    stop([new, node]).await;
}

pub(crate) async fn what_was_found_is_kept_when_the_name_is_gone<R: Runtime>() {
    let server = name_server();
    let old = start::<R>(asking("kept", server.address()).bind(aside(32))).await;
    let address = old.address().to_string();
    server.addresses("kept.example.test", 1, &[address_of(&old).ip()]);
    let seed = format!("kept.example.test:{}", address_of(&old).port());
    let node = start::<R>(asking("kept", server.address()).seed(seed)).await;
    converged(&[old.clone(), node.clone()]).await;
    server.addresses("kept.example.test", 1, &[]);
    holds("the name is looked up in vain", || node.stats().driver.count(Counter::ResolveFailures) > 0).await;
    within("leaving", old.leave()).await.expect("it runs");
    stop([old]).await;
    let new = start::<R>(quick("kept").bind(address)).await;
    converged(&[new.clone(), node.clone()]).await;
    stop([new, node]).await;
}

pub(crate) async fn each_name_that_leads_nowhere_is_told_from_the_others<R: Runtime>() {
    let server = name_server();
    server.services("_portless._tcp.example.test", LONG, &[(1, 1, 0, HOST)]);
    server.services("_closed._tcp.example.test", LONG, &[(0, 0, 0, ".")]);
    server.services("_astray._tcp.example.test", LONG, &[(1, 1, 7_979, "nobody.example.test")]);
    server.alias("round.example.test", LONG, "round.example.test");
    let node = start::<R>(asking("trouble", server.address())).await;
    let at = server.address().to_string();
    for (address, told) in [
        ("nobody.example.test", ["no such name", &*at]),
        ("srv+nobody.example.test", ["no such name", &*at]),
        ("_closed._tcp.example.test", ["does not have an address", &*at]),
        ("srv+host.example.test", ["does not have an SRV record", &*at]),
        ("srv+_portless._tcp.example.test", ["SRV record for host.example.test. has port 0", "write the node's port"]),
        (
            "srv+ws://_portless._tcp.example.test/x",
            ["record for host.example.test. has port 0", "write the node's port"],
        ),
        ("srv+wss://nobody.example.test/", ["no such name", &*at]),
        ("srv+ws://host.example.test:80/", ["the name of a service without a port", "srv+wss://_gossip._tcp.example"]),
        ("srv+_closed._tcp.example.test", ["not available", "write another name"]),
        ("srv+_astray._tcp.example.test", ["leads to nobody.example.test.", "no such name"]),
        ("round.example.test", ["round.example.test: cannot be resolved", &*at]),
        ("elsewhere.test", ["elsewhere.test: cannot be resolved", &*at]),
        ("two..dots", ["no host can have this name", "correct it"]),
        ("ftp://host.example.test", ["do not begin with \"ftp://\"", "write host:port"]),
        ("srv+host.example.test:80", ["the name of a service", "srv+_gossip._tcp.example"]),
    ] {
        let trouble = trouble(&node, address).await;
        assert!(told.iter().all(|told| trouble.contains(told)), "{address}: {trouble}");
    }
    stop([node]).await;
}

/// A socket of somebody who does not speak DNS: each question is answered with what `answer` makes of it.
pub(crate) fn stranger(answer: fn(&[u8]) -> Option<Vec<u8>>) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut question = [0; 512];
        // It ends with the process.
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..length]) {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

pub(crate) async fn a_server_that_is_silent_or_talks_nonsense_is_named<R: Runtime>() {
    let silent = stranger(|_| None);
    let nonsense = stranger(|question| Some(question.iter().take(2).copied().chain([0xff; 30]).collect()));
    let noise = stranger(|_| Some(vec![0x55; 3]));
    for (server, told) in [(silent, "no answer from"), (nonsense, "is of no use"), (noise, "no answer from")] {
        let mut config = asking("strangers", server);
        config.protocol.join_timeout = Duration::from_secs(1);
        config.dial_timeout = Duration::from_millis(500);
        let node = start::<R>(config).await;
        for address in [HOST, SEED] {
            let trouble = trouble(&node, address).await;
            assert!(trouble.contains(told) && trouble.contains(&server.to_string()), "{trouble}");
        }
        stop([node]).await;
    }
}

pub(crate) async fn a_server_that_is_silent_does_not_hide_one_that_answers<R: Runtime>() {
    let server = name_server();
    let seed = start::<R>(asking("second", server.address())).await;
    let node = start::<R>(quick("second").dns_servers([stranger(|_| None), server.address()])).await;
    within("the join", node.join([format!("{HOST}:{}", address_of(&seed).port())])).await.expect("the second answers");
    stop([seed, node]).await;
}
