//! Elections, as the application sees them.

use crate::election::{ElectionConfig, ElectionError, ElectionStatus, Term};
use crate::identity::Address;
use crate::node::Node;
use crate::time::Instant;

impl<A: Address> Node<A> {
    /// Takes part in the election with this name, as long as the node runs. [`Event::Election`](crate::Event::Election) tells of leaders.
    ///
    /// For the length of a lease the node does not vote: in an earlier life it may have promised something.
    ///
    /// # Errors
    ///
    /// The state is unchanged if a setting is out of its range, if the name is not 1 to 255 bytes long, if the node takes part
    /// already, or in 64 elections, or if it is not active.
    pub fn enter_election(&mut self, now: Instant, name: &str, settings: ElectionConfig) -> Result<(), ElectionError> {
        self.advance(now);
        self.cx.check_active()?;
        self.elections.enter(&mut self.cx, name, settings)
    }

    /// The term in which this node leads at this moment. Ask right before acting as the leader: after the lease it is `None`,
    /// whatever events were polled.
    pub fn leads(&self, now: Instant, election: &str) -> Option<Term> {
        self.elections.contest(election)?.leads(now.max(self.cx.now)).filter(|_| self.cx.is_active())
    }

    /// The term of another leader that this node heard of, and until when it counts if no more is heard.
    pub fn follows(&self, now: Instant, election: &str) -> Option<(Term, Instant)> {
        self.elections.contest(election)?.follows(now.max(self.cx.now))
    }

    /// Until when this node leads, if it does and no more is heard.
    pub fn leads_until(&self, election: &str) -> Option<Instant> {
        self.elections.contest(election)?.leads_until()
    }

    /// How an election stands; `None` if this node does not take part.
    pub fn election(&self, now: Instant, name: &str) -> Option<ElectionStatus> {
        Some(self.elections.contest(name)?.status(&self.cx, now.max(self.cx.now)))
    }
}
