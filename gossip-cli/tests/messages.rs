//! Messages between agents as a user sends, asks and hears them.
#![cfg(unix)]

mod process;

use serde_json::{Value as Json, json};

use process::{Agent, Folder, Monitor, Process, SOON, eventually, gossip, told};

/// Three agents that know each other, called a, b and c; b and c are of zone eu, b and a of the tag web.
fn trio() -> [Agent; 3] {
    let a = Agent::start(&["--name", "a", "--tag", "web"]);
    let b = a.companion(&["--name", "b", "--tag", "web", "--meta", "zone=eu", "--meta", "port=80"]);
    let c = a.companion(&["--name", "c", "--meta", "zone=eu"]);
    for agent in [&a, &b, &c] {
        eventually("all know the names of all", SOON, || {
            let members = agent.json(&["members", "--state", "alive"]);
            let names = members.as_array().expect("a list").iter().filter(|member| member["name"].is_string());
            (names.count() == 3).then_some(())
        });
    }
    [a, b, c]
}

/// The next message that a listener heard.
fn heard(listener: &Monitor) -> Json {
    listener.next(SOON).expect("something is heard")
}

#[test]
fn a_message_reaches_those_who_are_meant_and_nobody_else() {
    let [a, b, c] = trio();
    let (at_b, at_c) = (b.listen(&[]), c.listen(&["--type", "200", "--type", "201"]));
    let cases: [(&[&str], &str, u64); 7] = [
        (&["--to", "b", "200", "direct"], "message", 1),
        (&["--to", &b.id[..13], "--reliable", "200", "-1"], "message", 1),
        (&["--tag", "web", "200", "tagged"], "broadcast", 1),
        (&["--group", "zone=eu", "--group", "port=80", "200", "group"], "message", 1),
        (&["--group", "zone=~e", "--reliable", "201", "both"], "message", 2),
        (&["202", "only b listens for this type"], "broadcast", 2),
        (&["--all", "--reliable", "200", "all"], "broadcast", 2),
    ];
    for (args, event, members) in cases {
        let sent = a.json(&[&["send"], args].concat());
        assert_eq!((&sent["members"], &sent["failed"]), (&json!(members), &json!(0)), "{args:?}: {sent}");
        assert_eq!(sent["broadcast"].is_string(), event == "broadcast", "{args:?}: {sent}");
        let heard = heard(&at_b);
        assert_eq!((&heard["event"], &heard["payload"]), (&json!(event), &json!(args[args.len() - 1])), "{args:?}");
        assert_eq!((&heard["from"]["id"], &heard["from"]["name"]), (&json!(a.id), &json!("a")));
    }
    let at_c: Vec<Json> = (0..2).map(|_| heard(&at_c)["payload"].clone()).collect();
    assert_eq!(at_c, [json!("both"), json!("all")]);
}

#[test]
fn people_are_told_in_words() {
    let [a, b, c] = trio();
    let mut command = gossip();
    command.args(["listen", "--control", &b.control, "--type", "200", "--answer", "x\ty"]);
    let listener = Process::start(command);
    let line = || listener.line(SOON).expect("a line");
    assert!(line().ends_with(&format!("listening at b ({}) for messages and requests of type 200", b.id)));

    let says = |args: &[&str], expected: &str| {
        let (code, out, err) = told(&a.ask(args));
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""), "{args:?}");
    };
    says(&["send", "--to", "b", "200", "a\nb"], &format!("sent to b ({})\n", b.id));
    assert!(line().ends_with(&format!("a ({}) sends 200: a\\nb", a.id)));
    says(&["send", "--to", "b", "--reliable", "200", ""], &format!("confirmed by b ({})\n", b.id));
    assert!(line().ends_with("sends 200: (empty)"));
    says(&["send", "--tag", "web", "200", "t"], "broadcast to 1 member\n");
    assert!(line().ends_with(" broadcasts 200 to web: t"));
    says(&["send", "200", "\u{1b}[2J"], "broadcast to 2 members\n");
    assert!(line().ends_with(" broadcasts 200: 0x1b5b324a"));
    says(&["request", "--to", "b", "200", "q"], "x\ty\n");
    assert!(line().ends_with(" asks 200 (answered): q"));

    let (code, out, err) = told(&a.ask(&["request", "200", "q"]));
    assert_eq!((code, err.as_str()), (Some(1), "gossip: 1 of 2 did not answer\n"), "{out}");
    assert!(out.contains(&format!("b ({}): x\\ty\n", b.id)), "{out}");
    assert!(out.contains(&format!("c ({}): (nobody there handles this type)\n", c.id)), "{out}");
    assert!(out.lines().last().is_some_and(|last| last.starts_with("1 of 2 answered, in ")), "{out}");
}

