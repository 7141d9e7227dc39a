//! Keys of whole clusters, in virtual time over a network in memory.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use gossip_core::{DropReason, ForgetScope, KeyRing, MemberState, MessageType, RequestError as CoreError};

use super::*;
use crate::keys::Keeping;
use crate::memory::{Memory, Stream};
use crate::runtime::{Listener, sleep, within};
use crate::stats::Counter;
use crate::{Config, KeyKeeper, Raw};

const LONG: Duration = Duration::from_mins(10);
const PATIENCE: Duration = Duration::from_secs(5);

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

fn ring(bytes: &[u8]) -> KeyRing {
    let mut ring = KeyRing::new(key(bytes[0]));
    for &byte in &bytes[1..] {
        ring.add(key(byte)).unwrap();
    }
    ring
}

fn sealed() -> Config {
    Config::local("sealed").keys(ring(&[1]), Plaintext::Refuse)
}

fn start(memory: &Memory, config: Config) -> Cluster<Memory> {
    memory.block_on(LONG, Cluster::start(config)).unwrap()
}

fn join(memory: &Memory, node: &Cluster<Memory>, to: &Cluster<Memory>) {
    memory.block_on(LONG, node.join([to.address().to_string()])).unwrap();
    memory.run_for(Duration::from_secs(2));
}

fn cluster(memory: &Memory, count: usize) -> Vec<Cluster<Memory>> {
    let mut nodes = vec![start(memory, sealed())];
    while nodes.len() < count {
        nodes.push(start(memory, sealed()));
        join(memory, &nodes[nodes.len() - 1], &nodes[0]);
    }
    assert!(nodes.iter().all(|node| node.members().counts().alive == count));
    nodes
}

fn ids(memory: &Memory, node: &Cluster<Memory>) -> Vec<KeyId> {
    memory.block_on(LONG, node.keys()).unwrap().keys.iter().map(|key| key.id).collect()
}

fn stranding(outcome: Result<KeyReport, KeysError>) -> Vec<(NodeId, Stranded)> {
    match outcome {
        Err(KeysError::Stranding(stranding)) => stranding.members,
        other => panic!("it would strand somebody: {other:?}"),
    }
}

/// A keeper that can be told to fail.
#[derive(Clone, Default)]
struct Safe {
    is_full: Arc<AtomicBool>,
    kept: Arc<Mutex<Option<KeyRing>>>,
}

impl KeyKeeper for Safe {
    fn keep<'a>(&'a self, ring: &'a KeyRing) -> Keeping<'a> {
        Box::pin(async move {
            if self.is_full.load(Ordering::Relaxed) {
                return Err("no space is left".to_owned());
            }
            *self.kept.lock().unwrap() = Some(ring.clone());
            Ok(())
        })
    }
}

#[test]
fn a_key_is_changed_on_all_members_by_one_of_them() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 4);
    let (old, new) = (key(1).id(), key(2).id());

    let early = memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE));
    assert_eq!(early, Err(KeysError::Ring(KeyRingError::Unknown(new))));
    memory.block_on(LONG, nodes[0].add_key(key(2))).unwrap();
    let lacking = stranding(memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE)));
    assert_eq!(lacking.len(), 3, "this node has it");
    assert!(lacking.iter().all(|(_, why)| *why == Stranded::Lacks(new)));

    let report = memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    assert!(report.is_complete() && report.away.is_empty());
    assert!(nodes.iter().all(|node| report.member(node.id()).unwrap().keys == Ok(vec![old, new])));
    memory.block_on(LONG, nodes[1].use_key(new)).unwrap();
    let speaking = stranding(memory.block_on(LONG, nodes[1].remove_key_everywhere(old, false, PATIENCE)));
    assert_eq!(speaking.len(), 3);
    assert!(speaking.iter().all(|(_, why)| *why == Stranded::Speaks(old)));

    // Any of them can go on, and steps can be repeated.
    for _ in 0..2 {
        let report = memory.block_on(LONG, nodes[3].use_key_everywhere(new, false, PATIENCE)).unwrap();
        assert!(report.members.iter().all(|member| member.keys.as_ref().unwrap()[0] == new));
    }
    assert_eq!(
        memory.block_on(LONG, nodes[3].remove_key_everywhere(new, true, PATIENCE)),
        Err(KeysError::Ring(KeyRingError::Primary(new)))
    );
    for _ in 0..2 {
        let report = memory.block_on(LONG, nodes[2].remove_key_everywhere(old, false, PATIENCE)).unwrap();
        assert!(report.members.iter().all(|member| member.keys == Ok(vec![new])), "{report:?}");
    }
    memory.run_for(Duration::from_secs(30));
    for node in &nodes {
        assert_eq!(node.members().counts().alive, 4);
        assert_eq!(node.stats().protocol.refutations, 0, "nobody was suspected");
        let status = memory.block_on(LONG, node.keys()).unwrap();
        assert_eq!((status.keys.len(), status.keys[0].speaking), (1, 3));
    }
}

