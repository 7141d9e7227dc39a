//! Agents as processes: they find each other, tell of themselves, leave, crash and come back.
#![cfg(unix)]

mod process;

use std::time::Duration;

use serde_json::json;

use process::{Agent, SOON, eventually, told};

#[test]
fn two_agents_find_each_other_and_list_both() {
    let first = Agent::start(&["--name", "first", "--tag", "web", "--tag", "eu"]);
    let second = first.companion(&["--name", "second"]);
    first.sees(&second.id, "alive", SOON);
    second.sees(&first.id, "alive", SOON);

    let row = eventually("the tags and the name arrive", SOON, || {
        let listed = second.json(&["members", "--tag", "web"]);
        listed.as_array().and_then(|rows| rows.first().cloned())
    });
    assert_eq!(row["id"], first.id);
    assert_eq!(row["name"], "first");
    assert_eq!(row["address"], first.address);
    assert_eq!(row["tags"], json!(["web", "eu"]));
    assert_eq!(row["metadata"], json!({ "name": "first" }));
    assert_eq!(second.json(&["meta", "get", "name", "--node", "first"]), "first");
    assert_eq!(second.json(&["members", "--state", "dead"]), json!([]));

    let (code, table, _) = told(&first.ask(&["members"]));
    assert_eq!(code, Some(0));
    assert!(table.starts_with("NAME") && table.lines().count() == 3, "{table}");
    assert!(table.contains("first *") && table.contains("second  "), "{table}");

    let (_, table, _) = told(&first.ask(&["members", "--meta"]));
    assert!(table.contains("VALUES") && table.contains("name=second"), "{table}");

    let info = first.json(&["info"]);
    assert_eq!(info["id"], first.id);
    assert_eq!(info["phase"], "active");
    assert_eq!(info["members"]["alive"], 2);
    assert!(info["counters"]["stream_messages_sent"].as_u64() > Some(0), "{info}");
}

#[test]
fn agents_without_datagrams_and_those_that_only_dial_are_members_too() {
    let first = Agent::start(&[]);
    let stream = first.companion(&["--stream-only"]);
    let hidden = [first.companion(&["--dial-only"]), first.companion(&["--dial-only", "--name", "hidden"])];
    assert!(stream.address.starts_with("tcp://127.0.0.1:"), "{}", stream.address);
    for agent in [&first, &stream, &hidden[0], &hidden[1]] {
        for other in [&first, &stream, &hidden[0], &hidden[1]] {
            agent.sees(&other.id, "alive", SOON);
        }
    }
    let info = hidden[1].json(&["info"]);
    assert_eq!((&info["address"], &info["bind"]), (&json!(format!("dial-only:{}", hidden[1].id)), &json!(null)));
    let (code, table, _) = told(&hidden[0].ask(&["members"]));
    assert_eq!(code, Some(0));
    assert!(table.contains("dial-only:") && table.contains("tcp://"), "{table}");
}

#[test]
fn metadata_set_on_one_is_read_on_the_other() {
    let first = Agent::start(&[]);
    let second = first.companion(&[]);
    second.sees(&first.id, "alive", SOON);

    let set = ["meta", "set", "role=web", "port=8080", "ready=true", "load=0.5", "version:=1.10"];
    assert_eq!(first.json(&set)["set"].as_array().map(Vec::len), Some(5));
    let expected = json!({"role": "web", "port": 8080, "ready": true, "load": 0.5, "version": "1.10"});
    eventually("the metadata arrives", SOON, || {
        (second.json(&["meta", "get", "--node", &first.id]) == expected).then_some(())
    });
    let (code, out, _) = told(&second.ask(&["meta", "get", "port", "--node", &first.id]));
    assert_eq!((code, out.as_str()), (Some(0), "8080\n"));

    assert_eq!(first.json(&["meta", "rm", "role", "nothing"])["removed"], json!(["role"]));
    eventually("the removal arrives", SOON, || {
        let code = second.ask(&["meta", "get", "role", "--node", &first.id]).status.code();
        (code == Some(1)).then_some(())
    });
}

