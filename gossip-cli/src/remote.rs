//! The client commands: each asks the agent one thing and shows the answer.

mod keys;
mod kv;
mod leader;
mod lock;
mod message;

use std::collections::BTreeMap;

use gossip_tokio::MemberState;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::args::{ForgetArgs, JoinArgs, MembersArgs, MetaCommand, Remote};
use crate::control::client::{Client, ask, row};
use crate::control::protocol::{EventRow, InfoRow, JoinRow, MemberRow, MetaRow, MetaValue, Reply, Request};
use crate::describe;
use crate::exit::Failure;
use crate::output::{self, printable};
use crate::signals::StopSignals;
use crate::table;

pub(crate) use keys::{generate, keys};
pub(crate) use kv::kv;
pub(crate) use leader::leader;
#[cfg(unix)]
pub(crate) use lock::attached;
pub(crate) use lock::lock;
pub(crate) use message::{listen, request, send};

pub(crate) async fn members(args: &MembersArgs) -> Result<(), Failure> {
    let state = args.state.map(|state| MemberState::from(state).name().to_owned());
    let answer = ask(&args.remote, &Request::Members { state, tag: args.tag.clone() }).await?;
    if args.remote.json {
        return output::json(&answer.items);
    }
    let rows: Vec<MemberRow> = answer.items.into_iter().map(row).collect::<Result<_, _>>()?;
    output::print(&table::members(&rows, args.meta, output::colours(&std::io::stdout())))
}

pub(crate) async fn info(remote: &Remote) -> Result<(), Failure> {
    let answer = ask(remote, &Request::Info).await?;
    let item = answer.items.into_iter().next().unwrap_or(Json::Null);
    if remote.json {
        return output::json(&item);
    }
    output::print(&table::info(&row::<InfoRow>(item)?))
}

pub(crate) async fn join(args: JoinArgs) -> Result<(), Failure> {
    let answer = ask(&args.remote, &Request::Join { addresses: args.addresses }).await?;
    let members = answer.done.get("members").cloned().unwrap_or(Json::Null);
    if args.remote.json {
        return output::json(&json!({ "attempts": answer.items, "members": members }));
    }
    for item in answer.items {
        let attempt: JoinRow = row(item)?;
        output::line(&printable(&match (attempt.accepted_by, attempt.failed) {
            (Some(by), _) => format!("{}: joined through {by}", attempt.given),
            (None, reason) => format!("{}: {}", attempt.given, reason.unwrap_or_default()),
        }))?;
    }
    output::line(&format!("{members} live members"))
}

pub(crate) async fn leave(remote: &Remote) -> Result<(), Failure> {
    let answer = ask(remote, &Request::Leave).await?;
    if remote.json {
        return output::json(&answer.done);
    }
    let acknowledged = answer.done.get("acknowledged").cloned().unwrap_or(Json::Null);
    output::line(&format!("left the cluster, acknowledged by {acknowledged}; the agent exits"))
}

pub(crate) async fn forget(args: ForgetArgs) -> Result<(), Failure> {
    let answer = ask(&args.remote, &Request::Forget { id: args.id, here: args.here }).await?;
    if args.remote.json {
        return output::json(&answer.done);
    }
    let id = answer.done.get("forgotten").and_then(Json::as_str).unwrap_or_default().to_owned();
    let scope = if args.here { "here" } else { "in the whole cluster" };
    output::line(&format!("{} is forgotten {scope}", printable(&id)))
}

pub(crate) async fn meta(command: MetaCommand) -> Result<(), Failure> {
    match command {
        MetaCommand::Get { key, node, remote } => meta_get(key, node, &remote).await,
        MetaCommand::Set { entries, remote } => meta_set(entries, &remote).await,
        MetaCommand::Rm { keys, remote } => {
            let answer = ask(&remote, &Request::MetaRemove { keys }).await?;
            removed(&answer.done, &remote)
        }
    }
}

async fn meta_get(key: Option<String>, node: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let wants_one = key.is_some();
    let answer = ask(remote, &Request::MetaGet { node, key }).await?;
    let rows: Vec<MetaRow> = answer.items.into_iter().map(row).collect::<Result<_, _>>()?;
    match rows.as_slice() {
        [only] if wants_one && remote.json => output::json(&only.value),
        [only] if wants_one => output::line(&printable(&only.value.to_string())),
        rows if remote.json => {
            let map: BTreeMap<&str, &MetaValue> = rows.iter().map(|row| (row.key.as_str(), &row.value)).collect();
            output::json(&map)
        }
        rows => output::print(&table::metadata(rows, output::colours(&std::io::stdout()))),
    }
}

async fn meta_set(entries: Vec<(String, MetaValue)>, remote: &Remote) -> Result<(), Failure> {
    let count = entries.len();
    let entries: BTreeMap<String, MetaValue> = entries.into_iter().collect();
    if entries.len() < count {
        return Err(Failure::usage("a metadata key is given twice; give each once"));
    }
    let answer = ask(remote, &Request::MetaSet { entries: entries.clone() }).await?;
    if remote.json {
        return output::json(&answer.done);
    }
    output::line(&format!("set {}", table::pairs(&entries)))
}

/// Shows which keys were there to be removed.
fn removed(done: &Json, remote: &Remote) -> Result<(), Failure> {
    if remote.json {
        return output::json(done);
    }
    let keys: Vec<&str> =
        done.get("removed").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let list = if keys.is_empty() { "nothing".to_owned() } else { printable(&keys.join(", ")) };
    output::line(&format!("removed {list}"))
}

pub(crate) async fn monitor(remote: &Remote) -> Result<(), Failure> {
    let signals = StopSignals::listen().map_err(Failure::failed)?;
    let client = Client::request(remote, &Request::Monitor).await?;
    let line_of = |event: EventRow| format!("{}  {}", printable(&event.time), describe::sentence(&event.what));
    follow(client, signals, remote, line_of).await
}

/// Shows each thing that the agent tells, until it has no more to tell or a signal comes.
async fn follow<T: DeserializeOwned>(
    mut client: Client,
    mut signals: StopSignals,
    remote: &Remote,
    line_of: impl Fn(T) -> String,
) -> Result<(), Failure> {
    // Only the first, which says that the agent is listening, must come soon.
    let mut patience = Some(remote.timeout);
    loop {
        let reply = tokio::select! {
            reply = client.next(patience) => reply?,
            _ = signals.next() => return Ok(()),
        };
        let Reply::Item(item) = reply else { return Ok(()) };
        patience = None;
        if remote.json {
            output::json(&item)?;
        } else {
            output::line(&line_of(row(item)?))?;
        }
    }
}
