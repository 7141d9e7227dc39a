//! A node that cannot start says what is wrong, where, and what to do.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use gossip_driver::{Cluster, Config, Runtime, StartError};

use crate::harness::{aside, quick, start, stop, within};

async fn refused<R: Runtime>(config: Config) -> StartError {
    within("the start of a node", Cluster::<R>::start(config)).await.expect_err("the node must not start")
}

pub(crate) async fn an_address_in_use_is_named_with_its_protocol<R: Runtime>() {
    let node = start::<R>(quick("used").bind(aside(1))).await;
    let error = refused::<R>(quick("used").bind(node.address().to_string())).await;
    assert!(
        matches!(error, StartError::AddressInUse { address, protocol: "TCP" } if address == node.bind_address().expect("it is bound"))
    );
    stop([node]).await;

    let udp = UdpSocket::bind(aside(1)).expect("a port is free");
    let taken = udp.local_addr().expect("it is bound");
    let error = refused::<R>(quick("used").bind(taken.to_string())).await;
    assert!(matches!(error, StartError::AddressInUse { address, protocol: "UDP" } if address == taken));
    let text = error.to_string();
    assert!(text.contains(&taken.to_string()) && text.contains("another port"), "{text}");
    assert!(TcpListener::bind(taken).is_ok(), "nothing is left behind");
}

pub(crate) async fn each_wrong_setting_is_named<R: Runtime>() {
    type Spoil = fn(Config) -> Config;
    let cases: [(Spoil, &str); 15] = [
        (|it| it.bind("nonsense:port"), "bind address"),
        (|it| it.bind("203.0.113.7:0"), "cannot bind TCP address 203.0.113.7:0"),
        (|it| it.bind("name.invalid:0"), "the bind address cannot be resolved: name.invalid"),
        (|it| it.advertise("a b"), "advertise address"),
        (|it| it.advertise("name.invalid"), "the advertise address cannot be resolved: name.invalid"),
        (|it| it.advertise("0.0.0.0"), "means all interfaces"),
        (|it| it.seed("ftp://name"), "seed: address \"ftp://name\": addresses of nodes do not begin with \"ftp://\""),
        (|it| it.seed("srv+name:80"), "seed: address \"srv+name:80\": expected srv+ and the name of a service"),
        (|it| it.bind("srv+name"), "bind address: address \"srv+name\": no socket can be bound to what begins with"),
        (|it| it.bind("ws://127.0.0.1/"), "bind address: address \"ws://127.0.0.1/\": no socket can be bound"),
        (|it| it.advertise("srv+name"), "advertise address: address \"srv+name\": a service stands for several"),
        (|it| it.dns_servers([([0; 4], 53).into()]), "dns_servers: is 0.0.0.0:53, expected the address"),
        (|it| it.dial_timeout(Duration::ZERO), "dial_timeout"),
        (|it| it.protocol(|protocol| protocol.cluster.clear()), "cluster"),
        (|it| it.metadata("", 1_i64), "metadata \"\""),
    ];
    for (spoil, expected) in cases {
        let text = refused::<R>(spoil(quick("x"))).await.to_string();
        assert!(text.contains(expected), "{text:?} does not say {expected:?}");
    }
}

pub(crate) async fn all_interfaces_are_never_advertised<R: Runtime>() {
    match Cluster::<R>::start(quick("any").bind("0.0.0.0:0")).await {
        Ok(node) => {
            assert!(node.bind_address().expect("it is bound").ip().is_unspecified());
            let advertised = node.address().socket_address().expect("it is bound to sockets");
            assert!(!advertised.ip().is_unspecified() && !advertised.ip().is_loopback());
            assert_eq!(advertised.port(), node.bind_address().expect("it is bound").port());
            stop([node]).await;
        }
        Err(error) => assert!(matches!(error, StartError::NotRoutable { .. }), "{error}"),
    }
}

pub(crate) async fn an_advertised_address_without_a_port_has_the_bound_one<R: Runtime>() {
    let node = start::<R>(quick("advertised").advertise("192.0.2.1")).await;
    assert_eq!(node.address().to_string(), format!("192.0.2.1:{}", node.bind_address().expect("it is bound").port()));
    stop([node]).await;
    let node = start::<R>(quick("advertised").advertise("192.0.2.1:80")).await;
    assert_eq!(node.address().to_string(), "192.0.2.1:80");
    stop([node]).await;
}
