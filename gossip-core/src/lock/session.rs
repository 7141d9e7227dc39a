//! What a leader knows of the operations of one life of a node, so that a question that comes again is not acted on
//! again.

use alloc::collections::{BTreeMap, VecDeque};

use crate::wire::Answer;

/// Final answers that are kept for one life. Should one be asked for after that, the lock goes to nobody until its
/// time has run out.
const MOST_KEPT: usize = 1_024;

/// How far an operation is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    /// It waits for its turn, or for others to remember it.
    Open,
    /// It ended, as an answer to the question with this stamp.
    Done { stamp: u64, answer: Answer },
}

#[derive(Debug, Default)]
pub(super) struct Session {
    /// All operations below have ended, and the client knows.
    floor: u64,
    progress: BTreeMap<u64, Progress>,
    /// Those that ended, in that order.
    done: VecDeque<u64>,
}

impl Session {
    /// Takes note that all operations below `floor` have ended.
    pub(super) fn raise(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
        while let Some(entry) = self.progress.first_entry().filter(|entry| *entry.key() < self.floor) {
            entry.remove();
        }
    }

    pub(super) fn is_over(&self, op: u64) -> bool {
        op < self.floor
    }

    pub(super) fn len(&self) -> usize {
        self.progress.len()
    }

    pub(super) fn find(&self, op: u64) -> Option<Progress> {
        self.progress.get(&op).copied()
    }

    pub(super) fn open(&mut self, op: u64) {
        self.progress.insert(op, Progress::Open);
    }

    pub(super) fn close(&mut self, op: u64, stamp: u64, answer: Answer) {
        if self.is_over(op) {
            return;
        }
        self.progress.insert(op, Progress::Done { stamp, answer });
        self.done.push_back(op);
        if self.done.len() > MOST_KEPT
            && let Some(oldest) = self.done.pop_front()
        {
            self.progress.remove(&oldest);
        }
    }

    /// The operation may begin anew.
    pub(super) fn forget(&mut self, op: u64) {
        self.progress.remove(&op);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_kept_up_to_a_limit_and_what_is_under_way_always() {
        let mut session = Session::default();
        session.open(1);
        for op in 2..2 * MOST_KEPT as u64 {
            session.open(op);
            session.close(op, op, Answer::Released);
        }
        assert!(matches!(session.find(1), Some(Progress::Open)));
        assert!(session.find(2).is_none());
        assert_eq!(session.len(), MOST_KEPT + 1);
        session.raise(2 * MOST_KEPT as u64 - 1);
        assert!(session.is_over(1) && session.find(1).is_none());
        assert_eq!(session.len(), 1);
    }
}
