//! Broadcasts: a tree that is drawn anew for each message, and repair of what gets lost on it.
//!
//! The live members stand in a circle (`ring.rs`). The origin has the whole of it to serve; it shares it out in arcs, each to a
//! random member of its arc, who does the same. So every node gets one copy, no two messages have the same inner nodes,
//! and nothing has to be maintained. Copies that others depend on are acknowledged (`hops.rs`); whoever misses one all
//! the same learns so from what its peers tell of late, and asks for it (`repair.rs`).

mod encode;
mod hops;
mod repair;
mod wants;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::context::{Context, Phase};
use crate::delivery::Delivery;
use crate::identity::{Address, Epoch, NodeId};
use crate::lane::{Heard, Kept, LaneKey, Parcel, Run, Standing, Turn};
use crate::mail::{Copy, Share};
use crate::message::{BroadcastOptions, MessageId, MessageType};
use crate::outbox::{Pending, Recipients};
use crate::ring::{self, Arcs, Point, point_of};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::Channel;
use crate::wire::{CopyHeader, Letter, MAX_PATH};

use hops::{Group, Hops};
use repair::Helped;
use wants::Wants;

/// How long what came is told of on probes and their answers.
pub(crate) const RIDING: Duration = Duration::from_secs(1);

/// How long it is told of in every round of gossip, while some gets lost.
pub(crate) const TICKING: Duration = Duration::from_secs(4);

/// How long acknowledgements to the same node wait for each other.
const ACK_DELAY: Duration = Duration::from_millis(1);

/// Acknowledgements, and nodes to be told of them, that wait at the same time.
const ACKS: usize = 64;
const ACKED: usize = 1_024;

/// Copies with an arc that are remembered, so that none is served again that was sent again.
const SERVED: usize = 4_096;

/// Points of the nodes that a message went through, as they travel.
pub(crate) type Path = SmallVec<[u8; 16]>;

/// Who sent it, under which number, and which message it is.
type Served = (NodeId, u32, LaneKey, u64);

#[derive(Debug)]
pub(crate) struct Broadcaster<A> {
    /// How many this node sent in each of its lanes since the start that it is in.
    own: BTreeMap<LaneKey, u64>,
    epoch: Epoch,
    hops: Hops,
    wants: Wants,
    helped: Helped,
    acks: BTreeMap<(bool, A), SmallVec<[u32; 4]>>,
    served: BTreeSet<Served>,
    served_order: VecDeque<Served>,
    /// When lanes give up what they wait for.
    patience: BTreeMap<LaneKey, Instant>,
    deadlines: BTreeSet<(Instant, LaneKey)>,
    /// Until when messages are expected to get lost for good.
    trouble: Instant,
    /// Until when copies are expected to get lost.
    lossy: Instant,
    /// When this node was let in.
    joined: Option<Instant>,
}

/// A packet that keeps broadcasts reliable.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    /// Word that copies came.
    Ack { hops: SmallVec<[u32; 4]> },
    /// What came lately, to the member `peer`, which is to compare.
    Compare { peer: NodeId, trouble_ms: u32 },
    /// Broadcasts that somebody seems to lack.
    Recent { runs: Vec<Run> },
    /// A request for broadcasts.
    Pull { runs: Vec<Run> },
}

/// An arc that this node has to serve.
struct Duty {
    kept: Kept,
    arc: ring::Arc,
    /// Those before this node.
    path: Path,
    /// How often it was handed on because somebody did not answer.
    handovers: u8,
}

/// A copy as it came.
pub(crate) struct Incoming<'a, A> {
    pub(crate) from: &'a A,
    pub(crate) channel: Channel,
    pub(crate) sender: NodeId,
    /// The sender is a member, in the start that it is in.
    pub(crate) is_member: bool,
    pub(crate) letter: &'a Letter<'a, CopyHeader<'a>>,
}

impl<A: Address> Broadcaster<A> {
    pub(crate) fn new(cx: &Context<A>) -> Self {
        Self {
            own: BTreeMap::new(),
            epoch: cx.incarnation().epoch,
            hops: Hops::new(),
            wants: Wants::default(),
            helped: Helped::default(),
            acks: BTreeMap::new(),
            served: BTreeSet::new(),
            served_order: VecDeque::new(),
            patience: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            trouble: Instant::ZERO,
            lossy: Instant::ZERO,
            joined: None,
        }
    }

