//! The step in which some nodes broadcast and all others are to get it, each once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gossip_tokio::{BroadcastOptions, Cluster, Message, MessageKind, MessageType, Raw, Received};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::{Script, Step, failed};
use crate::demo::summary::{Spread, Tenths, Thousandths};
use crate::exit::Failure;

/// The type of the broadcasts.
const TYPE: u16 = 200;
const BROADCASTS: usize = 20;
/// Each so many are told of.
const TOLD: usize = 5;
/// From one broadcast to the next.
const PACE: Duration = Duration::from_millis(25);
/// Length of each in bytes; its number stands in front.
const SIZE: usize = 1_024;
/// For how long copies are counted that come after everybody has everything.
pub(super) const AFTERMATH: Duration = Duration::from_millis(250);
/// Receipts that wait to be looked at; tellers wait beyond it.
const RECEIPTS: usize = 4_096;

/// A node got a broadcast, or something else than was expected.
struct Receipt {
    node: usize,
    at: Instant,
    /// Which broadcast, or what came instead.
    number: Result<usize, String>,
}

/// A broadcast on its way.
struct Sent {
    at: Instant,
    /// Who has not got it yet.
    waiting: BTreeSet<usize>,
    /// When the latest one got it.
    last: Instant,
}

/// What the nodes tell of broadcasts; dropping it ends those who tell.
struct Receipts {
    receiver: mpsc::Receiver<Receipt>,
    _tellers: JoinSet<()>,
}

impl Script {
    pub(super) async fn broadcast(&mut self) -> Result<(), Failure> {
        let step = Step::Broadcast;
        let since = self.begin(step)?;
        let allowed = step.deadline(self.fleet.nodes.len());
        let (before, mut receipts) = (self.copies(), self.receipts());
        let mut sent = Vec::with_capacity(BROADCASTS);
        match timeout_at((since + allowed).into(), self.send_and_gather(&mut sent, &mut receipts)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(failed(step, &self.undelivered(&sent, allowed))),
        }
        self.attend(sleep(AFTERMATH), step).await?;
        // Everybody has everything, so whatever comes now is one too many.
        if let Ok(receipt) = receipts.receiver.try_recv() {
            self.take_in(&receipt, &mut sent)?;
        }
        let deliveries = sent.len() * (self.fleet.running().count() - 1);
        let copies = Thousandths::ratio(self.copies() - before, deliveries as u64);
        let spread = Spread::of(sent.iter().map(|sent| Tenths::millis(sent.last.saturating_duration_since(sent.at))));
        self.outcome.broadcast_copies_per_node = Some(copies);
        self.outcome.broadcast_ms = spread;
        let Some(Spread { p50, max }) = spread else { return Err(failed(step, "nothing was broadcast")) };
        self.reporter.done(
            step,
            &format!("{BROADCASTS} broadcasts reached all: p50 {p50} ms, max {max} ms, {copies} copies per node"),
        )
    }

    /// Broadcasts from nodes taken at random, until everybody has everything.
    async fn send_and_gather(&mut self, sent: &mut Vec<Sent>, receipts: &mut Receipts) -> Result<(), Failure> {
        let mut next = Box::pin(sleep(Duration::ZERO));
        loop {
            let is_complete = sent.iter().all(|sent| sent.waiting.is_empty());
            if sent.len() == BROADCASTS && is_complete {
                return Ok(());
            }
            self.reporter.draw(&self.fleet)?;
            tokio::select! {
                biased;
                Some(receipt) = receipts.receiver.recv() => self.take_in(&receipt, sent)?,
                () = &mut next, if sent.len() < BROADCASTS => {
                    let broadcast = self.send_one(sent.len()).await?;
                    sent.push(broadcast);
                    next = Box::pin(sleep(PACE));
                }
                sighting = self.next_sighting(Step::Broadcast) => drop(sighting?),
            }
        }
    }

