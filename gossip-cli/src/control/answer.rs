//! What the agent does for each request.

mod keys;
mod kv;
mod leader;
mod lock;
mod message;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip_tokio::protocol;
use gossip_tokio::{
    Cluster, Counter, DropReason, Election, Endpoint, ForgetScope, JoinError, JoinReport, LockOptions, Locks, Member,
    MessageKind, NodeId, Phase, Stats, Store,
};
use serde::Serialize;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use self::keys::Change;
use super::body::{Bodies, Body};
use super::listeners::{Answering, Listeners};
use super::protocol::{EventKind, EventRow, InfoRow, JoinRow, MemberRow, MetaRow, MetaValue, Reply, Request};
use super::server::{Answers, Lines};
use crate::describe;
use crate::exit::Failure;

/// Shortest beginning of an id that stands for the whole.
const MIN_PREFIX: usize = 4;

/// What clients can see and steer: the node, and the agent around it.
#[derive(Debug)]
pub(crate) struct Steering {
    cluster: Cluster,
    cluster_name: String,
    store: Option<Store>,
    elections: Vec<Election>,
    locks: Vec<Locks>,
    started: Instant,
    left: Notify,
    listeners: Arc<Listeners>,
    bodies: Bodies,
}

/// Why an answer ends early.
enum Trouble {
    /// The request is refused; the client is told.
    Refused(Failure),
    /// The client cannot be told anything.
    Connection(io::Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl Steering {
    /// `max_payload` is the most that the node sends, in bytes.
    pub(crate) fn new(cluster: Cluster, cluster_name: String, max_payload: usize) -> Self {
        let (listeners, bodies) = (Arc::default(), Bodies::new(max_payload));
        Self {
            cluster,
            cluster_name,
            store: None,
            elections: Vec::new(),
            locks: Vec::new(),
            started: Instant::now(),
            left: Notify::new(),
            listeners,
            bodies,
        }
    }

    /// Lets clients use a key-value store.
    pub(crate) fn with_store(self, store: Option<Store>) -> Self {
        Self { store, ..self }
    }

    /// Lets clients ask how elections stand.
    pub(crate) fn with_elections(self, elections: Vec<Election>) -> Self {
        Self { elections, ..self }
    }

    /// Lets clients use locks.
    pub(crate) fn with_locks(self, locks: Vec<Locks>) -> Self {
        Self { locks, ..self }
    }

    /// Reads what follows a request; what is over the limit is passed over.
    pub(crate) async fn body(&self, size: usize, lines: &mut Lines) -> io::Result<Body> {
        self.bodies.receive(size, lines).await
    }

    /// Waits until a client has made the node leave, and was told so.
    pub(crate) async fn left(&self) {
        self.left.notified().await;
    }

    /// Carries out a request and sends the whole answer. A monitor ends when the client's `lines` stir.
    pub(crate) async fn answer(
        &self,
        request: Request,
        body: Body,
        lines: &mut Lines,
        answers: &mut Answers,
    ) -> io::Result<()> {
        let leaves = request == Request::Leave;
        let outcome = match body {
            Ok(body) => self.carry_out(request, body, lines, answers).await,
            Err(over) => Err(Trouble::Refused(over)),
        };
        let last = match outcome {
            Ok(done) => Reply::Done(done),
            Err(Trouble::Refused(failure)) => Reply::Error(failure.into()),
            Err(Trouble::Connection(error)) => return Err(error),
        };
        let sent = match answers.write(&last).await {
            Ok(()) => answers.flush().await,
            Err(error) => Err(error),
        };
        if leaves && matches!(last, Reply::Done(_)) {
            self.left.notify_one();
        }
        sent
    }

    async fn carry_out(
        &self,
        request: Request,
        body: Vec<u8>,
        lines: &mut Lines,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        match request {
            Request::Members { state, tag } => self.members(state.as_deref(), tag.as_deref(), answers).await,
            Request::Info => {
                item(answers, &self.info()).await?;
                Ok(json!({}))
            }
            Request::Join { addresses } => self.join(addresses, answers).await,
            Request::Leave => {
                let report = self.cluster.leave().await.map_err(Failure::failed)?;
                tracing::info!(acknowledged = report.acknowledged, "left the cluster on request");
                Ok(json!({ "acknowledged": report.acknowledged }))
            }
            Request::Forget { id, here } => self.forget(&id, here).await,
            Request::MetaGet { node, key } => self.metadata(node.as_deref(), key.as_deref(), answers).await,
            Request::MetaSet { entries } => self.set_metadata(entries).await,
            Request::MetaRemove { keys } => self.remove_metadata(keys).await,
            Request::Monitor => until_it_stirs(self.monitor(answers), lines).await,
            Request::Send { to, kind, reliable, .. } => self.send(to, kind, reliable, body, answers).await,
            Request::Ask { to, kind, timeout_ms, .. } => {
                tokio::select! {
                    outcome = self.ask(to, kind, Duration::from_millis(timeout_ms), body, answers) => outcome,
                    () = lines.ends() => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
                }
            }
            Request::Keys { action, id, here, force, timeout_ms, .. } => {
                let change = Change::of(action, id.as_deref(), body)?;
                // Members may be asked twice.
                let timeout = Duration::from_millis(timeout_ms) / 2;
                tokio::select! {
                    outcome = self.change_keys(change, (here, force), timeout, answers) => outcome,
                    () = lines.ends() => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
                }
            }
            Request::KvGet { key } => self.kv_get(key, answers).await,
            Request::KvSet { key, ttl_ms, .. } => self.kv_set(key, ttl_ms, body).await,
            Request::KvRemove { keys } => self.kv_remove(keys).await,
            Request::KvList { prefix } => self.kv_list(&prefix, answers).await,
            Request::KvWatch { prefix } => until_it_stirs(self.kv_watch(prefix, answers), lines).await,
            Request::Leader { name } => self.leader(name.as_deref(), answers).await,
            Request::LeaderWatch { name } => until_it_stirs(self.leader_watch(name.as_deref(), answers), lines).await,
            Request::Lock { pool, key, ttl_ms, patience_ms, tries } => {
                let options = LockOptions::new(Duration::from_millis(ttl_ms));
                let options = options.patience(Duration::from_millis(patience_ms));
                self.lock((pool.as_deref(), &key), options, !tries, lines, answers).await
            }
            Request::LockQuery { pool, key, patience_ms } => {
                self.lock_query(pool.as_deref(), key, Duration::from_millis(patience_ms), answers).await
            }
            Request::Listen { types, echo, body: answer } => {
                let answering = Answering::choose(echo, answer.map(|_| body))?;
                until_it_stirs(self.listen(&types, answering, answers), lines).await
            }
        }
    }

    async fn members(&self, state: Option<&str>, tag: Option<&str>, answers: &mut Answers) -> Result<Json, Trouble> {
        if let Some(state) = state.filter(|state| !["alive", "suspect", "dead", "leaving"].contains(state)) {
            let reason =
                format!("no member is ever in state {state:?}; the states are alive, suspect, dead and leaving");
            return Err(Failure::Usage(reason).into());
        }
        let snapshot = self.cluster.members();
        let mut count = 0_usize;
        for member in snapshot.all() {
            let fits =
                state.is_none_or(|state| member.state.name() == state) && tag.is_none_or(|tag| member.tags.has(tag));
            if fits {
                count += 1;
                item(answers, &self.member_row(member)).await?;
            }
        }
        Ok(json!({ "members": count }))
    }

    fn member_row(&self, member: &Member) -> MemberRow {
        MemberRow {
            id: member.id.to_string(),
            name: describe::name_of(member),
            address: member.address.clone(),
            state: member.state.to_string(),
            since_ms: millis(self.cluster.now().saturating_since(member.since)),
            incarnation: member.incarnation.to_string(),
            tags: member.tags.to_vec(),
            metadata: member.metadata.iter().map(|(key, value)| (key.to_owned(), MetaValue::from(value))).collect(),
            myself: member.id == self.cluster.id(),
        }
    }

    fn info(&self) -> InfoRow {
        let local = self.cluster.local();
        let counts = self.cluster.members().counts();
        let stats = self.cluster.stats();
        let kinds = |count: fn(&protocol::Stats, MessageKind) -> u64| {
            MessageKind::ALL.iter().map(|&kind| (kind.name().to_owned(), count(&stats.protocol, kind))).collect()
        };
        InfoRow {
            id: self.cluster.id().to_string(),
            name: local.as_deref().and_then(describe::name_of),
            cluster: self.cluster_name.clone(),
            address: self.cluster.address().clone(),
            bind: self.cluster.bind_address(),
            incarnation: local.map(|local| local.incarnation.to_string()),
            phase: phase_name(self.cluster.phase()).to_owned(),
            health_score: self.cluster.health_score(),
            uptime_ms: millis(self.started.elapsed()),
            members: [
                ("alive", counts.alive),
                ("suspect", counts.suspect),
                ("dead", counts.dead),
                ("leaving", counts.leaving),
            ]
            .into_iter()
            .map(|(state, count)| (state.to_owned(), count))
            .collect(),
            counters: counters(&stats),
            sent: kinds(protocol::Stats::sent),
            received: kinds(protocol::Stats::received),
            dropped: DropReason::ALL
                .iter()
                .map(|&reason| (reason.name().to_owned(), stats.protocol.dropped(reason)))
                .collect(),
        }
    }

    async fn join(&self, addresses: Vec<String>, answers: &mut Answers) -> Result<Json, Trouble> {
        if addresses.is_empty() {
            return Err(Failure::usage("no address was given to join through").into());
        }
        for address in &addresses {
            address.parse::<Endpoint>().map_err(Failure::usage)?;
        }
        let report = match self.cluster.join(addresses).await {
            Ok(report) => report,
            Err(JoinError::Nobody(report)) => return Err(Failure::failed(JoinError::Nobody(report)).into()),
            Err(error) => return Err(Failure::failed(error).into()),
        };
        for row in join_rows(&report) {
            item(answers, &row).await?;
        }
        Ok(json!({ "members": report.members }))
    }

    async fn forget(&self, id: &str, here: bool) -> Result<Json, Trouble> {
        let id = self.resolve(id)?;
        let scope = if here { ForgetScope::Here } else { ForgetScope::Everywhere };
        self.cluster
            .forget(id, scope)
            .await
            .map_err(|error| Failure::failed(format!("cannot forget {id}: {error}")))?;
        tracing::info!(%id, here, "forgot a member on request");
        Ok(json!({ "forgotten": id.to_string() }))
    }

    async fn metadata(&self, node: Option<&str>, key: Option<&str>, answers: &mut Answers) -> Result<Json, Trouble> {
        let id = node.map_or_else(|| Ok(self.cluster.id()), |node| self.resolve(node))?;
        let Some(member) = self.cluster.member(id) else {
            return Err(Failure::failed(format!("no member has the id {id}")).into());
        };
        let row = |key: &str, value| MetaRow { key: key.to_owned(), value: MetaValue::from(value) };
        match key {
            None => {
                for (key, value) in member.metadata.iter() {
                    item(answers, &row(key, value)).await?;
                }
            }
            Some(key) => match member.metadata.get(key) {
                Some(value) => item(answers, &row(key, value)).await?,
                None => {
                    return Err(
                        Failure::failed(format!("node {id} has no metadata key {}", describe::quoted(key))).into()
                    );
                }
            },
        }
        Ok(json!({ "id": id.to_string(), "version": member.metadata.version() }))
    }

    async fn set_metadata(&self, entries: BTreeMap<String, MetaValue>) -> Result<Json, Trouble> {
        let mut set: Vec<String> = Vec::new();
        for (key, value) in entries {
            let failed = |reason: String| {
                let before = if set.is_empty() { String::new() } else { format!(" (already set: {})", set.join(", ")) };
                Failure::Failed(format!("cannot set key {}: {reason}{before}", describe::quoted(&key)))
            };
            let value = value.into_value().map_err(failed)?;
            self.cluster.set_metadata(&*key, value).await.map_err(|error| failed(error.to_string()))?;
            set.push(key);
        }
        Ok(json!({ "set": set }))
    }

    async fn remove_metadata(&self, keys: Vec<String>) -> Result<Json, Trouble> {
        let mut removed = Vec::new();
        for key in keys {
            let was_there = self.cluster.remove_metadata(&*key).await.map_err(Failure::failed)?;
            if was_there {
                removed.push(key);
            }
        }
        Ok(json!({ "removed": removed }))
    }

    /// Sends events until the node stops or the client cannot be told any more.
    async fn monitor(&self, answers: &mut Answers) -> Result<Json, Trouble> {
        let mut events = self.cluster.events();
        let what = EventKind::Watching {
            id: self.cluster.id().to_string(),
            address: self.cluster.address().clone(),
            live: self.cluster.members().counts().live(),
        };
        item(answers, &EventRow { time: describe::wall_clock(), what }).await?;
        answers.flush().await?;
        while let Some(event) = events.next().await {
            item(answers, &describe::row(&self.cluster, &event)).await?;
            while let Some(event) = events.try_next() {
                item(answers, &describe::row(&self.cluster, &event)).await?;
            }
            answers.flush().await?;
        }
        Ok(json!({}))
    }

    /// The id that this text is, or that of the one member with this name or with an id that begins like this.
    fn resolve(&self, text: &str) -> Result<NodeId, Failure> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let snapshot = self.cluster.members();
        pick(text, snapshot.all().iter().map(|member| (member.id, describe::name_of(member))))
    }
}

fn pick(text: &str, members: impl Iterator<Item = (NodeId, Option<String>)>) -> Result<NodeId, Failure> {
    let beginning = Some(text.to_ascii_lowercase()).filter(|beginning| beginning.len() >= MIN_PREFIX);
    let begins = |id: NodeId| beginning.as_ref().is_some_and(|beginning| id.to_string().starts_with(beginning));
    let mut fitting = members.filter(|(id, name)| name.as_deref() == Some(text) || begins(*id)).map(|(id, _)| id);
    match (fitting.next(), fitting.next()) {
        (Some(id), None) => Ok(id),
        (Some(one), Some(two)) => Err(Failure::Usage(format!(
            "several members have the name {text:?} or an id that begins with it, like {one} and {two}; give an id"
        ))),
        (None, _) if beginning.is_none() => Err(Failure::Usage(format!(
            "no member has the name {text:?}, and for an id it is too short: give at least {MIN_PREFIX} characters"
        ))),
        (None, _) => Err(Failure::Usage(format!(
            "no member has the name {text:?} or an id that begins with it; 'gossip members' lists them"
        ))),
    }
}

/// Goes on until it ends by itself, or the client says or closes something.
async fn until_it_stirs(work: impl Future<Output = Result<Json, Trouble>>, lines: &mut Lines) -> Result<Json, Trouble> {
    tokio::select! {
        outcome = work => outcome,
        () = lines.stirs() => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
    }
}

async fn item(answers: &mut Answers, row: &impl Serialize) -> io::Result<()> {
    answers.write(&Reply::Item(serde_json::to_value(row)?)).await
}

fn join_rows(report: &JoinReport) -> impl Iterator<Item = JoinRow> {
    let accepted = report.accepted.iter().map(|accepted| JoinRow {
        given: accepted.given.clone(),
        address: Some(accepted.address.clone()),
        accepted_by: Some(accepted.by.to_string()),
        failed: None,
    });
    let failed = report.failed.iter().map(|failure| JoinRow {
        given: failure.given.clone(),
        address: failure.address.clone(),
        accepted_by: None,
        failed: Some(failure.reason.to_string()),
    });
    accepted.chain(failed)
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Active => "active",
        Phase::Contested => "contested",
        Phase::Leaving => "leaving",
        Phase::Left => "left",
        _ => "unknown",
    }
}