#[test]
fn who_is_away_hinders_the_last_step_until_it_is_back_or_forgotten() {
    let memory = Memory::new();
    let mut nodes = cluster(&memory, 4);
    let (old, new) = (key(1).id(), key(2).id());
    let away = nodes.pop().unwrap();
    let (away_id, address) = (away.id(), away.address());
    memory.block_on(LONG, away.shutdown());
    memory.run_for(Duration::from_mins(1));
    assert_eq!(nodes[0].member(away_id).unwrap().state, MemberState::Dead);

    let report = memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    assert_eq!((report.members.len(), &report.away), (3, &vec![away_id]));
    memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE)).unwrap();
    let hindered = stranding(memory.block_on(LONG, nodes[0].remove_key_everywhere(old, false, PATIENCE)));
    assert_eq!(hindered, [(away_id, Stranded::Away)]);

    // It is back within the grace period, and speaks the old key.
    let back = start(&memory, sealed().id(away_id).bind(address.to_string()));
    join(&memory, &back, &nodes[0]);
    assert!(nodes.iter().all(|node| node.members().counts().alive == 4));
    let hindered = stranding(memory.block_on(LONG, nodes[0].remove_key_everywhere(old, false, PATIENCE)));
    assert_eq!(hindered, [(away_id, Stranded::Speaks(old))]);
    memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE)).unwrap();
    memory.run_for(Duration::from_secs(30));

    // It dies with the new key in use, so its end is no reason to wait.
    memory.block_on(LONG, back.shutdown());
    memory.run_for(Duration::from_mins(1));
    let report = memory.block_on(LONG, nodes[0].remove_key_everywhere(old, false, PATIENCE)).unwrap();
    assert!(report.is_complete());
    assert_eq!(report.away, [away_id]);

    // One that never had the newest key is gone for good.
    let third = key(3).id();
    memory.block_on(LONG, nodes[0].add_key_everywhere(key(3), PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[0].use_key_everywhere(third, false, PATIENCE)).unwrap();
    let hindered = stranding(memory.block_on(LONG, nodes[0].remove_key_everywhere(new, false, PATIENCE)));
    assert_eq!(hindered, [(away_id, Stranded::Away)]);
    memory.block_on(LONG, nodes[0].forget(away_id, ForgetScope::Everywhere)).unwrap();
    assert!(memory.block_on(LONG, nodes[0].remove_key_everywhere(new, false, PATIENCE)).unwrap().is_complete());
}

/// Three members that seal with the first of three keys.
fn with_three_keys(memory: &Memory) -> Vec<Cluster<Memory>> {
    let nodes = cluster(memory, 3);
    for byte in [2, 3] {
        assert!(memory.block_on(LONG, nodes[0].add_key_everywhere(key(byte), PATIENCE)).unwrap().is_complete());
    }
    nodes
}

