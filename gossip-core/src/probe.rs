//! Probing: ping, ack, indirect ping, nack (SWIM §3.1, Lifeguard §IV-A).
//!
//! In every period one member is pinged. If it does not answer in the time that its round trips suggest, others are
//! asked to ping it, and it is pinged over a stream; if nobody heard of it by the end of the period, it is accused.

use core::time::Duration;

use smallvec::SmallVec;

use crate::context::Context;
use crate::identity::{Address, Incarnation, NodeId};
use crate::membership::{Member, MemberState, Slot};
use crate::outbox::{Pending, Recipients};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::Channel;

/// Probes under way at once: the period's own, those that verify an accusation, and one that looks for a lost member.
const PROBES: usize = 8;

/// Probes on behalf of others under way at once.
const RELAYS: usize = 256;

/// Share of the asker's patience after which a helper sends its nack, in percent (Lifeguard §IV-A).
const NACK_AFTER: u32 = 80;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is the member's turn.
    Round,
    /// Somebody accuses the member.
    Verify,
    /// The member was declared dead, and may be back.
    Heal,
}

#[derive(Debug)]
struct Probe {
    sequence: u32,
    target: NodeId,
    /// Where the target stood when the probe began.
    near: Slot,
    /// As the target was known when the probe began.
    incarnation: Incarnation,
    purpose: Purpose,
    sent: Instant,
    /// When others are asked; never again once they were.
    escalates: Instant,
    ends: Instant,
    nacks_expected: u32,
    nacks: u32,
}

/// Who asked for a ping.
#[derive(Clone, Debug)]
pub(crate) struct Asker<A> {
    /// Where the answers go.
    pub(crate) address: A,
    /// Whether they may say more than was asked for.
    pub(crate) may_tell: bool,
}

impl<A> Asker<A> {
    fn nack(self, sequence: u32) -> Pending<A> {
        Pending::Nack { to: self.address, sequence, may_tell: self.may_tell }
    }
}

#[derive(Debug)]
struct Relay<A> {
    sequence: u32,
    asker: Asker<A>,
    theirs: u32,
    /// When a nack is due; never again once it was sent.
    nacks: Instant,
    ends: Instant,
}

#[derive(Debug)]
pub(crate) struct Prober<A> {
    probes: SmallVec<[Probe; PROBES]>,
    relays: SmallVec<[Relay<A>; 4]>,
}

impl<A: Address> Prober<A> {
    /// A prober whose first period begins at a random moment, so that nodes started together do not stay in step.
    pub(crate) fn new(cx: &mut Context<A>) -> Self {
        let interval = u64::try_from(cx.config.probe_interval.as_micros()).unwrap_or(u64::MAX);
        let phase = Duration::from_micros(cx.rng.below_u64(interval));
        cx.timers.set(Timer::ProbeRound, cx.now + phase);
        Self { probes: SmallVec::new(), relays: SmallVec::new() }
    }

    /// Begins a period.
    pub(crate) fn begin_round(&mut self, cx: &mut Context<A>) {
        let period = cx.awareness.scale(cx.config.probe_interval);
        cx.timers.set(Timer::ProbeRound, cx.now + period);
        if cx.is_active()
            && let Some(slot) = cx.view.next_to_probe(&mut cx.rng)
        {
            self.begin(cx, slot, Purpose::Round);
        }
    }

    /// Probes an accused member at once, with a probability that makes a few nodes of the whole cluster do so: a true
    /// failure gets its independent accusers, and a false one is refuted, within a period.
    pub(crate) fn verify(&mut self, cx: &mut Context<A>, slot: Slot) {
        let verifiers = 2 * (cx.config.suspicion_accusers + 1);
        let others = cx.view.cluster_size();
        if cx.table.member(slot).state == MemberState::Suspect && cx.rng.chance(verifiers, others) {
            self.begin(cx, slot, Purpose::Verify);
        }
    }

    /// Looks whether a member that was declared dead is back.
    pub(crate) fn look_for(&mut self, cx: &mut Context<A>, slot: Slot) {
        self.begin(cx, slot, Purpose::Heal);
    }