    /// Sends a broadcast; whether there is room was asked before.
    pub(crate) fn begin(
        &mut self,
        cx: &mut Context<A>,
        kind: MessageType,
        payload: Bytes,
        options: BroadcastOptions<'_>,
    ) -> MessageId {
        let (origin, epoch) = (cx.id(), cx.incarnation().epoch);
        if self.epoch != epoch {
            self.own.clear();
            self.epoch = epoch;
        }
        let lane = LaneKey::of(origin, epoch, options.tag.unwrap_or(""));
        let last = self.own.entry(lane).or_default();
        *last += 1;
        let (sequence, recent) = (*last, cx.lanes.recent(lane, *last));
        let BroadcastOptions { tag, reliable, ordered } = options;
        let tag = tag.map(Arc::from);
        let parcel = Arc::new(Parcel {
            origin,
            epoch,
            lane,
            sequence,
            kind,
            tag,
            reliable,
            ordered,
            recent,
            payload: payload.into(),
        });
        let (id, kept) = (parcel.id(), Kept { parcel, hops: 0, since: cx.now });
        if cx.lanes.hear(cx.now, &kept.parcel, Standing::Own).is_none() {
            cx.drop(DropReason::OriginsFull);
        }
        // Nobody comes to miss what was sent to nobody.
        if !cx.ring.members(kept.parcel.tag(), &cx.table).is_empty() {
            self.keep(cx, kept.clone());
            let arc = ring::Arc::whole(point_of(origin));
            self.serve(cx, Duty { kept, arc, path: Path::new(), handovers: 0 });
        }
        id
    }

    /// Another packet is acted on: what it tells of that is missing is bounded.
    pub(crate) fn begin_packet(&mut self) {
        self.wants.begin_packet();
    }

    /// A copy came.
    pub(crate) fn handle_copy(&mut self, cx: &mut Context<A>, incoming: &Incoming<'_, A>) {
        let header = incoming.letter.header;
        if header.origin == cx.id() {
            self.acknowledge_later(cx, incoming);
            cx.drop(DropReason::Myself);
            return;
        }
        let Some((parcel, standing)) = admit(cx, incoming) else { return };
        if header.flags & CopyHeader::OFFER != 0 {
            self.handle_offer(cx, incoming, parcel.lane);
            return;
        }
        let is_first = !cx.lanes.is_open(parcel.lane);
        let Some(outcome) = cx.lanes.hear(cx.now, &parcel, standing) else {
            cx.drop(DropReason::OriginsFull);
            return;
        };
        report_loss(cx, &parcel, outcome.lost);
        let (is_new, reason) = match outcome.heard {
            Heard::New => (true, None),
            Heard::Before => (false, Some(DropReason::Duplicate)),
            Heard::TooOld => (false, Some(DropReason::TooOld)),
            // Not acknowledged, so it comes again.
            Heard::TooFar => return cx.drop(DropReason::TooFar),
        };
        if let Some(reason) = reason {
            cx.drop(reason);
        }
        self.acknowledge_later(cx, incoming);
        let is_to_serve = self.is_to_serve(incoming, parcel.lane);
        if !is_new && !is_to_serve {
            return;
        }
        let known = cx.lanes.kept(parcel.lane, parcel.sequence).map(|kept| kept.parcel.payload.clone());
        let payload = known.unwrap_or_else(|| Bytes::copy_from_slice(incoming.letter.payload).into());
        let since = cx.now - Duration::from_millis(u64::from(header.age_ms)).min(cx.config.repair_time);
        let kept = Kept { parcel: Arc::new(Parcel { payload, ..parcel }), hops: header.hops, since };
        if is_to_serve {
            self.serve_share(cx, &kept, header);
        }
        if is_new {
            let (lane, sequence) = (kept.parcel.lane, kept.parcel.sequence);
            if !is_first || kept.parcel.recent > 0 {
                self.note_gap(cx, lane, sequence, incoming.sender);
            }
            self.take_in(cx, kept);
        }
    }

    /// Whether the arc in a copy is to be served. That the message was heard before does not matter: it may have come by
    /// repair, or the arc may have been handed over.
    fn is_to_serve(&mut self, incoming: &Incoming<'_, A>, lane: LaneKey) -> bool {
        let header = incoming.letter.header;
        if header.arcs.is_empty() || usize::from(header.hops) > MAX_PATH {
            return false;
        }
        let key = (incoming.sender, header.hop, lane, header.sequence);
        if !self.served.insert(key) {
            return false;
        }
        self.served_order.push_back(key);
        if self.served_order.len() > SERVED
            && let Some(oldest) = self.served_order.pop_front()
        {
            self.served.remove(&oldest);
        }
        true
    }

    /// Serves the one of the arcs in a copy in which this node stands.
    fn serve_share(&mut self, cx: &mut Context<A>, kept: &Kept, header: CopyHeader<'_>) {
        let Some(arc) = Arcs::find(header.arcs, point_of(cx.id())) else {
            cx.drop(DropReason::WrongTarget);
            return;
        };
        let path = Path::from_slice(header.path);
        self.serve(cx, Duty { kept: kept.clone(), arc, path, handovers: 0 });
    }

