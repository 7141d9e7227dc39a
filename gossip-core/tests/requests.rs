//! Requests: every one ends exactly once, whatever happens to it.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Config, Delivery, DropReason, MessageType, Refusal, ReplyToken, RequestError, RequestId, SendError};
use support::{Net, id, secs};

fn with(change: fn(&mut Config)) -> Config {
    let mut config = Config::lan("test");
    change(&mut config);
    config
}

fn kind() -> MessageType {
    MessageType::user(300).expect("a user type")
}

fn ask(net: &mut Net, who: usize, whom: u128, within: Duration) -> Result<RequestId, SendError> {
    let (now, deadline) = (net.now, net.now + within);
    let request = net.node(who).request(now, id(whom), kind(), Bytes::from_static(b"question"), deadline)?;
    net.settle(who);
    Ok(request)
}

/// The requests that came to a node.
fn asked(net: &Net, who: usize) -> Vec<ReplyToken> {
    let tokens = net.hosts[who].deliveries.iter().filter_map(|(_, delivery)| match delivery {
        Delivery::Request { token, .. } => Some(*token),
        _ => None,
    });
    tokens.collect()
}

/// How the requests of a node ended.
fn ends(net: &Net, who: usize) -> Vec<(RequestId, Result<Bytes, RequestError>)> {
    let ends = net.hosts[who].deliveries.iter().filter_map(|(_, delivery)| match delivery {
        Delivery::Answer { request, result, .. } => Some((*request, result.clone())),
        _ => None,
    });
    ends.collect()
}

fn reply(net: &mut Net, who: usize, token: ReplyToken, text: &'static str) -> Result<(), SendError> {
    let now = net.now;
    net.node(who).reply(now, token, Bytes::from_static(text.as_bytes()))?;
    net.settle(who);
    Ok(())
}

#[test]
fn an_answer_may_come_at_once_or_later_and_only_once() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let request = ask(&mut net, 0, 2, secs(5)).unwrap();
    net.run(Duration::from_millis(1));
    let token = asked(&net, 1)[0];
    net.run(secs(3));
    reply(&mut net, 1, token, "answer").unwrap();
    assert_eq!(reply(&mut net, 1, token, "again"), Err(SendError::RequestOver));
    net.run(secs(10));
    assert_eq!(ends(&net, 0), [(request, Ok(Bytes::from_static(b"answer")))]);
}

#[test]
fn every_refusal_arrives_as_what_it_is() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let long = "ß".repeat(1_000);
    let refusals =
        [Refusal::NoHandler, Refusal::Overloaded, Refusal::Rejected("no, because"), Refusal::Rejected(&long)];
    for refusal in refusals {
        ask(&mut net, 0, 2, secs(5)).unwrap();
        net.run(Duration::from_millis(1));
        let token = *asked(&net, 1).last().unwrap();
        let now = net.now;
        net.node(1).refuse(now, token, refusal).unwrap();
        assert_eq!(net.node(1).refuse(now, token, refusal), Err(SendError::RequestOver));
        net.settle(1);
        net.run(Duration::from_millis(1));
    }
    let errors: Vec<_> = ends(&net, 0).into_iter().map(|(_, result)| result.unwrap_err()).collect();
    let rejected = |text: &str| RequestError::Rejected(text.into());
    let expected =
        [RequestError::NoHandler, RequestError::Overloaded, rejected("no, because"), rejected(&"ß".repeat(512))];
    assert_eq!(errors, expected);
}

#[test]
fn silence_ends_at_the_deadline_and_a_late_answer_is_counted() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    net.latency = Duration::from_millis(20);
    let request = ask(&mut net, 0, 2, secs(2)).unwrap();
    net.run(Duration::from_millis(1_990));
    // The answer leaves in time and arrives too late.
    let token = asked(&net, 1)[0];
    reply(&mut net, 1, token, "late").unwrap();
    net.run(secs(1));
    assert_eq!(ends(&net, 0), [(request, Err(RequestError::Timeout))]);
    assert_eq!(net.stats(0).dropped(DropReason::LateAnswer), 1);
    let second = ask(&mut net, 0, 2, secs(1)).unwrap();
    net.run(secs(2));
    let token = asked(&net, 1)[1];
    assert_eq!(reply(&mut net, 1, token, "too late"), Err(SendError::RequestOver), "the side asked knows the deadline");
    assert_eq!(ends(&net, 0)[1], (second, Err(RequestError::Timeout)));
}

#[test]
fn a_dead_node_is_unreachable_at_once() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    net.kill(1);
    let request = ask(&mut net, 0, 2, secs(5)).unwrap();
    net.run(Duration::from_millis(10));
    assert_eq!(ends(&net, 0), [(request, Err(RequestError::Unreachable))]);
}

#[test]
fn what_was_not_sent_yet_survives_the_end_of_an_old_connection() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let (now, deadline) = (net.now, net.now + secs(1));
    let request = net.node(0).request(now, id(2), kind(), Bytes::new(), deadline).unwrap();
    net.node(0).handle_unreachable(now, &1);
    net.settle(0);
    net.run(Duration::from_millis(1));
    let token = asked(&net, 1)[0];
    reply(&mut net, 1, token, "here").unwrap();
    net.run(Duration::from_millis(1));
    assert_eq!(ends(&net, 0), [(request, Ok(Bytes::from_static(b"here")))]);
}

