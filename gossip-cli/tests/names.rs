//! Agents find each other by names, as the system is configured to resolve them.
//!
//! The configuration is the test's own, and so is the DNS server at port 53: this program runs itself again in namespaces
//! for mounts and for the network. This takes `unshare`, `ip` and `mount`; where they are missing or namespaces are not
//! allowed, the test says that it is skipped.
#![cfg(target_os = "linux")]

mod process;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};
use std::{env, fs};

use gossip_behaviours::name_server::NameServer;
use process::{Agent, Folder, SOON, eventually, told};

/// Set where this program runs inside: the path of the file that is `/etc/resolv.conf` there.
const INSIDE: &str = "GOSSIP_TEST_RESOLV_CONF";
/// Sets the namespaces up, and runs what follows there.
const SET_UP: &str = "ip link set lo up && mount --bind \"$1\" /etc/resolv.conf && mount --bind \"$2\" /etc/hosts && \
                      shift 2 && exec \"$@\"";
const LONG: u32 = 3_600;

/// Runs a command where these files are those of the system.
fn inside(resolv_conf: &str, hosts: &str, command: &[&str]) -> Result<Output, String> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "--net", "sh", "-c", SET_UP, "sh", resolv_conf, hosts]);
    unshare.args(command).env(INSIDE, resolv_conf).output().map_err(|error| format!("unshare: {error}"))
}

#[test]
fn agents_find_each_other_by_the_names_of_the_system() {
    if let Ok(resolv_conf) = env::var(INSIDE) {
        find_each_other(&resolv_conf);
        return;
    }
    let folder = Folder::new("names");
    let resolv_conf = folder.write("resolv.conf", "nameserver 127.0.0.1\nsearch example.test\n");
    let hosts = folder.write("hosts", "127.0.0.1 localhost listed.test\n");
    let trial = inside(&resolv_conf, &hosts, &["true"]).and_then(|output| match told(&output) {
        (Some(0), ..) => Ok(()),
        (_, _, err) => Err(err),
    });
    if let Err(reason) = trial {
        // Not by a macro: what those print is only shown of tests that fail.
        let _ = writeln!(std::io::stderr(), "skipped, there are no namespaces: {}", reason.trim());
        return;
    }
    let this = env::current_exe().expect("this program has a path");
    let this = this.to_str().expect("a readable path");
    let test = "agents_find_each_other_by_the_names_of_the_system";
    let output = inside(&resolv_conf, &hosts, &[this, "--exact", test, "--nocapture"]).expect("it ran before");
    let (code, out, err) = told(&output);
    assert!(code == Some(0) && out.contains("1 passed"), "{out}{err}");
}

fn find_each_other(resolv_conf: &str) {
    let server = NameServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)));
    let first = Agent::start(&[]);
    let port = first.address.rsplit_once(':').expect("an address has a port").1;
    let number = port.parse().expect("it is a number");
    server.addresses("one.example.test", LONG, &[Ipv4Addr::LOCALHOST.into()]);
    server.services("_gossip._tcp.example.test", LONG, &[(1, 1, number, "one.example.test")]);
    // By a service, by a name that the search list completes, by the hosts file, and by an alias that is bound.
    server.alias("alias.example.test", LONG, "one.example.test");
    let found = [
        Agent::start(&["--join", "srv+_gossip._tcp.example.test"]),
        Agent::start(&["--join", &format!("one:{port}")]),
        Agent::start(&["--join", &format!("listed.test:{port}"), "--bind", "alias.example.test:0"]),
    ];
    for agent in &found {
        agent.sees(&first.id, "alive", SOON);
    }

    let web = Agent::start(&["--ws-listen", "ws://127.0.0.1:0/gossip", "--join", &first.address]);
    let url = web.process.line(SOON).expect("the agent says where it listens");
    let number = url.trim_end_matches("/gossip").rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    server.services("_web._tcp.example.test", LONG, &[(1, 1, number.expect("it has a port"), "one.example.test")]);
    let by_web = Agent::start(&["--join", "srv+ws://_web._tcp.example.test/gossip"]);
    by_web.sees(&web.id, "alive", SOON);

    server.services("_portless._tcp.example.test", LONG, &[(1, 1, 0, "one.example.test")]);
    for (name, parts) in [
        ("srv+_portless._tcp.example.test", ["_portless._tcp.example.test", "has port 0, where nobody can listen"]),
        ("srv+_other._tcp.example.test", ["_other._tcp.example.test", "no such name, says 127.0.0.1:53"]),
        ("nobody.example.test", ["nobody.example.test", "no such name, says 127.0.0.1:53"]),
        ("srv+one.example.test", ["one.example.test", "does not have an SRV record, says 127.0.0.1:53"]),
    ] {
        let (code, out, err) = told(&first.ask(&["join", name]));
        assert!(code != Some(0) && parts.iter().all(|part| err.contains(part)), "{name}: {out}{err}");
    }

    // The configuration is read anew each time. Without one that can be read the system goes on resolving names.
    fs::write(resolv_conf, "options timeout:1 attempts:1\n").expect("the file is the test's own");
    let alone = Agent::start(&["--join", &format!("listed.test:{port}"), "--join", "srv+_gossip._tcp.example.test"]);
    alone.sees(&first.id, "alive", SOON);
    for part in ["cannot read the DNS configuration of the system", "correct it (/etc/resolv.conf)"] {
        eventually(part, SOON, || alone.process.log().contains(part).then_some(()));
    }
}
