//! What the agent does for those who ask about elections.

use std::time::{Duration, Instant, SystemTime};

use gossip_tokio::{Election, ElectionEvent, ElectionStatus, NoLeader, NodeId, Term};
use serde_json::{Value as Json, json};

use super::{Steering, Trouble, item, millis};
use crate::control::protocol::{LeaderEvent, LeaderEventRow, LeaderRow, NoneRow};
use crate::control::server::Answers;
use crate::describe;
use crate::exit::Failure;

impl Steering {
    /// The election with this name, or the only one.
    fn election(&self, name: Option<&str>) -> Result<&Election, Failure> {
        let names =
            || self.elections.iter().map(|election| format!("{:?}", election.name())).collect::<Vec<_>>().join(", ");
        match (name, &self.elections[..]) {
            (_, []) => {
                Err(Failure::failed("the agent takes part in no election: start it with --election NAME,floor=N"))
            }
            (None, [only]) => Ok(only),
            (None, _) => {
                Err(Failure::Usage(format!("the agent takes part in several elections, {}: name one", names())))
            }
            (Some(name), all) => all.iter().find(|election| election.name() == name).ok_or_else(|| {
                Failure::Failed(format!("the agent does not take part in an election {name:?}, but in {}", names()))
            }),
        }
    }

    pub(super) async fn leader(&self, name: Option<&str>, answers: &mut Answers) -> Result<Json, Trouble> {
        let row = self.leader_row(self.election(name)?).await?;
        item(answers, &row).await?;
        Ok(json!({}))
    }

    /// Tells who leads, until the node stops or the client cannot be told any more.
    pub(super) async fn leader_watch(&self, name: Option<&str>, answers: &mut Answers) -> Result<Json, Trouble> {
        let election = self.election(name)?;
        let mut events = election.events();
        let mut what = Some(LeaderEvent::Watching(self.leader_row(election).await?));
        loop {
            while let Some(told) = what {
                item(answers, &LeaderEventRow { time: describe::wall_clock(), what: told }).await?;
                what = events.try_next().and_then(|event| self.leader_event(election, &event));
            }
            answers.flush().await?;
            match events.next().await {
                Some(event) => what = self.leader_event(election, &event),
                None => return Ok(json!({})),
            }
        }
    }

    /// A change in words; none for what this version has no words for.
    fn leader_event(&self, election: &Election, event: &ElectionEvent) -> Option<LeaderEvent> {
        match event {
            ElectionEvent::Changed(change) => {
                describe::leader_change(&self.cluster, election.name(), change).map(LeaderEvent::Election)
            }
            ElectionEvent::Missed { count } => Some(LeaderEvent::Missed { count: *count }),
            _ => None,
        }
    }

    async fn leader_row(&self, election: &Election) -> Result<LeaderRow, Failure> {
        let ElectionStatus { leader, reason, settled, seen, quorum, votes, heir, .. } =
            election.status().await.map_err(Failure::failed)?;
        let left = leader.and_then(|_| election.leader_until()).map(|at| at.saturating_duration_since(Instant::now()));
        let who = |id: NodeId| self.who(id);
        Ok(LeaderRow {
            election: election.name().to_owned(),
            leader: leader.map(Term::leader).map(who),
            term: leader.map(|term| term.number().to_string()),
            until: left.map(moment_in),
            left_ms: left.map(millis),
            none: reason.map(none_row),
            settled,
            seen,
            needed: quorum,
            votes,
            heir: heir.map(who),
        })
    }
}

/// The time of day in a while, RFC 3339 in UTC with milliseconds.
fn moment_in(span: Duration) -> String {
    humantime::format_rfc3339_millis(SystemTime::now() + span).to_string()
}

fn none_row(reason: NoLeader) -> NoneRow {
    match reason {
        NoLeader::Waiting => NoneRow::Waiting,
        NoLeader::NotEligible => NoneRow::NotEligible,
        NoLeader::Undecided => NoneRow::Undecided,
        NoLeader::NoQuorum { votes, quorum } => NoneRow::NoQuorum { votes, needed: quorum },
        NoLeader::ElectorateLost { votes, quorum } => NoneRow::ElectorateLost { votes, needed: quorum },
        other => NoneRow::Other { text: format!("{other:?}") },
    }
}
