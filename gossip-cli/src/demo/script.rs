//! The steps of the demonstration, each with a deadline.

mod broadcast;

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use gossip_tokio::{Cause, Cluster, Event, MemberState, NodeId, Value};
use tokio::time::{sleep, timeout_at};

use super::board::Sighting;
use super::fleet::{DemoNode, Fleet, Traffic};
use super::reporter::Reporter;
use super::summary::{Outcome, Tenths};
use crate::describe::{blamers, cause_name, cause_words, state_word};
use crate::exit::Failure;
use crate::signals::StopSignals;

/// The metadata key that one node changes.
const KEY: &str = "release";
const VALUE: i64 = 2;
/// How long the table on a terminal stays as it is.
const REDRAW: Duration = Duration::from_millis(100);
/// For how long nothing happens before idle traffic is measured, and for how long it is measured.
const SETTLE: Duration = Duration::from_secs(1);
const MEASURE: Duration = Duration::from_secs(4);

/// Nodes up to which each one's progress is told.
const TALKATIVE: usize = 20;

/// The parts of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Converge,
    Broadcast,
    Metadata,
    Kill,
    Restart,
    Leave,
    /// Only with two nodes: the one that left comes back, so that there is a cluster to measure.
    Return,
    Idle,
}

impl Step {
    /// How long it may take. The deadlines of all steps and the measurement fit into 30 s with a few nodes.
    pub(crate) fn deadline(self, nodes: usize) -> Duration {
        let (seconds, more) = match self {
            Self::Converge => (4.0, 0.2),
            Self::Kill => (11.5, 0.1),
            Self::Restart | Self::Return => (3.0, 0.1),
            Self::Broadcast | Self::Metadata | Self::Leave => (2.0, 0.05),
            Self::Idle => (6.0, 0.0),
        };
        let beyond = f64::from(u16::try_from(nodes.saturating_sub(10)).unwrap_or(u16::MAX));
        Duration::from_secs_f64(seconds + more * beyond)
    }

    /// What it is about.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Converge => "all nodes find each other",
            Self::Broadcast => "some broadcast to all",
            Self::Metadata => "one changes its metadata",
            Self::Kill => "one is killed without a word",
            Self::Restart => "it starts again under its id",
            Self::Leave => "one leaves",
            Self::Return => "it comes back",
            Self::Idle => "nothing happens",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// The play: nodes, audience, and what came of it so far.
#[derive(Debug)]
pub(crate) struct Script {
    fleet: Fleet,
    reporter: Reporter,
    signals: StopSignals,
    outcome: Outcome,
    /// Whose suspicion is waited for, and since when.
    victim: Option<(NodeId, Instant)>,
}

/// What nodes are waited for to see.
struct Goal<'a> {
    step: Step,
    since: Instant,
    /// Those who do not see it yet.
    waiting: BTreeSet<usize>,
    /// What each of them is to say, after its name.
    words: String,
    /// Whom it is about, if it is about one.
    subject: Option<NodeId>,
    reached: &'a dyn Fn(&Fleet, usize) -> bool,
}

impl Script {
    pub(crate) fn new(fleet: Fleet, reporter: Reporter, signals: StopSignals) -> Self {
        let (nodes, transport, sealed) = (fleet.nodes.len(), fleet.transport, fleet.suite().is_some());
        let outcome = Outcome { nodes, transport, sealed, ..Outcome::default() };
        Self { fleet, reporter, signals, outcome, victim: None }
    }

    /// Plays all steps.
    ///
    /// # Errors
    ///
    /// The first step that did not happen in time.
    pub(crate) async fn play(&mut self) -> Result<(), Failure> {
        let last = self.fleet.nodes.len() - 1;
        self.converge().await?;
        self.broadcast().await?;
        self.change_metadata(1).await?;
        self.kill(last).await?;
        self.outcome.rejoin_all_ms = Some(self.restart(last, Step::Restart).await?);
        self.leave(1).await?;
        if self.fleet.running().count() < 2 {
            self.restart(1, Step::Return).await?;
        }
        self.measure_idle().await
    }

    /// Stops all nodes and gives back the screen.
    pub(crate) async fn finish(mut self, ok: bool) -> (Fleet, Outcome) {
        self.outcome.ok = ok;
        drop(self.reporter);
        self.fleet.stop_all().await;
        (self.fleet, self.outcome)
    }

