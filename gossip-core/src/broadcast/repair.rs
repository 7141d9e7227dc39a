//! What got lost: nodes tell each other what came lately, and whoever lacks some of it asks for it.
//!
//! Only members are listened to, and answers go to their own addresses.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::broadcast::hops::LOSSY;
use crate::broadcast::{Broadcaster, Control, Incoming, Path, TICKING, post};
use crate::context::Context;
use crate::identity::{Address, NodeId};
use crate::lane::{LaneKey, Run, WINDOW};
use crate::mail::Copy;
use crate::membership::Slot;
use crate::outbox::Pending;
use crate::ring::Arcs;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::Channel;
use crate::wire::Compare;

/// Missing broadcasts of one packet that are taken note of.
const NOTED: usize = 512;

/// Runs of one packet that are looked at.
const NOTED_RUNS: usize = 256;

/// Missing broadcasts before one that came that are taken note of.
const GAP: u64 = 64;

/// Runs that are asked for in one packet.
const ASKED: usize = 32;

/// Broadcasts that one answer brings at the most.
const ANSWERED: usize = 64;

/// Numbers of one packet that are looked for.
const LOOKED_AT: usize = 4_096;

/// Bytes in a microsecond of the slowest member that is helped at full speed.
const SLOWEST: u64 = 4;

/// How long after a message was missed more of them are expected to be. Peers are told of the time that is left, so that all
/// hear of much trouble, and few of a little.
const TROUBLE: Duration = Duration::from_secs(2);

/// Shortest time that something is given to come by itself.
const SHORTEST: Duration = Duration::from_millis(20);

/// When those who asked lately will have got what was sent to them.
#[derive(Debug, Default)]
pub(super) struct Helped(BTreeMap<NodeId, Instant>);

impl Helped {
    /// Whether a member may be sent more by now; `chunk` bytes may be on their way.
    fn admits(&self, now: Instant, member: NodeId, chunk: usize) -> bool {
        self.0.get(&member).is_none_or(|&until| until <= now + transfer(chunk))
    }

    fn note(&mut self, now: Instant, member: NodeId, size: usize) {
        /// Members that are remembered without looking whether that is needed.
        const MANY: usize = 64;
        if self.0.len() >= MANY {
            self.0.retain(|_, until| *until > now);
        }
        let until = self.0.entry(member).or_insert(now);
        *until = (*until).max(now) + transfer(size);
    }
}

fn transfer(size: usize) -> Duration {
    Duration::from_micros(size as u64 / SLOWEST)
}

impl<A: Address> Broadcaster<A> {
    /// A member tells what came lately.
    pub(crate) fn handle_recent(&mut self, cx: &mut Context<A>, sender: NodeId, runs: impl Iterator<Item = Run>) {
        if live(cx, sender).is_none() {
            cx.drop(DropReason::UnknownMember);
            return;
        }
        // Copies that are sent again come by themselves within this time, unless much is wrong.
        let due = cx.now + (patience(cx) * 2).max(cx.config.gossip_interval / 2);
        let mut left = NOTED;
        for run in runs.take(NOTED_RUNS) {
            let end = run.first.saturating_add(run.count.min(WINDOW)).min(1 << 62);
            let missing = cx.lanes.missing(run.lane, run.first, end, left);
            left -= missing.len();
            missing.into_iter().for_each(|sequence| self.wants.add(run.lane, sequence, sender, due, false));
            if left == 0 {
                break;
            }
        }
        self.arm_pull(cx);
    }