    /// Shares an arc out.
    fn serve(&mut self, cx: &mut Context<A>, duty: Duty) {
        let parcel = &duty.kept.parcel;
        let except = except(parcel, &duty.path);
        let members = cx.ring.members(parcel.tag(), &cx.table);
        let share = ring::split(members, &cx.table, duty.arc, &except, &mut cx.rng);
        if share.parts.is_empty() {
            return;
        }
        let is_last = share.arcs.0.is_empty();
        let path = if is_last { Path::new() } else { through(duty.path, parcel.origin, cx.id()) };
        let pending = share.parts.iter().map(|&(slot, arc)| (cx.table.member(slot).id, arc)).collect();
        let copy = Copy {
            parcel: parcel.clone(),
            hop: 0,
            hops: duty.kept.hops.saturating_add(1),
            is_offer: false,
            age_ms: None,
            arcs: share.arcs,
            path,
        };
        self.send(cx, Group::new(copy, pending, duty.handovers));
    }

    /// Keeps a message for those who miss it.
    fn keep(&self, cx: &mut Context<A>, kept: Kept) {
        cx.lanes.keep(cx.now, kept);
        self.arm_recent(cx);
    }

    /// A message came for the first time.
    fn take_in(&mut self, cx: &mut Context<A>, kept: Kept) {
        let lane = kept.parcel.lane;
        if let Some(was_unexpected) = self.wants.remove(lane, kept.parcel.sequence) {
            cx.stats.broadcasts_pulled += 1;
            if was_unexpected {
                self.note_trouble(cx);
            }
        }
        if self.joined.is_some_and(|joined| kept.since < joined) {
            // It was told of by somebody who had it before this node was let in.
            cx.drop(DropReason::TooOld);
            self.release(cx, lane);
            return;
        }
        self.keep(cx, kept.clone());
        match if kept.parcel.ordered { cx.lanes.turn(cx.now, &kept.parcel) } else { Turn::Now } {
            Turn::Now => deliver(cx, &kept),
            Turn::Later => cx.lanes.hold(kept),
            Turn::Over => cx.drop(DropReason::TooOld),
        }
        self.release(cx, lane);
        let (count, bytes) = cx.lanes.held();
        if count > cx.config.max_held || bytes > cx.config.repair_bytes {
            self.skip_gap(cx, lane);
        }
    }

    /// Delivers what waited for nothing but what came by now.
    pub(crate) fn release(&mut self, cx: &mut Context<A>, lane: LaneKey) {
        let mut has_moved = false;
        while let Some(kept) = cx.lanes.release(lane) {
            deliver(cx, &kept);
            has_moved = true;
        }
        let waits = cx.lanes.holds(lane);
        if (has_moved || !waits)
            && let Some(deadline) = self.patience.remove(&lane)
        {
            self.deadlines.remove(&(deadline, lane));
        }
        if waits && !self.patience.contains_key(&lane) {
            let deadline = cx.now + cx.config.order_timeout;
            self.patience.insert(lane, deadline);
            self.deadlines.insert((deadline, lane));
        }
        cx.timers.follow(Timer::Order, self.deadlines.first().map(|&(deadline, _)| deadline));
    }

    /// Gives up what lanes have waited for long enough.
    pub(crate) fn give_up(&mut self, cx: &mut Context<A>) {
        while let Some(&(deadline, lane)) = self.deadlines.first().filter(|&&(deadline, _)| deadline <= cx.now) {
            self.deadlines.remove(&(deadline, lane));
            self.patience.remove(&lane);
            self.skip_gap(cx, lane);
        }
        cx.timers.follow(Timer::Order, self.deadlines.first().map(|&(deadline, _)| deadline));
    }

    fn skip_gap(&mut self, cx: &mut Context<A>, lane: LaneKey) {
        if let Some((parcel, count)) = cx.lanes.give_up(cx.now, lane) {
            report_loss(cx, &parcel, count);
        }
        self.release(cx, lane);
    }

    fn acknowledge_later(&mut self, cx: &mut Context<A>, incoming: &Incoming<'_, A>) {
        let hop = incoming.letter.header.hop;
        if hop == 0 {
            return;
        }
        let key = (incoming.channel == Channel::Stream, incoming.from.clone());
        let hops = self.acks.entry(key).or_default();
        hops.push(hop);
        if hops.len() >= ACKS || self.acks.len() >= ACKED {
            self.acknowledge(cx);
        } else if !cx.timers.is_set(Timer::CopyAck) {
            cx.timers.set(Timer::CopyAck, cx.now + ACK_DELAY);
        }
    }