#[test]
fn a_change_waits_for_no_other_and_none_is_carried_out_that_another_came_before() {
    let memory = Memory::new();
    let nodes = with_three_keys(&memory);
    let third = key(3).id();
    let changes = [KeyOrder::Use(third), KeyOrder::Remove(third)];
    let reserve = async |number, span_ms| nodes[0].order(&reserve_among(&nodes[0], number, span_ms), PATIENCE).await;
    let by_another = |order: &KeyOrder| match order {
        KeyOrder::Use(id) => memory.block_on(LONG, nodes[1].use_key_everywhere(*id, false, PATIENCE)),
        KeyOrder::Remove(id) => memory.block_on(LONG, nodes[1].remove_key_everywhere(*id, false, PATIENCE)),
        _ => unreachable!("it is no change"),
    };
    for (number, [ours, theirs]) in (100..).zip([changes.clone(), [changes[1].clone(), changes[0].clone()]]) {
        // Ours has found that it shuts nobody out, and is on its way.
        let order = KeyOrder::Reserved(number, Box::new(ours.clone()));
        assert!(memory.block_on(LONG, reserve(number, 5_000)).unwrap().is_complete());
        let hindered = stranding(by_another(&theirs));
        assert_eq!(hindered.len(), 3);
        assert!(hindered.iter().all(|(_, why)| why.to_string().contains("another change of keys is under way")));
        assert!(memory.block_on(LONG, nodes[0].order(&order, PATIENCE)).unwrap().is_complete());
        // As it was.
        for order in [KeyOrder::Add(key(3)), KeyOrder::Use(key(1).id())] {
            assert!(memory.block_on(LONG, nodes[0].order(&order, PATIENCE)).unwrap().is_complete());
        }
        // Ours is so late that the others have stopped waiting for it.
        assert!(memory.block_on(LONG, reserve(number, 1_000)).unwrap().is_complete());
        memory.run_for(Duration::from_secs(2));
        assert!(by_another(&theirs).unwrap().is_complete());
        let late = memory.block_on(LONG, nodes[0].order(&order, PATIENCE)).unwrap();
        assert_eq!(late.failed().count(), 3, "{late:?}");
        assert!(late.failed().all(|(_, why)| why.to_string().contains("repeat this")), "{late:?}");
        for order in [KeyOrder::Add(key(3)), KeyOrder::Use(key(1).id())] {
            assert!(memory.block_on(LONG, nodes[0].order(&order, PATIENCE)).unwrap().is_complete());
        }
    }
}

/// What a node asks before the last two steps.
fn reserve_among(node: &Cluster<Memory>, number: u32, span_ms: u32) -> KeyOrder {
    let among = Known::of(node.members().live().map(|member| member.id)).fingerprint();
    KeyOrder::Reserve { number, span_ms, among }
}

#[test]
fn two_changes_of_keys_that_are_begun_at_once_do_not_split_the_cluster() {
    let third = key(3).id();
    for head_start_ms in [-30, -10, -3, -1, 0, 1, 3, 10, 30_i64] {
        let memory = Memory::new();
        let nodes = with_three_keys(&memory);
        let after = |ms: i64| sleep(&memory, Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let using = async {
            after(-head_start_ms).await;
            nodes[1].use_key_everywhere(third, false, PATIENCE).await
        };
        let removing = async {
            after(head_start_ms).await;
            nodes[2].remove_key_everywhere(third, false, PATIENCE).await
        };
        let (used, removed) = memory.block_on(LONG, futures_util::future::join(using, removing));
        assert!(used.is_err() || removed.is_err(), "{head_start_ms} ms: {used:?} {removed:?}");
        for report in used.iter().chain(&removed) {
            assert!(report.is_complete(), "{head_start_ms} ms: a change happens everywhere or nowhere: {report:?}");
        }
        let rings: Vec<_> = nodes.iter().map(|node| ids(&memory, node)).collect();
        assert!(rings.iter().all(|ring| *ring == rings[0]), "{head_start_ms} ms: {rings:?}");
        // Whoever was refused can try again at once.
        let again = memory.block_on(LONG, nodes[1].use_key_everywhere(key(2).id(), false, PATIENCE));
        assert!(again.unwrap().is_complete());
    }
}

#[test]
fn who_comes_back_while_the_others_are_asked_hinders_the_last_step() {
    let memory = Memory::new();
    let keeper = moody(&memory, Mood::Fine);
    let first = start(&memory, sealed());
    let second = start(&memory, sealed().key_keeper(keeper.clone()));
    join(&memory, &second, &first);
    let away = start(&memory, sealed());
    join(&memory, &away, &first);
    let (old, new, away_id, address) = (key(1).id(), key(2).id(), away.id(), away.address());
    memory.block_on(LONG, away.shutdown());
    memory.run_for(Duration::from_mins(1));
    memory.block_on(LONG, first.add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, first.use_key_everywhere(new, false, PATIENCE)).unwrap();
    let remove = || first.remove_key_everywhere(old, false, PATIENCE);
    assert_eq!(stranding(memory.block_on(LONG, remove())), [(away_id, Stranded::Away)]);

    // One takes a while to answer. Meanwhile it is neither dead any more nor among those that were asked.
    *keeper.mood.lock().unwrap() = Mood::Slow;
    let removing = async {
        sleep(&memory, Duration::from_millis(100)).await;
        remove().await
    };
    let coming = async {
        sleep(&memory, Duration::from_millis(300)).await;
        let back = Cluster::<Memory>::start(sealed().id(away_id).bind(address.to_string())).await.unwrap();
        back.join([first.address().to_string()]).await.unwrap();
        back
    };
    let (added, removed, back) =
        memory.block_on(LONG, futures_util::future::join3(second.add_key(key(3)), removing, coming));
    assert_eq!(added, Ok(true));
    let stranded = stranding(removed);
    assert!(stranded.contains(&(away_id, Stranded::Unknown(NoKeys::NotAsked))), "{stranded:?}");

    // Nobody has lost it, and the steps can be repeated.
    *keeper.mood.lock().unwrap() = Mood::Fine;
    memory.run_for(Duration::from_secs(2));
    assert_eq!(stranding(memory.block_on(LONG, remove())), [(away_id, Stranded::Speaks(old))]);
    memory.block_on(LONG, first.add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, first.use_key_everywhere(new, false, PATIENCE)).unwrap();
    assert!(memory.block_on(LONG, remove()).unwrap().is_complete());
    memory.run_for(Duration::from_mins(1));
    assert!([&first, &second, &back].iter().all(|node| node.members().counts().alive == 3));
}

#[test]
fn who_came_in_and_is_not_known_to_all_hinders_the_last_step() {
    let memory = Memory::new();
    let nodes: Vec<_> = (0..3).map(|_| start(&memory, sealed())).collect();
    join(&memory, &nodes[1], &nodes[0]);
    join(&memory, &nodes[2], &nodes[0]);
    memory.run_for(Duration::from_secs(5));
    let (old, new) = (key(1).id(), key(2).id());
    memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE)).unwrap();

    // The one that asks has not heard of it yet.
    let reserve = reserve_among(&nodes[0], 7, 60_000);
    let newcomer = start(&memory, sealed());
    join(&memory, &newcomer, &nodes[1]);
    let report = memory.block_on(LONG, nodes[0].order(&reserve, PATIENCE)).unwrap();
    let why = report.member(nodes[1].id()).unwrap().keys.as_ref().unwrap_err().to_string();
    assert!(why.contains("4 here, 3 there"), "it knows one more: {why}");
    memory.run_for(Duration::from_secs(5));
    let removed = memory.block_on(LONG, nodes[0].remove_key_everywhere(old, false, PATIENCE));
    assert_eq!(stranding(removed), [(newcomer.id(), Stranded::Speaks(old))]);
}

