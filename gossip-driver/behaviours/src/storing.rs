//! Members share a key-value store: what one writes all see, whoever was away catches up, and files keep it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gossip_driver::{
    Cluster, CommandError, Config, LoadError, NodeId, Runtime, SaveError, SnapshotError, StopReason, Store,
    StoreChange, StoreConfig, StoreError,
};

use crate::harness::{cluster_of, converged, join, joined, quick, start, stop, within};

async fn open<R: Runtime>(node: &Cluster<R>) -> Store<R> {
    within("an open store", node.open_store("shared", StoreConfig::default())).await.expect("the settings are sound")
}

async fn open_all<R: Runtime>(nodes: &[Cluster<R>]) -> Vec<Store<R>> {
    let mut stores = Vec::new();
    for node in nodes {
        stores.push(open(node).await);
    }
    stores
}

async fn set<R: Runtime>(store: &Store<R>, key: &str, value: &str) {
    within("a write", store.set(key, value.to_owned())).await.expect("within the limits");
}

async fn value<R: Runtime>(store: &Store<R>, key: &str) -> Option<String> {
    let entry = within("a read", store.get(key)).await.expect("the node runs")?;
    Some(String::from_utf8(entry.value.to_vec()).expect("tests write text"))
}

/// Waits until a key has this value at all of them.
async fn seen<R: Runtime>(stores: &[Store<R>], key: &str, expected: Option<&str>) {
    for store in stores {
        within(&format!("{key} is {expected:?}"), async {
            while value(store, key).await.as_deref() != expected {
                async_io::Timer::after(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Waits until all have the same.
async fn same<R: Runtime>(stores: &[Store<R>]) {
    let fingerprint = async |store: &Store<R>| store.stats().await.expect("the node runs").fingerprint;
    within("all have the same", async {
        for store in &stores[1..] {
            while fingerprint(store).await != fingerprint(&stores[0]).await {
                async_io::Timer::after(Duration::from_millis(5)).await;
            }
        }
    })
    .await;
}

pub(crate) async fn writes_deletions_and_ends_reach_all_members<R: Runtime>() {
    let nodes = cluster_of::<R>("store", 3).await;
    let stores = open_all(&nodes).await;
    set(&stores[0], "a/1", "first").await;
    seen(&stores, "a/1", Some("first")).await;
    // Its clock has seen the first write, so that this one is later.
    let version = stores[1].set("a/1", "second").await.expect("within the limits");
    assert_eq!(version.writer, nodes[1].id());
    seen(&stores, "a/1", Some("second")).await;
    let entry = stores[2].get("a/1").await.expect("the node runs").expect("it was seen");
    assert_eq!((entry.version, entry.expires, &*entry.key), (version, None, "a/1"));

    let brief = Duration::from_secs(2);
    stores[2].set_with_ttl("a/2", "ends", brief).await.expect("within the limits");
    seen(&stores, "a/2", Some("ends")).await;
    seen(&stores, "a/2", None).await;

    assert!(stores[2].delete("a/1").await.expect("it can be deleted") > Some(version));
    seen(&stores, "a/1", None).await;
    assert_eq!(stores[0].delete("a/1").await, Ok(None));

    // More than the node's task gives at once.
    for number in 0..2_500 {
        set(&stores[number % 3], &format!("b/{number:04}"), "x").await;
    }
    set(&stores[0], "c", "x").await;
    same(&stores).await;
    let keys = |entries: Vec<gossip_driver::StoreEntry>| entries.into_iter().map(|entry| entry.key.to_string());
    let found = within("a scan", stores[1].scan("b/")).await.expect("the node runs");
    assert!(keys(found).eq((0..2_500).map(|number| format!("b/{number:04}"))));
    let all = within("a scan", stores[1].scan("")).await.expect("the node runs");
    assert_eq!((all.len(), stores[1].stats().await.expect("the node runs").keys), (2_501, 2_501));
    stop(nodes).await;
}

pub(crate) async fn who_watches_hears_of_the_keys_with_the_prefix_and_how_much_was_missed<R: Runtime>() {
    let one = start::<R>(quick("store-watch")).await;
    let two = start::<R>(quick("store-watch").event_queue(8)).await;
    join(&two, &one).await;
    let nodes = [one, two];
    converged(&nodes).await;
    let stores = open_all(&nodes).await;
    let mut changes = stores[1].watch("a/").await.expect("the node runs");
    let mut all = stores[1].watch("").await.expect("the node runs");
    // Readers that are gone do no harm.
    drop(stores[1].watch("a/").await.expect("the node runs"));
    set(&stores[0], "b", "x").await;
    set(&stores[0], "a/1", "x").await;
    let next = within("a change", changes.next()).await;
    assert!(matches!(&next, Some(StoreChange::Set { key, value, .. }) if &**key == "a/1" && value == "x"), "{next:?}");
    stores[0].delete("a/1").await.expect("it can be deleted");
    let next = within("a deletion", changes.next()).await;
    assert!(matches!(&next, Some(StoreChange::Deleted { key, .. }) if &**key == "a/1"), "{next:?}");
    stores[0].set_with_ttl("a/2", "x", Duration::from_secs(1)).await.expect("within the limits");
    assert!(matches!(within("a write", changes.next()).await, Some(StoreChange::Set { expires: Some(_), .. })));
    assert!(matches!(within("its end", changes.next()).await, Some(StoreChange::Expired { .. })));

    // Eight wait, and eleven more came before them: b, and four changes of keys under a/.
    for number in 0..14 {
        set(&stores[1], &format!("c/{number}"), "x").await;
    }
    let mut told = 0;
    let mut last = None;
    while let Some(change) = all.try_next() {
        told += if let StoreChange::Missed { count } = &change { *count } else { 1 };
        last = Some(change);
    }
    assert_eq!(told, 19);
    assert!(matches!(&last, Some(StoreChange::Set { key, .. }) if &**key == "c/13"), "{last:?}");
    assert_eq!(changes.try_next(), None);
    stop(nodes).await;
    assert_eq!((within("the end", changes.next()).await, within("the end", all.next()).await), (None, None));
}

pub(crate) async fn a_node_that_was_away_catches_up_and_brings_nothing_back<R: Runtime>() {
    for with_datagrams in [true, false] {
        away::<R>(quick("store-away").stream_only(!with_datagrams)).await;
    }
}

async fn away<R: Runtime>(config: Config) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store");
    let mut nodes = joined::<R>((0..3).map(|_| config.clone())).await;
    let mut stores = open_all(&nodes).await;
    for number in 0..200 {
        set(&stores[0], &format!("kept/{number}"), "x").await;
    }
    set(&stores[0], "gone", "x").await;
    same(&stores).await;
    let (away, store) = (nodes.pop().expect("of three"), stores.pop().expect("of three"));
    assert!(within("a save", store.save(&file)).await.expect("the directory is there") > 200);
    let id: NodeId = away.id();
    stop([away]).await;
    set(&stores[1], "kept/7", "newer").await;
    set(&stores[1], "new", "x").await;
    stores[1].delete("gone").await.expect("it can be deleted").expect("it was there");

    let back = start::<R>(config.id(id)).await;
    let store = open(&back).await;
    let loaded = within("a load", store.load(&file)).await.expect("it is whole").expect("it is there");
    assert_eq!((loaded.taken, loaded.refused), (201, 0));
    assert_eq!(value(&store, "gone").await.as_deref(), Some("x"), "nobody has told it yet");
    join(&back, &nodes[0]).await;
    nodes.push(back);
    stores.push(store);
    same(&stores).await;
    for store in &stores {
        assert_eq!((value(store, "gone").await, value(store, "new").await.as_deref()), (None, Some("x")));
        assert_eq!(value(store, "kept/7").await.as_deref(), Some("newer"));
    }
    stop(nodes).await;
}

pub(crate) async fn a_snapshot_that_was_cut_or_damaged_is_set_aside<R: Runtime>() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store");
    let nodes = cluster_of::<R>("store-file", 1).await;
    let store = open(&nodes[0]).await;
    assert_eq!(within("a load", store.load(&file)).await.expect("no file is no error"), None);
    set(&store, "a", "1").await;
    let size = within("a save", store.save(&file)).await.expect("the directory is there");
    let whole = fs::read(&file).unwrap();
    assert_eq!(whole.len() as u64, size);

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damaged = [(whole[..whole.len() / 2].to_vec(), "cut"), (flipped, "checksum"), (Vec::new(), "not a snapshot")];
    for (content, reason) in damaged {
        fs::write(&file, &content).unwrap();
        let error = within("a load", store.load(&file)).await.expect_err("it is damaged");
        let text = error.to_string();
        assert!(text.contains(reason) && text.contains(&*file.to_string_lossy()), "{text}");
        let LoadError::Damaged { moved: Ok(moved), .. } = error else { panic!("{error:?}") };
        assert_eq!((fs::read(&moved).unwrap(), file.exists()), (content, false), "nothing is lost");
    }
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));

    // What is somebody else's stays, whoever wants to read or replace it.
    for (content, expected) in [
        (b"#!/bin/sh\n# not of a store".to_vec(), SnapshotError::NotOne),
        (of_another_store(&nodes[0], directory.path()).await, SnapshotError::OtherStore),
    ] {
        fs::write(&file, &content).unwrap();
        let error = within("a load", store.load(&file)).await.expect_err("it is not of this store");
        assert!(matches!(error, LoadError::Unusable { error, .. } if error == expected), "{error:?}");
        let error = within("a save", store.save(&file)).await.expect_err("it is not of this store");
        assert!(matches!(error, SaveError::Taken { error, .. } if error == expected), "{error:?}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let nowhere = within("a save", store.save(directory.path().join("missing/store"))).await;
    assert!(matches!(nowhere, Err(SaveError::Write { .. })), "{nowhere:?}");
    let directory = within("a load", store.load(directory.path())).await;
    assert!(matches!(directory, Err(LoadError::Read { .. })), "{directory:?}");
    stop(nodes).await;
    assert!(matches!(store.save(&file).await, Err(SaveError::Stopped(StopReason::Shutdown | StopReason::Dropped))));
}

async fn of_another_store<R: Runtime>(node: &Cluster<R>, directory: &Path) -> Vec<u8> {
    let store = node.open_store("other", StoreConfig::default()).await.expect("the settings are sound");
    let file = directory.join("other");
    within("a save", store.save(&file)).await.expect("the directory is there");
    fs::read(file).unwrap()
}

pub(crate) async fn what_a_store_does_not_take_is_named_and_changes_nothing<R: Runtime>() {
    let nodes = cluster_of::<R>("store-limits", 1).await;
    let config = StoreConfig { max_key: 4, max_value: 4, max_entries: 3, max_bytes: 12, ..StoreConfig::default() };
    let store = nodes[0].open_store("small", config.clone()).await.expect("the settings are sound");
    set(&store, "a", "1").await;
    let before = store.stats().await.expect("the node runs");
    let refused = |error| Err(CommandError::Refused(error));
    let long = StoreError::Key { length: 5, limit: 4 };
    assert_eq!(store.set("12345", "x").await, refused(long));
    assert_eq!(store.set("", "x").await, refused(StoreError::Key { length: 0, limit: 4 }));
    assert_eq!(store.set("a", "12345").await, refused(StoreError::Value { size: 5, limit: 4 }));
    let ttl = Duration::from_micros(999);
    assert_eq!(store.set_with_ttl("a", "x", ttl).await, refused(StoreError::Ttl { ttl }));
    assert_eq!(store.stats().await.expect("the node runs"), before);
    set(&store, "b", "1234").await;
    assert_eq!(store.set("cccc", "1234").await, refused(StoreError::Full { size: 15, limit: 12 }));
    set(&store, "c", "").await;
    assert_eq!(store.set("d", "").await, refused(StoreError::Entries { limit: 3 }));
    assert_eq!(store.stats().await.expect("the node runs").keys, 3);

    let again = nodes[0].open_store("small", config.clone()).await.expect("it is the same one");
    assert_eq!(value(&again, "b").await.as_deref(), Some("1234"));
    assert_eq!((again.name(), again.config()), ("small", &config));
    let other = nodes[0].open_store("small", StoreConfig::default()).await;
    assert_eq!(other.err(), Some(CommandError::Refused(StoreError::Open)));
    let nameless = nodes[0].open_store("", config.clone()).await;
    assert_eq!(nameless.err(), Some(CommandError::Refused(StoreError::Name { length: 0 })));
    let brief = StoreConfig { keep: Duration::ZERO, ..config };
    let error = nodes[0].open_store("other", brief).await.expect_err("it would remember no deletion");
    assert!(error.to_string().contains("keep"), "{error}");

    within("the leave", nodes[0].leave()).await.expect("it had not left");
    assert!(matches!(store.set("a", "2").await, Err(CommandError::Refused(StoreError::Phase(_)))));
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"), "what it has can be read");
    stop(nodes).await;
    assert!(store.get("a").await.is_err() && store.watch("").await.is_err());
}
