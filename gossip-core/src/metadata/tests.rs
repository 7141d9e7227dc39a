use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use super::*;
use crate::identity::NodeId;
use crate::wire::Entries;

const LIMIT: usize = 64 << 10;

/// Passes everything after `base` from one map to the other through real bytes.
fn tell(from: &Metadata, to: &mut Metadata, base: u64) -> Result<Vec<String>, Refused> {
    let mut bytes = Vec::new();
    for entry in from.entries_after(base) {
        bytes.extend(postcard_bytes(&entry));
    }
    let delta = Delta {
        subject: NodeId::from_u128(1),
        epoch: from.epoch(),
        base,
        version: from.version(),
        tags: None,
        entries: Entries::new(&bytes),
    };
    to.apply(&delta, LIMIT)
}

fn postcard_bytes(entry: &Entry<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 4_096];
    let used = postcard::to_slice(entry, &mut buffer).unwrap().len();
    buffer.truncate(used);
    buffer
}

fn own() -> Metadata {
    Metadata::new(Epoch::from_u64(7))
}

#[test]
fn a_delta_carries_changes_and_deletions_and_nothing_else() {
    let mut owner = own();
    owner.set("a", 1_i64.into(), LIMIT).unwrap();
    owner.set("b", 2_i64.into(), LIMIT).unwrap();
    let mut peer = Metadata::default();
    assert_eq!(tell(&owner, &mut peer, 0), Ok(vec!["a".to_string(), "b".to_string()]));

    owner.set("b", 3_i64.into(), LIMIT).unwrap();
    assert!(owner.remove("a"));
    assert_eq!(tell(&owner, &mut peer, 2), Ok(vec!["a".to_string(), "b".to_string()]));
    assert_eq!(peer, owner);
    assert_eq!(tell(&owner, &mut peer, 2), Err(Refused::Known));
}

#[test]
fn a_delta_that_leaves_a_gap_is_refused_and_changes_nothing() {
    let mut owner = own();
    for value in 0..5_i64 {
        owner.set("k", value.into(), LIMIT).unwrap();
    }
    let mut peer = own();
    assert_eq!(tell(&owner, &mut peer, 3), Err(Refused::Gap));
    assert!(peer.is_empty());
}

#[test]
fn setting_the_same_value_again_is_no_change() {
    let mut owner = own();
    assert_eq!(owner.set("k", "v".into(), LIMIT), Ok(true));
    assert_eq!(owner.set("k", "v".into(), LIMIT), Ok(false));
    assert_eq!(owner.version(), 1);
    assert!(!owner.remove("other"));
}

#[test]
fn limits_are_told_and_state_is_unchanged() {
    let mut owner = own();
    assert_eq!(owner.set("", true.into(), LIMIT), Err(MetadataError::Key { length: 0 }));
    assert_eq!(owner.set("k", vec![0; 100].into(), 50), Err(MetadataError::TooLarge { size: 117, limit: 50 }));
    assert_eq!((owner.version(), owner.size()), (0, 0));
}

#[test]
fn a_new_start_replaces_the_map_as_a_whole() {
    let mut owner = own();
    owner.set("old", true.into(), LIMIT).unwrap();
    let mut peer = Metadata::default();
    tell(&owner, &mut peer, 0).unwrap();

    let mut restarted = Metadata::new(Epoch::from_u64(8));
    restarted.set("new", true.into(), LIMIT).unwrap();
    assert_eq!(tell(&restarted, &mut peer, 0), Ok(vec!["new".to_string(), "old".to_string()]));
    assert_eq!(peer, restarted);
}

#[test]
fn many_deletions_stay_bounded_and_a_laggard_gets_the_whole_map() {
    let mut owner = own();
    owner.set("keep", true.into(), LIMIT).unwrap();
    let mut peer = Metadata::default();
    tell(&owner, &mut peer, 0).unwrap();
    for number in 0..500 {
        let key = format!("key-{number}");
        owner.set(&key, true.into(), LIMIT).unwrap();
        owner.remove(&key);
    }
    assert!(owner.size() < 3_000, "{}", owner.size());
    let base = owner.base_for(peer.epoch(), peer.version());
    assert_eq!(base, 0);
    tell(&owner, &mut peer, base).unwrap();
    assert_eq!(peer, owner);
    assert_eq!(peer.version(), owner.version());
}

#[test]
fn a_node_that_learned_the_whole_map_hands_on_deltas_that_fit() {
    let mut owner = own();
    owner.set("a", 1_i64.into(), LIMIT).unwrap();
    owner.remove("a");
    owner.set("b", 2_i64.into(), LIMIT).unwrap();
    let mut relay = Metadata::default();
    tell(&owner, &mut relay, 0).unwrap();
    // The relay never saw the deletion of `a`, so it must not tell it as a delta from before.
    assert_eq!(relay.base_for(owner.epoch(), 1), 0);
    owner.set("c", 3_i64.into(), LIMIT).unwrap();
    tell(&owner, &mut relay, 3).unwrap();
    assert_eq!(relay.base_for(owner.epoch(), 3), 3);
}

#[test]
fn typed_getters_convert_where_the_meaning_is_kept() {
    let mut map = own();
    map.set("n", "42".into(), LIMIT).unwrap();
    map.set("f", 2.0.into(), LIMIT).unwrap();
    map.set("h", 2.5.into(), LIMIT).unwrap();
    map.set("t", Value::Time(1_000_000), LIMIT).unwrap();
    assert_eq!(map.int("n"), Some(42));
    assert_eq!(map.float("n"), Some(42.0));
    assert_eq!(map.int("f"), Some(2));
    assert_eq!(map.int("h"), None);
    assert_eq!(map.time("t"), Some(1_000_000));
    assert_eq!(map.bytes("n"), Some(&b"42"[..]));
    assert_eq!(map.bool("missing"), None);
}