    async fn converge(&mut self) -> Result<(), Failure> {
        let (step, nodes) = (Step::Converge, self.fleet.nodes.len());
        let since = self.begin(step)?;
        for at in 0..nodes {
            self.start(at, step).await?;
        }
        let reached = |fleet: &Fleet, at: usize| fleet.nodes[at].views.count(MemberState::Alive) == nodes;
        let waiting = (0..nodes).collect();
        let words = format!("sees all {nodes}");
        let took = self.wait(Goal { step, since, waiting, words, subject: None, reached: &reached }).await?;
        self.outcome.converged_ms = Some(took);
        self.reporter.done(step, &format!("all {nodes} see each other after {took} ms"))
    }

    async fn change_metadata(&mut self, at: usize) -> Result<(), Failure> {
        let step = Step::Metadata;
        let since = self.begin(step)?;
        let (name, id, cluster) = self.subject(at, step)?;
        self.reporter.tell(&format!("{name} sets {KEY}={VALUE}"))?;
        if let Err(error) = cluster.set_metadata(KEY, VALUE).await {
            return Err(failed(step, &format!("{name} cannot set {KEY}: {error}")));
        }
        let reached = |fleet: &Fleet, other: usize| {
            fleet.nodes[other].views.metadata_of(id, KEY).and_then(Value::to_int) == Some(VALUE)
        };
        let words = format!("sees {KEY}={VALUE} of {name}");
        let waiting = self.others(at);
        let took = self.wait(Goal { step, since, waiting, words, subject: Some(id), reached: &reached }).await?;
        self.outcome.metadata_all_ms = Some(took);
        self.reporter.done(step, &format!("all see {KEY}={VALUE} of {name} after {took} ms"))
    }

    async fn kill(&mut self, at: usize) -> Result<(), Failure> {
        let step = Step::Kill;
        let (name, id, cluster) = self.subject(at, step)?;
        drop(cluster);
        self.begin(step)?;
        self.reporter.tell(&format!("{name} is killed"))?;
        let since = Instant::now();
        self.fleet.stop(at).await;
        self.victim = Some((id, since));
        let reached = |fleet: &Fleet, other: usize| fleet.nodes[other].views.state_of(id) == Some(MemberState::Dead);
        let words = format!("holds {name} for dead");
        let waiting = self.others(at);
        let took = self.wait(Goal { step, since, waiting, words, subject: Some(id), reached: &reached }).await?;
        self.victim = None;
        self.outcome.dead_all_ms = Some(took);
        let Some(first) = self.outcome.suspect_first_ms else {
            return Err(failed(step, &format!("{name} is dead for all, but nobody told of a suspicion before")));
        };
        self.reporter.done(step, &format!("{name} is suspected after {first} ms, dead for all after {took} ms"))
    }

    async fn restart(&mut self, at: usize, step: Step) -> Result<Tenths, Failure> {
        let since = self.begin(step)?;
        let name = self.fleet.nodes[at].name.clone();
        let Some(id) = self.fleet.nodes[at].id else { return Err(failed(step, "it never ran")) };
        self.start(at, step).await?;
        let live = self.fleet.running().count();
        let reached = |fleet: &Fleet, other: usize| {
            let views = &fleet.nodes[other].views;
            views.state_of(id) == Some(MemberState::Alive) && (other != at || views.count(MemberState::Alive) == live)
        };
        let words = format!("sees {name} again");
        let waiting = self.fleet.running().collect();
        let took = self.wait(Goal { step, since, waiting, words, subject: Some(id), reached: &reached }).await?;
        self.reporter.done(step, &format!("{name} is back for all after {took} ms"))?;
        Ok(took)
    }

    async fn leave(&mut self, at: usize) -> Result<(), Failure> {
        let step = Step::Leave;
        let since = self.begin(step)?;
        let (name, id, cluster) = self.subject(at, step)?;
        self.reporter.tell(&format!("{name} leaves"))?;
        let leaving = tokio::spawn(async move { cluster.leave().await });
        let reached = |fleet: &Fleet, other: usize| fleet.nodes[other].views.state_of(id) == Some(MemberState::Leaving);
        let words = format!("knows that {name} left");
        let waiting = self.others(at);
        let took = self.wait(Goal { step, since, waiting, words, subject: Some(id), reached: &reached }).await?;
        self.outcome.leave_all_ms = Some(took);
        if let Ok(Err(error)) = self.attend(leaving, step).await? {
            return Err(failed(step, &format!("{name} cannot leave: {error}")));
        }
        self.fleet.stop(at).await;
        self.reporter.done(step, &format!("all know after {took} ms that {name} left"))
    }

