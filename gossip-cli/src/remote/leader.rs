//! The client commands of elections.

use serde_json::Value as Json;

use crate::args::{LeaderArgs, LeaderCommand, Remote};
use crate::control::client::{Client, ask, row};
use crate::control::protocol::{LeaderEvent, LeaderEventRow, LeaderRow, NoneRow, Request};
use crate::describe::{called, leader_sentence};
use crate::exit::Failure;
use crate::output::{self, printable};
use crate::remote::follow;
use crate::signals::StopSignals;
use crate::table;

pub(crate) async fn leader(args: LeaderArgs) -> Result<(), Failure> {
    match args.command {
        None => show(args.name, &args.remote).await,
        Some(LeaderCommand::Watch { name }) => watch(name.or(args.name), &args.remote).await,
    }
}

async fn show(name: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let answer = ask(remote, &Request::Leader { name }).await?;
    let item = answer.items.into_iter().next().unwrap_or(Json::Null);
    let shown: LeaderRow = row(item.clone())?;
    if remote.json {
        output::json(&item)?;
    } else {
        output::print(&table::leader(&shown))?;
    }
    match shown.leader {
        Some(_) => Ok(()),
        None => Err(Failure::Nobody(format!("nobody leads the election {:?}: {}", shown.election, reason(&shown)))),
    }
}

async fn watch(name: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let signals = StopSignals::listen().map_err(Failure::failed)?;
    let client = Client::request(remote, &Request::LeaderWatch { name }).await?;
    let line_of = |event: LeaderEventRow| format!("{}  {}", printable(&event.time), sentence(&event.what));
    follow(client, signals, remote, line_of).await
}

/// What happened, as a line without its time.
fn sentence(what: &LeaderEvent) -> String {
    let text = match what {
        LeaderEvent::Watching(row) => {
            let stands = match (&row.leader, &row.term) {
                (Some(who), Some(term)) => format!("{} leads, term {term}", called(who.name.as_deref(), &who.id)),
                _ => format!("nobody leads: {}", reason(row)),
            };
            format!("watching the election {:?}: {stands}", row.election)
        }
        LeaderEvent::Election(change) => leader_sentence(change),
        LeaderEvent::Missed { count } => {
            format!("{count} changes were lost because they were not read in time; 'gossip leader' shows how it stands")
        }
    };
    printable(&text)
}

/// Why nobody leads, for people, and what they could do.
fn reason(row: &LeaderRow) -> String {
    match &row.none {
        None => "the agent does not say why".to_owned(),
        Some(NoneRow::Waiting) => {
            "the agent's node started a short time ago, and waits until promises of an earlier life are over".to_owned()
        }
        Some(NoneRow::NotEligible) => {
            "the metadata of the agent's node does not fit, so it has no vote, and it has not heard of a leader"
                .to_owned()
        }
        Some(NoneRow::Undecided) => "the vote is under way, or the last leader's time has not run out".to_owned(),
        Some(NoneRow::NoQuorum { votes, needed }) => format!(
            "{votes} would vote for the agent's node and {needed} are needed; start more agents with the same --election"
        ),
        Some(NoneRow::ElectorateLost { votes, needed }) => format!(
            "of those who had a vote {votes} would vote for the agent's node and {needed} are needed; start the others \
             again, or 'gossip forget' those that are gone for good"
        ),
        Some(NoneRow::Other { text }) => text.clone(),
    }
}
