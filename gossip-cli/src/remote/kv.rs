//! The client commands of the key-value store.

use serde_json::Value as Json;

use crate::args::{KvCommand, Remote};
use crate::content::Source;
use crate::control::client::{Client, ask, row};
use crate::control::protocol::{KvEvent, KvEventRow, KvRow, KvWrite, Request};
use crate::describe;
use crate::exit::Failure;
use crate::output::{self, printable};
use crate::remote::{follow, removed};
use crate::signals::StopSignals;
use crate::table;

pub(crate) async fn kv(command: KvCommand) -> Result<(), Failure> {
    match command {
        KvCommand::Get { key, raw, remote } => get(key, raw, &remote).await,
        KvCommand::Set { key, value, ttl, remote } => {
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            set(key, value, ttl_ms, &remote).await
        }
        KvCommand::Rm { keys, remote } => {
            let answer = ask(&remote, &Request::KvRemove { keys }).await?;
            removed(&answer.done, &remote)
        }
        KvCommand::Ls { prefix, remote } => list(prefix, &remote).await,
        KvCommand::Watch { prefix, remote } => watch(prefix, &remote).await,
    }
}

async fn get(key: String, raw: bool, remote: &Remote) -> Result<(), Failure> {
    let answer = ask(remote, &Request::KvGet { key }).await?;
    let item = answer.items.into_iter().next().unwrap_or(Json::Null);
    if remote.json {
        return output::json(&item);
    }
    let value = row::<KvRow>(item)?.value;
    if !raw {
        return output::line(&value.lines());
    }
    let bytes = value.into_bytes().ok_or_else(|| Failure::failed("the agent's answer has bytes that are none"))?;
    output::bytes(&bytes)
}

async fn set(key: String, value: Source, ttl_ms: Option<u64>, remote: &Remote) -> Result<(), Failure> {
    let value = value.read()?;
    let request = Request::KvSet { key: key.clone(), ttl_ms, body: value.len() };
    let answer = Client::request_with(remote, &request, &value).await?.whole_answer(remote.timeout).await?;
    if remote.json {
        return output::json(&answer.done);
    }
    output::line(&format!("set {}", printable(&key)))
}

async fn list(prefix: String, remote: &Remote) -> Result<(), Failure> {
    let answer = ask(remote, &Request::KvList { prefix }).await?;
    if remote.json {
        return output::json(&answer.items);
    }
    let rows: Vec<KvRow> = answer.items.into_iter().map(row).collect::<Result<_, _>>()?;
    output::print(&table::entries(&rows, output::colours(&std::io::stdout())))
}

async fn watch(prefix: String, remote: &Remote) -> Result<(), Failure> {
    let signals = StopSignals::listen().map_err(Failure::failed)?;
    let client = Client::request(remote, &Request::KvWatch { prefix }).await?;
    let line_of = |event: KvEventRow| format!("{}  {}", printable(&event.time), sentence(&event.what));
    follow(client, signals, remote, line_of).await
}

/// What happened, as a line without its time.
fn sentence(what: &KvEvent) -> String {
    match what {
        KvEvent::Watching { prefix, keys } if prefix.is_empty() => format!("watching all keys, {keys} now"),
        KvEvent::Watching { prefix, keys } => {
            printable(&format!("watching keys that begin with {prefix:?}, {keys} now"))
        }
        KvEvent::Set(row) => {
            let ends = row.expires.as_ref().map_or_else(String::new, |expires| format!(", until {expires}"));
            let by = printable(&format!("(by {}{ends})", writer(&row.write)));
            format!("{} = {} {by}", printable(&row.key), row.value.line())
        }
        KvEvent::Deleted { key, write } => printable(&format!("{key} was deleted (by {})", writer(write))),
        KvEvent::Expired { key } => printable(&format!("{key} has ended")),
        KvEvent::Missed { count } => {
            format!(
                "{count} changes were lost because they were not read in time; 'gossip kv ls' shows how things stand"
            )
        }
    }
}

fn writer(write: &KvWrite) -> String {
    describe::called(write.writer.name.as_deref(), &write.writer.id)
}