#[test]
fn who_comes_in_between_the_question_and_the_removal_can_still_be_reached() {
    let memory = Memory::new();
    let safe = Safe::default();
    let nodes = [start(&memory, sealed()), start(&memory, sealed().key_keeper(safe.clone()))];
    join(&memory, &nodes[1], &nodes[0]);
    let (old, new) = (key(1).id(), key(2).id());
    memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[0].use_key_everywhere(new, false, PATIENCE)).unwrap();

    // All that are there have answered, and the one that asks has looked: now it tells them.
    let reserve = reserve_among(&nodes[0], 7, 60_000);
    assert!(memory.block_on(LONG, nodes[0].order(&reserve, PATIENCE)).unwrap().is_complete());
    let newcomer = start(&memory, sealed());
    join(&memory, &newcomer, &nodes[1]);
    let remove = KeyOrder::Reserved(7, Box::new(KeyOrder::Remove(old)));
    let report = memory.block_on(LONG, nodes[0].order(&remove, PATIENCE)).unwrap();
    let why = report.member(nodes[1].id()).unwrap().keys.as_ref().unwrap_err().to_string();
    assert!(why.contains(&format!("{} came in after", newcomer.id())), "{why}");
    assert!(report.member(newcomer.id()).unwrap().keys.is_err(), "it was not asked: {report:?}");
    assert_eq!(ids(&memory, &nodes[1]), [new, old]);
    assert_eq!(*safe.kept.lock().unwrap(), Some(ring(&[2, 1])), "what is kept is in use");

    // So it is not shut out, and learns the new key from there.
    memory.block_on(LONG, nodes[1].add_key_everywhere(key(2), PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[1].use_key_everywhere(new, false, PATIENCE)).unwrap();
    assert!(memory.block_on(LONG, nodes[1].remove_key_everywhere(old, false, PATIENCE)).unwrap().is_complete());
    memory.run_for(Duration::from_mins(1));
    for node in [&nodes[0], &nodes[1], &newcomer] {
        assert_eq!((ids(&memory, node), node.members().counts().alive), (vec![new], 3));
    }
}

