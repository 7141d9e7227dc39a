//! Messages about locks from those who should not send them: dropped, and memory is bounded.

mod support;

use std::time::Duration;

use bytes::BytesMut;
use gossip_core::{Delay, DropReason, Epoch, LockConfig, LockError, MessageKind};
use serde::Serialize;
use support::forge::{claim, packet, wire};
use support::locking::{
    CHIEF, KEY, POOL, acquire, end, get, holds, late, leader, locking, lost, next_leader, remembered_by, status,
    trying, waiting,
};
use support::{Addr, Net, secs};

const LOCK: u8 = 26;

type Voter = ([u8; 16], [u8; 8]);
type Term = (u64, Voter);

/// Of all nodes here: they were started in the first second.
fn epoch() -> u64 {
    Epoch::new(1_000, 0).as_u64()
}

fn term(number: u64, candidate: u128) -> Term {
    (number, (candidate.to_be_bytes(), epoch().to_be_bytes()))
}

/// The mark of the pool, as a node writes it.
fn mark(net: &mut Net, who: Addr) -> Vec<u8> {
    let now = net.now;
    let mut buffer = BytesMut::new();
    net.settle(who);
    net.node(who).query_lock(now, POOL, "another", secs(1)).expect("it can be asked");
    while net.node(who).poll_transmit(now, &mut buffer).is_some() {
        let packet = buffer.split();
        if packet[40] == LOCK {
            return packet[42..50].to_vec();
        }
    }
    panic!("it asks the leader");
}

/// What a node sends about locks after it was told this by another one.
fn tell(net: &mut Net, who: Addr, by: u128, mark: &[u8], say: &impl Serialize) -> Vec<Vec<u8>> {
    let now = net.now;
    let message = [mark, &wire(say)].concat();
    let from = usize::try_from(by).expect("small") - 1;
    let mut bytes = packet(by, epoch(), &[(LOCK, message)]);
    net.node(who).handle_message(now, from, &mut bytes);
    let mut sent = Vec::new();
    let mut buffer = BytesMut::new();
    while net.node(who).poll_transmit(now, &mut buffer).is_some() {
        sent.push(buffer.split().to_vec());
    }
    sent.retain(|packet| packet[40] == LOCK);
    sent
}

/// A record of a lock that a member holds, written in this term.
fn record(key: &str, written: Term, count: u64, holder: u128) -> Vec<u8> {
    let life = term(0, holder).1;
    wire(&(key, (written, count), 5_000_000_u64, (0_u32, (life, 1_u64), (written, count))))
}

/// Number and stamp of the question for a lock, as a node writes it.
fn question(net: &mut Net, who: Addr) -> (u64, u64) {
    let now = net.now;
    net.settle(who);
    net.node(who).acquire_lock(now, POOL, KEY, waiting()).expect("it can be asked for");
    let mut buffer = BytesMut::new();
    net.node(who).poll_transmit(now, &mut buffer).expect("it asks the leader");
    assert_eq!(buffer[40], LOCK);
    let (say, _) = postcard::take_from_bytes::<(u32, Term, u64, u64, u64)>(&buffer[50..]).expect("a question");
    (say.2, say.4)
}

#[test]
fn a_grant_that_the_leader_did_not_give_is_none() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let (one, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let mark = mark(&mut net, one);
    net.pause(leader);
    let (op, stamp) = question(&mut net, one);
    let before = net.stats(one).dropped(DropReason::LateAnswer);
    let granted = |op: u64, stamp: u64, by: u128| (1_u32, op, stamp, (0_u32, term(99, by), 1_u64));
    let (other, leader) = (other as u128 + 1, leader as u128 + 1);
    // By another member, to no question, and by the leader with a stamp from before or after its question.
    for (op, stamp, by) in
        [(op, stamp, other), (op + 1, stamp, leader), (op, stamp - 1, leader), (op, 0, leader), (op, u64::MAX, leader)]
    {
        tell(&mut net, one, by, &mark, &granted(op, stamp, by));
    }
    assert_eq!(net.stats(one).dropped(DropReason::LateAnswer), before + 5);
    assert_eq!(holds(&net, one), None);
    tell(&mut net, one, leader, &mark, &granted(op, stamp, leader));
    assert!(holds(&net, one).is_some(), "this is what it waits for");
}

/// What a member says of another one's start, or of its own.
fn tell_of_start(net: &mut Net, who: Addr, by: u128, of: u128, start: u64) {
    let now = net.now;
    let address = usize::try_from(of).expect("small") - 1;
    let mut bytes = packet(by, epoch(), &[claim(of, (start, 0), 0, address, 0, 0)]);
    net.node(who).handle_datagram(now, usize::try_from(by).expect("small") - 1, &mut bytes);
}

