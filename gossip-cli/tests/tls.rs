//! Agents whose TCP connections are within TLS, and those that are kept out.

mod certificates;
mod process;

use certificates::Authority;
use process::{Agent, SOON, eventually, run, told};

/// Waits for a line of the agent's log that has all of these parts.
fn logs(agent: &Agent, parts: &[&str]) -> String {
    eventually(&format!("a line of the log with {parts:?}"), SOON, || {
        let log = agent.process.log();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(ToOwned::to_owned)
    })
}

#[test]
fn agents_with_certificates_meet_over_tls_and_one_without_is_kept_out() {
    let ours = Authority::new("ours");
    let identity = ours.signs("127.0.0.1", 2_100);
    let mutual = [&["--stream-only", "--tcp-tls", "--mutual-tls"][..], &identity.options(&ours)].concat();
    let first = Agent::start(&mutual);
    let second = first.companion(&mutual);
    let hidden = [&["--dial-only", "--tcp-tls"][..], &identity.options(&ours)].concat();
    let hidden = first.companion(&hidden);
    for (one, other) in [(&first, &second), (&second, &hidden), (&hidden, &second)] {
        one.sees(&other.id, "alive", SOON);
    }

    let bare = first.companion(&["--dial-only", "--tcp-tls", "--tls-ca", &ours.ca]);
    logs(&first, &["WARN", "the peer shows no certificate, which this node requires", "give the peer a certificate"]);
    let plain = first.companion(&["--stream-only"]);
    let foreign = Authority::new("theirs");
    let stranger = foreign.signs("127.0.0.1", 2_100);
    let stranger = [&["--stream-only", "--tcp-tls"][..], &stranger.options(&ours)].concat();
    let stranger = first.companion(&stranger);
    for (outsider, why) in [
        (&bare, "give this node a certificate that the peer trusts"),
        (&plain, "the peer speaks TLS, this node does not"),
        (&stranger, "the peer does not trust who signed this node's certificate"),
    ] {
        logs(outsider, &["WARN", "cannot join", &first.address, why]);
        assert_eq!(first.state_of(&outsider.id), None);
        assert_eq!(outsider.json(&["members"]).as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn a_certificate_for_a_name_is_expected_by_that_name() {
    let ours = Authority::new("named");
    let identity = ours.signs("node.example", 2_100);
    let named = [&["--tcp-tls", "--tls-name", "node.example"][..], &identity.options(&ours)].concat();
    let first = Agent::start(&named);
    let second = first.companion(&named);
    first.sees(&second.id, "alive", SOON);
    logs(&first, &["WARN", "TLS covers connections alone", "--key-file", "--stream-only"]);

    let strict = [&["--tcp-tls"][..], &identity.options(&ours)].concat();
    let strict = Agent::start(&strict);
    let (code, _, err) = told(&strict.ask(&["join", &first.address]));
    assert!(code == Some(1) && err.contains("node.example") && err.contains("set the server name"), "{err}");
}

#[test]
fn settings_of_tls_that_cannot_work_are_said_in_one_line() {
    let ours = Authority::new("settings");
    let identity = ours.signs("127.0.0.1", 2_100);
    let all = identity.options(&ours);
    let own = &all[..4];
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--tcp-tls"], &["--tcp-tls", "--tls-cert", "--dial-only"]),
        (&[&["--mutual-tls"], &all[..]].concat(), &["--mutual-tls", "--tcp-tls", "wss://"]),
        (&[&["--mutual-tls", "--tcp-tls"], own].concat(), &["--mutual-tls", "--tls-ca"]),
        (&["--tls-name", "not a name"], &["TLS: ", "not a name"]),
        (&["--tcp-tls", "--tls-cert", &identity.key, "--tls-key", &identity.key], &["certificate", &identity.key]),
    ];
    for (args, parts) in cases {
        let agent = ["agent", "--bind", "127.0.0.1:0", "--control", "none", "--log", "off"];
        let (code, out, err) = told(&run(&[&agent, args].concat()));
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 1), "{args:?}: {err}");
        assert!(parts.iter().all(|part| err.contains(part)), "{args:?}: {err}");
    }
}