    /// Sends the acknowledgements that have waited.
    pub(crate) fn acknowledge(&mut self, cx: &mut Context<A>) {
        cx.timers.stop(Timer::CopyAck);
        while let Some(((by_stream, to), hops)) = self.acks.pop_first() {
            let channel = if by_stream { Channel::Stream } else { Channel::Datagram };
            cx.outbox.push(Pending::Control { to, channel, control: Control::Ack { hops } });
        }
    }

    /// This node was let in just now, unless it was before.
    pub(crate) fn note_joined(&mut self, cx: &Context<A>) {
        self.joined.get_or_insert(cx.now);
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.joined.is_some()
    }
}

/// The broadcast of a copy without its payload, and who vouches for it; nothing if it is not for this node.
fn admit<A: Address>(cx: &mut Context<A>, incoming: &Incoming<'_, A>) -> Option<(Parcel, Standing)> {
    let header = incoming.letter.header;
    if !header.tag.is_empty() && !cx.table.myself().tags.has(header.tag) {
        cx.drop(DropReason::NotTagged);
        return None;
    }
    let Some(kind) = MessageType::of_broadcast(header.kind) else {
        cx.drop(DropReason::ReservedType);
        return None;
    };
    let standing = match (cx.knows(header.origin, header.epoch), incoming.is_member) {
        (true, true) => Standing::Known,
        (false, true) => Standing::Vouched,
        (false, false) => Standing::Stranger,
        // Of a member's broadcasts only members tell.
        (true, false) => {
            cx.drop(DropReason::UnknownMember);
            return None;
        }
    };
    let parcel = Parcel {
        origin: header.origin,
        epoch: header.epoch,
        lane: LaneKey::of(header.origin, header.epoch, header.tag),
        sequence: header.sequence,
        kind,
        tag: (!header.tag.is_empty()).then(|| Arc::from(header.tag)),
        reliable: header.flags & CopyHeader::RELIABLE != 0,
        ordered: header.flags & CopyHeader::ORDERED != 0,
        recent: header.recent,
        payload: Bytes::new().into(),
    };
    Some((parcel, standing))
}

/// Tells the application of broadcasts that do not come any more.
fn report_loss<A: Address>(cx: &mut Context<A>, parcel: &Parcel, count: u64) {
    if count > 0 {
        cx.stats.broadcasts_given_up = cx.stats.broadcasts_given_up.saturating_add(count);
        cx.deliver(Delivery::Gap { origin: parcel.origin, tag: parcel.tag.clone(), count });
    }
}

/// Points of those who have a message: its origin, and those it went through.
fn except(parcel: &Parcel, path: &Path) -> SmallVec<[Point; 8]> {
    let path = path.chunks_exact(4).map(|bytes| Point::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    path.chain([point_of(parcel.origin)]).collect()
}

/// A path, and this node.
fn through(mut path: Path, origin: NodeId, myself: NodeId) -> Path {
    let point = point_of(myself).to_be_bytes();
    if origin != myself && !path.chunks_exact(4).any(|known| known == point) && path.len() < MAX_PATH * 4 {
        path.extend_from_slice(&point);
    }
    path
}

fn deliver<A: Address>(cx: &mut Context<A>, kept: &Kept) {
    let Kept { parcel, hops, .. } = kept;
    if parcel.kind == MessageType::STORE {
        cx.writes.push(parcel.payload.clone());
        return;
    }
    cx.deliver(Delivery::Broadcast {
        id: parcel.id(),
        kind: parcel.kind,
        tag: parcel.tag.clone(),
        payload: parcel.payload.clone().into(),
        hops: *hops,
    });
}

/// Hands copies for several members to the mailbox, if there is room for such.
fn post<A: Address>(cx: &mut Context<A>, copy: Copy, members: impl Iterator<Item = NodeId>) {
    if matches!(cx.phase, Phase::Contested | Phase::Left) {
        return;
    }
    let slots = members.filter_map(|id| cx.table.find(id));
    let to: Recipients<A> = slots.map(|slot| cx.table.member(slot).address.clone()).collect();
    if to.is_empty() {
        return;
    }
    let size = if copy.is_offer { 0 } else { copy.parcel.payload.len() };
    let share = if copy.age_ms.is_some() { Share::Repair } else { Share::of(copy.parcel.origin == cx.id()) };
    if !cx.mail.admits_copy(size, share) {
        cx.stats.add_dropped(DropReason::CopiesFull, to.len() as u64);
        return;
    }
    let channel = copy.channel(&cx.config);
    cx.mail.push(crate::mail::Mail { to, channel, content: crate::mail::Content::Copy(copy) });
}
