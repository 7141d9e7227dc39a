//! What the agent does for those who send, ask and listen.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gossip_tokio::protocol::{self, Criteria};
use gossip_tokio::{
    Audience, BroadcastOptions, CodecName, Member, Message, MessageId, MessageType, NodeId, Payload, Raw, Received,
    Reliability, RequestError, SendError,
};
use serde_json::{Value as Json, json};

use super::{Steering, Trouble, item};
use crate::content::Content;
use crate::control::listeners::{Answering, HeardRequest};
use crate::control::protocol::{AnswerRow, Fault, HeardKind, HeardRow, Said, SentRow, Target, Who};
use crate::control::server::Answers;
use crate::describe;
use crate::exit::Failure;

/// How long a listener may read nothing. It costs no more than its queues, and somebody may have stopped a terminal.
const LISTENER_PATIENCE: Duration = Duration::from_mins(5);

/// A target as it is now.
enum Meant {
    One(NodeId),
    /// Those with a tag, which broadcasts know themselves, and how many others there are now.
    Tag(String, usize),
    Group(Vec<NodeId>),
    All(usize),
}

impl Steering {
    pub(super) async fn send(
        &self,
        to: Target,
        kind: u16,
        reliable: bool,
        body: Vec<u8>,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let (kind, body) = (message_type(kind)?, Raw(body));
        let reliability = if reliable { Reliability::Reliable } else { Reliability::BestEffort };
        let options = BroadcastOptions { reliable, ..BroadcastOptions::new() };
        let broadcast =
            |members: usize, id: MessageId| json!({ "members": members, "failed": 0, "broadcast": id.to_string() });
        match self.meant(to)? {
            Meant::One(id) => {
                let sent = self.cluster.send(id, kind, body, reliability).await;
                sent.map_err(|error| self.blame_send(id, &error))?;
                item(answers, &SentRow { who: self.who(id), error: None }).await?;
                Ok(json!({ "members": 1, "failed": 0 }))
            }
            Meant::Group(ids) => self.send_to_each(&ids, kind, body, reliability, answers).await,
            Meant::Tag(tag, members) => {
                let sent = self.cluster.broadcast(kind, body, options.tag(&tag)).await;
                Ok(broadcast(members, sent.map_err(|error| blame_broadcast(&error))?))
            }
            Meant::All(members) => {
                let sent = self.cluster.broadcast(kind, body, options).await;
                Ok(broadcast(members, sent.map_err(|error| blame_broadcast(&error))?))
            }
        }
    }

    async fn send_to_each(
        &self,
        ids: &[NodeId],
        kind: MessageType,
        body: Raw<Vec<u8>>,
        reliability: Reliability,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let mut failed = 0_usize;
        for (id, outcome) in self.cluster.send_to(ids, kind, body, reliability).await {
            let error = outcome.err().map(|error| fault_of_send(&error));
            failed += usize::from(error.is_some());
            item(answers, &SentRow { who: self.who(id), error }).await?;
        }
        Ok(json!({ "members": ids.len(), "failed": failed }))
    }

    pub(super) async fn ask(
        &self,
        to: Target,
        kind: u16,
        timeout: Duration,
        body: Vec<u8>,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let (kind, body, since) = (message_type(kind)?, Raw(body), Instant::now());
        let asked = |error: SendError| Trouble::from(blame_broadcast(&error));
        let mut gathered = match self.meant(to)? {
            Meant::One(id) => return self.ask_one(id, kind, body, timeout, answers).await,
            Meant::Tag(tag, _) => {
                self.cluster.scatter(Audience::Tag(&tag), kind, body, timeout).await.map_err(asked)?
            }
            Meant::Group(ids) => {
                self.cluster.scatter(Audience::Nodes(&ids), kind, body, timeout).await.map_err(asked)?
            }
            Meant::All(_) => self.cluster.scatter(Audience::All, kind, body, timeout).await.map_err(asked)?,
        };
        let (mut answered, mut refused) = (0_usize, 0_usize);
        while let Some((id, outcome)) = gathered.next().await {
            let row = self.answer_row(id, since, outcome.map_err(|error| fault_of_request(&error)));
            answered += usize::from(row.error.is_none());
            refused += usize::from(row.error.as_ref().is_some_and(Fault::is_refusal));
            item(answers, &row).await?;
            answers.flush().await?;
        }
        let asked = gathered.asked();
        Ok(json!({ "asked": asked, "answered": answered, "refused": refused, "ms": millis(since) }))
    }