/// It may be the start that came before, by a clock that was set back since.
#[test]
fn word_of_a_later_start_by_others_does_not_free_a_lock() {
    let (mut net, chief) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    get(&mut net, one, waiting());
    net.pause(one);
    tell_of_start(&mut net, chief, other as u128 + 1, one as u128 + 1, epoch() + (5 << 22));
    net.settle(chief);
    assert_eq!(
        net.node(chief).member(support::id(one as u128 + 1)).map(|it| it.incarnation.epoch.as_u64() > epoch()),
        Some(true)
    );
    let op = acquire(&mut net, chief, trying());
    assert_eq!(end(&mut net, chief, op), Err(LockError::Busy));
}

/// It goes on as a later one, and others take its locks as those of the life that ended.
#[test]
fn a_node_that_hears_of_a_later_start_of_its_own_holds_nothing() {
    let (mut net, chief) = locking(3, &LockConfig { free_dead: false, ..remembered_by(2) });
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let grant = get(&mut net, one, waiting());
    tell_of_start(&mut net, one, other as u128 + 1, one as u128 + 1, epoch() + (5 << 22));
    assert_eq!(holds(&net, one), None);
    net.settle(one);
    assert_eq!(lost(&net, one), [grant.token]);
    assert!(get(&mut net, other, waiting()).token > grant.token);
    assert_eq!(holds(&net, one), None);
}

/// Tokens of its term would be smaller than some that were granted in the later one.
#[test]
fn a_leader_of_an_earlier_term_than_one_that_was_heard_grants_nothing() {
    let (mut net, chief) = locking(3, &remembered_by(2));
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let mark = mark(&mut net, one);
    for (who, by) in [(one, other as u128 + 1), (other, one as u128 + 1)] {
        assert!(!tell(&mut net, who, by, &mark, &(4_u32, term(1 << 62, by), "")).is_empty(), "it listens to that");
    }
    net.kill(chief);
    let second = next_leader(&mut net, &[chief]);
    let op = acquire(&mut net, second, waiting());
    assert_eq!(end(&mut net, second, op), late(Delay::Unanswered));
}

#[test]
fn records_are_taken_from_the_leader_of_a_term_that_is_not_over() {
    let (mut net, chief) = locking(3, &remembered_by(2));
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let mark = mark(&mut net, one);
    let grant = get(&mut net, other, waiting());
    let number = grant.token.term().number();
    let store = |written: Term| (2_u32, written, record(KEY, written, 1_000, other as u128 + 1));
    let fetch = |by: Term| (4_u32, by, "");
    let sender = other as u128 + 1;
    // Of somebody else's term, or of one before the leader's.
    for written in [term(number + 1, one as u128 + 1), term(number - 1, sender)] {
        assert!(tell(&mut net, one, sender, &mark, &store(written)).is_empty());
        assert!(tell(&mut net, one, sender, &mark, &fetch(written)).is_empty());
    }
    assert!(tell(&mut net, chief, sender, &mark, &store(term(number + 1, sender))).is_empty(), "it leads itself");
    assert_eq!(leader(&net), Some(chief));
    assert_eq!(status(&mut net, one).holder.map(|it| it.token), Some(grant.token));
}

#[test]
fn strangers_are_told_nothing_and_other_pools_are_not_there() {
    let (mut net, leader) = locking(3, &remembered_by(2));
    let mark = mark(&mut net, (leader + 1) % 3);
    let dropped = |net: &Net, reason| net.stats(leader).dropped(reason);
    let fetch = (4_u32, term(1 << 60, 9), "");
    assert!(tell(&mut net, leader, 9, &mark, &fetch).is_empty());
    assert_eq!(dropped(&net, DropReason::UnknownMember), 1);
    let before = dropped(&net, DropReason::Unexpected);
    let member = (leader as u128 + 1) % 3 + 1;
    assert!(tell(&mut net, leader, member, &[7; 8], &fetch).is_empty());
    assert_eq!(dropped(&net, DropReason::Unexpected), before + 1);
}

#[test]
fn a_member_that_says_that_it_leads_fills_no_more_than_the_pool_may_have() {
    let (mut net, chief) = locking(3, &LockConfig { max_locks: 10, ..remembered_by(2) });
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let mark = mark(&mut net, one);
    let sender = other as u128 + 1;
    let written = term(1 << 62, sender);
    for batch in 0..50 {
        let records: Vec<u8> =
            (0..100).flat_map(|at| record(&format!("{batch}-{at}"), written, batch * 100 + at, sender)).collect();
        tell(&mut net, one, sender, &mark, &(2_u32, written, records));
    }
    let known = tell(&mut net, one, sender, &mark, &(4_u32, written, ""));
    assert_eq!(known.len(), 1);
    assert!(known[0].len() < 20 * 150, "twenty records: {}", known[0].len());
    assert!(net.stats(one).received(MessageKind::Lock) >= 51);
}