#[test]
fn a_member_that_does_not_answer_is_named_and_force_goes_on_without_it() {
    let memory = Memory::new();
    let mut nodes = cluster(&memory, 3);
    let silent = nodes.pop().unwrap();
    let id = silent.id();
    memory.block_on(LONG, silent.shutdown());
    // Its death is not known yet.
    assert!(nodes[0].member(id).unwrap().state.is_live());
    let report = memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    assert!(!report.is_complete());
    assert_eq!(report.failed().map(|(who, _)| who).collect::<Vec<_>>(), [id]);
    assert!(nodes[0].member(id).unwrap().state.is_live());
    let hindered = stranding(memory.block_on(LONG, nodes[0].use_key_everywhere(key(2).id(), false, PATIENCE)));
    assert!(matches!(&hindered[..], [(who, Stranded::Unknown(_))] if *who == id), "{hindered:?}");
    let report = memory.block_on(LONG, nodes[0].use_key_everywhere(key(2).id(), true, PATIENCE)).unwrap();
    assert!(nodes.iter().all(|node| report.member(node.id()).unwrap().keys.as_ref().unwrap()[0] == key(2).id()));
}

#[test]
fn a_ring_that_cannot_be_kept_does_not_change() {
    let memory = Memory::new();
    let safes = [Safe::default(), Safe::default()];
    let nodes = safes.each_ref().map(|safe| start(&memory, sealed().key_keeper(safe.clone())));
    join(&memory, &nodes[1], &nodes[0]);
    safes[1].is_full.store(true, Ordering::Relaxed);
    let report = memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap();
    let (who, why) = report.failed().next().unwrap();
    assert_eq!(who, nodes[1].id());
    assert!(why.to_string().contains("no space is left"), "{why}");
    assert_eq!(ids(&memory, &nodes[1]), [key(1).id()]);
    assert_eq!(*safes[0].kept.lock().unwrap(), Some(ring(&[1, 2])));

    safes[1].is_full.store(false, Ordering::Relaxed);
    assert!(memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE)).unwrap().is_complete());
    memory.block_on(LONG, nodes[0].use_key_everywhere(key(2).id(), false, PATIENCE)).unwrap();
    memory.block_on(LONG, nodes[0].remove_key_everywhere(key(1).id(), false, PATIENCE)).unwrap();
    for safe in &safes {
        assert_eq!(*safe.kept.lock().unwrap(), Some(ring(&[2])));
    }
}

/// How a keeper can be of trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Slow,
    Stuck,
    Broken,
    Fine,
}

/// A keeper that has the ring at once, and whose word may take its time.
#[derive(Clone)]
struct Moody {
    memory: Memory,
    mood: Arc<Mutex<Mood>>,
    kept: Arc<Mutex<Option<KeyRing>>>,
}

impl KeyKeeper for Moody {
    fn keep<'a>(&'a self, ring: &'a KeyRing) -> Keeping<'a> {
        Box::pin(async move {
            *self.kept.lock().unwrap() = Some(ring.clone());
            let mood = *self.mood.lock().unwrap();
            match mood {
                Mood::Slow => sleep(&self.memory, Duration::from_secs(3)).await,
                Mood::Stuck => std::future::pending().await,
                Mood::Broken => panic!("the keeper is broken"),
                Mood::Fine => {}
            }
            Ok(())
        })
    }
}

fn moody(memory: &Memory, mood: Mood) -> Moody {
    Moody { memory: memory.clone(), mood: Arc::new(Mutex::new(mood)), kept: Arc::default() }
}

#[test]
fn a_change_goes_on_when_nobody_waits_for_it() {
    let memory = Memory::new();
    let keeper = moody(&memory, Mood::Slow);
    let node = start(&memory, sealed().key_keeper(keeper.clone()));
    let given_up = memory.block_on(LONG, within(&memory, Duration::from_secs(1), node.add_key(key(2))));
    assert_eq!(given_up, None);
    memory.run_for(Duration::from_secs(5));
    assert_eq!(*keeper.kept.lock().unwrap(), Some(ring(&[1, 2])));
    assert_eq!(ids(&memory, &node), [key(1).id(), key(2).id()], "what is kept for the next start is in use");
}

