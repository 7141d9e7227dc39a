//! The commands of keys: one that needs no agent, and those that ask it.

use std::path::Path;
use std::time::Duration;

use comfy_table::Cell;
use gossip_tokio::KeyId;
use serde_json::json;
use zeroize::Zeroizing;

use crate::args::{ChangeArgs, GenerateArgs, InstallArgs, KeysCommand, Remote, Scope};
use crate::control::client::{Client, row};
use crate::control::protocol::{KeyAction, KeyMemberRow, KeyOutcome, KeySummary, Request};
use crate::describe;
use crate::exit::Failure;
use crate::key_file;
use crate::output::{self, printable};
use crate::table::Columns;

/// How much longer than the members' answers the agent's own word is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// Makes a key.
pub(crate) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    let key = key_file::generate(args.suite)?;
    let (id, suite) = (key.id().to_string(), key.suite().name());
    match &args.out {
        None => {
            let line = key_file::key_line(&key);
            if args.json {
                output::json(&json!({ "id": id, "suite": suite, "key": *line }))
            } else {
                output::line(&line)
            }
        }
        Some(path) => {
            key_file::write_new(path, &key)?;
            if args.json {
                return output::json(&json!({ "id": id, "suite": suite, "file": path }));
            }
            output::line(&printable(&format!("key {id} for {suite} is in {}", path.display())))
        }
    }
}

pub(crate) async fn keys(command: KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Generate(args) => generate(&args),
        KeysCommand::Install(args) => install(args).await,
        KeysCommand::Use(args) => change(KeyAction::Use, args).await,
        KeysCommand::Remove(args) => change(KeyAction::Remove, args).await,
        KeysCommand::List { scope } => ask(KeyAction::List, None, false, scope, &[]).await,
    }
}

async fn install(args: InstallArgs) -> Result<(), Failure> {
    let InstallArgs { file, scope } = args;
    let ring = if file == Path::new("-") { key_file::read_stdin()? } else { key_file::read(&file)? };
    let count = ring.keys().count();
    if count > 1 {
        let reason = format!("{} has {count} keys: give a file with the one that is to be installed", file.display());
        return Err(Failure::Usage(reason));
    }
    let line: Zeroizing<String> = key_file::key_line(ring.primary());
    ask(KeyAction::Install, None, false, scope, line.as_bytes()).await
}

async fn change(action: KeyAction, args: ChangeArgs) -> Result<(), Failure> {
    let ChangeArgs { id, force, scope } = args;
    ask(action, Some(id), force, scope, &[]).await
}

async fn ask(action: KeyAction, id: Option<KeyId>, force: bool, scope: Scope, key: &[u8]) -> Result<(), Failure> {
    let Scope { here, remote } = scope;
    let timeout_ms = u64::try_from(remote.timeout.as_millis()).unwrap_or(u64::MAX);
    let id = id.map(|id| id.to_string());
    let request = Request::Keys { action, id, here, force, timeout_ms, body: key.len() };
    let patience = remote.timeout + GRACE;
    let patient = Remote { timeout: patience, ..remote.clone() };
    let answer = Client::request_with(&patient, &request, key).await?.whole_answer(patience).await?;
    let summary: KeySummary = row(answer.done)?;
    let rows: Vec<KeyMemberRow> = answer.items.into_iter().map(row).collect::<Result<_, _>>()?;
    if remote.json {
        output::json(&with_nodes(&summary, &rows)?)?;
    } else if action == KeyAction::List {
        output::print(&listing(&summary, &rows, output::colours(&std::io::stdout())))?;
    } else {
        output::print(&told(action, &summary, &rows))?;
    }
    match summary.failed {
        0 => Ok(()),
        failed => Err(Failure::Failed(format!("{failed} of {} live members {}", summary.members, not_done(action)))),
    }
}

fn with_nodes(summary: &KeySummary, rows: &[KeyMemberRow]) -> Result<serde_json::Value, Failure> {
    let mut all = serde_json::to_value(summary).map_err(Failure::failed)?;
    all["nodes"] = serde_json::to_value(rows).map_err(Failure::failed)?;
    Ok(all)
}

/// What came of a change, a line for each who did not do it.
fn told(action: KeyAction, summary: &KeySummary, rows: &[KeyMemberRow]) -> String {
    let key = summary.key.as_deref().unwrap_or_default();
    if summary.members == 0 {
        let done = match action {
            KeyAction::Install => "is installed on",
            KeyAction::Use => "seals the packets of",
            KeyAction::List | KeyAction::Remove => "is removed from",
        };
        return format!("key {key} {done} the agent's node\n");
    }
    let mut text = String::new();
    for row in rows {
        let who = describe::called(row.who.name.as_deref(), &row.who.id);
        let line = match row.outcome {
            KeyOutcome::Done => continue,
            KeyOutcome::Failed => format!("failed at {who}: {}", row.error.as_deref().unwrap_or_default()),
            KeyOutcome::Away => format!("not asked, because it is dead: {who}; when it is back, do this again"),
        };
        text.push_str(&printable(&line));
        text.push('\n');
    }
    let (done, members) = (summary.done, summary.members);
    let sentence = match action {
        KeyAction::Install => format!("key {key} is installed on {done} of {members} live members"),
        KeyAction::Use => format!("{done} of {members} live members seal with key {key}"),
        KeyAction::List | KeyAction::Remove => format!("key {key} is removed from {done} of {members} live members"),
    };
    text + &sentence + "\n"
}

fn not_done(action: KeyAction) -> &'static str {
    match action {
        KeyAction::List => "did not say what keys they have",
        KeyAction::Install => "did not install it",
        KeyAction::Use => "do not seal with it",
        KeyAction::Remove => "did not remove it",
    }
}

/// The agent's keys, then the members with theirs.
fn listing(summary: &KeySummary, rows: &[KeyMemberRow], colours: bool) -> String {
    let mut keys = Columns::new(&["KEY", "SUITE", "HERE", "OTHERS SEALING WITH IT"], colours);
    for key in &summary.keys {
        let role = if key.primary { "seals and opens" } else { "opens" };
        keys.row([Cell::new(&key.id), Cell::new(&key.suite), Cell::new(role), Cell::new(key.speaking)]);
    }
    let mut text = keys.text();
    if summary.plaintext != "refuse" {
        text = text + "\nplaintext: " + &summary.plaintext + " (this protects against nobody)\n";
    }
    if rows.is_empty() {
        return text;
    }
    let mut members = Columns::new(&["NAME", "ID", "SEALS WITH", "OPENS TOO"], colours);
    for row in rows {
        let name = row.who.name.as_deref().map_or_else(|| "-".to_owned(), printable);
        let (seals, opens) = match (&row.keys, row.outcome) {
            (Some(keys), _) => {
                let (first, rest) = keys.split_first().map_or(("-", &[][..]), |(first, rest)| (first.as_str(), rest));
                (first.to_owned(), if rest.is_empty() { "-".to_owned() } else { rest.join(", ") })
            }
            (None, KeyOutcome::Away) => ("?".to_owned(), "it is dead".to_owned()),
            (None, _) => ("?".to_owned(), row.error.clone().unwrap_or_default()),
        };
        members.row([name, row.who.id.clone(), printable(&seals), printable(&opens)].map(Cell::new));
    }
    text + "\n" + &members.text()
}
