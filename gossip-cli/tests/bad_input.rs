//! What cannot work is refused with one clear line and an exit code.

mod process;

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use process::{Agent, Folder, SOON, eventually, gossip, run, told};

/// Runs the command; it must fail with this code and one line on stderr that contains all parts.
fn refused(args: &[&str], code: i32, parts: &[&str]) {
    let (found, out, err) = told(&run(args));
    assert_eq!(found, Some(code), "{args:?}: {out}{err}");
    assert_eq!((out.as_str(), err.lines().count()), ("", 1), "{args:?}: {out}{err}");
    assert!(err.starts_with("gossip: ") && parts.iter().all(|part| err.contains(part)), "{args:?}: {parts:?}: {err}");
}

#[test]
fn each_mistake_on_the_command_line_is_named() {
    let long = "x".repeat(65);
    let many: Vec<String> = (0..65).map(|number| format!("--tag=t{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long_key = format!("{}=1", "x".repeat(256));
    let large = format!("big={}", "x".repeat(70_000));
    let agent = ["agent", "--bind", "127.0.0.1:0", "--control", "none"];
    let cases: [(&[&str], &[&str]); 21] = [
        (&["--id", "0192"], &["0192", "--id", "UUID"]),
        (&["--tag", &long], &["--tag", "65 bytes", "1 to 64"]),
        (&many, &["--tag", "65 tags", "at most 64"]),
        (&["--tag", "a,b"], &["--tag", "a,b", "comma", "once for each"]),
        (&["--tag", ""], &["--tag", "0 bytes"]),
        (&["--meta", &long_key], &["--meta", "256", "255"]),
        (&["--meta", "n=99999999999999999999"], &["--meta", "64 bits", "n:=99999999999999999999"]),
        (&["--meta", "novalue"], &["novalue", "KEY=VALUE"]),
        (&["--meta", "a=1", "--meta", "a=2"], &["\"a\"", "twice"]),
        (&["--meta", &large], &["metadata", "65536"]),
        (&["--join", "ftp://seed.example"], &["--join", "do not begin with \"ftp://\"", "write host:port"]),
        (&["--join", "srv+seed.example:80"], &["--join", "name of a service", "srv+_gossip._tcp.example"]),
        (&["--advertise", "srv+seed.example"], &["--advertise", "several nodes", "of this one"]),
        (&["--join", "host:port"], &["--join", "host:port", "65535"]),
        (&["--advertise", "a b"], &["--advertise", "a b"]),
        (&["--cluster", ""], &["cluster (its length in bytes): 0", "1 to 255"]),
        (&["--name", ""], &["--name", "empty"]),
        (&["--log", "loud=="], &["--log", "loud=="]),
        (&["--log", "nonsense"], &["--log", "nonsense", "error, warn, info", "TARGET=LEVEL"]),
        (&["--preset", "moon"], &["moon", "lan, wan, local"]),
        (&["--name", "a", "--meta", "name=b"], &["name", "--name", "--meta"]),
    ];
    for (more, parts) in cases {
        refused(&[&agent, more].concat(), 2, parts);
    }
    // What cannot start is not printed as a configuration.
    refused(&[&agent[..], &["--tag", &long, "--print-config"]].concat(), 2, &["--tag", "1 to 64"]);
    refused(&["agent"], 2, &["--bind"]);
    refused(&["agent", "--bind", "nonsense:port"], 2, &["--bind", "nonsense:port"]);
    for (address, part) in [
        ("ws://127.0.0.1:0/gossip", "--ws-listen"),
        ("wss://127.0.0.1:0/", "--ws-listen"),
        ("tcp://127.0.0.1:0", "--stream-only"),
        ("srv+_gossip._tcp.example", "--join"),
        ("srv+ws://_gossip._tcp.example", "--join"),
        ("dial-only:0192f0c1-2345-7abc-8def-0123456789ab", "--dial-only"),
        ("ftp://127.0.0.1", "write ip:port"),
    ] {
        refused(&["agent", "--bind", address], 2, &["--bind", address, "no socket can be bound", part]);
    }
    let unheard = ["agent", "--bind", "127.0.0.1:0", "--advertise", "ws://node.example/gossip"];
    refused(&unheard, 2, &["--advertise", "ws://node.example/gossip", "listen nowhere", "--ws-listen"]);
    let unbound = [&unheard[..], &["--ws-listen", "ws://127.0.0.1:0/gossip"]].concat();
    refused(&unbound, 2, &["--advertise", "ws://node.example/gossip", "leave out --bind", "--ws-advertise"]);
    refused(&["agent", "--bind", "127.0.0.1:0", "--control", "192.168.0.1:7980"], 2, &["192.168.0.1:7980", "loopback"]);
    refused(&["agent", "--bind", "127.0.0.1:0", "--control", "[::]:7980"], 2, &["[::]:7980", "loopback"]);
    refused(&["demo", "--nodes", "1"], 2, &["--nodes", "2..=200"]);
    refused(&["demo", "--nodes", "201"], 2, &["--nodes", "2..=200"]);
    refused(&["members", "--control", "10.0.0.1:1"], 2, &["10.0.0.1:1", "loopback"]);
    refused(&["frobnicate"], 2, &["frobnicate"]);
    refused(&["meta", "set", "a=1", "a=2"], 2, &["twice"]);
}

#[test]
fn a_mistake_in_the_configuration_file_is_named_with_file_and_line() {
    let folder = Folder::new("bad-config");
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "unknown.toml",
            "cluster = \"x\"\n[protocol]\nprobe_intervall = \"1s\"\n",
            &[":3:", "probe_intervall", "probe_interval`"],
        ),
        ("time.toml", "[protocol]\nprobe_interval = \"soon\"\n", &[":2:", "soon", "500ms"]),
        ("syntax.toml", "cluster = \n", &[":1:"]),
        ("range.toml", "[protocol]\nindirect_probes = 99\n", &["indirect_probes", "99", "16"]),
        ("control.toml", "control = \"1.2.3.4:1\"\n", &[":1:", "loopback"]),
    ];
    for (name, text, parts) in cases {
        let path = folder.write(name, text);
        refused(&["agent", "--bind", "127.0.0.1:0", "--config", &path], 2, parts);
    }
    refused(&["agent", "--bind", "127.0.0.1:0", "--config", "/dev/zero"], 2, &["/dev/zero", "larger than"]);
    let missing = folder.file("missing.toml");
    refused(&["agent", "--bind", "127.0.0.1:0", "--config", &missing], 2, &["missing.toml"]);
}

