//! Healing: seeds and dead members are tried for ever, so that what was cut apart grows together by itself.

use alloc::vec::Vec;
use core::time::Duration;

use crate::context::{Context, Phase};
use crate::error::{JoinError, RejectReason};
use crate::identity::{Address, NodeId};
use crate::join::Joining;
use crate::probe::Prober;
use crate::time::Instant;
use crate::timer::Timer;

/// The first wait of a node that is alone before it tries its seeds again; it doubles up to the heal interval.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Seeds tried at once by a node that is alone.
const SEEDS_AT_ONCE: usize = 16;

/// How often a node that has lost its id asks in vain whether its rival still lives before it takes part again.
const IN_VAIN: u32 = 6;

#[derive(Debug)]
struct Seed<A> {
    address: A,
    /// Who answered there last.
    answered: Option<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Healing<A> {
    seeds: Vec<Seed<A>>,
    wait: Duration,
    /// When the rival was heard of last, and how often this node has asked since in vain.
    heard: Instant,
    asked_in_vain: u32,
}

impl<A: Address> Healing<A> {
    pub(crate) fn new(cx: &mut Context<A>) -> Self {
        arm(cx);
        Self { seeds: Vec::new(), wait: FIRST_WAIT, heard: cx.now, asked_in_vain: 0 }
    }

    /// Replaces the seeds; new ones are tried at once by a node that is alone.
    pub(crate) fn set_seeds(&mut self, cx: &mut Context<A>, joining: &mut Joining<A>, addresses: Vec<A>) {
        let known = core::mem::take(&mut self.seeds);
        for address in addresses {
            if self.seeds.iter().all(|seed| seed.address != address) {
                let answered = known.iter().find(|seed| seed.address == address).and_then(|seed| seed.answered);
                self.seeds.push(Seed { address, answered });
            }
        }
        if cx.view.live().is_empty() && cx.is_active() {
            self.wait = FIRST_WAIT;
            self.step_alone(cx, joining);
        }
    }

    /// Takes note of who answered at an address.
    pub(crate) fn note_answer(&mut self, address: &A, by: NodeId) {
        if let Some(seed) = self.seeds.iter_mut().find(|seed| seed.address == *address) {
            seed.answered = Some(by);
        }
    }

    /// Tries to reach what is lost.
    pub(crate) fn step(&mut self, cx: &mut Context<A>, joining: &mut Joining<A>, prober: &mut Prober<A>) {
        match cx.phase {
            Phase::Leaving | Phase::Left => return,
            Phase::Contested => self.step_contested(cx, joining),
            Phase::Active => {
                if let Some(slot) = cx.view.choose_dead(&mut cx.rng) {
                    prober.look_for(cx, slot);
                    if cx.seal.is_some() {
                        // Should it have started again, no probe that is sealed for its past would open.
                        let address = cx.table.member(slot).address.clone();
                        joining.inquire(cx, address);
                    }
                }
                if cx.view.live().is_empty() && !self.seeds.is_empty() {
                    self.step_alone(cx, joining);
                    return;
                }
                self.wait = FIRST_WAIT;
                self.try_lost_seed(cx, joining);
            }
        }
        arm(cx);
    }

    /// Alone: every seed is tried, soon at first and then less and less often.
    fn step_alone(&mut self, cx: &mut Context<A>, joining: &mut Joining<A>) {
        cx.rng.shuffle(&mut self.seeds);
        for seed in self.seeds.iter_mut().take(SEEDS_AT_ONCE) {
            try_seed(cx, joining, seed);
        }
        let wait = cx.rng.jitter(self.wait);
        cx.timers.set(Timer::Heal, cx.now + wait);
        self.wait = (self.wait * 2).min(cx.config.heal_interval);
    }

    /// Quiet: asks others whether the rival still lives, and keeps it aware of this node.
    fn step_contested(&mut self, cx: &mut Context<A>, joining: &mut Joining<A>) {
        if core::mem::replace(&mut self.heard, cx.rival_heard) != cx.rival_heard {
            self.asked_in_vain = 0;
        }
        if self.asked_in_vain == IN_VAIN {
            // Nobody is there whom two nodes with one id could confuse. Should the rival be back, its later start counts.
            self.asked_in_vain = 0;
            let incarnation = cx.incarnation();
            cx.renew(incarnation.refuted());
            return;
        }
        self.asked_in_vain += 1;
        cx.tell_rival();
        if let Some(&slot) = cx.view.choose_live(1, None, &mut cx.rng).first() {
            let address = cx.table.member(slot).address.clone();
            joining.inquire(cx, address);
        }
        // What it knows of the others grows old while it is quiet: any seed may be the one that still answers.
        // In turn, since two quiet nodes that happen to ask each other learn nothing.
        let own = &cx.table.myself().address;
        if let Some(place) = self.seeds.iter().position(|seed| seed.address != *own) {
            try_seed(cx, joining, &mut self.seeds[place]);
            self.seeds.rotate_left(place + 1);
        }
    }

    fn try_lost_seed(&mut self, cx: &mut Context<A>, joining: &mut Joining<A>) {
        let start = cx.rng.below(self.seeds.len());
        let (later, sooner) = self.seeds.split_at_mut(start);
        let lost = sooner.iter_mut().chain(later).find(|seed| {
            let answered = seed.answered.and_then(|id| cx.table.find(id));
            answered.is_none_or(|slot| !cx.table.member(slot).state.is_live())
        });
        if let Some(seed) = lost {
            try_seed(cx, joining, seed);
        }
    }
}

fn arm<A: Address>(cx: &mut Context<A>) {
    let wait = cx.rng.jitter(cx.config.heal_interval);
    cx.timers.set(Timer::Heal, cx.now + wait);
}

fn try_seed<A: Address>(cx: &mut Context<A>, joining: &mut Joining<A>, seed: &mut Seed<A>) {
    // A full table of attempts empties by itself; this seed has its turn again.
    if joining.begin(cx, seed.address.clone()) == Err(JoinError::Rejected(RejectReason::Myself)) {
        seed.answered = Some(cx.id());
    }
}