    fn begin(&mut self, cx: &mut Context<A>, slot: Slot, purpose: Purpose) {
        let Member { id: target, incarnation, .. } = *cx.table.member(slot);
        if self.probes.iter().any(|probe| probe.target == target) {
            return;
        }
        if self.probes.len() == PROBES {
            cx.drop(DropReason::Busy);
            return;
        }
        let longest = cx.config.probe_timeout;
        let wait = cx.awareness.scale(cx.table.row(slot).round_trip.timeout(longest));
        let sequence = cx.sequence();
        self.probes.push(Probe {
            sequence,
            target,
            near: slot,
            incarnation,
            purpose,
            sent: cx.now,
            escalates: cx.now + wait,
            ends: cx.now + cx.awareness.scale(cx.config.probe_interval),
            nacks_expected: 0,
            nacks: 0,
        });
        let to = cx.table.member(slot).address.clone();
        cx.outbox.push(Pending::Ping { to, channel: Channel::Datagram, sequence, target, near: Some(slot) });
        self.arm(cx);
    }

    /// Where a member is likely to be in the table that speaks to this node: mostly it is the one that was asked.
    pub(crate) fn asked(&self) -> Option<Slot> {
        self.probes.first().map(|probe| probe.near)
    }

    /// Takes the steps that are due: ask others, or give up.
    pub(crate) fn step(&mut self, cx: &mut Context<A>) {
        let mut index = 0;
        while index < self.probes.len() {
            let probe = &mut self.probes[index];
            let slot = cx.table.find_at(Some(probe.near), probe.target);
            if probe.ends <= cx.now || slot.is_none() {
                let probe = self.probes.swap_remove(index);
                if let Some(slot) = slot {
                    fail(cx, &probe, slot);
                }
                continue;
            }
            if probe.escalates <= cx.now
                && let Some(slot) = slot
            {
                escalate(cx, probe, slot);
            }
            index += 1;
        }
        self.arm(cx);
    }

    /// An answer, from the target itself or handed on by a helper. Whether it was one that a probe waits for.
    pub(crate) fn handle_ack(&mut self, cx: &mut Context<A>, sender: NodeId, sequence: u32) -> bool {
        if let Some(index) = self.probes.iter().position(|probe| probe.sequence == sequence) {
            let probe = self.probes.swap_remove(index);
            cx.asked = Some(probe.sent);
            if sender == probe.target
                && probe.escalates != Instant::MAX
                && let Some(slot) = cx.table.find_at(Some(probe.near), sender)
            {
                cx.measure(slot, cx.now.saturating_since(probe.sent));
            }
            if probe.purpose == Purpose::Round {
                cx.awareness.improve();
            }
            self.arm(cx);
            return true;
        }
        if let Some(index) = self.relays.iter().position(|relay| relay.sequence == sequence) {
            let relay = self.relays.swap_remove(index);
            let prober = cx.id();
            cx.outbox.push(Pending::Ack {
                to: relay.asker.address,
                channel: Channel::Datagram,
                sequence: relay.theirs,
                prober,
                near: Some(Slot::MYSELF),
                may_tell: relay.asker.may_tell,
            });
            self.arm_relays(cx);
            return true;
        }
        false
    }

    /// A helper is well, but has not heard of the target either.
    pub(crate) fn handle_nack(&mut self, cx: &mut Context<A>, sequence: u32) {
        match self.probes.iter_mut().find(|probe| probe.sequence == sequence) {
            Some(probe) => probe.nacks = probe.nacks_expected.min(probe.nacks + 1),
            None => cx.drop(DropReason::Unexpected),
        }
    }

