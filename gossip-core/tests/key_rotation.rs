//! The key of a cluster changes while it works, and nobody notices.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gossip_core::{Config, Key, KeyRing, MemberState, MessageId, Node};

use support::messages::{PLAIN, broadcast, faults, told_lost};
use support::{Addr, Net, secs};

const COUNT: usize = 20;

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32])
}

/// A cluster in which somebody broadcasts all the time.
struct Busy {
    net: Net,
    messages: BTreeMap<MessageId, usize>,
}

impl Busy {
    /// Each broadcasts in turn, one every 50 ms.
    fn run(&mut self, span: Duration) {
        let steps = span.as_millis() / 50;
        for _ in 0..steps {
            let who = self.messages.len() % COUNT;
            let text = Bytes::from(self.messages.len().to_string());
            let message = broadcast(&mut self.net, who, text, PLAIN);
            self.messages.insert(message, who);
            self.net.run(Duration::from_millis(50));
        }
    }

    /// A step of the change reaches the nodes one after the other.
    fn each(&mut self, change: impl Fn(&mut Node<Addr>)) {
        for who in 0..COUNT {
            change(self.net.node(who));
            self.run(Duration::from_millis(150));
        }
    }
}

#[test]
fn a_live_cluster_of_twenty_changes_its_key_under_loss_and_loses_no_broadcast_and_suspects_nobody() {
    let mut config = Config::local("rotation");
    config.keys = Some(KeyRing::new(key(1)));
    let mut busy = Busy { net: Net::cluster(COUNT, &config), messages: BTreeMap::new() };
    let (old, new) = (key(1).id(), key(2).id());
    busy.net.clear_events();
    busy.net.loss = 5;
    busy.run(secs(2));
    busy.each(|node| assert_eq!(node.add_key(key(2)), Ok(true)));
    busy.each(|node| assert_eq!(node.use_key(new), Ok(())));
    // At once, although some have not heard from all yet and speak the old key for their sake.
    busy.each(|node| assert_eq!(node.remove_key(old), Ok(())));
    busy.run(secs(2));
    let Busy { mut net, messages } = busy;
    net.run(secs(10));

    assert!(messages.len() >= 9 * COUNT, "{} broadcasts", messages.len());
    assert_eq!(faults(&net, &messages), 0, "each of them once at each node");
    assert!(net.sees_alive(0..COUNT));
    for who in 0..COUNT {
        assert_eq!(told_lost(&net, who), 0);
        assert_eq!(net.stats(who).refutations, 0, "{who} was suspected");
        let changes = net.changes(who);
        assert!(changes.iter().all(|(_, state, _)| *state == MemberState::Alive), "{who}: {changes:?}");
        assert_eq!(net.node(who).key_ids().collect::<Vec<_>>(), [new]);
    }
}
