//! Tables and blocks of text for people.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use crate::control::protocol::{InfoRow, KvRow, LeaderRow, LockRow, MemberRow, MetaRow, MetaValue, Who};
use crate::describe::{called, state_word};
use crate::output::printable;

/// A table without lines between its cells; every row ends with a line end.
#[derive(Debug)]
pub(crate) struct Columns {
    table: Table,
    colours: bool,
}

impl Columns {
    pub(crate) fn new(headings: &[&str], colours: bool) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if colours {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self { table, colours }
    }

    /// Numbers read best when they end at the same place.
    pub(crate) fn align_right(&mut self, columns: impl IntoIterator<Item = usize>) {
        for at in columns {
            if let Some(column) = self.table.column_mut(at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    pub(crate) fn text(&self) -> String {
        debug_assert_eq!(self.table.should_style(), self.colours);
        self.table.lines().map(|line| format!("{}\n", line.trim_end())).collect::<Vec<_>>().concat()
    }
}

/// The colour in which a state is shown.
pub(crate) fn colour_of(state: &str) -> Color {
    match state {
        "alive" => Color::Green,
        "suspect" => Color::Yellow,
        "dead" => Color::Red,
        _ => Color::DarkGrey,
    }
}

/// The member list; the agent's own node is marked. Metadata is counted, and shown `with_values` in a further column.
pub(crate) fn members(rows: &[MemberRow], with_values: bool, colours: bool) -> String {
    let headings = ["NAME", "ID", "ADDRESS", "STATE", "SINCE", "TAGS", "METADATA", "VALUES"];
    let shown = if with_values { headings.len() } else { headings.len() - 1 };
    let mut columns = Columns::new(&headings[..shown], colours);
    columns.align_right([6]);
    for row in rows {
        let mark = if row.myself { " *" } else { "" };
        let cells = [
            Cell::new(format!("{}{mark}", row.name.as_deref().map_or_else(|| "-".to_owned(), printable))),
            Cell::new(&row.id),
            Cell::new(&row.address),
            Cell::new(state_word(&row.state)).fg(colour_of(&row.state)),
            Cell::new(ago(Duration::from_millis(row.since_ms))),
            Cell::new(if row.tags.is_empty() { "-".to_owned() } else { printable(&row.tags.join(",")) }),
            Cell::new(row.metadata.len()),
            Cell::new(if row.metadata.is_empty() { "-".to_owned() } else { pairs(&row.metadata) }),
        ];
        columns.row(cells.into_iter().take(shown));
    }
    columns.text()
}

/// Metadata in one line.
pub(crate) fn pairs<'a>(entries: impl IntoIterator<Item = (&'a String, &'a MetaValue)>) -> String {
    let pairs: Vec<String> = entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    printable(&pairs.join(", "))
}

/// The agent's own state, one fact a line; counters that are zero are left out.
pub(crate) fn info(row: &InfoRow) -> String {
    let count = |state: &str| row.members.get(state).copied().unwrap_or(0);
    let mut facts = vec![
        ("id", row.id.clone()),
        ("name", row.name.as_deref().map_or_else(|| "-".to_owned(), printable)),
        ("cluster", printable(&row.cluster)),
        ("address", row.address.to_string()),
        ("bound to", row.bind.map_or_else(|| "-".to_owned(), |at| at.to_string())),
        ("incarnation", row.incarnation.clone().unwrap_or_else(|| "-".to_owned())),
        ("phase", row.phase.clone()),
        ("health score", row.health_score.to_string()),
        ("running for", ago(Duration::from_millis(row.uptime_ms))),
    ];
    let states = ["alive", "suspect", "dead", "leaving"].map(|state| format!("{} {}", count(state), state_word(state)));
    facts.push(("members", states.join(", ")));
    let mut text = facts.iter().map(|(label, fact)| format!("{label:<14}{fact}\n")).collect::<Vec<_>>().concat();
    for (heading, counters) in
        [("counters", &row.counters), ("sent", &row.sent), ("received", &row.received), ("dropped", &row.dropped)]
    {
        text.push_str(&block(heading, counters));
    }
    text
}

fn block(heading: &str, counters: &BTreeMap<String, u64>) -> String {
    let lines: Vec<String> = counters
        .iter()
        .filter(|&(_, &count)| count > 0)
        .map(|(name, count)| format!("  {name:<28}{count:>14}\n"))
        .collect();
    if lines.is_empty() { String::new() } else { format!("\n{heading}\n{}", lines.concat()) }
}

/// Metadata, one key a line.
pub(crate) fn metadata(rows: &[MetaRow], colours: bool) -> String {
    let mut columns = Columns::new(&["KEY", "VALUE"], colours);
    for row in rows {
        columns.row([Cell::new(printable(&row.key)), Cell::new(printable(&row.value.to_string()))]);
    }
    columns.text()
}

/// A key-value store, one key a line.
pub(crate) fn entries(rows: &[KvRow], colours: bool) -> String {
    let mut columns = Columns::new(&["KEY", "WRITTEN", "ENDS", "VALUE"], colours);
    for row in rows {
        columns.row([
            Cell::new(printable(&row.key)),
            Cell::new(printable(&row.write.written)),
            Cell::new(row.expires.as_deref().map_or_else(|| "-".to_owned(), printable)),
            Cell::new(row.value.line()),
        ]);
    }
    columns.text()
}

/// How an election stands, one fact a line.
pub(crate) fn leader(row: &LeaderRow) -> String {
    let who =
        |who: &Option<Who>| who.as_ref().map_or_else(|| "-".to_owned(), |who| called(who.name.as_deref(), &who.id));
    let or_none = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "-".to_owned());
    let left = row.left_ms.map(|left| format!(" (in {left} ms)")).unwrap_or_default();
    let facts = [
        ("election", row.election.clone()),
        ("leader", who(&row.leader)),
        ("term", or_none(&row.term)),
        ("until", format!("{}{left}", or_none(&row.until))),
        ("settled", row.settled.to_string()),
        ("seen", row.seen.to_string()),
        ("needed", row.needed.to_string()),
        ("has a vote", if row.votes { "yes" } else { "no" }.to_owned()),
        ("heir", who(&row.heir)),
    ];
    facts.map(|(label, fact)| format!("{label:<14}{}\n", printable(&fact))).concat()
}

/// How a lock stands, one fact a line.
pub(crate) fn lock(row: &LockRow) -> String {
    let (who, token, left) = match &row.holder {
        Some(holder) => {
            let who = called(holder.who.name.as_deref(), &holder.who.id);
            (who, holder.token.clone(), format!("{} ms, unless it is extended", holder.left_ms))
        }
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    let facts = [
        ("pool", row.pool.clone()),
        ("key", row.key.clone()),
        ("holder", who),
        ("token", token),
        ("left", left),
        ("waiting", row.waiting.to_string()),
    ];
    facts.map(|(label, fact)| format!("{label:<14}{}\n", printable(&fact))).concat()
}

/// A span in its two largest units.
pub(crate) fn ago(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: Option<&str>, state: &str) -> MemberRow {
        let zone = MetaValue::Text("eu\n".to_owned());
        MemberRow {
            id: "0192f0c1-2345-7abc-8def-0123456789ab".to_owned(),
            name: name.map(ToOwned::to_owned),
            address: "10.0.0.5:7979".parse().unwrap(),
            state: state.to_owned(),
            since_ms: 61_000,
            incarnation: "1.0".to_owned(),
            tags: vec!["web".to_owned(), "eu".to_owned()],
            metadata: BTreeMap::from([("port".to_owned(), MetaValue::Int(80)), ("zone".to_owned(), zone)]),
            myself: name.is_some(),
        }
    }

    #[test]
    fn members_stand_in_columns_without_trailing_space() {
        let text = members(&[row(Some("web-1"), "alive"), row(None, "suspect")], false, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("NAME"), "{text}");
        assert!(lines[1].starts_with("web-1 *  0192f0c1-2345-7abc-8def-0123456789ab  10.0.0.5:7979"), "{text}");
        assert!(lines[2].starts_with('-'), "{text}");
        let column = lines[0].find("STATE").unwrap();
        assert!(lines[1][column..].starts_with("alive ") && lines[2][column..].starts_with("suspect"), "{text}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn values_of_metadata_are_shown_on_request() {
        let shown = |with_values| members(&[row(None, "alive")], with_values, false);
        assert!(shown(false).ends_with(" 2\n") && !shown(false).contains("port"), "{}", shown(false));
        assert!(shown(true).ends_with("  port=80, zone=eu\\n\n"), "{}", shown(true));
    }

    #[test]
    fn a_member_that_left_is_shown_as_such() {
        let text = members(&[row(None, "leaving")], false, false);
        assert!(text.contains(" left ") && !text.contains("leaving"), "{text}");
    }

    #[test]
    fn colours_appear_only_when_asked_for() {
        assert!(members(&[row(None, "dead")], false, true).contains('\u{1b}'));
    }

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let told = |seconds| ago(Duration::from_secs(seconds));
        assert_eq!([told(5), told(125), told(7_260), told(90_000)], ["5s", "2m 5s", "2h 1m", "1d 1h"]);
    }
}