    async fn ask_one(
        &self,
        id: NodeId,
        kind: MessageType,
        body: Raw<Vec<u8>>,
        timeout: Duration,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let since = Instant::now();
        let outcome = self.cluster.request(id, kind, body, timeout).await;
        let payload = outcome.map_err(|error| self.blame_request(id, kind, timeout, &error))?;
        let row = self.answer_row(id, since, Ok(payload));
        if let Some(fault) = row.error {
            return Err(Failure::Failed(format!("{}: {}", self.called(id), fault.message)).into());
        }
        item(answers, &row).await?;
        Ok(json!({ "asked": 1, "answered": 1, "refused": 0, "ms": millis(since) }))
    }

    /// Tells what comes, until the node stops or the client cannot be told any more.
    pub(super) async fn listen(
        &self,
        types: &[u16],
        answering: Answering,
        answers: &mut Answers,
    ) -> Result<Json, Trouble> {
        let kinds = types.iter().map(|&kind| message_type(kind)).collect::<Result<Vec<_>, _>>()?;
        if kinds.is_empty() && answering != Answering::Never {
            return Err(Failure::usage("name the types of the requests that are to be answered").into());
        }
        let mut place = self.listeners.open(&self.cluster, &kinds, answering)?;
        let mut messages = self.cluster.messages();
        answers.wait_for(LISTENER_PATIENCE);
        self.tell(HeardKind::Listening { who: self.who(self.cluster.id()), types: types.to_vec() }, answers).await?;
        let mut holds_lines = true;
        loop {
            let missed = place.take_missed();
            if missed > 0 {
                self.tell(HeardKind::Missed { count: missed }, answers).await?;
                holds_lines = true;
            }
            let heard = tokio::select! {
                biased;
                request = place.next() => Some(self.heard_request(&request)),
                message = messages.next() => match message {
                    None => return Ok(json!({})),
                    Some(Received::Missed { count }) => Some(HeardKind::Missed { count }),
                    Some(Received::Message(message)) if place.wants(message.kind) => Some(self.heard_message(&message)),
                    Some(_) => continue,
                },
                // Nothing waits any more.
                () = std::future::ready(()), if holds_lines => None,
            };
            let is_news = heard.is_some();
            match heard {
                Some(what) => self.tell(what, answers).await?,
                None => answers.flush().await?,
            }
            holds_lines = is_news;
        }
    }

    async fn tell(&self, what: HeardKind, answers: &mut Answers) -> io::Result<()> {
        item(answers, &HeardRow { time: describe::wall_clock(), what }).await
    }

    fn heard_message(&self, message: &Message) -> HeardKind {
        let said = self.said(message.from, message.kind, &message.payload);
        match &message.broadcast {
            None => HeardKind::Message { said },
            Some(info) => HeardKind::Broadcast { said, tag: info.tag.as_deref().map(str::to_owned), hops: info.hops },
        }
    }

    fn heard_request(&self, heard: &HeardRequest) -> HeardKind {
        HeardKind::Request { said: self.said(heard.from, heard.kind, &heard.payload), answered: heard.answered }
    }

    fn said(&self, from: NodeId, kind: MessageType, payload: &Payload) -> Said {
        let bytes = payload.bytes();
        Said {
            from: self.who(from),
            kind: kind.as_u16(),
            codec: codec_of(payload),
            payload: bytes.as_ref().ok().map(|bytes| Content::of(bytes)),
            problem: bytes.err().map(|error| error.to_string()),
        }
    }

    fn answer_row(&self, id: NodeId, since: Instant, outcome: Result<Payload, Fault>) -> AnswerRow {
        let row = AnswerRow { who: self.who(id), ms: millis(since), answer: None, codec: None, error: None };
        let payload = match outcome {
            Ok(payload) => payload,
            Err(fault) => return AnswerRow { error: Some(fault), ..row },
        };
        match payload.bytes() {
            Ok(bytes) => AnswerRow { answer: Some(Content::of(&bytes)), codec: Some(codec_of(&payload)), ..row },
            Err(error) => AnswerRow { error: Some(Fault::new("other", &error)), ..row },
        }
    }

    /// Who is meant now.
    fn meant(&self, target: Target) -> Result<Meant, Failure> {
        let snapshot = self.cluster.members();
        let this = self.cluster.id();
        match target {
            Target::Node(node) => self.resolve(&node).map(Meant::One),
            Target::All => match snapshot.live().filter(|member| member.id != this).count() {
                0 => Err(Failure::Nobody("there is no other live member; 'gossip join' finds some".to_owned())),
                count => Ok(Meant::All(count)),
            },
            Target::Tag(tag) => match snapshot.tagged(&tag).filter(|member| member.id != this).count() {
                0 => Err(Failure::Nobody(format!(
                    "no other live member has the tag {tag:?}; 'gossip members' shows their tags"
                ))),
                count => Ok(Meant::Tag(tag, count)),
            },
            Target::Group(conditions) => {
                let criteria = Criteria::parse(&conditions).map_err(Failure::usage)?;
                let fits = |member: &&Arc<Member>| member.id != this && criteria.matches(&member.metadata);
                let ids: Vec<NodeId> = snapshot.live().filter(fits).map(|member| member.id).collect();
                if ids.is_empty() {
                    let conditions = conditions.join(" ");
                    return Err(Failure::Nobody(format!(
                        "no other live member has metadata with {conditions}; 'gossip members --meta' shows theirs"
                    )));
                }
                Ok(Meant::Group(ids))
            }
        }
    }

