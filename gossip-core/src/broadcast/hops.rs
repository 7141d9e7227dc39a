//! Copies that are to be acknowledged: sent again, then handed to another member of the arc, at last served by this node itself.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use smallvec::SmallVec;

use crate::broadcast::{Broadcaster, Duty, RIDING, except, post};
use crate::context::{Context, Phase};
use crate::identity::{Address, NodeId};
use crate::lane::Kept;
use crate::mail::Copy;
use crate::membership::MemberState;
use crate::ring::{self, Arc, Arcs, point_of};
use crate::rng::Rng;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::Channel;

/// Groups of copies that wait to be acknowledged at the same time; further ones are not waited for.
const GROUPS: usize = 16_384;

/// How often a copy is sent by datagram to a member that has an arc to serve, before somebody else has. By stream it is sent
/// once: if the stream holds, it arrives.
const TRIES: u8 = 2;

/// How often a copy is sent to a leaf; then it is offered.
const LEAF_TRIES: u8 = 3;

/// How long a leaf is tried.
const LEAF_TIME: Duration = Duration::from_secs(5);

/// How long after a loss more of it is expected.
pub(super) const LOSSY: Duration = Duration::from_secs(10);

/// How often an arc is handed to another member before this node serves it itself, and how often anything is tried at all.
const HANDOVERS: u8 = 2;
const ATTEMPTS: u8 = 4;

/// Shortest wait before a copy is sent again. A busy machine takes this long to answer.
const SHORTEST: Duration = Duration::from_millis(10);

/// Bytes in a microsecond of the slowest stream that is waited for.
const SLOWEST: u64 = 4;

/// The copies of one message that this node sent at once.
#[derive(Debug)]
pub(super) struct Group {
    copy: Copy,
    /// Those who have not acknowledged it, and the arcs that are theirs to serve.
    pending: SmallVec<[(NodeId, Arc); 12]>,
    sent: Instant,
    due: Instant,
    tries: u8,
    handovers: u8,
}

impl Group {
    pub(super) fn new(copy: Copy, pending: SmallVec<[(NodeId, Arc); 12]>, handovers: u8) -> Self {
        Self { copy, pending, sent: Instant::ZERO, due: Instant::MAX, tries: 1, handovers }
    }
}

/// The groups, by the number in their copies.
#[derive(Debug)]
pub(super) struct Hops {
    groups: BTreeMap<u32, Group>,
    due: BTreeSet<(Instant, u32)>,
}