    /// A member tells what came lately, and wants to know what else did.
    pub(crate) fn handle_compare(&mut self, cx: &mut Context<A>, sender: NodeId, compare: &Compare<'_>) {
        let Some(slot) = live(cx, sender) else {
            cx.drop(DropReason::UnknownMember);
            return;
        };
        let left = Duration::from_millis(u64::from(compare.trouble_ms)).min(TROUBLE);
        self.trouble = self.trouble.max(cx.now + left);
        // Where copies get lost it is cheaper to have all of them acknowledged than to compare.
        self.lossy = self.lossy.max(cx.now + LOSSY);
        let theirs: Vec<Run> = compare.runs.clone().take(NOTED_RUNS).collect();
        let mut lacked: Vec<Run> = cx.told(sender, TICKING).into_vec();
        lacked.retain(|own| {
            let is_told = |run: &Run| {
                run.lane == own.lane && run.first <= own.first && own.first - run.first + own.count <= run.count
            };
            !theirs.iter().any(is_told)
        });
        if !lacked.is_empty() {
            let to = cx.table.member(slot).address.clone();
            let control = Control::Recent { runs: lacked };
            cx.outbox.push(Pending::Control { to, channel: Channel::Datagram, control });
        }
        self.handle_recent(cx, sender, theirs.into_iter());
        self.arm_recent(cx);
    }

    /// Somebody has a message that may not have arrived here.
    pub(super) fn handle_offer(&mut self, cx: &mut Context<A>, incoming: &Incoming<'_, A>, lane: LaneKey) {
        let sequence = incoming.letter.header.sequence;
        if cx.lanes.contains(lane, sequence) {
            self.acknowledge_later(cx, incoming);
        } else if incoming.is_member && live(cx, incoming.sender).is_some() {
            self.wants.add(lane, sequence, incoming.sender, cx.now, true);
            self.arm_pull(cx);
        } else {
            cx.drop(DropReason::UnknownMember);
        }
    }

    /// Broadcasts before the one that came are missing.
    pub(super) fn note_gap(&mut self, cx: &mut Context<A>, lane: LaneKey, sequence: u64, sender: NodeId) {
        if live(cx, sender).is_none() {
            return;
        }
        let due = cx.now + patience(cx);
        for missing in cx.lanes.missing(lane, sequence.saturating_sub(GAP), sequence, NOTED) {
            self.wants.add(lane, missing, sender, due, true);
        }
        self.arm_pull(cx);
    }

    /// Asks for what did not come by itself.
    pub(crate) fn pull(&mut self, cx: &mut Context<A>) {
        let patience = patience(cx);
        let mut asked: BTreeMap<NodeId, Vec<Run>> = BTreeMap::new();
        let mut has_trouble = false;
        while let Some((lane, sequence, mut want)) = self.wants.next(cx.now) {
            if cx.lanes.contains(lane, sequence) || !cx.is_active() {
                continue;
            }
            let Some(holder) = want.holder(|id| live(cx, id).is_some()) else { continue };
            let runs = asked.entry(holder).or_default();
            has_trouble |= want.is_trouble();
            // What finds no room in the packet is asked for in the next one.
            let wait = if add_to(runs, lane, sequence) { want.ask(patience) } else { patience };
            self.wants.put_back(lane, sequence, cx.now + wait, want);
        }
        for (peer, runs) in asked {
            if let Some(slot) = live(cx, peer) {
                let to = cx.table.member(slot).address.clone();
                cx.outbox.push(Pending::Control { to, channel: Channel::Datagram, control: Control::Pull { runs } });
            }
        }
        if has_trouble {
            self.note_trouble(cx);
        }
        self.arm_pull(cx);
    }

    /// A member asks for broadcasts that it missed.
    pub(crate) fn handle_pull(&mut self, cx: &mut Context<A>, sender: NodeId, runs: impl Iterator<Item = Run>) {
        let Some(slot) = live(cx, sender) else {
            cx.drop(DropReason::UnknownMember);
            return;
        };
        let sequences = runs.take(NOTED_RUNS).flat_map(|run| {
            let end = run.first.saturating_add(run.count.min(WINDOW));
            (run.first..end).map(move |sequence| (run.lane, sequence))
        });
        let mut answered = BTreeSet::new();
        for (lane, sequence) in sequences.take(LOOKED_AT) {
            if answered.len() == ANSWERED || !self.helped.admits(cx.now, sender, cx.config.chunk) {
                break;
            }
            let Some(kept) = cx.lanes.kept(lane, sequence).filter(|_| answered.insert((lane, sequence))).cloned()
            else {
                continue;
            };
            if kept.parcel.tag.as_ref().is_some_and(|tag| !cx.table.member(slot).tags.has(tag)) {
                cx.drop(DropReason::NotTagged);
                continue;
            }
            self.helped.note(cx.now, sender, kept.parcel.payload.len());
            let age_ms = cx.now.saturating_since(kept.since).as_millis();
            let copy = Copy {
                hops: kept.hops.saturating_add(1),
                age_ms: Some(u32::try_from(age_ms).unwrap_or(u32::MAX)),
                parcel: kept.parcel,
                hop: 0,
                is_offer: false,
                arcs: Arcs::default(),
                path: Path::new(),
            };
            post(cx, copy, [sender].into_iter());
        }
    }

