//! Two nodes and the way between them.

use std::time::Duration;

use gossip_core::{Channel, Delivery};
use gossip_driver::NodeAddress;

use crate::host::{Host, Sent};
use crate::wire::Place;

/// Rounds of packets in which two nodes that were told something come to rest.
const ROUNDS: usize = 100;

/// The nodes 1 and 2.
pub(crate) struct Pair {
    pub(crate) hosts: [Host; 2],
    /// All packets that arrived, and at whom.
    pub(crate) seen: Vec<(usize, Sent)>,
}

/// Where one of them is.
pub(crate) fn address(host: usize) -> NodeAddress {
    Place::of([1, 2][host]).0
}

impl Pair {
    /// Lets the second join through the first.
    pub(crate) fn join(&mut self) {
        self.hosts[1].act(|node, now| node.join(now, address(0))).expect("it can begin");
        self.settle();
        assert_eq!(self.hosts.each_ref().map(|host| host.node.live_count()), [2, 2], "they know each other");
    }

    /// Lets all packets through until nobody says anything.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let sent: Vec<(usize, Sent)> =
                (0..2).flat_map(|by| self.hosts[by].drain().into_iter().map(move |sent| (1 - by, sent))).collect();
            if sent.is_empty() {
                return;
            }
            for (to, packet) in sent {
                self.arrive(to, packet);
            }
        }
        panic!("they do not come to rest");
    }

    /// Lets a packet through.
    pub(crate) fn arrive(&mut self, to: usize, packet: Sent) {
        let host = &mut self.hosts[to];
        let mut bytes = packet.bytes.clone();
        let from = address(1 - to);
        host.act(|node, now| match packet.channel {
            Channel::Datagram => node.handle_datagram(now, from, &mut bytes),
            Channel::Stream => node.handle_message(now, from, &mut bytes),
        });
        self.seen.push((to, packet));
    }

    /// Lets as much time pass as news needs to arrive.
    pub(crate) fn rest(&mut self) {
        for _ in 0..10 {
            for host in &mut self.hosts {
                host.wait(Duration::from_millis(100));
            }
            self.settle();
        }
    }

    /// Lets time pass; all that the applications were told meanwhile.
    pub(crate) fn hear(&mut self) -> [Vec<Delivery>; 2] {
        self.hosts.iter_mut().for_each(|host| host.heard.clear());
        self.rest();
        self.hosts.each_mut().map(|host| std::mem::take(&mut host.heard))
    }
}
