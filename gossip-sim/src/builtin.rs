//! The scenarios that come with the simulator, as files that can be copied and changed.

use crate::scenario::Scenario;

/// Name and text of each.
const FILES: [(&str, &str); 43] = [
    ("idle", include_str!("../scenarios/idle.toml")),
    ("join-storm", include_str!("../scenarios/join-storm.toml")),
    ("rolling-restart", include_str!("../scenarios/rolling-restart.toml")),
    ("crash-1", include_str!("../scenarios/crash-1.toml")),
    ("crash", include_str!("../scenarios/crash.toml")),
    ("crash-30", include_str!("../scenarios/crash-30.toml")),
    ("leave", include_str!("../scenarios/leave.toml")),
    ("partition", include_str!("../scenarios/partition.toml")),
    ("partition-minority", include_str!("../scenarios/partition-minority.toml")),
    ("partition-one-way", include_str!("../scenarios/partition-one-way.toml")),
    ("partition-three-way", include_str!("../scenarios/partition-three-way.toml")),
    ("loss-1", include_str!("../scenarios/loss-1.toml")),
    ("loss", include_str!("../scenarios/loss.toml")),
    ("loss-30", include_str!("../scenarios/loss-30.toml")),
    ("burst-loss", include_str!("../scenarios/burst-loss.toml")),
    ("flip-flop", include_str!("../scenarios/flip-flop.toml")),
    ("lossy-few", include_str!("../scenarios/lossy-few.toml")),
    ("slow", include_str!("../scenarios/slow.toml")),
    ("pause", include_str!("../scenarios/pause.toml")),
    ("clock-skew", include_str!("../scenarios/clock-skew.toml")),
    ("churn", include_str!("../scenarios/churn.toml")),
    ("byzantine", include_str!("../scenarios/byzantine.toml")),
    ("twin", include_str!("../scenarios/twin.toml")),
    ("regions", include_str!("../scenarios/regions.toml")),
    ("broadcast", include_str!("../scenarios/broadcast.toml")),
    ("broadcast-far", include_str!("../scenarios/broadcast-far.toml")),
    ("broadcast-loss", include_str!("../scenarios/broadcast-loss.toml")),
    ("broadcast-crash", include_str!("../scenarios/broadcast-crash.toml")),
    ("broadcast-maelstrom", include_str!("../scenarios/broadcast-maelstrom.toml")),
    ("broadcast-tagged", include_str!("../scenarios/broadcast-tagged.toml")),
    ("broadcast-ordered", include_str!("../scenarios/broadcast-ordered.toml")),
    ("requests", include_str!("../scenarios/requests.toml")),
    ("outsider-replay", include_str!("../scenarios/outsider-replay.toml")),
    ("outsider-reflect", include_str!("../scenarios/outsider-reflect.toml")),
    ("outsider-flood", include_str!("../scenarios/outsider-flood.toml")),
    ("outsider-forgery", include_str!("../scenarios/outsider-forgery.toml")),
    ("rotation", include_str!("../scenarios/rotation.toml")),
    ("election", include_str!("../scenarios/election.toml")),
    ("kv", include_str!("../scenarios/kv.toml")),
    ("kv-forget", include_str!("../scenarios/kv-forget.toml")),
    ("lock", include_str!("../scenarios/lock.toml")),
    ("coordination", include_str!("../scenarios/coordination.toml")),
    ("chaos", include_str!("../scenarios/chaos.toml")),
];

impl Scenario {
    /// The built-in scenario with this name.
    pub fn builtin(name: &str) -> Option<Self> {
        let (name, text) = FILES.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(text, name).expect("the built-in scenarios are checked by a test"))
    }

    /// The names of the built-in scenarios.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_can_be_read_and_says_what_it_shows() {
        for (name, text) in FILES {
            let scenario = Scenario::parse(text, name).unwrap();
            assert_eq!(scenario.name, name);
            assert!((10..=100).contains(&scenario.about.len()), "{name}: {}", scenario.about);
        }
    }
}
