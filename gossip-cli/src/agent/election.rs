//! Which elections the agent takes part in.

use std::fmt;
use std::str::FromStr;

use gossip_tokio::protocol::Criteria;
use gossip_tokio::{Cluster, Election, ElectionConfig};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::exit::Failure;
use crate::options::{NamedSettings, number, span};

/// The settings that can be given.
const KNOWN: &str = "floor, lease, steady, bury, drift_ppm and where";

/// An election as it is written: `NAME,floor=N,…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ElectionChoice {
    text: String,
    name: String,
    config: ElectionConfig,
}

impl FromStr for ElectionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut settings = NamedSettings::read(text)?;
        let name = settings.name.to_owned();
        if !(1..=255).contains(&name.len()) {
            return Err(format!("the name of an election has 1 to 255 bytes, this one {}", name.len()));
        }
        let Some(floor) = settings.one("floor", number)? else {
            return Err(format!(
                "floor is missing, the votes that a leader needs at the least: more than half of the machines that \
                 there will ever be at once, so {name},floor=2 for three of them"
            ));
        };
        let mut config = ElectionConfig::new(floor);
        config.lease = settings.one("lease", span)?.unwrap_or(config.lease);
        config.steady = settings.one("steady", span)?.unwrap_or(config.steady);
        config.bury = settings.one("bury", span)?.unwrap_or_else(|| config.bury.max(config.lease));
        config.max_drift_ppm = settings.one("drift_ppm", number)?.unwrap_or(config.max_drift_ppm);
        config.criteria = Criteria::parse(settings.all("where")).map_err(|error| format!("where: {error}"))?;
        settings.finish(KNOWN)?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), name, config })
    }
}

impl TryFrom<String> for ElectionChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|reason| format!("election {text:?}: {reason}"))
    }
}

impl From<ElectionChoice> for String {
    fn from(choice: ElectionChoice) -> Self {
        choice.text
    }
}

impl fmt::Display for ElectionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ElectionChoice {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Each election can be entered once.
///
/// # Errors
///
/// One that is given twice.
pub(crate) fn check(choices: &[ElectionChoice]) -> Result<(), Failure> {
    let is_repeated = |at: usize| choices[..at].iter().any(|earlier| earlier.name == choices[at].name);
    match (0..choices.len()).find(|&at| is_repeated(at)) {
        None => Ok(()),
        Some(at) => Err(Failure::Usage(format!(
            "--election, or election in the configuration file: {:?} is given twice; give each election once",
            choices[at].name
        ))),
    }
}

/// Takes part in all of them.
///
/// # Errors
///
/// Which was not entered, and why.
pub(crate) async fn enter(cluster: &Cluster, choices: Vec<ElectionChoice>) -> Result<Vec<Election>, Failure> {
    let mut entered = Vec::with_capacity(choices.len());
    for ElectionChoice { name, config, .. } in choices {
        let floor = config.floor;
        let election = cluster.enter_election(&*name, config).await;
        entered
            .push(election.map_err(|error| Failure::failed(format!("cannot enter the election {name:?}: {error}")))?);
        info!(election = name, floor, "takes part in an election");
    }
    Ok(entered)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_election_is_written_as_it_is_read() {
        let text = "db,floor=3,lease=1s,steady=2s,bury=1m,drift_ppm=500,where=role=db,where=zone=*";
        let choice: ElectionChoice = text.parse().unwrap();
        assert_eq!((choice.to_string().as_str(), choice.name.as_str()), (text, "db"));
        let ElectionConfig { criteria, floor, lease, max_drift_ppm, steady, bury } = choice.config;
        assert_eq!((floor, max_drift_ppm), (3, 500));
        assert_eq!([lease, steady, bury].map(|span| span.as_secs()), [1, 2, 60]);
        assert_eq!(criteria, Criteria::parse(["role=db", "zone=*"]).unwrap());
        let plain: ElectionChoice = "db,floor=2".parse().unwrap();
        assert_eq!(plain.config, ElectionConfig::new(2));
        // A long lease needs no word about when to bury.
        let slow: ElectionChoice = "db,floor=2,lease=5m".parse().unwrap();
        assert_eq!(slow.config.bury, Duration::from_mins(5));
    }

    #[test]
    fn a_mistake_is_told_with_what_would_be_right() {
        for (text, part) in [
            ("db", "floor=2"),
            ("", "1 to 255"),
            (",floor=2", "1 to 255"),
            ("db,floor=0", "floor"),
            ("db,floor=33", "floor"),
            ("db,floor=2,lease=1ms", "lease"),
            ("db,floor=2,lease=soon", "500ms"),
            ("db,floor=2,where=role", "where"),
            ("db,floor=2,votes=3", "drift_ppm"),
        ] {
            let reason = text.parse::<ElectionChoice>().unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
        let twice = ["db,floor=2", "db,floor=3"].map(|text| text.parse().unwrap());
        assert!(check(&twice).unwrap_err().to_string().contains("twice"));
        assert_eq!(check(&twice[..1]), Ok(()));
    }
}
