//! Elections in the node's task.

use std::sync::Arc;

use gossip_core::{ElectionConfig, ElectionError, Instant};

use crate::Runtime;
use crate::election::Seat;
use crate::pump::Pump;

impl<R: Runtime> Pump<R> {
    /// Takes part in an election from now on.
    pub(super) fn enter_election(
        &mut self,
        now: Instant,
        name: &str,
        config: ElectionConfig,
    ) -> Result<Arc<Seat>, ElectionError> {
        self.node.enter_election(now, name, config)?;
        let seat = Seat::new(name, self.shared.subscribers.alike());
        self.seats.add(Arc::clone(&seat));
        Ok(seat)
    }
}
