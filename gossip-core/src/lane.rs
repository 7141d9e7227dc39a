//! What was heard of whose broadcasts: a window for each origin, and the messages themselves for a while, for those who
//! missed them.
//!
//! The broadcasts of one start of a node to one tag, or to everybody, are a *lane*: they are numbered from 1 without gaps, so
//! a receiver knows what it lacks, and nobody counts what was not meant for it.

mod store;
mod track;
mod window;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::hash::Hasher;
use core::time::Duration;

use siphasher::sip::SipHasher24;
use smallvec::SmallVec;

use crate::identity::{Epoch, NodeId, Tags};
use crate::message::{MessageId, MessageType};
use crate::payload::Payload;
use crate::rng::Rng;
use crate::time::Instant;

use store::Store;
use track::{Outcome, Step, Track};

pub(crate) use track::{Turn, WINDOW};
pub(crate) use window::{Heard, Window};

/// Bytes that the windows of lanes with much missing may take besides what every lane has.
const ROOM: usize = 1 << 20;

/// The name of a lane: SipHash-2-4 with an all-zero key over the origin's id, its epoch, and the tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LaneKey(pub(crate) u64);

impl LaneKey {
    pub(crate) fn of(origin: NodeId, epoch: Epoch, tag: &str) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(origin.as_bytes());
        hasher.write(&epoch.as_u64().to_be_bytes());
        hasher.write(tag.as_bytes());
        Self(hasher.finish())
    }
}

/// A broadcast.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) origin: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) lane: LaneKey,
    pub(crate) sequence: u64,
    pub(crate) kind: MessageType,
    pub(crate) tag: Option<Arc<str>>,
    pub(crate) reliable: bool,
    pub(crate) ordered: bool,
    /// How many of those before it could still be asked for when it was sent.
    pub(crate) recent: u32,
    pub(crate) payload: Payload,
}

impl Parcel {
    pub(crate) fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("")
    }

    pub(crate) fn id(&self) -> MessageId {
        MessageId { origin: self.origin, epoch: self.epoch, lane: self.lane.0, sequence: self.sequence }
    }
}

/// A parcel, how many nodes it went through, and when it came here.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) parcel: Arc<Parcel>,
    pub(crate) hops: u8,
    pub(crate) since: Instant,
}

/// Whom the messages of a lane are for.
#[derive(Debug)]
enum Audience {
    /// Only the lane's name was heard of.
    Unknown,
    Everybody,
    Tagged(Arc<str>),
}

impl Audience {
    /// Whether a node with these tags is among them.
    fn includes(&self, tags: &Tags) -> bool {
        match self {
            Self::Unknown => false,
            Self::Everybody => true,
            Self::Tagged(tag) => tags.has(tag),
        }
    }
}

/// Who says that there is a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is this node's own.
    Own,
    /// Its origin is a member, in the start that it is in.
    Known,
    /// A member, but its origin is none.
    Vouched,
    /// Neither the sender nor the origin is a member.
    Stranger,
}

#[derive(Debug)]
struct Lane {
    track: Track,
    audience: Audience,
    used: Instant,
    is_stranger: bool,
}

/// Messages of a lane that somebody has, or lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) lane: LaneKey,
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// The lanes, bounded in number, and what is kept of them, bounded in bytes and time.
#[derive(Debug)]
pub(crate) struct Lanes {
    by_key: BTreeMap<LaneKey, Lane>,
    by_use: BTreeSet<(Instant, LaneKey)>,
    /// Those whose origins are no members.
    strangers: BTreeSet<(Instant, LaneKey)>,
    /// The last numbers heard in lanes that gave way.
    past: BTreeMap<LaneKey, u64>,
    past_order: VecDeque<LaneKey>,
    limit: usize,
    keep: Duration,
    store: Store,
    /// Bytes that windows take.
    grown: usize,
    held: usize,
    held_bytes: usize,
}

impl Lanes {
    pub(crate) fn new(limit: usize, max_bytes: usize, keep: Duration) -> Self {
        Self {
            by_key: BTreeMap::new(),
            by_use: BTreeSet::new(),
            strangers: BTreeSet::new(),
            past: BTreeMap::new(),
            past_order: VecDeque::new(),
            limit,
            keep,
            store: Store::new(max_bytes, keep),
            grown: 0,
            held: 0,
            held_bytes: 0,
        }
    }

