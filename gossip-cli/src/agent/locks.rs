//! Which pools of locks the agent has open.

use std::fmt;
use std::str::FromStr;

use gossip_tokio::{Cluster, CommandError, LockConfig, Locks, OpenLocksError};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::agent::ElectionChoice;
use crate::exit::Failure;
use crate::options::{NamedSettings, flag, number, span};

/// The settings that can be given.
const KNOWN: &str =
    "election, replicas, min_ttl, max_ttl, free_dead, wait_when_founded, max_locks, max_waiters and max_key";

/// A pool of locks as it is written: `POOL,KEY=VALUE,…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LocksChoice {
    text: String,
    name: String,
    /// The election is empty if it is not given.
    config: LockConfig,
}

impl FromStr for LocksChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings = NamedSettings::read(text)?;
        let name = settings.name.to_owned();
        if !(1..=255).contains(&name.len()) {
            return Err(format!("the name of a pool of locks has 1 to 255 bytes, this one {}", name.len()));
        }
        let mut config = LockConfig::new(settings.one("election", |name| Ok(name.to_owned()))?.unwrap_or_default());
        // A command that runs under a lock shows its token to nobody as a rule.
        config.free_dead = settings.one("free_dead", flag)?.unwrap_or(false);
        config.replicas = settings.one("replicas", number)?.unwrap_or(config.replicas);
        config.min_ttl = settings.one("min_ttl", span)?.unwrap_or(config.min_ttl);
        config.max_ttl = settings.one("max_ttl", span)?.unwrap_or(config.max_ttl);
        config.wait_when_founded = settings.one("wait_when_founded", flag)?.unwrap_or(config.wait_when_founded);
        config.max_locks = settings.one("max_locks", number)?.unwrap_or(config.max_locks);
        config.max_waiters = settings.one("max_waiters", number)?.unwrap_or(config.max_waiters);
        config.max_key = settings.one("max_key", number)?.unwrap_or(config.max_key);
        settings.finish(KNOWN)?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), name, config })
    }
}

impl TryFrom<String> for LocksChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|reason| format!("locks {text:?}: {reason}"))
    }
}

impl From<LocksChoice> for String {
    fn from(choice: LocksChoice) -> Self {
        choice.text
    }
}

impl fmt::Display for LocksChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Each pool can be opened once, and belongs to an election of the agent: the only one unless it says which.
///
/// # Errors
///
/// The first one that is wrong.
pub(crate) fn assigned(
    choices: &[LocksChoice],
    elections: &[ElectionChoice],
) -> Result<Vec<(String, LockConfig)>, Failure> {
    let wrong = |choice: &LocksChoice, reason: &str| {
        Failure::Usage(format!("--locks, or locks in the configuration file: {choice}: {reason}"))
    };
    let mut pools: Vec<(String, LockConfig)> = Vec::with_capacity(choices.len());
    for choice in choices {
        if pools.iter().any(|(name, _)| *name == choice.name) {
            return Err(wrong(choice, "this pool is given twice; give each once"));
        }
        let mut config = choice.config.clone();
        match (config.election.as_str(), elections) {
            (_, []) => {
                return Err(wrong(choice, "the leader of an election grants locks: give --election NAME,floor=N too"));
            }
            ("", [only]) => only.name().clone_into(&mut config.election),
            ("", _) => return Err(wrong(choice, "there are several elections: add election=NAME")),
            (name, all) if all.iter().any(|election| election.name() == name) => {}
            (name, _) => {
                return Err(wrong(choice, &format!("there is no --election {name:?}; give it, or name another one")));
            }
        }
        pools.push((choice.name.clone(), config));
    }
    Ok(pools)
}

/// Opens all of them.
///
/// # Errors
///
/// Which was not opened, and why.
pub(crate) async fn open(cluster: &Cluster, pools: Vec<(String, LockConfig)>) -> Result<Vec<Locks>, Failure> {
    let mut opened = Vec::with_capacity(pools.len());
    for (name, config) in pools {
        let (election, replicas) = (config.election.clone(), config.replicas);
        let pool = cluster.open_locks(&*name, config).await;
        opened.push(pool.map_err(|error| {
            let reason = format!("cannot open the pool of locks {name:?}: {error}");
            match error {
                CommandError::Refused(OpenLocksError::Config(_)) => Failure::Usage(reason),
                _ => Failure::Failed(reason),
            }
        })?);
        info!(pool = name, election, replicas, "has a pool of locks");
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(text: &str) -> LocksChoice {
        text.parse().unwrap()
    }

    #[test]
    fn a_pool_is_written_as_it_is_read() {
        let text = "jobs,election=db,replicas=3,min_ttl=500ms,max_ttl=1m,free_dead=true,wait_when_founded=true,\
                    max_locks=5,max_waiters=6,max_key=7";
        let read = choice(text);
        assert_eq!((read.to_string().as_str(), read.name.as_str()), (text, "jobs"));
        let config = &read.config;
        assert_eq!((config.election.as_str(), config.replicas), ("db", 3));
        assert_eq!([config.min_ttl, config.max_ttl].map(|span| span.as_millis()), [500, 60_000]);
        assert!(config.free_dead && config.wait_when_founded);
        assert_eq!([config.max_locks, config.max_waiters, config.max_key], [5, 6, 7]);
        let plain = LockConfig { free_dead: false, ..LockConfig::new("") };
        assert_eq!(choice("jobs").config, plain);
    }

    #[test]
    fn a_mistake_is_told_with_what_would_be_right() {
        for (text, part) in [
            ("", "1 to 255"),
            ("jobs,replicas=0", "replicas"),
            ("jobs,max_ttl=2h", "max_ttl"),
            ("jobs,free_dead=perhaps", "true or false"),
            ("jobs,ttl=3s", "max_ttl"),
        ] {
            let reason = text.parse::<LocksChoice>().unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn a_pool_belongs_to_an_election() {
        let elections = ["db,floor=2", "web,floor=2"].map(|text| text.parse::<ElectionChoice>().unwrap());
        let assign = |texts: &[&str], elections| {
            let choices: Vec<LocksChoice> = texts.iter().map(|text| choice(text)).collect();
            let pools = assigned(&choices, elections).map_err(|failure| failure.to_string())?;
            Ok(pools.into_iter().map(|(_, config)| config.election).collect::<Vec<_>>())
        };
        assert_eq!(assign(&["a", "b"], &elections[..1]), Ok(vec!["db".to_owned(), "db".to_owned()]));
        assert_eq!(assign(&["a,election=web"], &elections), Ok(vec!["web".to_owned()]));
        for (texts, elections, part) in [
            (&["a"][..], &elections[..0], "--election NAME,floor=N"),
            (&["a"], &elections, "election=NAME"),
            (&["a,election=x"], &elections, "\"x\""),
            (&["a", "a"], &elections[..1], "twice"),
        ] {
            let reason: Result<Vec<String>, String> = assign(texts, elections);
            assert!(reason.as_ref().unwrap_err().contains(part), "{texts:?}: {reason:?}");
        }
    }
}