#[test]
fn a_keeper_that_hangs_or_panics_hinders_no_later_change() {
    let memory = Memory::new();
    let keeper = moody(&memory, Mood::Stuck);
    let node = start(&memory, sealed().key_keeper(keeper.clone()));
    for (mood, reason) in [(Mood::Stuck, "longer than 10s"), (Mood::Broken, "panicked")] {
        *keeper.mood.lock().unwrap() = mood;
        match memory.block_on(LONG, node.add_key(key(2))) {
            Err(KeysError::NotKept(why)) => assert!(why.contains(reason), "{why}"),
            other => panic!("it was not kept: {other:?}"),
        }
        assert_eq!(ids(&memory, &node), [key(1).id()]);
    }
    *keeper.mood.lock().unwrap() = Mood::Fine;
    assert_eq!(memory.block_on(LONG, node.add_key(key(2))), Ok(true));
    assert_eq!(ids(&memory, &node), [key(1).id(), key(2).id()]);
}

#[test]
fn keys_do_not_travel_while_packets_may_be_plain() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    for mode in [Plaintext::Accept, Plaintext::Send] {
        memory.block_on(LONG, nodes[0].set_plaintext(mode)).unwrap();
        let refused = memory.block_on(LONG, nodes[0].add_key_everywhere(key(2), PATIENCE));
        assert_eq!(refused, Err(KeysError::Plaintext(mode)));
        // Whoever is asked refuses as well; what it says in plaintext is not heard.
        let report = memory.block_on(LONG, nodes[1].keys_everywhere(PATIENCE)).unwrap();
        let (who, why) = report.failed().next().unwrap();
        assert_eq!(who, nodes[0].id());
        assert_eq!(why.to_string().contains("does not refuse plaintext"), mode == Plaintext::Accept, "{why}");
    }
    assert_eq!(ids(&memory, &nodes[0]), [key(1).id()]);

    // One that was handed in before the mode changed does not leave any more.
    memory.block_on(LONG, nodes[0].set_plaintext(Plaintext::Refuse)).unwrap();
    // They may have taken each other for dead while one did not hear the other.
    let is_together = || nodes.iter().all(|node| node.members().counts().alive == 2);
    for _ in 0..120 {
        if is_together() {
            break;
        }
        memory.run_for(Duration::from_secs(1));
    }
    assert!(is_together(), "they find each other again");
    let order = KeyOrder::Add(key(2));
    let change = nodes[0].order(&order, PATIENCE);
    let (report, mode) = memory
        .block_on(LONG, async { futures_util::future::join(change, nodes[0].set_plaintext(Plaintext::Send)).await });
    mode.unwrap();
    assert!(report.unwrap().member(nodes[1].id()).unwrap().keys.is_err());
    assert_eq!(ids(&memory, &nodes[1]), [key(1).id()]);
}

#[test]
fn a_node_without_keys_has_none_to_change() {
    let memory = Memory::new();
    let nodes = [start(&memory, Config::local("plain")), start(&memory, Config::local("plain"))];
    join(&memory, &nodes[1], &nodes[0]);
    let not_sealed = KeysError::Ring(KeyRingError::NotSealed);
    assert_eq!(memory.block_on(LONG, nodes[0].keys()).unwrap_err(), not_sealed);
    assert_eq!(memory.block_on(LONG, nodes[0].add_key(key(1))).unwrap_err(), not_sealed);
    assert_eq!(memory.block_on(LONG, nodes[0].set_plaintext(Plaintext::Send)).unwrap_err(), not_sealed);
    let refused = memory.block_on(LONG, nodes[0].add_key_everywhere(key(1), PATIENCE));
    assert_eq!(refused.unwrap_err(), not_sealed);
    // Nor does it let anybody ask.
    let asked = memory.block_on(LONG, nodes[0].request(nodes[1].id(), MessageType::KEYS, Raw([1]), PATIENCE));
    assert!(matches!(asked, Err(RequestError::NotSent(_))), "{asked:?}");
    let own = memory.block_on(LONG, nodes[0].send(nodes[1].id(), MessageType::KEYS, (), crate::Reliability::Reliable));
    assert_eq!(own, Err(SendError::Unconfirmed(CoreError::Timeout)), "it is for requests alone");
}

