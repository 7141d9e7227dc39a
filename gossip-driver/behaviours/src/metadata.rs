//! Metadata of a node reaches all, with its types; removals do as well, and large values.

use gossip_driver::{CommandError, Event, Runtime, Value, protocol};

use crate::harness::{cluster_of, converged, event, join, quick, seen, start, stop, within};

pub(crate) async fn values_of_every_type_reach_all_and_removals_do_too<R: Runtime>() {
    let nodes = cluster_of::<R>("typed", 3).await;
    let writer = &nodes[0];
    let values: [(&str, Value); 6] = [
        ("bool", true.into()),
        ("int", (-7_i64).into()),
        ("float", 2.5.into()),
        ("string", "text".into()),
        ("time", Value::Time(1_700_000_000_000_000)),
        ("bytes", vec![0_u8, 255].into()),
    ];
    for (key, value) in values.clone() {
        within("a change", writer.set_metadata(key, value)).await.expect("the value is fine");
    }
    let own = writer.local().expect("a node knows itself").metadata.clone();
    assert_eq!(own.len(), values.len(), "a change is seen at home when the call returns");
    for reader in &nodes[1..] {
        seen(reader, "all values arrive", |members| {
            members.member(writer.id()).is_some_and(|member| member.metadata == own)
        })
        .await;
        let member = reader.member(writer.id()).expect("the writer is a member");
        assert!(values.iter().all(|(key, value)| member.metadata.get(key) == Some(value)));
    }

    assert!(within("a removal", writer.remove_metadata("int")).await.expect("the node runs"));
    assert!(!within("a removal", writer.remove_metadata("int")).await.expect("the node runs"));
    for reader in &nodes[1..] {
        seen(reader, "the removal arrives", |members| {
            members.member(writer.id()).is_some_and(|member| member.metadata.get("int").is_none())
        })
        .await;
        assert_eq!(reader.member(writer.id()).map(|member| member.metadata.len()), Some(values.len() - 1));
    }
    stop(nodes).await;
}

pub(crate) async fn a_change_is_an_event_that_names_the_keys_and_shows_the_table_it_explains<R: Runtime>() {
    let nodes = cluster_of::<R>("told", 2).await;
    let mut events = nodes[1].events();
    within("a change", nodes[0].set_metadata("role", "db")).await.expect("the value is fine");
    let (id, keys) = event(&mut events, "the change is told", |event| match event {
        Event::Metadata { member, keys } => Some((member.id, keys)),
        _ => None,
    })
    .await;
    assert_eq!((id, keys), (nodes[0].id(), vec!["role".to_owned()]));
    let member = nodes[1].member(id).expect("it is a member");
    assert_eq!(member.metadata.str("role"), Some("db"), "the table is at least as new as the event");
    stop(nodes).await;
}

pub(crate) async fn sixty_kilobytes_reach_all_and_those_who_join_later<R: Runtime>() {
    let mut nodes = cluster_of::<R>("large", 3).await;
    let value: Vec<u8> = (0..60_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    within("a change", nodes[2].set_metadata("blob", value.clone())).await.expect("the value is fine");
    let late = start::<R>(quick("large")).await;
    join(&late, &nodes[0]).await;
    nodes.push(late);
    converged(&nodes).await;
    let writer = nodes[2].id();
    for reader in &nodes {
        seen(reader, "the large value arrives", |members| {
            members.member(writer).is_some_and(|member| member.metadata.bytes("blob") == Some(&value[..]))
        })
        .await;
    }
    stop(nodes).await;
}

pub(crate) async fn what_cannot_be_stored_is_refused_and_changes_nothing<R: Runtime>() {
    let node = start::<R>(quick("limits").metadata("kept", 1_i64)).await;
    let refused = within("a change", node.set_metadata("", 1_i64)).await;
    assert_eq!(refused, Err(CommandError::Refused(protocol::MetadataError::Key { length: 0 })));
    let refused = within("a change", node.set_metadata("big", vec![0_u8; 100_000])).await;
    assert!(matches!(refused, Err(CommandError::Refused(protocol::MetadataError::TooLarge { .. }))));
    let metadata = node.local().expect("a node knows itself").metadata.clone();
    assert_eq!((metadata.len(), metadata.int("kept")), (1, Some(1)));
    stop([node]).await;
}
