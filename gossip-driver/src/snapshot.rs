//! The member table as readers see it: a picture that never changes, replaced as a whole.

use std::sync::Arc;

use gossip_core::{MemberState, Node, NodeId};

use crate::{Member, NodeAddress};

/// The member table at one moment. Reading it takes no lock and disturbs nobody.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: u64,
    local: NodeId,
    /// Ordered by id.
    members: Vec<Arc<Member>>,
    counts: Counts,
}

/// How many members are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Those that answer, this node included.
    pub alive: usize,
    /// Those that are suspected.
    pub suspect: usize,
    /// Those that were declared dead.
    pub dead: usize,
    /// Those that left.
    pub leaving: usize,
}

impl Counts {
    /// Members that take part: alive, or only suspected.
    pub fn live(&self) -> usize {
        self.alive + self.suspect
    }

    fn add(&mut self, state: MemberState) {
        match state {
            MemberState::Alive => self.alive += 1,
            MemberState::Suspect => self.suspect += 1,
            MemberState::Dead => self.dead += 1,
            MemberState::Leaving => self.leaving += 1,
            MemberState::Removed => {}
        }
    }
}

impl Snapshot {
    pub(crate) fn of(node: &Node<NodeAddress>) -> Self {
        Self::new(node.table_version(), node.id(), node.members().cloned())
    }

    fn new(version: u64, local: NodeId, members: impl Iterator<Item = Member>) -> Self {
        let mut members: Vec<Arc<Member>> = members.map(Arc::new).collect();
        members.sort_unstable_by_key(|member| member.id);
        let mut counts = Counts::default();
        for member in &members {
            counts.add(member.state);
        }
        Self { version, local, members, counts }
    }

    /// Grows with every change of the table.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Everybody known, ordered by id: this node, the live, the dead and the departed that are still remembered.
    pub fn all(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Members that take part, this node included: alive, or only suspected.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().filter(|member| member.state.is_live())
    }

    /// Members that answer, this node included.
    pub fn alive(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.in_state(MemberState::Alive)
    }

    /// Members in one state.
    pub fn in_state(&self, state: MemberState) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().filter(move |member| member.state == state)
    }

    /// Live members with this tag, this node included if it has it.
    pub fn tagged<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Arc<Member>> {
        self.live().filter(move |member| member.tags.has(tag))
    }

    /// The member with this id.
    pub fn member(&self, id: NodeId) -> Option<&Arc<Member>> {
        let at = self.members.binary_search_by_key(&id, |member| member.id).ok()?;
        self.members.get(at)
    }

    /// This node as it sees itself.
    pub fn local(&self) -> Option<&Arc<Member>> {
        self.member(self.local)
    }

    pub(crate) fn local_id(&self) -> NodeId {
        self.local
    }

    /// How many members are in each state.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Up to `count` different live members other than this node, chosen at random.
    pub fn candidates(&self, count: usize) -> Vec<Arc<Member>> {
        self.candidates_with(count, &mut Random::new())
    }

    fn candidates_with(&self, count: usize, random: &mut Random) -> Vec<Arc<Member>> {
        let mut others: Vec<&Arc<Member>> = self.live().filter(|member| member.id != self.local).collect();
        let count = count.min(others.len());
        for at in 0..count {
            let other = at + random.below(others.len() - at);
            others.swap(at, other);
        }
        others.into_iter().take(count).cloned().collect()
    }
}

/// `SplitMix64`: enough to spread load, not to keep secrets.
struct Random(u64);

impl Random {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(0)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the product shifted down is below the bound")]
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::BytesMut;
    use gossip_core::{Channel, Config, Epoch, Identity, Instant};

    use super::*;

    fn address(of: usize) -> NodeAddress {
        NodeAddress::Socket(([127, 0, 0, 1], u16::try_from(of).unwrap()).into())
    }

    /// Lets time pass for nodes whose index is their port; packets of those that are `None` are lost.
    fn run(nodes: &mut [Option<Node<NodeAddress>>], now: &mut Instant, span: Duration) {
        let mut buffer = BytesMut::new();
        let end = *now + span;
        while *now < end {
            for from in 0..nodes.len() {
                while let Some(node) = &mut nodes[from]
                    && let Some(transmit) = node.poll_transmit(*now, &mut buffer)
                {
                    let packet = buffer.split();
                    for to in transmit.to {
                        let Some(node) = &mut nodes[usize::from(to.socket_address().unwrap().port())] else { continue };
                        match transmit.channel {
                            Channel::Datagram => node.handle_datagram(*now, address(from), &mut packet.clone()),
                            Channel::Stream => node.handle_message(*now, address(from), &mut packet.clone()),
                        }
                    }
                }
            }
            *now = *now + Duration::from_millis(10);
            nodes.iter_mut().flatten().for_each(|node| node.handle_timeout(*now));
        }
    }

    #[test]
    fn those_with_a_tag_are_the_same_as_the_node_itself_says() {
        let mut now = Instant::ZERO;
        let tags: [&[&str]; 5] = [&["a", "b"], &["a", "a"], &["b"], &[], &["a", "c"]];
        let mut nodes: Vec<_> = (0_u8..)
            .zip(tags)
            .map(|(number, tags)| {
                let identity =
                    Identity::new(NodeId::from_u128(number.into()), address(number.into()), Epoch::new(1, 0));
                let identity = identity.with_tags(tags.iter().copied());
                Some(Node::new(identity, Config::local("x"), [number; 32], now).unwrap())
            })
            .collect();
        let mut seen = Vec::new();
        for step in 0..4 {
            match step {
                0 => nodes[1..].iter_mut().flatten().for_each(|node| node.join(now, address(0)).unwrap()),
                1 => nodes[1] = None,
                2 => nodes[4].as_mut().unwrap().leave(now).unwrap(),
                _ => nodes[0].as_mut().unwrap().leave(now).unwrap(),
            }
            run(&mut nodes, &mut now, Duration::from_mins(1));
            let node = nodes[0].as_ref().unwrap();
            let snapshot = Snapshot::of(node);
            for tag in ["a", "b", "c", "d", ""] {
                let mut expected: Vec<NodeId> = node.tagged(tag).map(|member| member.id).collect();
                expected.sort_unstable();
                assert!(snapshot.tagged(tag).map(|member| member.id).eq(expected), "step {step}, tag {tag:?}");
            }
            seen.push(["a", "b", "c"].map(|tag| snapshot.tagged(tag).count()));
        }
        assert_eq!(seen, [[3, 2, 1], [2, 2, 1], [1, 2, 0], [0, 1, 0]], "as members fail and leave");
    }
}
