//! The user's own code on each virtual node.

use std::any::Any;

use gossip_core::{Event, Node};

use crate::scenario::Span;
use crate::world::Addr;

/// An application that sits on a virtual node. All methods are called in virtual time, one at a time; each may use the
/// node and send messages through the [`AppContext`].
///
/// An application that crashes with its node is dropped with it; the factory given to
/// [`Simulation::app`](crate::Simulation::app) makes a new one when the node comes back.
pub trait App: Any {
    /// The node has started.
    fn start(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }

    /// The node reported something.
    fn on_event(&mut self, cx: &mut AppContext<'_>, event: &Event<Addr>) {
        let _ = (cx, event);
    }

    /// A message from the application on another node came. It may be the second copy, or late, or an old one.
    fn on_message(&mut self, cx: &mut AppContext<'_>, from: Addr, message: &[u8]) {
        let _ = (cx, from, message);
    }

    /// The time that was asked for with [`AppContext::wake_after`] has passed.
    fn on_timer(&mut self, cx: &mut AppContext<'_>) {
        let _ = cx;
    }
}

/// A message on its way out of an application.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) to: Addr,
    pub(crate) bytes: Vec<u8>,
}

/// What an application can do.
#[derive(Debug)]
pub struct AppContext<'a> {
    pub(crate) now: Span,
    pub(crate) number: u32,
    pub(crate) node: &'a mut Node<Addr>,
    pub(crate) local: gossip_core::Instant,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) wake: Option<Span>,
    pub(crate) failures: Vec<String>,
    pub(crate) random: &'a mut crate::random::Random,
}

impl AppContext<'_> {
    /// Virtual time since the start of the run.
    pub fn now(&self) -> Span {
        self.now
    }

    /// The number of the virtual machine.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The node, to be looked at and changed.
    pub fn node(&mut self) -> &mut Node<Addr> {
        self.node
    }

    /// The node's own time, for the commands that want it.
    pub fn local_time(&self) -> gossip_core::Instant {
        self.local
    }

    /// Sends a message to the application at an address, by datagram: it may be lost, doubled, or late.
    pub fn send(&mut self, to: Addr, message: &[u8]) {
        self.outgoing.push(Outgoing { to, bytes: message.to_vec() });
    }

    /// Sends a message to the application on every other live member.
    pub fn send_to_all(&mut self, message: &[u8]) {
        let me = *self.node.address();
        let live = self.node.members().filter(|member| member.state.is_live() && member.address != me);
        self.outgoing.extend(live.map(|member| Outgoing { to: member.address, bytes: message.to_vec() }));
    }

    /// Has [`App::on_timer`] called after this span; a later call takes the place of an earlier one.
    pub fn wake_after(&mut self, span: Span) {
        self.wake = Some(span);
    }

    /// A random number below `bound` from the run's seed.
    pub fn random_below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// Reports that something is wrong: the run fails, with this message under the oracle `application`.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.failures.push(message.into());
    }
}