#[test]
fn an_address_in_use_is_named() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = tcp.local_addr().expect("bound").to_string();
    refused(&["agent", "--bind", "127.0.0.1:0", "--control", &taken], 1, &[&taken, "in use", "--control"]);
    refused(&["agent", "--bind", &taken, "--control", "none"], 1, &[&taken, "in use"]);
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let taken = udp.local_addr().expect("bound").to_string();
    refused(&["agent", "--bind", &taken, "--control", "none"], 1, &[&taken, "in use"]);
}

#[test]
fn an_agent_that_is_not_there_is_told_from_other_failures() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    refused(&["members", "--control", &free.to_string()], 3, &[&free.to_string(), "gossip agent"]);
    #[cfg(unix)]
    refused(&["info", "--control", "unix:/nonexistent/gossip.sock"], 3, &["/nonexistent/gossip.sock"]);
    let (code, _, err) = told(&gossip().arg("info").env("GOSSIP_CONTROL", free.to_string()).output().expect("it runs"));
    assert_eq!(code, Some(3));
    assert!(err.contains(&free.to_string()), "{err}");
    refused(&["members", "--control", ""], 2, &["control address"]);
}

#[test]
fn a_gossip_port_in_the_place_of_a_control_address_is_guessed() {
    let agent = Agent::start(&[]);
    refused(&["members", "--control", &agent.address], 3, &[&agent.address, "where an agent gossips", "--control"]);
}

#[test]
fn a_control_variable_set_to_nothing_counts_as_not_set() {
    let (code, _, err) = told(&gossip().arg("info").env("GOSSIP_CONTROL", "").output().expect("it runs"));
    assert_ne!(code, Some(2), "{err}");
}

#[test]
fn a_seed_that_cannot_be_resolved_is_complained_of_once_and_retried() {
    let mut agent = Agent::start(&["--join", "no-such-host.invalid:7979"]);
    let complaints = |log: &str| log.lines().filter(|line| line.contains("no-such-host.invalid")).count();
    eventually("a complaint", SOON, || (complaints(&agent.process.log()) > 0).then_some(()));
    eventually("another attempt", Duration::from_mins(1), || {
        (agent.json(&["info"])["counters"]["resolve_failures"].as_u64() > Some(1)).then_some(())
    });
    assert_eq!(complaints(&agent.process.log()), 1, "{}", agent.process.log());
    assert!(agent.process.is_running());
}

#[test]
fn only_a_seed_is_said_to_be_retried_for_ever() {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (seed, other) = (free().to_string(), free().to_string());
    let agent = Agent::start(&["--join", &seed]);
    refused(&["join", &other, "--control", &agent.control], 1, &[&other]);
    for (address, is_seed) in [(&seed, true), (&other, false)] {
        let line = eventually("a line of the log", SOON, || {
            let log = agent.process.log();
            log.lines().find(|line| line.contains("cannot join") && line.contains(address)).map(ToOwned::to_owned)
        });
        assert_eq!(line.contains("retried for ever"), is_seed, "{line}");
    }
}

#[test]
fn wrong_requests_of_clients_are_refused() {
    let agent = Agent::start(&[]);
    let stranger = "ffffffff-ffff-7fff-8fff-ffffffffffff";
    let large = format!("big={}", "x".repeat(70_000));
    let cases: [(&[&str], i32, &str); 6] = [
        (&["forget", "019"], 2, "at least 4"),
        (&["forget", "ffffffff"], 2, "no member"),
        (&["forget", stranger], 1, "no member"),
        (&["meta", "get", "--node", stranger], 1, stranger),
        (&["meta", "get", "nothing"], 1, "nothing"),
        (&["meta", "set", &large], 1, "65536"),
    ];
    for (args, code, part) in cases {
        refused(&[args, &["--control", &agent.control]].concat(), code, &[part]);
    }
    refused(&["join", "host:port", "--control", &agent.control], 2, &["host:port"]);
}
