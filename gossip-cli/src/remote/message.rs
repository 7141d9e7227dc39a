//! The client commands of messages: send, request, listen.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::args::{ListenArgs, Remote, RequestArgs, SendArgs};
use crate::content::Source;
use crate::control::client::{Client, row};
use crate::control::protocol::{AnswerRow, HeardKind, HeardRow, Reply, Request, Said, SentRow, Who};
use crate::describe;
use crate::exit::Failure;
use crate::output::{self, printable};
use crate::remote::follow;
use crate::signals::StopSignals;

/// What the agent calls bytes that were written by no codec.
const RAW: &str = "raw bytes";
/// How much longer than the members' answers the agent's own word is waited for.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) async fn send(args: SendArgs) -> Result<(), Failure> {
    let SendArgs { target, reliable, kind, payload, remote } = args;
    let payload = payload.read()?;
    let request = Request::Send { to: target.into(), kind, reliable, body: payload.len() };
    let answer = Client::request_with(&remote, &request, &payload).await?.whole_answer(remote.timeout).await?;
    let count = |key: &str| answer.done.get(key).and_then(Json::as_u64).unwrap_or_default();
    let (members, failed) = (count("members"), count("failed"));
    let rows: Vec<SentRow> = answer.items.into_iter().map(row).collect::<Result<_, _>>()?;
    if remote.json {
        let to = if rows.is_empty() { Json::Null } else { json!(rows) };
        output::json(&json!({
            "members": members, "failed": failed, "to": to, "broadcast": answer.done.get("broadcast"),
        }))?;
    } else {
        tell_sent(&rows, members, reliable)?;
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Failed(format!("{failed} of {members} members did not get it"))) }
}

fn tell_sent(rows: &[SentRow], members: u64, reliable: bool) -> Result<(), Failure> {
    if rows.is_empty() {
        return output::line(&format!("broadcast to {members} {}", plural(members, "member")));
    }
    let done = if reliable { "confirmed by" } else { "sent to" };
    for SentRow { who, error } in rows {
        let line = match error {
            None => format!("{done} {}", called(who)),
            Some(fault) => format!("not {done} {}: {}", called(who), fault.message),
        };
        output::line(&printable(&line))?;
    }
    Ok(())
}

pub(crate) async fn request(args: RequestArgs) -> Result<(), Failure> {
    let RequestArgs { target, raw, kind, payload, remote } = args;
    let payload = payload.read()?;
    let is_one = target.is_one();
    let timeout_ms = u64::try_from(remote.timeout.as_millis()).unwrap_or(u64::MAX);
    let request = Request::Ask { to: target.into(), kind, timeout_ms, body: payload.len() };
    let patience = remote.timeout + GRACE;
    let mut client = Client::request_with(&Remote { timeout: patience, ..remote.clone() }, &request, &payload).await?;
    loop {
        match client.next(Some(patience)).await? {
            Reply::Item(item) if is_one => return tell_answer(item, raw, &remote),
            Reply::Item(item) if remote.json => output::json(&item)?,
            Reply::Item(item) => output::line(&answer_line(&row(item)?))?,
            Reply::Done(done) => return sum_up(&done, &remote),
            Reply::Error(row) => return Err(row.into()),
        }
    }
}

/// The answer of the only one who was asked.
fn tell_answer(item: Json, raw: bool, remote: &Remote) -> Result<(), Failure> {
    if remote.json {
        return output::json(&item);
    }
    let row: AnswerRow = row(item)?;
    let Some(answer) = row.answer else { return Err(Failure::failed("the agent gives neither answer nor error")) };
    if !raw {
        return output::line(&answer.lines());
    }
    let bytes = answer.into_bytes().ok_or_else(|| Failure::failed("the agent's answer has bytes that are none"))?;
    output::bytes(&bytes)
}

fn answer_line(row: &AnswerRow) -> String {
    let who = printable(&called(&row.who));
    match (&row.answer, &row.error) {
        (Some(answer), _) => format!("{who}: {}", answer.line()),
        (None, error) => format!("{who}: ({})", printable(error.as_ref().map_or("", |fault| &fault.message))),
    }
}

/// The closing line of many answers, and how it went as a whole.
fn sum_up(done: &Json, remote: &Remote) -> Result<(), Failure> {
    let count = |key: &str| done.get(key).and_then(Json::as_u64).unwrap_or_default();
    let (asked, answered, refused) = (count("asked"), count("answered"), count("refused"));
    if remote.json {
        output::json(done)?;
    } else {
        let ms = done.get("ms").and_then(Json::as_f64).unwrap_or_default();
        output::line(&format!("{answered} of {asked} answered, in {ms:.1} ms"))?;
    }
    let silent = asked - answered;
    if silent == 0 {
        Ok(())
    } else if answered > 0 {
        Err(Failure::Failed(format!("{silent} of {asked} did not answer")))
    } else if refused == asked {
        Err(Failure::Refused(format!("nobody answered: {}", all_of(asked, "refused"))))
    } else {
        Err(Failure::Unanswered(format!("nobody answered of the {asked} that were asked")))
    }
}

fn all_of(count: u64, what: &str) -> String {
    if count == 1 { format!("the only one that was asked {what}") } else { format!("all {count} {what}") }
}

pub(crate) async fn listen(args: ListenArgs) -> Result<(), Failure> {
    let ListenArgs { types, answer, echo, remote } = args;
    let answer = answer.map(Source::read).transpose()?;
    let signals = StopSignals::listen().map_err(Failure::failed)?;
    let request = Request::Listen { types, echo, body: answer.as_ref().map(Vec::len) };
    let client = Client::request_with(&remote, &request, answer.as_deref().unwrap_or_default()).await?;
    let line_of = |heard: HeardRow| format!("{}  {}", printable(&heard.time), sentence(&heard.what));
    follow(client, signals, &remote, line_of).await
}

/// What was heard, as a line without its time.
fn sentence(what: &HeardKind) -> String {
    match what {
        HeardKind::Listening { who, types } if types.is_empty() => {
            printable(&format!("listening at {} for messages of all types; --type N for requests", called(who)))
        }
        HeardKind::Listening { who, types } => {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            printable(&format!("listening at {} for messages and requests of type {}", called(who), types.join(", ")))
        }
        HeardKind::Message { said } => said.sentence("sends", ""),
        HeardKind::Broadcast { said, tag: None, .. } => said.sentence("broadcasts", ""),
        HeardKind::Broadcast { said, tag: Some(tag), .. } => said.sentence("broadcasts", &format!(" to {tag}")),
        HeardKind::Request { said, answered: true } => said.sentence("asks", " (answered)"),
        HeardKind::Request { said, answered: false } => said.sentence("asks", ""),
        HeardKind::Missed { count } => format!("{count} messages were lost because they were not read in time"),
    }
}

impl Said {
    fn sentence(&self, verb: &str, more: &str) -> String {
        let Self { from, kind, codec, payload, problem } = self;
        let what = match (payload, problem) {
            (Some(payload), _) => payload.line(),
            (None, problem) => format!("({})", printable(problem.as_deref().unwrap_or_default())),
        };
        let codec = if codec == RAW { String::new() } else { format!(" in {codec}") };
        let how = printable(&format!("{} {verb} {kind}{codec}{more}", called(from)));
        format!("{how}: {what}")
    }
}

fn called(who: &Who) -> String {
    describe::called(who.name.as_deref(), &who.id)
}

fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