#[test]
fn the_handler_of_keys_can_be_neither_replaced_nor_removed() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    let mine = |_| std::future::ready(Ok(()));
    assert!(nodes[1].handle_requests(MessageType::KEYS, mine).is_err());
    assert!(!nodes[1].remove_request_handler(MessageType::KEYS));
    assert!(memory.block_on(LONG, nodes[0].keys_everywhere(PATIENCE)).unwrap().is_complete());
}

#[test]
fn garbage_from_a_holder_of_the_key_changes_nothing() {
    let memory = Memory::new();
    let nodes = cluster(&memory, 2);
    for content in [&[][..], &[9], &[2, 200, 1], &[2, 1, b'x', 7], &[3, 0, 0], &[4, 1]] {
        let asked = memory.block_on(LONG, nodes[0].request(nodes[1].id(), MessageType::KEYS, Raw(content), PATIENCE));
        let rejected = matches!(asked, Err(RequestError::Failed(CoreError::Rejected(_))));
        assert!(rejected, "{content:?}: {asked:?}");
    }
    assert_eq!(ids(&memory, &nodes[1]), [key(1).id()]);
}

#[test]
fn what_does_not_open_proves_no_connection() {
    let memory = Memory::new();
    let config = Config { max_unproven: 4, ..sealed() };
    let node = start(&memory, config.clone());
    // A node without keys and one with another key ask to be let in, over and over.
    let seed = node.address().to_string();
    let strangers = [
        start(&memory, Config::local("sealed").seed(seed.clone())),
        start(&memory, Config::local("sealed").seed(seed).keys(ring(&[9]), Plaintext::Refuse)),
    ];
    memory.run_for(Duration::from_secs(30));
    let stats = node.stats();
    assert!(stats.protocol.dropped(DropReason::Plaintext) > 0, "{stats:?}");
    assert!(stats.protocol.dropped(DropReason::UnknownKey) > 0, "{stats:?}");
    assert_eq!(node.members().all().len(), 1);
    assert_eq!(stats.driver.links, stats.driver.links_unproven, "none of them is taken for a member's");
    assert!(stats.driver.count(Counter::FirstFrameTimeouts) > 0, "so they are closed in time");
    drop(strangers);
}

/// The next message of a stream, with its length.
async fn frame(stream: &mut Stream) -> Vec<u8> {
    let prefix = stream.take(4).await;
    let length = u32::from_be_bytes(*prefix.first_chunk().expect("a message comes"));
    let body = stream.take(usize::try_from(length).unwrap()).await;
    [prefix, body].concat()
}

#[test]
fn what_was_recorded_or_made_up_proves_no_connection() {
    let memory = Memory::new();
    let node = start(&memory, sealed());
    let mut door = memory.bind_listener(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let seed = door.local_address().unwrap().to_string();
    let joiner = start(&memory, sealed().seed(seed));
    // Between the two sits somebody who reads along.
    let (request, bound) = memory.block_on(LONG, async {
        let (mut theirs, _) = poll_fn(|cx| door.poll_accept(cx)).await.unwrap();
        let request = frame(&mut theirs).await;
        let mut ours = memory.connect(node.bind_address().unwrap()).await.unwrap();
        ours.put(&request);
        theirs.put(&frame(&mut ours).await);
        let bound = frame(&mut theirs).await;
        ours.put(&bound);
        frame(&mut ours).await;
        (request, bound)
    });
    let (mut damaged, last) = (bound.clone(), bound.len() - 1);
    damaged[last] ^= 1;
    let mut open = Vec::new();
    for (packet, reason) in
        [(request, DropReason::Unbound), (damaged, DropReason::BadSeal), (bound, DropReason::Replayed)]
    {
        let before = node.stats();
        let mut stream = memory.block_on(LONG, memory.connect(node.bind_address().unwrap())).unwrap();
        assert_eq!(stream.put(&packet), packet.len());
        open.push(stream);
        memory.run_for(Duration::from_millis(100));
        let after = node.stats();
        assert_eq!(after.protocol.dropped(reason), before.protocol.dropped(reason) + 1, "{reason:?}");
        assert_eq!(after.driver.links_unproven, before.driver.links_unproven + 1, "{reason:?}");
    }
    drop(joiner);
}

#[test]
fn a_node_whose_last_handle_is_gone_stops_although_it_has_keys() {
    let memory = Memory::new();
    drop(cluster(&memory, 2));
    memory.run_for(Duration::from_mins(1));
    assert_eq!(memory.tasks(), 0);
}