    /// Somebody asks this node to ping `target`.
    pub(crate) fn handle_request(
        &mut self,
        cx: &mut Context<A>,
        asker: Asker<A>,
        theirs: u32,
        target: NodeId,
        patience_ms: u32,
    ) {
        let Some(slot) = cx.table.find(target) else {
            // Nothing is sent to somebody whom only the asker knows.
            cx.drop(DropReason::UnknownMember);
            cx.outbox.push(asker.nack(theirs));
            return;
        };
        if slot == Slot::MYSELF {
            let prober = cx.id();
            let near = Some(Slot::MYSELF);
            let Asker { address: to, may_tell } = asker;
            cx.outbox.push(Pending::Ack { to, channel: Channel::Datagram, sequence: theirs, prober, near, may_tell });
            return;
        }
        if self.relays.len() == RELAYS {
            cx.drop(DropReason::Busy);
            cx.outbox.push(asker.nack(theirs));
            return;
        }
        let patience = Duration::from_millis(u64::from(patience_ms)).min(cx.config.probe_interval * 8);
        let sequence = cx.sequence();
        let nacks = cx.now + patience * NACK_AFTER / 100;
        self.relays.push(Relay { sequence, asker, theirs, nacks, ends: cx.now + patience });
        let to = cx.table.member(slot).address.clone();
        cx.outbox.push(Pending::Ping { to, channel: Channel::Datagram, sequence, target, near: Some(slot) });
        self.arm_relays(cx);
    }

    /// Sends the nacks that are due, and lets go of what nobody waits for any more.
    pub(crate) fn step_relays(&mut self, cx: &mut Context<A>) {
        for relay in &mut self.relays {
            if relay.nacks <= cx.now {
                relay.nacks = Instant::MAX;
                if !relay.asker.may_tell {
                    // Where no member is known to be, an ack after the nack would make more of the request than came.
                    relay.ends = cx.now;
                }
                cx.outbox.push(relay.asker.clone().nack(relay.theirs));
            }
        }
        self.relays.retain(|relay| relay.ends > cx.now);
        self.arm_relays(cx);
    }

    /// Gives every probe `span` more: time in which this node did not run is not held against others.
    pub(crate) fn postpone(&mut self, cx: &mut Context<A>, span: Duration) {
        for probe in &mut self.probes {
            probe.escalates = probe.escalates + span;
            probe.ends = probe.ends + span;
            // A round trip that this node slept through measures nothing.
            probe.sent = probe.sent + span;
        }
        self.arm(cx);
    }

    fn arm(&self, cx: &mut Context<A>) {
        let next = self.probes.iter().map(|probe| probe.escalates.min(probe.ends)).min();
        cx.timers.follow(Timer::Probe, next);
    }

    fn arm_relays(&self, cx: &mut Context<A>) {
        let next = self.relays.iter().map(|relay| relay.nacks.min(relay.ends)).min();
        cx.timers.follow(Timer::Relay, next);
    }
}

fn escalate<A: Address>(cx: &mut Context<A>, probe: &mut Probe, slot: Slot) {
    probe.escalates = Instant::MAX;
    let (sequence, target) = (probe.sequence, probe.target);
    if cx.config.stream_probe {
        let to = cx.table.member(slot).address.clone();
        cx.outbox.push(Pending::Ping { to, channel: Channel::Stream, sequence, target, near: Some(slot) });
    }
    if probe.purpose == Purpose::Heal {
        return;
    }
    let helpers = cx.view.choose_live(cx.config.indirect_probes, Some(slot), &mut cx.rng);
    if helpers.is_empty() {
        return;
    }
    probe.nacks_expected = u32::try_from(helpers.len()).unwrap_or(u32::MAX);
    let to: Recipients<A> = helpers.iter().map(|&helper| cx.table.member(helper).address.clone()).collect();
    let patience = probe.ends.saturating_since(cx.now).as_millis();
    let patience_ms = u32::try_from(patience).unwrap_or(u32::MAX);
    cx.outbox.push(Pending::PingRequest { to, sequence, target, patience_ms });
}

fn fail<A: Address>(cx: &mut Context<A>, probe: &Probe, slot: Slot) {
    let member = cx.table.member(slot);
    let has_spoken_since = member.incarnation != probe.incarnation;
    if probe.purpose == Purpose::Heal || has_spoken_since || !member.state.is_live() {
        return;
    }
    cx.stats.probes_failed += 1;
    // Helpers that stayed silent as well say more about this node than about the target.
    let missed = probe.nacks_expected - probe.nacks;
    cx.awareness.worsen(if probe.nacks_expected == 0 { 1 } else { missed });
    if cx.is_active() {
        let accuser = cx.id();
        cx.accuse(slot, accuser, true);
    }
}
