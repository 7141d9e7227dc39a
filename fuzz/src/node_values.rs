//! What one node is given by its application is what another one shows: tags, metadata, messages, broadcasts,
//! questions and answers, of any content, with a key and without.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use gossip_core::{
    BroadcastOptions, Delivery, Epoch, Identity, Key, KeyRing, MessageType, Node, Reliability, Value as Stored,
};

use crate::host::{Host, node_id, small};
use crate::pair::{Pair, address};
use crate::wire::{Id, Value};

#[derive(Arbitrary, Debug)]
struct Input {
    has_key: bool,
    tags: Vec<String>,
    entries: Vec<(String, Value)>,
    later: Vec<(String, Option<Value>)>,
    words: Vec<Word>,
}

#[derive(Arbitrary, Debug)]
struct Word {
    by: bool,
    kind: u16,
    payload: Vec<u8>,
    repeat: u8,
    how: How,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum How {
    Send { reliable: bool },
    Broadcast { reliable: bool, ordered: bool },
    Ask,
}

/// Lets the first node say all that is in the input, and the second one show it.
pub fn node_values(data: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(data)) else { return };
    let config = || {
        let mut config = small();
        config.keys = input.has_key.then(|| KeyRing::new(Key::new(&[1; 32])));
        config
    };
    let identity = Identity::new(node_id(Id(1)), address(0), Epoch::from_u64(5)).with_tags(input.tags.iter());
    let is_fit = input.tags.len() <= 64 && input.tags.iter().all(|tag| (1..=64).contains(&tag.len()));
    let node = Node::new(identity, config(), [1; 32], gossip_core::Instant::ZERO);
    assert_eq!(node.is_ok(), is_fit, "tags are within their limits");
    let Ok(node) = node else { return };
    let mut pair = Pair { hosts: [Host::around(node), Host::start(2, config())], seen: Vec::new() };
    let mut own = BTreeMap::new();
    for (key, value) in input.entries {
        change(&mut pair.hosts[0], &mut own, key, Some(value));
    }
    pair.join();
    for (key, value) in input.later {
        change(&mut pair.hosts[0], &mut own, key, value);
    }
    pair.rest();
    let shown = pair.hosts[1].node.member(node_id(Id(1))).expect("it joined there");
    assert!(shown.tags.iter().eq(&input.tags), "{:?}", shown.tags);
    let metadata: BTreeMap<_, _> =
        shown.metadata.iter().map(|(key, value)| (key.to_owned(), modelled(value))).collect();
    assert_eq!(metadata, own);
    for word in input.words.into_iter().take(16) {
        say(&mut pair, &word);
    }
    for host in &mut pair.hosts {
        host.check();
        assert!(host.asked.is_empty(), "questions end");
    }
}

fn change(host: &mut Host, own: &mut BTreeMap<String, Value>, key: String, value: Option<Value>) {
    let Some(value) = value else {
        let removed = host.act(|node, now| node.remove_metadata(now, &key));
        assert_eq!(removed, Ok(own.remove(&key).is_some()));
        return;
    };
    if host.act(|node, now| node.set_metadata(now, &key, stored(&value))).is_ok() {
        own.insert(key, value);
    }
}

fn say(pair: &mut Pair, word: &Word) {
    let by = usize::from(word.by);
    let (from, to) = (node_id(Id(by as u128 + 1)), node_id(Id(2 - by as u128)));
    let Ok(kind) = MessageType::user(word.kind) else { return };
    let content = Bytes::from(word.payload.repeat(usize::from(word.repeat).max(1)));
    let payload = content.clone();
    let host = &mut pair.hosts[by];
    let deadline = host.now + std::time::Duration::from_secs(5);
    let said = match word.how {
        How::Send { reliable } => {
            let reliability = if reliable { Reliability::Reliable } else { Reliability::BestEffort };
            host.act(|node, now| node.send(now, to, kind, payload, reliability)).map(|id| host.asked.extend(id))
        }
        How::Broadcast { reliable, ordered } => {
            let options = BroadcastOptions { tag: None, reliable, ordered };
            host.act(|node, now| node.broadcast(now, kind, payload, options)).map(|_| ())
        }
        How::Ask => host.act(|node, now| node.request(now, to, kind, payload, deadline)).map(|id| host.asked.push(id)),
    };
    if said.is_err() {
        return;
    }
    let heard = pair.hear();
    let matches = |delivery: &Delivery| match delivery {
        Delivery::Message { from: teller, kind: about, payload } => {
            (*teller, *about, payload) == (from, kind, &content)
        }
        Delivery::Broadcast { id, kind: about, payload, .. } => (id.origin, *about, payload) == (from, kind, &content),
        Delivery::Request { from: asker, kind: about, payload, .. } => {
            (*asker, *about, payload) == (from, kind, &content)
        }
        _ => false,
    };
    let [at_teller, at_other] = if by == 0 { [&heard[0], &heard[1]] } else { [&heard[1], &heard[0]] };
    assert!(at_other.len() == 1 && matches(&at_other[0]), "{at_other:?}");
    match (&word.how, at_teller.as_slice()) {
        (How::Ask, []) => answer(pair, 1 - by, &content),
        (How::Send { reliable: true }, [Delivery::Delivered { by, .. }]) if *by == to => {}
        (How::Send { reliable: false } | How::Broadcast { .. }, []) => {}
        (how, other) => panic!("{how:?} ends in {other:?}"),
    }
}

/// Answers the question that came last with what was asked.
fn answer(pair: &mut Pair, by: usize, content: &Bytes) {
    let host = &mut pair.hosts[by];
    let token = host.tokens.pop().expect("it was asked");
    host.act(|node, now| node.reply(now, token, content.clone())).expect("there is room for what came");
    let heard = pair.hear();
    let is_it =
        |delivery: &Delivery| matches!(delivery, Delivery::Answer { result: Ok(answer), .. } if answer == content);
    assert!(heard[1 - by].len() == 1 && heard[1 - by].iter().all(is_it), "{heard:?}");
}

fn stored(value: &Value) -> Stored {
    match value.clone() {
        Value::Bool(value) => Stored::Bool(value),
        Value::Integer(value) => Stored::Int(value),
        Value::Float(bytes) => Stored::Float(f64::from_le_bytes(bytes)),
        Value::Text(value) => Stored::String(value),
        Value::Time(value) => Stored::Time(value),
        Value::Bytes(value) => Stored::Bytes(value),
    }
}

fn modelled(value: &Stored) -> Value {
    match value.clone() {
        Stored::Bool(value) => Value::Bool(value),
        Stored::Int(value) => Value::Integer(value),
        Stored::Float(value) => Value::Float(value.to_le_bytes()),
        Stored::String(value) => Value::Text(value),
        Stored::Time(value) => Value::Time(value),
        Stored::Bytes(value) => Value::Bytes(value),
    }
}