impl Hops {
    pub(super) fn new() -> Self {
        Self { groups: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// A number that is not in use: random, so that nobody can guess what others have to acknowledge.
    fn number(&self, rng: &mut Rng) -> u32 {
        let mut number = rng.next_u32().max(1);
        while self.groups.contains_key(&number) {
            number = number.wrapping_add(1).max(1);
        }
        number
    }

    fn insert(&mut self, group: Group) {
        self.due.insert((group.due, group.copy.hop));
        self.groups.insert(group.copy.hop, group);
    }

    fn remove(&mut self, hop: u32) -> Option<Group> {
        let group = self.groups.remove(&hop)?;
        self.due.remove(&(group.due, hop));
        Some(group)
    }
}

impl<A: Address> Broadcaster<A> {
    /// Sends a group of copies, and waits for their acknowledgement where that is worth it.
    pub(super) fn send(&mut self, cx: &mut Context<A>, mut group: Group) {
        let has_room = self.hops.groups.len() < GROUPS;
        if !has_room {
            cx.drop(DropReason::Busy);
        }
        let is_waited_for = has_room && (cx.now < self.lossy || wants_acks(cx, &group.copy));
        if is_waited_for {
            group.copy.hop = self.hops.number(&mut cx.rng);
        }
        post(cx, group.copy.clone(), group.pending.iter().map(|&(id, _)| id));
        if is_waited_for {
            group.sent = cx.now;
            group.due = cx.now + wait(cx, &group);
            self.hops.insert(group);
            self.arm_hops(cx);
        }
    }

    /// Copies were acknowledged.
    pub(crate) fn handle_acks(&mut self, cx: &mut Context<A>, sender: NodeId, hops: impl Iterator<Item = u32>) {
        for hop in hops {
            let group = self.hops.groups.get_mut(&hop);
            let known = group.and_then(|group| {
                let index = group.pending.iter().position(|&(id, _)| id == sender)?;
                group.pending.swap_remove(index);
                Some((group.pending.is_empty(), group.tries, group.sent))
            });
            let Some((is_done, tries, sent)) = known else {
                cx.drop(DropReason::Unexpected);
                continue;
            };
            // Of a copy that was sent again it is not known which one was acknowledged (Karn).
            if tries == 1
                && let Some(slot) = cx.table.find(sender)
            {
                cx.measure(slot, cx.now.saturating_since(sent));
            }
            if is_done {
                self.hops.remove(hop);
            }
        }
        self.arm_hops(cx);
    }

    /// Does something about the copies that were not acknowledged in time.
    pub(crate) fn step_hops(&mut self, cx: &mut Context<A>) {
        while let Some(&(_, hop)) = self.hops.due.first().filter(|&&(due, _)| due <= cx.now) {
            let Some(mut group) = self.hops.remove(hop) else { break };
            if cx.phase == Phase::Contested {
                continue;
            }
            self.lossy = cx.now + LOSSY;
            let is_leaf = group.copy.arcs.0.is_empty();
            if is_leaf {
                // Those who died meanwhile need nothing any more.
                group.pending.retain(|(id, _)| state_of(cx, *id).is_some_and(MemberState::is_live));
            }
            let by_stream = group.copy.channel(&cx.config) == Channel::Stream;
            let is_tried_again =
                if is_leaf { cx.now < group.sent + LEAF_TIME } else { group.tries < TRIES && !by_stream };
            if group.pending.is_empty() {
                continue;
            }
            if is_tried_again {
                self.try_again(cx, group, is_leaf);
                continue;
            }
            for &(id, arc) in &group.pending {
                self.hand_over(cx, &group, id, arc);
            }
        }
        self.arm_hops(cx);
    }

    fn try_again(&mut self, cx: &mut Context<A>, mut group: Group, is_leaf: bool) {
        group.copy.is_offer = is_leaf && group.tries >= LEAF_TRIES;
        let is_alive = |id| state_of(cx, id) == Some(MemberState::Alive);
        if is_leaf && cx.now >= group.sent + RIDING && group.pending.iter().any(|&(id, _)| is_alive(id)) {
            // Nobody tells of it on probes any more. The way from here to the member may be cut while others reach it.
            self.note_trouble(cx);
        }
        let wait = wait(cx, &group) * (1 << group.tries.min(16));
        group.due = cx.now + wait.min(LEAF_TIME);
        group.tries = group.tries.saturating_add(1);
        let count = if group.copy.is_offer { &mut cx.stats.copies_offered } else { &mut cx.stats.copies_repeated };
        *count += group.pending.len() as u64;
        post(cx, group.copy.clone(), group.pending.iter().map(|&(id, _)| id));
        self.hops.insert(group);
    }

    /// Streams to `address` broke: whoever has an arc to serve there is passed over. A leaf is tried again in its time.
    pub(crate) fn handle_unreachable(&mut self, cx: &mut Context<A>, address: &A) {
        let is_there =
            |cx: &Context<A>, id| cx.table.find(id).is_some_and(|slot| cx.table.member(slot).address == *address);
        let is_lost = |group: &Group| {
            group.copy.channel(&cx.config) == Channel::Stream
                && !group.copy.arcs.0.is_empty()
                && group.pending.iter().any(|&(id, _)| is_there(cx, id))
        };
        let lost: SmallVec<[u32; 8]> =
            self.hops.groups.iter().filter(|(_, group)| is_lost(group)).map(|(&hop, _)| hop).collect();
        for hop in lost {
            let Some(mut group) = self.hops.remove(hop) else { continue };
            let Some(index) = group.pending.iter().position(|&(id, _)| is_there(cx, id)) else { continue };
            let (id, arc) = group.pending.swap_remove(index);
            self.lossy = cx.now + LOSSY;
            self.hand_over(cx, &group, id, arc);
            if !group.pending.is_empty() {
                self.hops.insert(group);
            }
        }
        self.arm_hops(cx);
    }

    /// `silent` does not serve its arc: somebody else does, or this node. Those without an arc are left to repair.
    fn hand_over(&mut self, cx: &mut Context<A>, group: &Group, silent: NodeId, arc: Arc) {
        if arc.is_empty() {
            return;
        }
        if group.handovers >= ATTEMPTS {
            self.note_trouble(cx);
            return;
        }
        let Copy { parcel, path, hops, .. } = &group.copy;
        cx.stats.arcs_handed_over += 1;
        if group.handovers < HANDOVERS {
            let mut except = except(parcel, path);
            except.push(point_of(silent));
            let members = cx.ring.members(parcel.tag(), &cx.table);
            if let Some(slot) = ring::choose_in(members, &cx.table, arc, &except, &mut cx.rng) {
                let heir = cx.table.member(slot).id;
                let copy = Copy { arcs: Arcs::one(arc), ..group.copy.clone() };
                self.send(cx, Group::new(copy, SmallVec::from_slice(&[(heir, arc)]), group.handovers + 1));
                return;
            }
        }
        let kept = Kept { parcel: parcel.clone(), hops: hops.saturating_sub(1), since: group.sent };
        let (path, handovers) = (path.clone(), group.handovers.max(HANDOVERS) + 1);
        self.serve(cx, Duty { kept, arc, path, handovers });
    }

    fn arm_hops(&self, cx: &mut Context<A>) {
        cx.timers.follow(Timer::Hop, self.hops.due.first().map(|&(due, _)| due));
    }
}

fn state_of<A: Address>(cx: &Context<A>, id: NodeId) -> Option<MemberState> {
    cx.table.find(id).map(|slot| cx.table.member(slot).state)
}

/// Whether copies are worth an acknowledgement. Those that others depend on always are. A leaf is where it would be
/// helped sooner by a second copy than by asking for it.
fn wants_acks<A: Address>(cx: &Context<A>, copy: &Copy) -> bool {
    let is_leaf = copy.arcs.0.is_empty();
    let wait = cx.typical.retransmission(SHORTEST, cx.config.probe_timeout);
    !is_leaf
        || copy.parcel.reliable
        || copy.parcel.tag.is_some()
        || wait.is_some_and(|wait| wait <= cx.config.gossip_interval / 2)
}

/// How long to wait for the slowest of a group.
fn wait<A: Address>(cx: &Context<A>, group: &Group) -> Duration {
    let longest = cx.config.probe_timeout;
    let typical = cx.typical.retransmission(SHORTEST, longest);
    let unknown = typical.unwrap_or(cx.config.gossip_interval.min(longest));
    let slots = group.pending.iter().filter_map(|&(id, _)| cx.table.find(id));
    let waits = slots.map(|slot| cx.table.row(slot).round_trip.retransmission_among(unknown, SHORTEST, longest));
    let wait = waits.max().unwrap_or(unknown);
    match group.copy.channel(&cx.config) {
        Channel::Datagram => wait,
        Channel::Stream => {
            let size = group.copy.parcel.payload.len() * group.pending.len();
            wait.max(longest) + Duration::from_micros(size as u64 / SLOWEST)
        }
    }
}
