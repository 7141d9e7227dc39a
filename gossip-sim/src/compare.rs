//! Whether new figures are worse than old ones: the gate in front of a merge.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::scenario::Share;

/// Figures that count, and by how much they may differ whatever the tolerance, because so much is chance. All are better
/// when they are smaller.
const FIGURES: [(&str, f64); 18] = [
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
    ("broadcast_copies_per_node", 0.02),
    ("broadcast_control_ratio", 0.02),
    ("broadcast_last_ms.p50", 5.0),
    ("broadcast_last_ms.p99", 50.0),
];

/// Numbers of things that were measured. Fewer of them are worse: what is not noticed any more is not noticed late.
const COUNTS: [&str; 5] =
    ["runs", "first_suspect_ms.count", "first_dead_ms.count", "dead_all_ms.count", "broadcast_last_ms.count"];

/// What has to be the same for figures to be comparable.
const TERMS: [&str; 3] = ["nodes", "seed", "first_seed"];

/// One figure, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The scenario.
    pub scenario: String,
    /// The figure.
    pub figure: String,
    /// Before.
    pub old: f64,
    /// After; `None` if it was not measured any more.
    pub new: Option<f64>,
    /// Whether it is worse by more than is tolerated.
    pub is_worse: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_worse { "WORSE" } else { "ok" };
        let (scenario, figure, old) = (&self.scenario, &self.figure, self.old);
        write!(f, "{verdict:5} {scenario:20} {figure:25} {old:>12.1} -> ")?;
        match self.new {
            Some(new) if old == 0.0 => write!(f, "{new:>12.1}"),
            Some(new) => write!(f, "{new:>12.1} ({:+.1}%)", (new / old - 1.0) * 100.0),
            None => write!(f, "not measured"),
        }
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
    /// The two are about different things.
    #[error("{scenario}: {term} is {old} in the old report and {new} in the new one: make both with the same")]
    Terms {
        /// The scenario.
        scenario: String,
        /// What differs.
        term: &'static str,
        /// Before.
        old: String,
        /// After.
        new: String,
    },
    /// There is nothing to be compared.
    #[error("no figure was measured that could be compared")]
    Nothing,
}

/// Compares the figures that count; each may be worse by `tolerance`. A figure that is not there any more is worse.
///
/// # Errors
///
/// If one of the texts is not a report, if the new one lacks a scenario that the old one has, or if they cannot be
/// compared because they are about different clusters or seeds, or hold nothing.
pub fn compare(old: &str, new: &str, tolerance: Share) -> Result<Vec<Difference>, CompareError> {
    let (old, new) = (reports("the old report", old)?, reports("the new report", new)?);
    let mut differences = Vec::new();
    for (scenario, before) in &old {
        let after = new.get(scenario).ok_or_else(|| CompareError::Missing(scenario.clone()))?;
        check_terms(scenario, before, after)?;
        for (figure, slack) in FIGURES {
            let Some(old) = number("the old report", scenario, before, figure)? else { continue };
            let new = number("the new report", scenario, after, figure)?;
            let is_worse = new.is_none_or(|new| new > old + (old * tolerance.value()).max(slack));
            differences.push(Difference { scenario: scenario.clone(), figure: figure.to_owned(), old, new, is_worse });
        }
        for count in COUNTS {
            let Some(old) = number("the old report", scenario, before, count)? else { continue };
            let new = number("the new report", scenario, after, count)?;
            let tolerance = if count == "runs" { 0.0 } else { tolerance.value() };
            let is_worse = new.is_none_or(|new| new < old - old * tolerance);
            differences.push(Difference { scenario: scenario.clone(), figure: count.to_owned(), old, new, is_worse });
        }
    }
    if differences.is_empty() {
        return Err(CompareError::Nothing);
    }
    for (scenario, after) in new.iter().filter(|(scenario, _)| !old.contains_key(*scenario)) {
        for figure in ["failed", "oracle_failures"] {
            let Some(new) = number("the new report", scenario, after, figure)? else { continue };
            let (scenario, figure) = (scenario.clone(), figure.to_owned());
            differences.push(Difference { scenario, figure, old: 0.0, new: Some(new), is_worse: new > 0.0 });
        }
    }
    Ok(differences)
}

/// The reports in a text, by scenario.
fn reports(which: &'static str, text: &str) -> Result<BTreeMap<String, Value>, CompareError> {
    let format = |reason: String| CompareError::Format { which, reason };
    let value: Value = serde_json::from_str(text).map_err(|error| format(error.to_string()))?;
    let list = match value {
        Value::Array(list) => list,
        single => vec![single],
    };
    let mut reports = BTreeMap::new();
    for report in list {
        let Some(name) = report.get("scenario").and_then(Value::as_str).map(str::to_owned) else {
            return Err(format("expected an object with a `scenario`, or a list of such".to_owned()));
        };
        if number(which, &name, &report, "runs")? == Some(0.0) {
            return Err(format(format!("{name}: expected at least one run, found none")));
        }
        let has_verdict = ["failed", "oracle_failures"].iter().any(|figure| report.get(figure).is_some());
        if !has_verdict {
            return Err(format(format!("{name}: expected `failed` or `oracle_failures`, found neither")));
        }
        if reports.insert(name.clone(), report).is_some() {
            return Err(format(format!("expected the scenario {name} once, found it twice")));
        }
    }
    if reports.is_empty() {
        return Err(format("expected at least one report, found none".to_owned()));
    }
    Ok(reports)
}

fn check_terms(scenario: &str, old: &Value, new: &Value) -> Result<(), CompareError> {
    let kind = |report: &Value| if report.get("runs").is_some() { "a sweep" } else { "a run" };
    let shown = |value: Option<&Value>| value.map_or_else(|| "missing".to_owned(), Value::to_string);
    let differ = |term, old, new| Err(CompareError::Terms { scenario: scenario.to_owned(), term, old, new });
    if kind(old) != kind(new) {
        return differ("the kind", kind(old).to_owned(), kind(new).to_owned());
    }
    match TERMS.into_iter().find(|term| old.get(term) != new.get(term)) {
        Some(term) => differ(term, shown(old.get(term)), shown(new.get(term))),
        None => Ok(()),
    }
}

/// A figure; `None` if it was not measured.
fn number(which: &'static str, scenario: &str, report: &Value, figure: &str) -> Result<Option<f64>, CompareError> {
    let value = figure.split('.').try_fold(report, |value, key| value.get(key));
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.len() as f64)),
        Some(value) => {
            let reason = || format!("{scenario}: {figure}: expected a number, found {value}");
            let number = value.as_f64().filter(|number| *number >= 0.0);
            number.map(Some).ok_or_else(|| CompareError::Format { which, reason: reason() })
        }
    }
}

#[cfg(test)]
mod tests;
