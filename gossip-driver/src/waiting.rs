//! Callers that wait for something to happen before their command is answered.

use std::collections::HashMap;

use gossip_core::{JoinError, PhaseError};

use crate::command::{Joined, Reply};
use crate::{Event, NodeAddress};

/// Answers that are ready, and callers whose answer is an event to come.
#[derive(Default)]
pub(crate) struct Waiting {
    ready: Vec<Box<dyn FnOnce() + Send>>,
    joins: HashMap<NodeAddress, Vec<Reply<Joined, JoinError>>>,
    leaves: Vec<Reply<usize, PhaseError>>,
}

impl Waiting {
    /// Answers at the next [`answer`](Self::answer), when readers can see what the command did.
    pub(crate) fn ready<T: Send + 'static, E: Send + 'static>(&mut self, reply: Reply<T, E>, result: Result<T, E>) {
        // Nobody may be waiting any more.
        self.ready.push(Box::new(move || {
            let _ = reply.send(result);
        }));
    }

    /// Gives the answers that are ready.
    pub(crate) fn answer(&mut self) {
        for answer in self.ready.drain(..) {
            answer();
        }
    }

    pub(crate) fn join(&mut self, address: NodeAddress, reply: Reply<Joined, JoinError>) {
        let waiting = self.joins.entry(address).or_default();
        // Those who gave up waiting would else add up while the attempt lasts.
        waiting.retain(|reply| !reply.is_canceled());
        waiting.push(reply);
    }

    pub(crate) fn leave(&mut self, reply: Reply<usize, PhaseError>) {
        self.leaves.push(reply);
    }

    /// Answers those who wait for this event.
    pub(crate) fn happened(&mut self, event: &Event) {
        match event {
            Event::JoinAccepted { address, by, .. } => self.joined(address, &Ok(Joined { by: *by })),
            Event::JoinFailed { address, error } => self.joined(address, &Err(error.clone())),
            Event::Left { acknowledged } => {
                for reply in self.leaves.drain(..) {
                    let _ = reply.send(Ok(*acknowledged));
                }
            }
            // What they wait for may be among the lost.
            Event::Missed { .. } => {
                for reply in std::mem::take(&mut self.joins).into_values().flatten() {
                    let _ = reply.send(Err(JoinError::Timeout));
                }
                for reply in self.leaves.drain(..) {
                    let _ = reply.send(Ok(0));
                }
            }
            _ => {}
        }
    }

    fn joined(&mut self, address: &NodeAddress, result: &Result<Joined, JoinError>) {
        for reply in self.joins.remove(address).into_iter().flatten() {
            let _ = reply.send(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_channel::oneshot;
    use futures_util::FutureExt;
    use gossip_core::NodeId;

    use super::*;

    #[test]
    fn all_who_wait_for_one_address_get_its_answer_and_others_do_not() {
        let mut waiting = Waiting::default();
        let [here, there]: [NodeAddress; 2] = ["10.0.0.1:1", "10.0.0.2:1"].map(|text| text.parse().unwrap());
        let mut answers = Vec::new();
        for address in [&here, &here, &there] {
            let (reply, answer) = oneshot::channel();
            waiting.join(address.clone(), reply);
            answers.push(answer);
        }
        waiting.happened(&Event::JoinAccepted { address: here.clone(), by: NodeId::from_u128(7), members: 2 });
        let mut got = answers.into_iter().map(FutureExt::now_or_never);
        for _ in 0..2 {
            assert!(matches!(got.next(), Some(Some(Ok(Ok(Joined { .. }))))));
        }
        assert!(matches!(got.next(), Some(None)));
        assert!(waiting.joins.contains_key(&there) && !waiting.joins.contains_key(&here));
    }

    #[test]
    fn those_who_gave_up_waiting_do_not_add_up() {
        let mut waiting = Waiting::default();
        let here: NodeAddress = "10.0.0.1:1".parse().unwrap();
        for _ in 0..100 {
            waiting.join(here.clone(), oneshot::channel().0);
        }
        assert_eq!(waiting.joins[&here].len(), 1);
    }

    #[test]
    fn nobody_waits_for_an_event_that_was_lost() {
        let mut waiting = Waiting::default();
        let (reply, join) = oneshot::channel();
        waiting.join("10.0.0.1:1".parse().unwrap(), reply);
        let (reply, leave) = oneshot::channel();
        waiting.leave(reply);
        waiting.happened(&Event::Missed { count: 1 });
        assert!(matches!(join.now_or_never(), Some(Ok(Err(JoinError::Timeout)))));
        assert!(matches!(leave.now_or_never(), Some(Ok(Ok(0)))));
    }
}
