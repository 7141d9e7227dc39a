//! What an application may want of a node, within the limits and beyond them.

use arbitrary::Arbitrary;
use bytes::Bytes;
use gossip_core::{BroadcastOptions, ForgetScope, MessageType, Node, Refusal, Reliability};

use crate::host::{Host, node_id};
use crate::wire::{Id, Place};

/// Something that it wants.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) enum Command {
    Join(Place),
    Seeds(Vec<Place>),
    Leave,
    Forget { id: Id, everywhere: bool },
    Set { key: u8, size: u16 },
    Remove { key: u8 },
    Move(Place),
    Broadcast { size: u16, tag: Option<bool>, reliable: bool, ordered: bool },
    Send { to: Id, size: u16, reliable: bool },
    Request { to: Id, size: u16, patience_ms: u16 },
    Reply { nth: u8, size: u16 },
    Refuse { nth: u8 },
    Cancel { nth: u8 },
}

/// A key of metadata.
pub(crate) fn key(number: u8) -> String {
    format!("key {}", number % 6)
}

fn kind() -> MessageType {
    MessageType::user(200).expect("it is free")
}

fn payload(size: u16) -> Bytes {
    // Twice as much as the longest message, at the most.
    Bytes::from(vec![7; usize::from(size) * 2])
}

impl Command {
    /// Has it done. Errors are as good as anything; that they change nothing is for others to see.
    pub(crate) fn perform(&self, host: &mut Host) {
        match self.clone() {
            Self::Join(place) => host.act(|node, now| node.join(now, place.0)).unwrap_or_default(),
            Self::Seeds(places) => {
                let places = places.into_iter().take(8).map(|place| place.0).collect();
                host.act(|node, now| node.set_seeds(now, places));
            }
            Self::Leave => host.act(Node::leave).unwrap_or_default(),
            Self::Forget { id, everywhere } => {
                let scope = if everywhere { ForgetScope::Everywhere } else { ForgetScope::Here };
                host.act(|node, now| node.forget(now, node_id(id), scope)).unwrap_or_default();
            }
            Self::Set { key: number, size } => {
                let value = vec![1; usize::from(size) % 600];
                host.act(|node, now| node.set_metadata(now, &key(number), value)).unwrap_or_default();
            }
            Self::Remove { key: number } => {
                host.act(|node, now| node.remove_metadata(now, &key(number))).unwrap_or_default();
            }
            Self::Move(place) => host.act(|node, now| node.set_address(now, place.0)).unwrap_or_default(),
            Self::Broadcast { size, tag, reliable, ordered } => {
                let tag = tag.map(|blue| if blue { "blue" } else { "red" });
                let options = BroadcastOptions { tag, reliable, ordered };
                let _accepted = host.act(|node, now| node.broadcast(now, kind(), payload(size), options));
            }
            message => message.talk(host),
        }
    }

    fn talk(self, host: &mut Host) {
        match self {
            Self::Send { to, size, reliable } => {
                let reliability = if reliable { Reliability::Reliable } else { Reliability::BestEffort };
                let id = host.act(|node, now| node.send(now, node_id(to), kind(), payload(size), reliability));
                host.asked.extend(id.ok().flatten());
            }
            Self::Request { to, size, patience_ms } => {
                let deadline = host.now + std::time::Duration::from_millis(patience_ms.into());
                let id = host.act(|node, now| node.request(now, node_id(to), kind(), payload(size), deadline));
                host.asked.extend(id);
            }
            Self::Reply { nth, size } => {
                let Some(token) = pick(&host.tokens, nth) else { return };
                host.act(|node, now| node.reply(now, token, payload(size))).unwrap_or_default();
            }
            Self::Refuse { nth } => {
                let Some(token) = pick(&host.tokens, nth) else { return };
                host.act(|node, now| node.refuse(now, token, Refusal::Rejected("no"))).unwrap_or_default();
            }
            Self::Cancel { nth } => {
                let Some(id) = pick(&host.asked, nth) else { return };
                if host.act(|node, now| node.cancel(now, id)) {
                    host.asked.retain(|asked| *asked != id);
                }
            }
            _ => {}
        }
    }
}

fn pick<T: Copy>(from: &[T], nth: u8) -> Option<T> {
    from.get(usize::from(nth) % from.len().max(1)).copied()
}