/// The question is never the same, and what its answer rests on is not confirmed.
#[test]
fn a_member_that_asks_again_and_again_is_not_owed_without_limit() {
    let (mut net, chief) = locking(3, &remembered_by(2));
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let mark = mark(&mut net, one);
    let (sender, voter) = (one as u128 + 1, other as u128 + 1);
    net.pause(one);
    net.pause(other);
    acquire(&mut net, chief, waiting());
    let now = net.now;
    let number = net.node(chief).leads(now, CHIEF).expect("it leads").number();
    let of = term(number, chief as u128 + 1);
    for op in 0..5_000_u64 {
        let query = (0_u32, of, op, op, now.as_micros(), 4_u32, KEY);
        assert!(tell(&mut net, chief, sender, &mark, &query).is_empty());
    }
    let counts: Vec<u8> = (0..10_u64).flat_map(u64::to_be_bytes).collect();
    let answers = tell(&mut net, chief, voter, &mark, &(3_u32, of, &counts[..])).len();
    assert!(holds(&net, chief).is_some());
    assert!((1_000..2_000).contains(&answers), "{answers}");
}

/// What a member says of locks, of every kind, with a byte or two changed.
fn mutated(net: &mut Net, number: u64, by: u128) -> Vec<u8> {
    let of = term(number + net.next_random() % 2, by);
    let (op, stamp) = (net.next_random() % 8, net.now.as_micros() - net.next_random() % 2_000_000);
    let key = ["", KEY, "another"][usize::try_from(net.next_random() % 3).expect("small")];
    let token = (of, net.next_random() % 8);
    let records = record(key, of, token.1, by);
    let mut say = match net.next_random() % 16 {
        0 => wire(&(0_u32, of, op, stamp, (0_u32, 5_000_000_u64), key)),
        1 => wire(&(0_u32, of, op, op / 2, stamp, (1_u32, 5_000_000_u64), key)),
        2 => wire(&(0_u32, of, op, op, stamp, (2_u32, token, 5_000_000_u64), key)),
        3 => wire(&(0_u32, of, op, op, stamp, (3_u32, token), key)),
        4 => wire(&(0_u32, of, op, op, stamp, 4_u32, key)),
        5 => wire(&(0_u32, of, op, op, stamp, (5_u32, op / 2), key)),
        6 => wire(&(1_u32, op, stamp, (0_u32, token))),
        7 => wire(&(1_u32, op, stamp, 1 + op % 9)),
        8 => wire(&(1_u32, op, stamp, (9_u32, op % 5))),
        9 | 10 => wire(&(2_u32, of, records)),
        11 => wire(&(3_u32, of, wire(&token.1.to_be_bytes()))),
        12 => wire(&(4_u32, of, key)),
        13 => wire(&(5_u32, of, key, op % 2 == 0, records)),
        _ => wire(&(0_u32, of, op, op, stamp, (0_u32, 1_000_000_u64), key)),
    };
    for _ in 0..net.next_random() % 3 {
        let at = usize::try_from(net.next_random()).expect("64 bits") % say.len();
        say[at] = u8::try_from(net.next_random() % 256).expect("a byte");
    }
    say
}

#[test]
fn whatever_a_member_says_the_others_go_on() {
    let (mut net, chief) = locking(3, &LockConfig { max_locks: 20, ..remembered_by(2) });
    let (one, other) = ((chief + 1) % 3, (chief + 2) % 3);
    let mark = mark(&mut net, one);
    for round in 0..30_000_u32 {
        let Some(now_leads) = leader(&net) else { panic!("nobody leads") };
        let target = if round % 2 == 0 { chief } else { one };
        let now = net.now;
        let number = net.node(now_leads).leads(now, CHIEF).expect("it leads").number();
        // Now and then in the leader's own name.
        let by = if net.next_random() % 4 == 0 && target != now_leads { now_leads } else { other };
        let say = mutated(&mut net, number, by as u128 + 1);
        let message = [&mark[..], &say].concat();
        let mut bytes = packet(by as u128 + 1, epoch(), &[(LOCK, message)]);
        net.node(target).handle_message(now, by, &mut bytes);
        net.settle(target);
        if round % 16 == 0 {
            let pause = Duration::from_millis(net.next_random() % 200);
            net.run(pause);
        }
    }
    assert!(net.stats(chief).received(MessageKind::Lock) > 10_000);
    let stats = net.stats(one);
    assert!(stats.dropped(DropReason::Malformed) > 100 && stats.received(MessageKind::Lock) > 5_000);
    net.run(secs(60));
    assert!(leader(&net).is_some());
}