    /// Takes note that a message came. Nothing if there are too many lanes already.
    pub(crate) fn hear(&mut self, now: Instant, parcel: &Parcel, standing: Standing) -> Option<Outcome> {
        let key = parcel.lane;
        if !self.by_key.contains_key(&key) && !self.open(now, key, standing) {
            return None;
        }
        let lane = self.by_key.get_mut(&key)?;
        lane.audience = parcel.tag.clone().map_or(Audience::Everybody, Audience::Tagged);
        let before = lane.track.bytes();
        let (number, recent) = (parcel.sequence, u64::from(parcel.recent));
        let outcome = lane.track.hear(Step { now, number, recent, keep: self.keep, has_room: self.grown < ROOM });
        self.grown = self.grown - before + lane.track.bytes();
        if outcome.heard == Heard::New {
            let used = core::mem::replace(&mut lane.used, now);
            let is_stranger = lane.is_stranger && !standing.is_known();
            let was_stranger = core::mem::replace(&mut lane.is_stranger, is_stranger);
            self.by_use.remove(&(used, key));
            self.by_use.insert((now, key));
            if was_stranger {
                self.strangers.remove(&(used, key));
            }
            if is_stranger {
                self.strangers.insert((now, key));
            }
        }
        Some(outcome)
    }

    /// Takes note that all up to `last` is history.
    pub(crate) fn skip(&mut self, now: Instant, key: LaneKey, last: u64) {
        if let Some(lane) = self.by_key.get_mut(&key) {
            let before = lane.track.bytes();
            lane.track.skip(last, now);
            self.grown = self.grown - before + lane.track.bytes();
        } else if self.open(now, key, Standing::Known)
            && let Some(lane) = self.by_key.get_mut(&key)
        {
            lane.track = Track::beginning_at(last.saturating_add(1), now);
        }
    }

    fn open(&mut self, now: Instant, key: LaneKey, standing: Standing) -> bool {
        let share = match standing {
            Standing::Own | Standing::Known => usize::MAX,
            Standing::Vouched => (self.limit / 4).max(2),
            Standing::Stranger => (self.limit / 8).max(1),
        };
        let has_room = (self.strangers.len() < share || self.evict(now, standing, true))
            && (self.by_key.len() < self.limit || self.evict(now, standing, true) || self.evict(now, standing, false));
        if !has_room {
            return false;
        }
        let track = self.past.remove(&key).map(|top| Track::beginning_at(top.saturating_add(1), now));
        let is_stranger = !standing.is_known();
        self.by_use.insert((now, key));
        if is_stranger {
            self.strangers.insert((now, key));
        }
        let track = track.unwrap_or_default();
        self.by_key.insert(key, Lane { track, audience: Audience::Unknown, used: now, is_stranger });
        true
    }

    /// Makes room by the lane that was used longest ago, if that is long enough; only among strangers' if `strangers`.
    fn evict(&mut self, now: Instant, standing: Standing, strangers: bool) -> bool {
        /// Lanes looked at: one that holds messages back stays.
        const LOOKED_AT: usize = 16;
        let order = if strangers { &self.strangers } else { &self.by_use };
        // One that is still told of could come again; those before it are done with.
        let is_over = |used: Instant| standing == Standing::Own || now.saturating_since(used) >= self.keep;
        let over = order.iter().take(LOOKED_AT).take_while(|(used, _)| is_over(*used));
        let free = |key: &LaneKey| self.by_key.get(key).is_none_or(|lane| !lane.track.holds());
        let Some(&(used, oldest)) = over.into_iter().find(|(_, key)| free(key)) else { return false };
        self.by_use.remove(&(used, oldest));
        self.strangers.remove(&(used, oldest));
        if let Some(lane) = self.by_key.remove(&oldest) {
            self.grown -= lane.track.bytes();
            if !lane.is_stranger {
                self.remember(oldest, lane.track.top());
            }
        }
        true
    }

    /// Remembers how far a lane was heard, so that nothing of it comes twice.
    fn remember(&mut self, key: LaneKey, top: u64) {
        if self.past.insert(key, top).is_none() {
            self.past_order.push_back(key);
        }
        if self.past_order.len() > 2 * self.limit
            && let Some(oldest) = self.past_order.pop_front()
        {
            self.past.remove(&oldest);
        }
    }

