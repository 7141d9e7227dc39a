//! Services whose nodes are behind WebSocket: SRV records say where, and certificates are for the domain that was asked.

use std::net::Ipv4Addr;

use gossip_driver::{Config, Runtime};

use crate::harness::{converged, quick, start, stop, within};
use crate::name_server::NameServer;
use crate::weaving::{Authority, kept_out, port_of};

const SERVICE: &str = "_gossip._tcp.example.test";
const HOST: &str = "host.example.test";
const LONG: u32 = 3_600;

fn name_server() -> NameServer {
    let server = NameServer::start((Ipv4Addr::LOCALHOST, 0).into());
    server.addresses(HOST, LONG, &[Ipv4Addr::LOCALHOST.into()]);
    server
}

fn asking(server: &NameServer) -> Config {
    quick("offered").dns_servers([server.address()])
}

pub(crate) async fn a_service_leads_to_nodes_behind_websocket_at_its_path<R: Runtime>() {
    let server = name_server();
    let first = start::<R>(asking(&server).web_listen("ws://127.0.0.1:0/gossip").web_only(true)).await;
    server.services(SERVICE, LONG, &[(1, 1, port_of(&first).port(), HOST)]);
    let url = format!("srv+ws://{SERVICE}/gossip");
    let second = start(asking(&server)).await;
    let report = within("the join", second.join([url.as_str()])).await.expect("it is let in");
    let through = format!("ws://{HOST}:{}/gossip", port_of(&first).port());
    assert_eq!(report.accepted[0].address.to_string(), through);
    let third = start(asking(&server).web_listen("ws://127.0.0.1:0/gossip").web_only(true).seed(&url)).await;
    let nodes = [first, second, third];
    converged(&nodes).await;
    kept_out(&nodes[1], format!("srv+ws://{SERVICE}/elsewhere"), "status 404").await;
    stop(nodes).await;
}

pub(crate) async fn a_service_over_tls_is_proved_by_the_domain_that_was_asked<R: Runtime>() {
    let (server, authority) = (name_server(), Authority::new("ours"));
    let web = |names: &[&str]| {
        let tls = authority.valid_for(names);
        asking(&server).tls(tls).web_listen("wss://127.0.0.1:0/gossip").web_only(true)
    };
    let url = format!("srv+wss://{SERVICE}/gossip");
    let good = start::<R>(web(&["127.0.0.1", "example.test"])).await;
    server.services(SERVICE, LONG, &[(1, 1, port_of(&good).port(), HOST)]);
    let node = start::<R>(web(&["127.0.0.1", "example.test"]).seed(&url)).await;
    let nodes = [good, node];
    converged(&nodes).await;

    // Whoever forges an answer of DNS may well have a certificate for the host that it names.
    let forged = start::<R>(web(&["127.0.0.1", HOST])).await;
    server.services(SERVICE, LONG, &[(1, 1, port_of(&forged).port(), HOST)]);
    kept_out(&nodes[1], url, "\"example.test\"").await;
    stop(nodes).await;
    stop([forged]).await;
}