    async fn measure_idle(&mut self) -> Result<(), Failure> {
        let step = Step::Idle;
        self.begin(step)?;
        self.attend(sleep(SETTLE), step).await?;
        let (began, before) = (Instant::now(), self.traffic());
        self.attend(sleep(MEASURE), step).await?;
        let sent = self.traffic() - before;
        let running: Vec<usize> = self.fleet.running().collect();
        let is_whole = |at: &usize| self.fleet.nodes[*at].views.count(MemberState::Alive) == running.len();
        if sent.datagrams == 0 || !running.iter().all(is_whole) {
            return Err(failed(step, "the nodes did not go on watching each other"));
        }
        let share = began.elapsed() * u32::try_from(self.fleet.running().count()).unwrap_or(u32::MAX);
        let bytes = Tenths::rate(sent.datagram_bytes, share);
        let datagrams = Tenths::rate(sent.datagrams, share);
        self.outcome.idle_bytes_per_node_s = Some(bytes);
        self.outcome.idle_datagrams_per_node_s = Some(datagrams);
        self.reporter.done(step, &format!("{bytes} bytes and {datagrams} datagrams per node and second"))
    }

    fn begin(&mut self, step: Step) -> Result<Instant, Failure> {
        self.reporter.begin(step, &self.fleet)?;
        Ok(Instant::now())
    }

    async fn start(&mut self, at: usize, step: Step) -> Result<(), Failure> {
        if let Err(error) = self.fleet.start(at).await {
            return Err(failed(step, &format!("{} cannot start: {error}", self.fleet.nodes[at].name)));
        }
        let node = &self.fleet.nodes[at];
        let place = match &node.address {
            Some(address) if address.can_be_dialled() => format!("at {address}"),
            _ => "without listening anywhere".to_owned(),
        };
        self.reporter.tell(&format!("{} started {place}", node.name))
    }

    /// A node that runs, by its name, id and handle.
    fn subject(&self, at: usize, step: Step) -> Result<(String, NodeId, Cluster), Failure> {
        let node = &self.fleet.nodes[at];
        match &node.cluster {
            Some(cluster) => Ok((node.name.clone(), cluster.id(), cluster.clone())),
            None => Err(failed(step, &format!("{} does not run", node.name))),
        }
    }

    fn others(&self, than: usize) -> BTreeSet<usize> {
        self.fleet.running().filter(|&at| at != than).collect()
    }

    fn traffic(&self) -> Traffic {
        self.fleet.running().fold(Traffic::default(), |mut sum, at| {
            sum += self.fleet.nodes[at].traffic();
            sum
        })
    }

    /// Waits until everybody sees it; how long that took after `since`, by the events that showed it.
    async fn wait(&mut self, mut goal: Goal<'_>) -> Result<Tenths, Failure> {
        let allowed = goal.step.deadline(self.fleet.nodes.len());
        let deadline = goal.since + allowed;
        let mut last = goal.since;
        let total = goal.waiting.len();
        for at in goal.waiting.clone() {
            if (goal.reached)(&self.fleet, at) {
                last = last.max(self.fleet.nodes[at].views.changed.unwrap_or(goal.since));
                self.tick_off(&mut goal, at, total, None)?;
            }
        }
        while !goal.waiting.is_empty() {
            let Ok(sighting) = timeout_at(deadline.into(), self.next_sighting(goal.step)).await else {
                return Err(failed(goal.step, &self.missing(&goal, total, allowed)));
            };
            let sighting = sighting?;
            if goal.waiting.contains(&sighting.node) && (goal.reached)(&self.fleet, sighting.node) {
                last = last.max(sighting.at);
                let cause = cause_about(&sighting.event, goal.subject);
                self.tick_off(&mut goal, sighting.node, total, cause)?;
            }
        }
        Ok(Tenths::millis(last.saturating_duration_since(goal.since)))
    }

    fn tick_off(&mut self, goal: &mut Goal<'_>, at: usize, total: usize, cause: Option<&Cause>) -> Result<(), Failure> {
        goal.waiting.remove(&at);
        let count = total - goal.waiting.len();
        if !worth_telling(count, total) {
            return Ok(());
        }
        let cause = cause.map_or_else(String::new, |cause| format!(", {}", self.words_for(cause)));
        let name = &self.fleet.nodes[at].name;
        self.reporter.tell(&format!("{name} {}{cause} ({count} of {total})", goal.words))
    }