#[test]
fn each_way_to_fail_has_its_words_and_its_code() {
    let alone = Agent::start(&["--tag", "here", "--meta", "k=v"]);
    let stranger = "ffffffff-ffff-7fff-8fff-ffffffffffff";
    let folder = Folder::new("payload");
    let large = folder.write("large", &"x".repeat(5 << 20));
    let large = format!("@{large}");
    for command in ["send", "request"] {
        let cases: [(&[&str], i32, &[&str]); 18] = [
            (&["127", "x"], 2, &["type 127 is reserved", "from 128"]),
            (&["0", "x"], 2, &["type 0 is reserved"]),
            (&["65536", "x"], 2, &["128 to 65535"]),
            (&["200"], 2, &["PAYLOAD"]),
            (&["200", "@/nonexistent/payload"], 2, &["/nonexistent/payload"]),
            (&["200", "@"], 2, &["without a name"]),
            (&["200", "@/dev/zero"], 2, &["/dev/zero", "67108864"]),
            (&["--to", &alone.id, "200", &large], 2, &["5242880 bytes", "the limit is 41947"]),
            (&["--to", stranger, "200", "x"], 2, &[stranger, "gossip members"]),
            (&["--to", "nobody", "200", "x"], 2, &["\"nobody\"", "gossip members"]),
            (&["--to", "n", "200", "x"], 2, &["\"n\"", "at least 4"]),
            (&["--to", "a", "--tag", "b", "200", "x"], 2, &["--to", "--tag"]),
            (&["--group", "novalue", "200", "x"], 2, &["novalue", "key=value"]),
            (&["--group", "=v", "200", "x"], 2, &["no key"]),
            (&["200", "x"], 4, &["no other live member", "gossip join"]),
            (&["--tag", "here", "200", "x"], 4, &["\"here\"", "no other live member"]),
            (&["--group", "k=v", "--group", "l=*", "200", "x"], 4, &["k=v l=*", "members --meta"]),
            (&["--all", "--control", "127.0.0.1:1", "200", "x"], 3, &["127.0.0.1:1", "gossip agent"]),
        ];
        for (args, code, parts) in cases {
            let control: &[&str] = if args.contains(&"--control") { &[] } else { &["--control", &alone.control] };
            let (found, out, err) = told(&process::run(&[&[command], args, control].concat()));
            assert_eq!((found, out.as_str(), err.lines().count()), (Some(code), "", 1), "{command} {args:?}: {err}");
            assert!(err.starts_with("gossip: ") && parts.iter().all(|part| err.contains(part)), "{args:?}: {err}");
        }
    }
    let cases: [(&[&str], &str); 5] = [
        (&["request", "--timeout", "0", "200", "x"], "1ms to 1h"),
        (&["request", "--timeout", "2h", "200", "x"], "1ms to 1h"),
        (&["request", "--raw", "200", "x"], "--to"),
        (&["listen", "--echo"], "--type"),
        (&["listen", "--type", "100"], "type 100 is reserved"),
    ];
    for (args, part) in cases {
        let (code, _, err) = told(&alone.ask(args));
        assert!(code == Some(2) && err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn a_request_that_nobody_handles_or_only_hears_is_refused() {
    let [a, b, _c] = trio();
    let refused = |part: &str| {
        let (code, out, err) = told(&a.ask(&["request", "--to", "b", "200", "x"]));
        assert_eq!((code, out.as_str()), (Some(6), ""), "{err}");
        assert!(err.starts_with(&format!("gossip: b ({}): ", b.id)) && err.contains(part), "{err}");
    };
    refused("nobody there handles this type (200); on that node 'gossip listen --type 200 --echo'");
    let _all = b.listen(&[]);
    refused("nobody there handles this type");
    let listener = b.listen(&["--type", "200"]);
    refused("rejected: a listener heard it, but nobody answers requests of type 200");
    let request = heard(&listener);
    assert_eq!((&request["event"], &request["answered"]), (&json!("request"), &json!(false)), "{request}");
    let (code, out, err) = told(&a.ask(&["request", "--tag", "web", "200", "x"]));
    assert_eq!(code, Some(6), "{err}");
    assert!(out.ends_with(" ms\n") && err.contains("the only one that was asked refused"), "{out}{err}");
}

#[test]
fn the_first_of_two_listeners_answers_until_it_is_gone() {
    let [a, b, _c] = trio();
    let observer = b.listen(&["--type", "200"]);
    let first = b.listen(&["--type", "200", "--answer", "first"]);
    let second = b.listen(&["--type", "200", "--echo"]);
    let answer = |expected: &str| {
        let (code, out, err) = told(&a.ask(&["request", "--to", "b", "200", "second"]));
        assert_eq!((code, out.as_str()), (Some(0), expected), "{err}");
    };
    answer("first\n");
    for (listener, answered) in [(&observer, false), (&first, true), (&second, false)] {
        let heard = heard(listener);
        assert_eq!((&heard["payload"], &heard["answered"]), (&json!("second"), &json!(answered)), "{heard}");
    }
    drop(first);
    eventually("the other one answers", SOON, || {
        (told(&a.ask(&["request", "--to", "b", "200", "second"])).1 == "second\n").then_some(())
    });
    drop((second, observer));
    eventually("nobody is left", SOON, || {
        let (code, _, err) = told(&a.ask(&["request", "--to", "b", "200", "x"]));
        (code == Some(6) && err.contains("nobody there handles")).then_some(())
    });
}

#[test]
fn bytes_of_any_kind_come_through_as_they_are() {
    let [a, b, _c] = trio();
    let listener = b.listen(&["--type", "200", "--echo"]);
    let all: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for bytes in [&all[..], b"", b"\n", b"\0", "zürich\r\n".as_bytes()] {
        let output = a.ask_with(&["request", "--to", "b", "--raw", "200", "-"], bytes);
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), bytes), "{}", told(&output).2);
        heard(&listener);
    }
    let folder = Folder::new("binary");
    let path = folder.file("bytes");
    std::fs::write(&path, [0, 0xff]).expect("a file can be written");
    let answer = a.json(&["request", "--to", "b", "200", &format!("@{path}")]);
    assert_eq!((&answer["answer"], &answer["codec"]), (&json!({ "bytes": "00ff" }), &json!("raw bytes")), "{answer}");
    assert_eq!(heard(&listener)["payload"], json!({ "bytes": "00ff" }));
    let limit = a.ask_with(&["send", "--to", "b", "--reliable", "200", "-"], &vec![b'x'; 4_193_741]);
    assert_eq!(limit.status.code(), Some(0), "{}", told(&limit).2);
    assert_eq!(heard(&listener)["payload"].as_str().map(str::len), Some(4_193_741));
}

