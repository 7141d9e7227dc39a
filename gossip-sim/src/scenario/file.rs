//! Scenarios as files, and errors that say where and what was expected.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::scenario::{Problem, Scenario};

/// Why a scenario file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// Line and column, from one; none if the file cannot be read at all.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ScenarioError {}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// With file, line and what was expected, if something in it cannot be.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
            file: file.clone(),
            place: None,
            message: format!("cannot be read: {error}"),
        })?;
        Self::parse(&text, &file)
    }

    /// Reads the text of a scenario file; `file` is named in errors.
    ///
    /// # Errors
    ///
    /// With line and what was expected, if something in it cannot be.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ScenarioError {
            file: file.to_owned(),
            place: error.span().map(|span| place(text, span.start)),
            message: plain(error.message()),
        })?;
        scenario.check().map_err(|problem| locate(&problem, text, file))?;
        Ok(scenario)
    }
}

/// What the parser says, in words of those who write scenarios.
fn plain(message: &str) -> String {
    const UNSIGNED: [&str; 3] = ["expected u8", "expected u32", "expected u64"];
    if let Some(before) = UNSIGNED.iter().find_map(|end| message.strip_suffix(end)) {
        return format!("{before}expected a whole number from 0 on");
    }
    if message.starts_with("wanted exactly 1 element") {
        return "expected a table with exactly one key, like `{ crash = { nodes = 1 } }`".to_owned();
    }
    if message.starts_with("invalid type: unit variant, expected") {
        return "expected a table with the name and its keys, like `{ crash = { nodes = 1 } }`".to_owned();
    }
    message.to_owned()
}

fn locate(problem: &Problem, text: &str, file: &str) -> ScenarioError {
    let span = DeTable::parse(text).ok().and_then(|table| find(table.get_ref(), &problem.path));
    let found = span.clone().and_then(|span| text.get(span)).map(str::trim).unwrap_or_default();
    let found = if found.is_empty() || found.contains('\n') { String::new() } else { format!(", found `{found}`") };
    ScenarioError {
        file: file.to_owned(),
        place: Some(span.map_or((1, 1), |span| place(text, span.start))),
        message: format!("{}: expected {}{found}", problem.path, problem.expected),
    }
}

/// Where the value at a path is written; where a part of the path is not, the last part that is.
fn find(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut table = Some(table);
    for part in path.split('.') {
        let (key, indices) = part.split_once('[').map_or((part, ""), |(key, rest)| (key, rest));
        let Some(mut value) = table.and_then(|table| table.get(key)) else { break };
        found = Some(value.span());
        for index in indices.split(['[', ']']).filter_map(|index| index.parse::<usize>().ok()) {
            let DeValue::Array(array) = value.get_ref() else { break };
            let Some(element) = array.get(index) else { break };
            value = element;
            found = Some(value.span());
        }
        table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    found
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&character| character != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