    pub(super) fn who(&self, id: NodeId) -> Who {
        describe::who(&self.cluster, id)
    }

    pub(super) fn called(&self, id: NodeId) -> String {
        let Who { id, name } = self.who(id);
        describe::called(name.as_deref(), &id)
    }

    fn blame_send(&self, id: NodeId, error: &SendError) -> Failure {
        let reason = format!("{}: {error}", self.called(id));
        match error {
            SendError::Unconfirmed(error) => sort(error)(reason),
            SendError::Refused(error) => match error {
                protocol::SendError::UnknownMember => {
                    Failure::Usage(format!("no member has the id {id}; 'gossip members' lists them"))
                }
                protocol::SendError::NotLive => Failure::Nobody(reason),
                protocol::SendError::TooLarge { .. } | protocol::SendError::Deadline => Failure::Usage(reason),
                _ => Failure::Failed(reason),
            },
            _ => Failure::Failed(reason),
        }
    }

    fn blame_request(&self, id: NodeId, kind: MessageType, timeout: Duration, error: &RequestError) -> Failure {
        let error = match error {
            RequestError::NotSent(error) => return self.blame_send(id, error),
            RequestError::Failed(error) => error,
            other => return Failure::failed(format!("{}: {other}", self.called(id))),
        };
        let hint = match error {
            protocol::RequestError::NoHandler => {
                format!(" ({kind}); on that node 'gossip listen --type {kind} --echo' would answer")
            }
            protocol::RequestError::Timeout => format!(" ({})", humantime::format_duration(timeout)),
            _ => String::new(),
        };
        sort(error)(format!("{}: {error}{hint}", self.called(id)))
    }
}

impl Fault {
    fn new(kind: &str, message: &impl ToString) -> Self {
        Self { kind: kind.to_owned(), message: message.to_string() }
    }

    /// Whether it is the other side's word.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(&*self.kind, "no_handler" | "rejected" | "overloaded")
    }
}

fn fault_of_send(error: &SendError) -> Fault {
    match error {
        SendError::Unconfirmed(reason) => Fault::new(word(reason), error),
        SendError::Refused(protocol::SendError::NotLive | protocol::SendError::UnknownMember) => {
            Fault::new("not_live", error)
        }
        _ => Fault::new("not_sent", error),
    }
}

fn fault_of_request(error: &RequestError) -> Fault {
    match error {
        RequestError::NotSent(error) => fault_of_send(error),
        RequestError::Failed(reason) => Fault::new(word(reason), error),
        _ => Fault::new("other", error),
    }
}

fn word(error: &protocol::RequestError) -> &'static str {
    match error {
        protocol::RequestError::Timeout => "timeout",
        protocol::RequestError::Unreachable => "unreachable",
        protocol::RequestError::NoHandler => "no_handler",
        protocol::RequestError::Rejected(_) => "rejected",
        protocol::RequestError::Overloaded => "overloaded",
        _ => "other",
    }
}

/// Which failure it is that a request or a message ended like this.
fn sort(error: &protocol::RequestError) -> fn(String) -> Failure {
    match error {
        protocol::RequestError::Timeout | protocol::RequestError::Unreachable => Failure::Unanswered,
        protocol::RequestError::NoHandler
        | protocol::RequestError::Rejected(_)
        | protocol::RequestError::Overloaded => Failure::Refused,
        _ => Failure::Failed,
    }
}

fn blame_broadcast(error: &SendError) -> Failure {
    match error {
        SendError::Refused(protocol::SendError::TooLarge { .. } | protocol::SendError::Deadline) => {
            Failure::usage(error)
        }
        SendError::Refused(protocol::SendError::NoSuchTag) => Failure::Nobody(error.to_string()),
        _ => Failure::failed(error),
    }
}

fn message_type(number: u16) -> Result<MessageType, Failure> {
    MessageType::user(number).map_err(Failure::usage)
}

fn codec_of(payload: &Payload) -> String {
    payload.codec_id().map_or_else(|| "none".to_owned(), |id| CodecName(id).to_string())
}

/// Milliseconds with one digit after the point.
fn millis(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 10_000.0).round() / 10.0
}
