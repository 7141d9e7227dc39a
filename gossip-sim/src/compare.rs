//! Whether new figures are worse than old ones: the gate in front of a merge.

use std::fmt;

use serde_json::Value;

use crate::scenario::Share;

/// Figures that count, and by how much they may differ whatever the tolerance, because so much is chance. All are better
/// when they are smaller.
const FIGURES: [(&str, f64); 14] = [
    ("failed", 0.0),
    ("oracle_failures", 0.0),
    ("first_suspect_ms.p50", 50.0),
    ("first_suspect_ms.p99", 200.0),
    ("first_dead_ms.p50", 50.0),
    ("first_dead_ms.p99", 200.0),
    ("dead_all_ms.p50", 50.0),
    ("dead_all_ms.p99", 200.0),
    ("converged_ms", 500.0),
    ("suspected", 1.0),
    ("false_suspected", 1.0),
    ("false_dead", 0.5),
    ("datagrams_per_node_s", 0.05),
    ("bytes_per_node_s", 5.0),
];

/// One figure, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The scenario.
    pub scenario: String,
    /// The figure.
    pub figure: String,
    /// Before.
    pub old: f64,
    /// After.
    pub new: f64,
    /// Whether it is worse by more than is tolerated.
    pub is_worse: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_worse { "WORSE" } else { "ok" };
        let change = if self.old == 0.0 { 0.0 } else { (self.new / self.old - 1.0) * 100.0 };
        let (scenario, figure) = (&self.scenario, &self.figure);
        write!(f, "{verdict:5} {scenario:20} {figure:22} {:>12.1} -> {:>12.1} ({change:+.1}%)", self.old, self.new)
    }
}

/// Why two reports cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// Not JSON, or not the JSON of `run --json` or `sweep --json`.
    #[error("{which} is not what `run --json` or `sweep --json` writes: {reason}")]
    Format {
        /// "the old report" or "the new report".
        which: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The new report lacks a scenario of the old one.
    #[error("the new report lacks the scenario {0}")]
    Missing(String),
}

/// Compares the figures that count; each may be worse by `tolerance`.
///
/// # Errors
///
/// If one of the texts is not a report, or if the new one lacks a scenario that the old one has.
pub fn compare(old: &str, new: &str, tolerance: Share) -> Result<Vec<Difference>, CompareError> {
    let (old, new) = (reports("the old report", old)?, reports("the new report", new)?);
    let mut differences = Vec::new();
    for (scenario, before) in &old {
        let after = new.iter().find(|(name, _)| name == scenario).map(|(_, report)| report);
        let after = after.ok_or_else(|| CompareError::Missing(scenario.clone()))?;
        for (figure, slack) in FIGURES {
            let (Some(old), Some(new)) = (number(before, figure), number(after, figure)) else { continue };
            let is_worse = new > old + (old * tolerance.value()).max(slack);
            let figure = figure.to_owned();
            differences.push(Difference { scenario: scenario.clone(), figure, old, new, is_worse });
        }
    }
    Ok(differences)
}

fn reports(which: &'static str, text: &str) -> Result<Vec<(String, Value)>, CompareError> {
    let format = |reason: String| CompareError::Format { which, reason };
    let value: Value = serde_json::from_str(text).map_err(|error| format(error.to_string()))?;
    let list = match value {
        Value::Array(list) => list,
        single => vec![single],
    };
    let named = list.into_iter().map(|report| match report.get("scenario").and_then(Value::as_str) {
        Some(name) => Ok((name.to_owned(), report)),
        None => Err(format("expected an object with a `scenario`, or a list of such".to_owned())),
    });
    named.collect()
}

fn number(report: &Value, figure: &str) -> Option<f64> {
    let value = figure.split('.').try_fold(report, |value, key| value.get(key))?;
    value.as_array().map_or_else(|| value.as_f64(), |list| Some(list.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worse(old: &str, new: &str) -> Vec<String> {
        let differences = compare(old, new, Share::new(0.1).unwrap()).unwrap();
        differences.into_iter().filter(|difference| difference.is_worse).map(|difference| difference.figure).collect()
    }

    #[test]
    fn what_is_worse_by_more_than_is_tolerated_is_found() {
        let old = r#"[{"scenario":"a","bytes_per_node_s":100,"dead_all_ms":{"p50":5000,"p99":9000},"false_dead":0}]"#;
        let new = r#"[{"scenario":"a","bytes_per_node_s":109,"dead_all_ms":{"p50":5600,"p99":9800},"false_dead":2}]"#;
        assert_eq!(worse(old, new), ["dead_all_ms.p50", "false_dead"]);
        assert!(worse(old, old).is_empty() && worse(new, old).is_empty(), "better is not worse");
    }

    #[test]
    fn a_single_report_can_be_compared_and_failures_count() {
        let old = r#"{"scenario":"a","oracle_failures":[]}"#;
        let new = r#"{"scenario":"a","oracle_failures":[{}]}"#;
        assert_eq!(worse(old, new), ["oracle_failures"]);
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let share = Share::ZERO;
        let missing = compare(r#"[{"scenario":"a"}]"#, "[]", share).unwrap_err();
        assert_eq!(missing, CompareError::Missing("a".to_owned()));
        let format = compare("{}", "[]", share).unwrap_err().to_string();
        assert!(format.starts_with("the old report is not what"), "{format}");
    }
}