fn counters(stats: &Stats) -> BTreeMap<String, u64> {
    let protocol = &stats.protocol;
    let driver = &stats.driver;
    let once = [
        ("datagrams_sent", protocol.datagrams_sent),
        ("datagram_bytes_sent", protocol.datagram_bytes_sent),
        ("datagrams_received", protocol.datagrams_received),
        ("datagram_bytes_received", protocol.datagram_bytes_received),
        ("stream_messages_sent", protocol.stream_messages_sent),
        ("stream_bytes_sent", protocol.stream_bytes_sent),
        ("stream_messages_received", protocol.stream_messages_received),
        ("stream_bytes_received", protocol.stream_bytes_received),
        ("probes_failed", protocol.probes_failed),
        ("refutations", protocol.refutations),
        ("exchanges", protocol.exchanges),
        ("core_events_missed", protocol.events_missed),
        ("deliveries_missed", protocol.deliveries_missed),
        ("payload_bytes_sent", protocol.payload_bytes_sent),
        ("copies_repeated", protocol.copies_repeated),
        ("arcs_handed_over", protocol.arcs_handed_over),
        ("broadcasts_pulled", protocol.broadcasts_pulled),
        ("broadcasts_given_up", protocol.broadcasts_given_up),
        ("broadcast_control_bytes_sent", protocol.broadcast_control_bytes_sent),
        ("clock_regressions", protocol.clock_regressions),
        ("stalls", protocol.stalls),
        ("links", driver.links as u64),
        ("links_unproven", driver.links_unproven as u64),
        ("bytes_queued", driver.bytes_queued as u64),
    ];
    let once = once.into_iter().map(|(name, count)| (name.to_owned(), count));
    once.chain(Counter::ALL.iter().map(|&counter| (counter.name().to_owned(), driver.count(counter)))).collect()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_stands_for_an_id_only_if_one_member_has_it() {
        let ids: Vec<NodeId> = ["0192f0c1-0000-7000-8000-000000000001", "0192f0c1-0000-7000-8000-000000000002"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        let members = || ids.iter().zip(["one", "0192f0c1-0"]).map(|(&id, name)| (id, Some(name.to_owned())));
        let picked = |text: &str| pick(text, members()).map_err(|failure| failure.to_string());
        assert!(picked("019").unwrap_err().contains("at least 4"));
        assert!(picked("0192").unwrap_err().contains("several"));
        assert!(picked("ffff").unwrap_err().contains("no member"));
        assert_eq!(picked("0192F0C1-0000-7000-8000-000000000002"), Ok(ids[1]));
        assert_eq!(pick("0192", members().take(1)), Ok(ids[0]));
    }

    #[test]
    fn a_name_stands_for_an_id_only_if_nothing_else_fits() {
        let id = |number: u128| NodeId::from_u128(0x0192_f0c1 << 96 | number);
        let members = [(id(1), Some("a")), (id(2), Some("twin")), (id(3), Some("twin")), (id(4), Some("0192f0c1"))];
        let picked = |text: &str| pick(text, members.iter().map(|&(id, name)| (id, name.map(ToOwned::to_owned))));
        assert_eq!(picked("a"), Ok(id(1)));
        for (text, part) in [("twin", "several"), ("0192f0c1", "several"), ("b", "name"), ("nobody", "no member")] {
            assert!(picked(text).unwrap_err().to_string().contains(part), "{text}");
        }
    }
}