    async fn send_one(&mut self, number: usize) -> Result<Sent, Failure> {
        let step = Step::Broadcast;
        let running: Vec<usize> = self.fleet.running().collect();
        let chance = getrandom::u32().map_err(|error| failed(step, &format!("no random number: {error}")))?;
        let from = running[chance as usize % running.len()];
        let (name, _, cluster) = self.subject(from, step)?;
        let mut payload = vec![0; SIZE];
        payload[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let at = Instant::now();
        let kind = MessageType::user(TYPE).map_err(Failure::failed)?;
        if let Err(error) = cluster.broadcast(kind, Raw(payload), BroadcastOptions::new()).await {
            return Err(failed(step, &format!("{name} cannot broadcast: {error}")));
        }
        if (number + 1).is_multiple_of(TOLD) {
            self.reporter.tell(&format!("{name} broadcasts {SIZE} bytes ({} of {BROADCASTS})", number + 1))?;
        }
        Ok(Sent { at, waiting: self.others(from), last: at })
    }

    fn take_in(&mut self, receipt: &Receipt, sent: &mut [Sent]) -> Result<(), Failure> {
        let name = &self.fleet.nodes[receipt.node].name;
        let broadcast = match &receipt.number {
            Ok(number) => sent.get_mut(*number),
            Err(instead) => return Err(failed(Step::Broadcast, &format!("{name} {instead}"))),
        };
        let Some(broadcast) = broadcast.filter(|broadcast| broadcast.waiting.contains(&receipt.node)) else {
            let reason = format!("{name} got a broadcast twice, or one that was not sent to it");
            return Err(failed(Step::Broadcast, &reason));
        };
        broadcast.waiting.remove(&receipt.node);
        broadcast.last = broadcast.last.max(receipt.at);
        Ok(())
    }

    /// Copies of broadcasts that all nodes that run have sent.
    fn copies(&self) -> u64 {
        let clusters = self.fleet.running().filter_map(|at| self.fleet.nodes[at].cluster.as_ref());
        clusters.map(|cluster| cluster.stats().protocol.sent(MessageKind::Copy)).sum()
    }

    fn receipts(&self) -> Receipts {
        let (teller, receiver) = mpsc::channel(RECEIPTS);
        let mut tellers = JoinSet::new();
        for node in self.fleet.running() {
            if let Some(cluster) = &self.fleet.nodes[node].cluster {
                tellers.spawn(tell(cluster, node, teller.clone()));
            }
        }
        Receipts { receiver, _tellers: tellers }
    }

    fn undelivered(&self, sent: &[Sent], allowed: Duration) -> String {
        let lacking: BTreeSet<usize> = sent.iter().flat_map(|sent| &sent.waiting).copied().collect();
        let names: Vec<&str> = lacking.iter().take(5).map(|&at| self.fleet.nodes[at].name.as_str()).collect();
        let complete = sent.iter().filter(|sent| sent.waiting.is_empty()).count();
        format!(
            "after {:.1} s {complete} of {BROADCASTS} broadcasts had reached all; {} nodes lack some, like {}",
            allowed.as_secs_f64(),
            lacking.len(),
            names.join(", ")
        )
    }
}

/// Passes on what a node receives, from now on until it stops.
fn tell(cluster: &Cluster, node: usize, teller: mpsc::Sender<Receipt>) -> impl Future<Output = ()> + Send + 'static {
    let mut messages = cluster.messages();
    async move {
        while let Some(received) = messages.next().await {
            let at = Instant::now();
            let number = match received {
                Received::Message(message) => number_of(&message),
                Received::Missed { count } => Err(format!("read too slowly and missed {count} messages")),
                _ => continue,
            };
            if teller.send(Receipt { node, at, number }).await.is_err() {
                return;
            }
        }
    }
}

fn number_of(message: &Message) -> Result<usize, String> {
    let bytes = message.payload.bytes().map_err(|error| format!("cannot read a broadcast: {error}"))?;
    let whole = bytes.split_first_chunk::<8>().filter(|(_, rest)| rest.len() + 8 == SIZE);
    let (number, _) = whole.ok_or_else(|| "got a broadcast that nobody sent".to_owned())?;
    Ok(usize::try_from(u64::from_be_bytes(*number)).unwrap_or(usize::MAX))
}