#[test]
fn answers_are_told_as_they_come_and_who_is_silent_at_the_end() {
    let [a, b, c] = trio();
    let _echo = b.listen(&["--type", "200", "--echo"]);
    c.process.signal("-STOP");
    let (code, out, err) = told(&a.ask(&["request", "--to", "c", "--timeout", "200ms", "200", "x"]));
    assert_eq!((code, out.as_str()), (Some(5), ""), "{err}");
    assert!(err.contains(&c.id) && err.contains("no answer in time (200ms)"), "{err}");

    let mut command = gossip();
    command.args(["request", "--json", "--timeout", "2s", "200", "x", "--control", &a.control]);
    let mut asking = Process::start(command);
    let first = json_line(&asking);
    assert!(asking.is_running(), "the first answer does not wait for the others");
    assert_eq!((&first["name"], &first["answer"], &first["error"]), (&json!("b"), &json!("x"), &Json::Null), "{first}");
    let second = json_line(&asking);
    assert_eq!((&second["name"], &second["error"]["kind"]), (&json!("c"), &json!("timeout")), "{second}");
    let last = json_line(&asking);
    assert_eq!((&last["asked"], &last["answered"]), (&json!(2), &json!(1)), "{last}");
    assert!(last["ms"].as_f64().is_some_and(|ms| (2_000.0..15_000.0).contains(&ms)), "{last}");
    assert_eq!(asking.wait(SOON).code(), Some(1));
    eventually("why it failed", SOON, || (asking.log() == "gossip: 1 of 2 did not answer\n").then_some(()));
    c.process.signal("-CONT");
}

fn json_line(process: &Process) -> Json {
    serde_json::from_str(&process.line(SOON).expect("a line")).expect("JSON")
}