#[test]
fn a_monitor_tells_of_the_others_leave_and_of_its_cause() {
    let first = Agent::start(&[]);
    let mut second = first.companion(&["--name", "second"]);
    first.sees(&second.id, "alive", SOON);
    let mut monitor = first.monitor();

    let (code, out, _) = told(&second.ask(&["leave"]));
    assert_eq!(code, Some(0));
    assert!(out.contains("acknowledged by 1;"), "{out}");
    assert_eq!(second.process.wait(SOON).code(), Some(0));
    let seen = monitor.wait_for("the leave", SOON, |event| event["state"] == "leaving");
    let last = seen.last().expect("the leave");
    assert_eq!((&last["event"], &last["id"]), (&json!("member"), &json!(second.id)));
    assert_eq!((&last["previous"], &last["cause"], &last["name"]), (&json!("alive"), &json!("left"), &json!("second")));

    // When the agent stops, its monitors end in good order.
    first.process.signal("-TERM");
    assert_eq!(monitor.process.wait(SOON).code(), Some(0));
}

#[test]
fn sigterm_leaves_first() {
    let first = Agent::start(&[]);
    let mut second = first.companion(&[]);
    first.sees(&second.id, "alive", SOON);
    second.process.signal("-TERM");
    assert_eq!(second.process.wait(SOON).code(), Some(0), "{}", second.process.log());
    first.sees(&second.id, "leaving", Duration::from_secs(2));
}

#[test]
fn a_second_signal_does_not_wait_for_the_leave() {
    let mut first = Agent::start(&[]);
    let second = first.companion(&[]);
    first.sees(&second.id, "alive", SOON);
    // Nobody acknowledges the leave.
    second.process.signal("-STOP");
    first.process.signal("-INT");
    eventually("it begins to leave", SOON, || first.process.log().contains("leaving the cluster").then_some(()));
    assert!(first.process.log().contains("for at most ") && first.process.log().contains("Ctrl-C again stops at once"));
    assert!(first.process.is_running());
    first.process.signal("-INT");
    assert_eq!(first.process.wait(Duration::from_secs(2)).code(), Some(1));
    assert!(first.process.log().ends_with("before the leave was complete\n"), "{}", first.process.log());
}

#[test]
fn a_node_that_is_killed_comes_back_under_its_id() {
    let first = Agent::start(&[]);
    let mut second = first.companion(&[]);
    first.sees(&second.id, "alive", SOON);
    let monitor = first.monitor();
    second.process.signal("-KILL");
    second.process.wait(SOON);
    monitor.wait_for("its death", SOON, |event| event["id"] == second.id.as_str() && event["state"] == "dead");

    let again = first.companion(&["--id", &second.id, "--bind", &second.address]);
    assert_eq!((&again.id, &again.address), (&second.id, &second.address));
    let seen =
        monitor.wait_for("its return", SOON, |event| event["id"] == second.id.as_str() && event["state"] == "alive");
    assert_eq!(seen.last().map(|event| &event["cause"]), Some(&json!("restarted")));
    again.sees(&first.id, "alive", SOON);
}

#[test]
fn a_dead_member_is_forgotten_by_everybody_and_a_live_one_is_not() {
    let first = Agent::start(&[]);
    let second = first.companion(&[]);
    let mut third = first.companion(&[]);
    first.sees(&third.id, "alive", SOON);
    second.sees(&third.id, "alive", SOON);
    let (code, _, err) = told(&first.ask(&["forget", &third.id]));
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("not dead"), "{err}");

    third.process.signal("-KILL");
    third.process.wait(SOON);
    first.sees(&third.id, "dead", SOON);
    second.sees(&third.id, "dead", SOON);
    assert_eq!(first.json(&["forget", &third.id])["forgotten"], third.id);
    for agent in [&first, &second] {
        eventually("it is forgotten", SOON, || agent.state_of(&third.id).is_none().then_some(()));
    }
}

#[test]
fn joining_on_request_works_and_says_why_when_it_does_not() {
    let first = Agent::start(&[]);
    let second = Agent::start(&[]);
    let report = second.json(&["join", &first.address]);
    assert_eq!(report["members"], 2);
    assert_eq!(report["attempts"][0]["accepted_by"], first.id);

    let stranger = Agent::start(&["--cluster", "another"]);
    let refused = [stranger.address.as_str(), "no-such-host.invalid:7979", second.address.as_str()];
    for address in refused {
        let (code, out, err) = told(&second.ask(&["join", address]));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{address}: {err}");
        assert!(err.contains(address) && err.lines().count() == 1, "{err}");
    }
}
