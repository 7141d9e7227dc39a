//! What nodes were told of one lock, as it is noted while they are.

use crate::oracle::locks::Mark;
use crate::oracle::locks::held::Grants;
use crate::oracle::locks::model::{Doubt, Said, Statement, Testimony, Trust, Verdict};

#[derive(Debug, Default)]
pub(super) struct Story {
    statements: Vec<Statement<Mark>>,
    doubts: Vec<Doubt>,
    /// When each grant was told, in this order, when it was asked for, and the greatest token so far with the latter.
    grants: Vec<(u64, Mark, u64)>,
}

impl Story {
    pub(super) fn len(&self) -> usize {
        self.statements.len()
    }

    fn note(&mut self, now: u64, node: u32, invoked: u64, said: Said<Mark>) -> usize {
        self.statements.push(Statement { node, invoked, completed: now, said });
        self.statements.len() - 1
    }

    pub(super) fn granted(&mut self, now: u64, node: u32, invoked: u64, token: Mark, until: u64) -> usize {
        self.grants.push((now, token, invoked));
        let trust = Trust { until, lost: u64::MAX };
        self.note(now, node, invoked, Said::Granted { token, trust, ends: u64::MAX })
    }

    pub(super) fn extended(&mut self, now: u64, node: u32, invoked: u64, token: Mark, until: u64) -> usize {
        self.note(now, node, invoked, Said::Extended { token, trust: Trust { until, lost: u64::MAX } })
    }

    pub(super) fn released(&mut self, now: u64, node: u32, invoked: u64, token: Mark) {
        self.note(now, node, invoked, Said::Released { token });
    }

    pub(super) fn not_held(&mut self, now: u64, node: u32, invoked: u64, token: Mark) {
        self.note(now, node, invoked, Said::NotHeld { token });
    }

    pub(super) fn busy(&mut self, now: u64, node: u32, invoked: u64) {
        self.note(now, node, invoked, Said::Busy);
    }

    pub(super) fn status(&mut self, now: u64, node: u32, invoked: u64, holder: Option<(u32, Mark)>) {
        self.note(now, node, invoked, Said::Status { holder });
    }

    pub(super) fn doubt(&mut self, node: u32, invoked: u64) {
        self.doubts.push(Doubt { node, invoked });
    }

    /// Nobody has to count on a grant from now on.
    pub(super) fn ends(&mut self, statement: usize, now: u64) {
        if let Some(Statement { said: Said::Granted { ends, .. }, .. }) = self.statements.get_mut(statement) {
            *ends = now.min(*ends);
        }
    }

    pub(super) fn has_ended(&self, statement: usize, now: u64) -> bool {
        let said = self.statements.get(statement).map(|statement| &statement.said);
        matches!(said, Some(Said::Granted { ends, .. }) if *ends <= now)
    }

    /// A clock has changed: what has not ended yet ends then.
    pub(super) fn holds_until(&mut self, statement: usize, now: u64, until: u64) {
        let said = self.statements.get_mut(statement).map(|statement| &mut statement.said);
        if let Some(Said::Granted { trust, .. } | Said::Extended { trust, .. }) = said
            && trust.until > now
        {
            trust.until = until.max(now);
        }
    }

    /// A greater token under which the lock was granted before that moment, and when it was asked for.
    pub(super) fn greater(&self, token: Mark, before: u64) -> Option<(Mark, u64)> {
        let earlier = self.grants.iter().take_while(|(told, ..)| *told < before);
        earlier
            .filter(|(_, other, _)| *other > token)
            .max_by_key(|(_, other, _)| *other)
            .map(|&(_, other, at)| (other, at))
    }

    pub(super) fn judge(&self, grants: &Grants, failures: usize, recoveries: &[u64], tokens_grow: bool) -> Verdict {
        let mut statements = self.statements.clone();
        for statement in &mut statements {
            if let Said::Granted { trust, .. } | Said::Extended { trust, .. } = &mut statement.said {
                trust.lost = grants.forgotten(statement.invoked, failures);
            }
        }
        let recoveries = recoveries.to_vec();
        Testimony { statements, doubts: self.doubts.clone(), recoveries, tokens_grow }.judge()
    }
}