    /// Why a goal was not reached.
    fn missing(&self, goal: &Goal<'_>, total: usize, allowed: Duration) -> String {
        let count = total - goal.waiting.len();
        let mut examples: Vec<String> = goal.waiting.iter().take(5).map(|&at| self.what_it_sees(at, goal)).collect();
        if goal.waiting.len() > examples.len() {
            examples.push(format!("and {} more", goal.waiting.len() - examples.len()));
        }
        let allowed = allowed.as_secs_f64();
        format!("after {allowed:.1} s {count} of {total} \"{}\"; missing: {}", goal.words, examples.join(", "))
    }

    fn what_it_sees(&self, at: usize, goal: &Goal<'_>) -> String {
        let DemoNode { name, views, .. } = &self.fleet.nodes[at];
        match goal.subject {
            Some(id) => {
                let state = views.state_of(id).map_or("unknown", |state| state_word(state.name()));
                format!("{name} (for it the node is {state})")
            }
            None => format!("{name} (it sees {} alive)", views.count(MemberState::Alive)),
        }
    }

    /// Lets something take its time, while the audience goes on seeing what happens.
    async fn attend<T>(&mut self, what: impl Future<Output = T>, step: Step) -> Result<T, Failure> {
        tokio::pin!(what);
        loop {
            tokio::select! {
                result = &mut what => return Ok(result),
                sighting = self.next_sighting(step) => drop(sighting?),
            }
        }
    }

    /// The next thing that a node tells. Meanwhile the screen is kept up to date, and Ctrl-C is heard.
    async fn next_sighting(&mut self, step: Step) -> Result<Sighting, Failure> {
        loop {
            let sighting = tokio::select! {
                sighting = self.fleet.next_sighting() => Some(sighting),
                () = sleep(REDRAW) => None,
                signal = self.signals.next() => return Err(failed(step, &format!("stopped by {signal}"))),
            };
            self.reporter.draw(&self.fleet)?;
            if let Some(sighting) = sighting {
                self.note(&sighting)?;
                return Ok(sighting);
            }
        }
    }

    /// Tells of suspicions, expected ones and others.
    fn note(&mut self, sighting: &Sighting) -> Result<(), Failure> {
        let Event::Member(change) = &sighting.event else { return Ok(()) };
        if change.member.state != MemberState::Suspect {
            return Ok(());
        }
        if let Some((victim, since)) = self.victim
            && victim == change.member.id
            && sighting.at >= since
            && self.outcome.suspect_first_ms.is_none()
        {
            self.outcome.suspect_first_ms = Some(Tenths::millis(sighting.at.saturating_duration_since(since)));
        } else if self.fleet.nodes.len() > TALKATIVE {
            return Ok(());
        }
        let (name, suspect) = (&self.fleet.nodes[sighting.node].name, self.fleet.name_of(change.member.id));
        self.reporter.tell(&format!("{name} suspects {suspect}, {}", self.words_for(&change.cause)))
    }

    fn words_for(&self, cause: &Cause) -> String {
        let by: Vec<String> = blamers(cause).iter().map(|&id| self.fleet.name_of(id)).collect();
        cause_words(cause_name(cause), &by)
    }
}

/// Of few nodes each one's progress is told, of many only some.
fn worth_telling(count: usize, total: usize) -> bool {
    total <= TALKATIVE || count == 1 || count == total || count.is_multiple_of(total / 4)
}

/// The cause, if the event is a change of this member's row.
fn cause_about(event: &Event, subject: Option<NodeId>) -> Option<&Cause> {
    match event {
        Event::Member(change) if Some(change.member.id) == subject => Some(&change.cause),
        _ => None,
    }
}

fn failed(step: Step, reason: &str) -> Failure {
    Failure::Failed(format!("step {:?} failed: {reason}", step.title()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_default_size_all_deadlines_fit_into_thirty_seconds() {
        let steps = [Step::Converge, Step::Broadcast, Step::Metadata, Step::Kill, Step::Restart, Step::Leave];
        let total: Duration = steps.iter().map(|step| step.deadline(5)).sum();
        assert!(total + broadcast::AFTERMATH + SETTLE + MEASURE < Duration::from_secs(30));
    }

    #[test]
    fn many_nodes_are_told_of_by_quarters() {
        let told = |total| (1..=total).filter(|&count| worth_telling(count, total)).count();
        assert_eq!(told(5), 5);
        assert_eq!(told(200), 5);
    }
}
