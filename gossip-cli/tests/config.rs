//! The configuration file: what is printed can be read, and the command line wins.

mod process;

use process::{Agent, Folder, run, told};

fn printed(args: &[&str]) -> String {
    let (code, out, err) = told(&run(&[&["agent", "--print-config"], args].concat()));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{args:?}");
    out
}

#[test]
fn a_printed_configuration_reads_back_as_the_same() {
    let folder = Folder::new("round-trip");
    let first = printed(&[
        "--bind",
        "127.0.0.1:7000",
        "--cluster",
        "prod",
        "--id",
        "0192f0c1-2345-7abc-8def-0123456789ab",
        "--advertise",
        "node.example:7001",
        "--join",
        "seed-1.example",
        "--join",
        "[::1]:7000",
        "--name",
        "web-1",
        "--tag",
        "web",
        "--meta",
        "port=80",
        "--meta",
        "load=0.5",
        "--meta",
        "ready=true",
        "--meta",
        "zone=eu",
        "--control",
        "unix:/tmp/x.sock",
        "--preset",
        "wan",
        "--log",
        "debug",
    ]);
    let path = folder.write("gossip.toml", &first);
    assert_eq!(printed(&["--config", &path]), first);
    for part in ["probe_interval = \"5s\"", "dial_timeout = \"6s\"", "bind = \"127.0.0.1:7000\"", "port = 80"] {
        assert!(first.contains(part), "{part}: {first}");
    }
}

#[test]
fn the_command_line_wins_over_the_file() {
    let folder = Folder::new("wins");
    let file = "bind = \"127.0.0.1:7000\"\ncluster = \"file\"\njoin = [\"a\", \"b\"]\npreset = \"wan\"\n\
                [meta]\nzone = \"file\"\nrack = 7\n[protocol]\nprobe_interval = \"3s\"\n";
    let path = folder.write("gossip.toml", file);
    let text =
        printed(&["--config", &path, "--cluster", "line", "--join", "c", "--meta", "zone=line", "--preset", "lan"]);
    for part in [
        "cluster = \"line\"",
        "join = [\"c\"]",
        "zone = \"line\"",
        "rack = 7",
        "preset = \"lan\"",
        "bind = \"127.0.0.1:7000\"",
        "probe_interval = \"3s\"",
        "probe_timeout = \"500ms\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_printed_configuration_still_follows_the_preset() {
    let folder = Folder::new("follows");
    let file = folder.write("some.toml", "bind = \"127.0.0.1:7000\"\n[protocol]\nindirect_probes = 2\n");
    let text = printed(&["--config", &file, "--preset", "lan"]);
    assert!(text.lines().any(|line| line == "# probe_interval = \"1s\""), "{text}");
    assert!(text.lines().any(|line| line == "indirect_probes = 2"), "{text}");
    let path = folder.write("gossip.toml", &text);
    let text = printed(&["--config", &path, "--preset", "wan"]);
    assert!(text.contains("probe_interval = \"5s\"") && text.contains("\nindirect_probes = 2"), "{text}");
}

#[test]
fn an_agent_runs_by_its_file() {
    let folder = Folder::new("by-file");
    let path = folder.write("gossip.toml", "name = \"filed\"\ntag = [\"t\"]\n[meta]\nrack = 7\n");
    let agent = Agent::start(&["--config", &path]);
    let members = agent.json(&["members"]);
    assert_eq!((&members[0]["name"], &members[0]["tags"][0]), (&"filed".into(), &"t".into()), "{members}");
    assert_eq!(agent.json(&["meta", "get", "rack"]), 7);
}