    /// Whether anything of a lane was heard.
    pub(crate) fn is_open(&self, key: LaneKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Whether a message was heard, or is not to be.
    pub(crate) fn contains(&self, key: LaneKey, number: u64) -> bool {
        self.by_key.get(&key).is_some_and(|lane| lane.track.contains(number))
    }

    /// The numbers of a lane from `first` up to `end` that were not heard, at most so many.
    pub(crate) fn missing(&self, key: LaneKey, first: u64, end: u64, most: usize) -> SmallVec<[u64; 8]> {
        let track = self.by_key.get(&key).map(|lane| &lane.track);
        let mut missing = SmallVec::new();
        let mut number = first.max(1);
        while missing.len() < most {
            number = track.map_or(number, |track| track.missing_from(number));
            if number >= end {
                break;
            }
            missing.push(number);
            number += 1;
        }
        missing
    }

    /// Keeps a message for those who missed it; the oldest give way.
    pub(crate) fn keep(&mut self, now: Instant, kept: Kept) {
        self.store.keep(now, kept);
    }

    pub(crate) fn kept(&self, key: LaneKey, sequence: u64) -> Option<&Kept> {
        self.store.kept(key, sequence)
    }

    /// How many of the last numbers of a lane, without the next one, are kept.
    pub(crate) fn recent(&self, key: LaneKey, next: u64) -> u32 {
        self.store.recent(key, next)
    }

    /// Drops what was kept long enough; when there is more to drop.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.store.expire(now)
    }

    /// Whether something came since.
    pub(crate) fn is_fresh(&self, since: Instant) -> bool {
        self.by_use.last().is_some_and(|&(used, _)| used >= since)
    }

    /// A tag that something came for since then.
    pub(crate) fn fresh_tag(&self, since: Instant, rng: &mut Rng) -> Option<Arc<str>> {
        /// Lanes looked at.
        const LOOKED_AT: usize = 64;
        let fresh = self.by_use.iter().rev().take(LOOKED_AT).take_while(|(used, _)| *used >= since);
        let tags = fresh.filter_map(|(_, key)| match &self.by_key.get(key)?.audience {
            Audience::Tagged(tag) => Some(tag.clone()),
            Audience::Unknown | Audience::Everybody => None,
        });
        let tags: SmallVec<[Arc<str>; 8]> = tags.collect();
        tags.get(rng.below(tags.len())).cloned()
    }

    /// What is kept of the lanes that something came in since then, newest first, to be told to a node with these tags.
    pub(crate) fn told(&self, since: Instant, tags: &Tags) -> impl Iterator<Item = Run> {
        let lanes = self.by_use.iter().rev().take_while(move |(used, _)| *used >= since);
        let lanes = lanes.filter_map(|&(_, key)| Some((key, &self.by_key.get(&key)?.audience)));
        lanes.filter(move |(_, audience)| audience.includes(tags)).flat_map(|(key, _)| self.store.runs(key))
    }

    /// The last number heard in each lane, the lanes used last first.
    pub(crate) fn tops(&self) -> impl Iterator<Item = (LaneKey, u64)> {
        let lanes = self.by_use.iter().rev().filter_map(|(_, key)| Some((*key, self.by_key.get(key)?)));
        lanes.map(|(key, lane)| (key, lane.track.top())).filter(|&(_, top)| top > 0)
    }

    /// When an ordered message that was heard just now is to be delivered.
    pub(crate) fn turn(&mut self, now: Instant, parcel: &Parcel) -> Turn {
        let keep = self.keep;
        self.by_key.get_mut(&parcel.lane).map_or(Turn::Now, |lane| lane.track.turn(parcel.sequence, now, keep))
    }

    /// Holds a message back until its predecessors came.
    pub(crate) fn hold(&mut self, kept: Kept) {
        let size = store::size(&kept);
        if let Some(lane) = self.by_key.get_mut(&kept.parcel.lane)
            && lane.track.hold(kept)
        {
            self.held += 1;
            self.held_bytes += size;
        }
    }

    /// How many are held back, and their bytes.
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.held, self.held_bytes)
    }

    /// The next one of a lane whose predecessors all came.
    pub(crate) fn release(&mut self, key: LaneKey) -> Option<Kept> {
        let kept = self.by_key.get_mut(&key)?.track.release()?;
        self.held -= 1;
        self.held_bytes -= store::size(&kept);
        Some(kept)
    }

    pub(crate) fn holds(&self, key: LaneKey) -> bool {
        self.by_key.get(&key).is_some_and(|lane| lane.track.holds())
    }

    /// Gives up what the first message held back of a lane waits for: that message, and how many.
    pub(crate) fn give_up(&mut self, now: Instant, key: LaneKey) -> Option<(Arc<Parcel>, u64)> {
        let (kept, lost) = self.by_key.get_mut(&key)?.track.give_up(now)?;
        Some((kept.parcel.clone(), lost))
    }
}

impl Standing {
    fn is_known(self) -> bool {
        matches!(self, Self::Own | Self::Known)
    }
}