#[test]
fn a_target_that_is_killed_ends_the_request_and_is_not_asked_any_more() {
    let [a, _b, mut c] = trio();
    c.process.signal("-STOP");
    let mut command = gossip();
    command.args(["request", "--to", "c", "--timeout", "10m", "200", "x", "--control", &a.control]);
    let mut asking = Process::start(command);
    let sent = || a.json(&["info"])["sent"]["request"].as_u64();
    eventually("the request is on its way", SOON, || (sent() > Some(0)).then_some(()));
    c.process.signal("-KILL");
    c.process.wait(SOON);
    assert_eq!(asking.wait(SOON).code(), Some(5));
    let why = format!("gossip: c ({}): cannot be reached\n", c.id);
    eventually("why it failed", SOON, || (asking.log() == why).then_some(()));

    a.sees(&c.id, "dead", SOON);
    for command in [&["send", "--to", "c", "200", "x"][..], &["request", "--to", &c.id, "200", "x"]] {
        let (code, out, err) = told(&a.ask(command));
        assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
        assert!(err.contains("dead or has left"), "{err}");
    }
}

#[test]
fn a_listener_that_stops_reading_is_told_how_much_it_missed() {
    const MESSAGES: u64 = 80;
    let folder = Folder::new("slow");
    let config = folder.write("agent.toml", "[transport]\nmessage_queue = 8\n");
    let a = Agent::start(&[]);
    let b = a.companion(&["--config", &config]);
    a.sees(&b.id, "alive", SOON);
    let (slow, quick) = (b.listen(&[]), b.listen(&["--type", "201"]));
    slow.process.signal("-STOP");
    let megabyte = vec![b'x'; 1 << 20];
    for _ in 0..MESSAGES {
        let output = a.ask_with(&["send", "--to", &b.id, "--reliable", "200", "-"], &megabyte);
        assert_eq!(output.status.code(), Some(0), "a slow listener is nobody's business: {}", told(&output).2);
    }
    assert!(a.ask(&["send", "--to", &b.id, "--reliable", "201", "end"]).status.success());
    quick.wait_for("others hear at once", SOON, |heard| heard["payload"] == "end");
    slow.process.signal("-CONT");
    let (mut came, mut missed) = (0, 0);
    while came + missed < MESSAGES + 1 {
        let heard = heard(&slow);
        match heard["event"].as_str() {
            Some("message") => came += 1,
            Some("missed") => missed += heard["count"].as_u64().expect("a number"),
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(missed > 0 && came > 0, "{came} came, {missed} were missed");
    assert_eq!(came + missed, MESSAGES + 1, "every one is accounted for");
}

#[test]
fn what_an_answering_listener_misses_is_refused() {
    let a = Agent::start(&[]);
    let b = a.companion(&[]);
    a.sees(&b.id, "alive", SOON);
    let slow = b.listen(&["--type", "200", "--answer", "yes"]);
    slow.process.signal("-STOP");
    // Bytes that compression does not make fewer.
    let mut seed = 1_u64;
    let noise = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    let megabyte: Vec<u8> = (0..1 << 20).map(noise).collect();
    let mut answered = 0;
    let refusal = loop {
        assert!(answered < 60, "a listener holds more than its share");
        let output = a.ask_with(&["request", "--to", &b.id, "200", "-"], &megabyte);
        match told(&output) {
            (Some(0), out, _) if out == "yes\n" => answered += 1,
            other => break other,
        }
    };
    assert!(refusal.0 == Some(6) && refusal.2.contains("does not keep up"), "{refusal:?}");
    slow.process.signal("-CONT");
    let rows = slow.wait_for("word of what was missed", SOON, |heard| heard["event"] == "missed");
    let (missed, requests) = rows.split_last().expect("the word");
    assert_eq!(missed["count"], 1, "{missed}");
    assert!(requests.len() <= answered && requests.iter().all(|heard| heard["answered"] == true));
}

#[test]
fn a_listener_ends_in_good_order_with_its_agent() {
    let mut agent = Agent::start(&[]);
    let mut listener = agent.listen(&[]);
    let mut stopped = agent.listen(&["--type", "200"]);
    stopped.process.signal("-INT");
    assert_eq!(stopped.process.wait(SOON).code(), Some(0));
    agent.process.signal("-TERM");
    assert_eq!(agent.process.wait(SOON).code(), Some(0));
    assert_eq!(listener.process.wait(SOON).code(), Some(0), "{}", listener.process.log());
}

#[test]
fn completions_know_the_commands_of_messages() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = told(&process::run(&["completions", shell]));
        assert_eq!(code, Some(0));
        for word in ["send", "request", "listen", "reliable", "group", "echo", "answer", "raw"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