    /// What was before this node's time.
    pub(crate) fn handle_baseline(&mut self, cx: &mut Context<A>, runs: impl Iterator<Item = Run>) {
        for run in runs.take(cx.config.max_origins).filter(|run| run.first <= 1 << 62) {
            cx.lanes.skip(cx.now, run.lane, run.first);
            self.release(cx, run.lane);
        }
    }

    /// Messages get lost: for a while it is told in every round of gossip what came.
    pub(super) fn note_trouble(&mut self, cx: &mut Context<A>) {
        self.trouble = cx.now + TROUBLE;
        self.lossy = cx.now + LOSSY;
        self.arm_recent(cx);
    }

    /// Tells a random member what came lately, and a random one of those that have the tag that something came for.
    pub(crate) fn tell_recent(&mut self, cx: &mut Context<A>) {
        cx.timers.stop(Timer::Recent);
        if cx.now < self.trouble && cx.is_active() && cx.lanes.is_fresh(cx.now - TICKING) {
            let mut chosen = cx.view.choose_live(1, None, &mut cx.rng);
            if let Some(tag) = cx.lanes.fresh_tag(cx.now - TICKING, &mut cx.rng) {
                let members = cx.ring.members(&tag, &cx.table);
                chosen.extend(members.get(cx.rng.below(members.len())).copied());
            }
            let left = self.trouble.saturating_since(cx.now).as_millis();
            let trouble_ms = u32::try_from(left).unwrap_or(0);
            for slot in chosen {
                let member = cx.table.member(slot);
                let (to, peer) = (member.address.clone(), member.id);
                cx.outbox.push(Pending::Control {
                    to,
                    channel: Channel::Datagram,
                    control: Control::Compare { peer, trouble_ms },
                });
            }
        }
        self.arm_recent(cx);
    }

    pub(super) fn arm_recent(&self, cx: &mut Context<A>) {
        let expires = cx.lanes.expire(cx.now);
        let is_told = cx.now < self.trouble && cx.lanes.is_fresh(cx.now - TICKING);
        if is_told && cx.timers.at(Timer::Recent) > cx.now + cx.config.gossip_interval {
            cx.timers.set(Timer::Recent, cx.now + cx.config.gossip_interval);
        } else if !cx.timers.is_set(Timer::Recent) {
            cx.timers.follow(Timer::Recent, expires);
        }
    }

    fn arm_pull(&self, cx: &mut Context<A>) {
        cx.timers.follow(Timer::Pull, self.wants.next_due());
    }
}

/// How long something may be on its way, or an answer.
fn patience<A: Address>(cx: &Context<A>) -> Duration {
    let longest = cx.config.gossip_interval.max(SHORTEST);
    cx.typical.retransmission(SHORTEST, longest).unwrap_or(longest)
}

pub(super) fn live<A: Address>(cx: &Context<A>, id: NodeId) -> Option<Slot> {
    let slot = cx.table.find(id).filter(|&slot| slot != Slot::MYSELF)?;
    cx.table.member(slot).state.is_live().then_some(slot)
}

/// Adds a broadcast to those asked for; whether there was room.
fn add_to(runs: &mut Vec<Run>, lane: LaneKey, sequence: u64) -> bool {
    let is_full = runs.len() == ASKED;
    match runs.last_mut() {
        Some(run) if run.lane == lane && run.first + run.count == sequence => run.count += 1,
        _ if is_full => return false,
        _ => runs.push(Run { lane, first: sequence, count: 1 }),
    }
    true
}