#[test]
fn a_cancelled_request_is_not_heard_of_again() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let request = ask(&mut net, 0, 2, secs(5)).unwrap();
    net.run(Duration::from_millis(1));
    let now = net.now;
    assert!(net.node(0).cancel(now, request));
    assert!(!net.node(0).cancel(now, request));
    let token = asked(&net, 1)[0];
    reply(&mut net, 1, token, "for nobody").unwrap();
    net.run(secs(10));
    assert!(ends(&net, 0).is_empty());
    assert_eq!(net.stats(0).dropped(DropReason::LateAnswer), 1);
}

#[test]
fn a_node_may_ask_itself() {
    let mut net = Net::cluster(1, &Config::lan("test"));
    let first = ask(&mut net, 0, 1, secs(5)).unwrap();
    let second = ask(&mut net, 0, 1, secs(1)).unwrap();
    let token = asked(&net, 0)[0];
    reply(&mut net, 0, token, "me").unwrap();
    net.run(secs(2));
    let expected = [(first, Ok(Bytes::from_static(b"me"))), (second, Err(RequestError::Timeout))];
    assert_eq!(ends(&net, 0), expected);
}

#[test]
fn deadlines_out_of_range_and_requests_over_the_limit_are_refused_at_once() {
    let config = with(|config| {
        config.max_requests = 3;
    });
    let mut net = Net::cluster(2, &config);
    for within in [Duration::ZERO, secs(3_601)] {
        assert_eq!(ask(&mut net, 0, 2, within), Err(SendError::Deadline));
    }
    net.hosts[0].reads = false;
    for _ in 0..3 {
        ask(&mut net, 0, 2, secs(1)).unwrap();
    }
    assert_eq!(ask(&mut net, 0, 2, secs(1)), Err(SendError::TooManyRequests { limit: 3 }));
    net.run(secs(2));
    let full = ask(&mut net, 0, 2, secs(1));
    assert_eq!(full, Err(SendError::TooManyRequests { limit: 3 }), "they have ended but nobody has read it");
    net.hosts[0].reads = true;
    net.settle(0);
    assert_eq!(ends(&net, 0).len(), 3);
    ask(&mut net, 0, 2, secs(1)).unwrap();
}

#[test]
fn a_node_with_too_much_to_do_says_so() {
    let config = with(|config| {
        config.max_requests = 4;
    });
    let mut net = Net::cluster(3, &config);
    for who in [0, 1] {
        for _ in 0..3 {
            ask(&mut net, who, 3, secs(5)).unwrap();
        }
    }
    net.run(Duration::from_millis(100));
    assert_eq!(asked(&net, 2).len(), 4);
    let ends: Vec<_> = ends(&net, 0).into_iter().chain(ends(&net, 1)).map(|(_, result)| result).collect();
    assert_eq!(ends, [Err(RequestError::Overloaded), Err(RequestError::Overloaded)]);
}

#[test]
fn leaving_ends_what_is_open_once_and_answers_still_arrive_meanwhile() {
    let mut net = Net::cluster(3, &Config::lan("test"));
    let (answered, open) = (ask(&mut net, 0, 2, secs(60)).unwrap(), ask(&mut net, 0, 3, secs(60)).unwrap());
    net.run(Duration::from_millis(10));
    net.datagrams_reach = |_, _| false;
    let now = net.now;
    net.node(0).leave(now).unwrap();
    net.settle(0);
    let token = asked(&net, 1)[0];
    reply(&mut net, 1, token, "in time").unwrap();
    net.run(secs(10));
    assert_eq!(ends(&net, 0), [(answered, Ok(Bytes::from_static(b"in time"))), (open, Err(RequestError::Left))]);
}

#[test]
fn thousands_under_way_each_get_their_own_answer() {
    let mut net = Net::cluster(2, &Config::lan("test"));
    let (now, deadline) = (net.now, net.now + secs(10));
    let mut sent = BTreeMap::new();
    for number in 0..10_000_u32 {
        let question = Bytes::copy_from_slice(&number.to_be_bytes());
        sent.insert(net.node(0).request(now, id(2), kind(), question, deadline).unwrap(), number);
    }
    net.settle(0);
    net.loss = 25;
    net.run(Duration::from_millis(1));
    let mut questions = Vec::new();
    for (_, delivery) in &net.hosts[1].deliveries {
        let Delivery::Request { token, payload, .. } = delivery else { panic!("{delivery:?}") };
        questions.push((*token, payload.clone()));
    }
    // Answered in another order than asked.
    questions.sort_by_key(|(_, payload)| payload[3]);
    let now = net.now;
    for (token, payload) in questions {
        net.node(1).reply(now, token, payload).unwrap();
    }
    net.settle(1);
    net.run(secs(20));
    let answers: BTreeMap<_, _> = ends(&net, 0).into_iter().collect();
    assert_eq!((answers.len(), ends(&net, 0).len()), (10_000, 10_000));
    assert!(sent.iter().all(|(request, number)| answers[request] == Ok(Bytes::copy_from_slice(&number.to_be_bytes()))));
}
