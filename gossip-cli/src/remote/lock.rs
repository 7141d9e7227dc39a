//! The client command of locks: a command that runs as long as the agent has a lock for it.

#[cfg(unix)]
mod group;
#[cfg(unix)]
mod keeping;

use std::time::Duration;

use serde_json::Value as Json;

use crate::args::LockArgs;
use crate::control::client::{Client, row};
use crate::control::protocol::{LockRow, Request};
use crate::exit::Failure;
use crate::output;
use crate::table;

#[cfg(unix)]
pub(crate) use group::attached;

/// How much longer than the agent waits its word is waited for.
const SLACK: Duration = Duration::from_secs(5);

pub(crate) async fn lock(args: LockArgs) -> Result<(), Failure> {
    if args.query { query(args).await } else { run(args).await }
}

async fn query(args: LockArgs) -> Result<(), Failure> {
    let LockArgs { key, pool, remote, .. } = args;
    let patience_ms = millis(remote.timeout);
    let client = Client::request(&remote, &Request::LockQuery { pool, key, patience_ms }).await?;
    let answer = client.whole_answer(remote.timeout.saturating_add(SLACK)).await?;
    let item = answer.items.into_iter().next().unwrap_or(Json::Null);
    let shown: LockRow = row(item.clone())?;
    if remote.json {
        output::json(&item)?;
    } else {
        output::print(&table::lock(&shown))?;
    }
    match shown.holder {
        Some(_) => Ok(()),
        None => Err(Failure::Nobody(format!("nobody has the lock {:?}", shown.key))),
    }
}

#[cfg(unix)]
async fn run(args: LockArgs) -> Result<(), Failure> {
    keeping::run(args).await
}

#[cfg(not(unix))]
#[expect(clippy::unused_async, reason = "one signature on every system")]
async fn run(_: LockArgs) -> Result<(), Failure> {
    Err(Failure::usage("commands are run under locks on Unix alone; --query works here too"))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
