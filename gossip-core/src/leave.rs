//! Leaving: the news is handed to peers until enough of them acknowledged it, or time is up.

use smallvec::SmallVec;

use crate::context::{Context, Phase};
use crate::error::PhaseError;
use crate::event::Event;
use crate::identity::{Address, NodeId};
use crate::membership::{MemberState, Slot};
use crate::outbox::Pending;
use crate::time::Instant;
use crate::timer::Timer;
use crate::transmit::Channel;

/// Peers that must acknowledge, where there are as many: they spread the news further.
const ENOUGH: usize = 4;

/// Pings carrying the news that may be unanswered at once.
const UNANSWERED: usize = 64;

#[derive(Debug)]
pub(crate) struct Leave {
    asked: SmallVec<[(u32, NodeId); 8]>,
    acknowledged: SmallVec<[NodeId; 8]>,
    ends: Instant,
}

impl Leave {
    pub(crate) fn new() -> Self {
        Self { asked: SmallVec::new(), acknowledged: SmallVec::new(), ends: Instant::MAX }
    }

    pub(crate) fn begin<A: Address>(&mut self, cx: &mut Context<A>) -> Result<(), PhaseError> {
        match cx.phase {
            Phase::Leaving | Phase::Left => return Err(PhaseError::Leaving),
            // The id is the rival's by now; there is nothing to take leave of.
            Phase::Contested => {
                cx.phase = Phase::Leaving;
                self.finish(cx);
                return Ok(());
            }
            Phase::Active => {}
        }
        cx.phase = Phase::Leaving;
        // What is under way ends by itself; a timer stopped now would be overdue when something new starts it again.
        for timer in [Timer::ProbeRound, Timer::Heal, Timer::Compare] {
            cx.timers.stop(timer);
        }
        let incarnation = cx.incarnation();
        cx.table.set_claim(Slot::MYSELF, incarnation, MemberState::Leaving, cx.now);
        cx.tell_claim(Slot::MYSELF);
        self.ends = cx.now + cx.config.leave_timeout;
        self.step(cx);
        Ok(())
    }

    /// Hands the news to a few more peers, or ends.
    pub(crate) fn step<A: Address>(&mut self, cx: &mut Context<A>) {
        let wanted = ENOUGH.min(cx.view.live().len());
        if self.acknowledged.len() >= wanted || cx.now >= self.ends {
            self.finish(cx);
            return;
        }
        for slot in cx.view.choose_live(cx.config.gossip_fanout.max(ENOUGH), None, &mut cx.rng) {
            let member = cx.table.member(slot);
            let (to, target) = (member.address.clone(), member.id);
            if self.acknowledged.contains(&target) {
                continue;
            }
            if self.asked.len() == UNANSWERED {
                self.asked.remove(0);
            }
            let sequence = cx.sequence();
            self.asked.push((sequence, target));
            cx.outbox.push(Pending::Ping { to, channel: Channel::Datagram, sequence, target, near: Some(slot) });
        }
        cx.timers.set(Timer::Leave, self.ends.min(cx.now + cx.config.gossip_interval));
    }

    /// Whether the answer was to one of this machine's pings.
    pub(crate) fn handle_ack<A: Address>(&mut self, cx: &mut Context<A>, sequence: u32) -> bool {
        let Some(index) = self.asked.iter().position(|&(asked, _)| asked == sequence) else { return false };
        let (_, peer) = self.asked.swap_remove(index);
        if !self.acknowledged.contains(&peer) {
            self.acknowledged.push(peer);
        }
        if cx.phase == Phase::Leaving && self.acknowledged.len() >= ENOUGH.min(cx.view.live().len()) {
            self.finish(cx);
        }
        true
    }

    fn finish<A: Address>(&mut self, cx: &mut Context<A>) {
        cx.phase = Phase::Left;
        cx.timers.stop_all();
        cx.events.push(Event::Left { acknowledged: self.acknowledged.len() });
    }
}
