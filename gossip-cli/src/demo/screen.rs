//! The live table: drawn on the terminal's other screen, so that whatever happens the first one comes back untouched.

use std::collections::VecDeque;
use std::io::{self, Stdout, Write};
use std::time::{Duration, Instant};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::style::{Attribute, Color, ResetColor, SetAttribute, SetForegroundColor};
use crossterm::terminal::{
    self, BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use gossip_tokio::MemberState;

use super::fleet::{DemoNode, Fleet, Traffic};
use super::script::Step;
use super::summary::Tenths;
use super::transport::{Transport, shown};
use crate::describe::state_word;

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);
/// Time over which traffic is averaged.
const SPAN: Duration = Duration::from_secs(1);
/// Lines of news that are shown.
const NEWS: usize = 8;
/// Size of a terminal that does not tell.
const SIZE: (u16, u16) = (80, 24);

/// A terminal that shows the cluster. Dropping it gives the terminal back.
#[derive(Debug)]
pub(crate) struct Screen {
    out: Stdout,
    colours: bool,
    nodes: usize,
    transport: Transport,
    since: Instant,
    drawn: Option<Instant>,
    steps: Vec<(Step, Option<String>)>,
    news: VecDeque<String>,
    meter: Meter,
}

/// What each node sent in the last second.
#[derive(Debug)]
struct Meter {
    at: Instant,
    counted: Vec<Traffic>,
    rates: Vec<Rate>,
}

/// What a node sends in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    bytes: Tenths,
    datagrams: Tenths,
}

/// A piece of a line in one style.
struct Piece {
    text: String,
    colour: Option<Color>,
    bold: bool,
}

impl Piece {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None, bold: false }
    }

    fn coloured(text: impl Into<String>, colour: Color) -> Self {
        Self { text: text.into(), colour: Some(colour), bold: false }
    }

    fn bold(text: impl Into<String>) -> Self {
        Self { text: text.into(), colour: None, bold: true }
    }
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open((nodes, transport): (usize, Transport), colours: bool) -> io::Result<Self> {
        let mut out = io::stdout();
        execute!(out, EnterAlternateScreen, Hide)?;
        let now = Instant::now();
        let meter = Meter { at: now, counted: Vec::new(), rates: Vec::new() };
        let (steps, news) = (Vec::new(), VecDeque::new());
        Ok(Self { out, colours, nodes, transport, since: now, drawn: None, steps, news, meter })
    }

    pub(crate) fn begin(&mut self, step: Step) {
        self.steps.push((step, None));
    }

    pub(crate) fn done(&mut self, step: Step, text: &str) {
        if let Some((_, result)) = self.steps.iter_mut().rev().find(|(begun, _)| *begun == step) {
            *result = Some(text.to_owned());
        }
    }

    pub(crate) fn tell(&mut self, text: &str) {
        if self.news.len() >= NEWS {
            self.news.pop_front();
        }
        self.news.push_back(format!("{:>7.3} s  {text}", self.since.elapsed().as_secs_f64()));
    }

    /// Draws unless that was done just now.
    pub(crate) fn draw_if_due(&mut self, fleet: &Fleet) -> io::Result<()> {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) { Ok(()) } else { self.draw(fleet) }
    }

    /// Draws everything.
    pub(crate) fn draw(&mut self, fleet: &Fleet) -> io::Result<()> {
        self.drawn = Some(Instant::now());
        self.meter.measure(fleet);
        let (width, height) = terminal::size().ok().filter(|&(width, height)| width > 0 && height > 0).unwrap_or(SIZE);
        let lines = self.lines(fleet, usize::from(height));
        queue!(self.out, BeginSynchronizedUpdate)?;
        for (row, line) in (0..height).zip(&lines) {
            queue!(self.out, MoveTo(0, row))?;
            self.write(line, usize::from(width))?;
            queue!(self.out, Clear(ClearType::UntilNewLine))?;
        }
        if lines.len() < usize::from(height) {
            queue!(self.out, Clear(ClearType::FromCursorDown))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()
    }

    fn write(&mut self, line: &[Piece], width: usize) -> io::Result<()> {
        let mut room = width;
        for piece in line {
            let text: String = piece.text.chars().take(room).collect();
            room -= text.chars().count();
            if let Some(colour) = piece.colour.filter(|_| self.colours) {
                queue!(self.out, SetForegroundColor(colour))?;
            }
            if piece.bold && self.colours {
                queue!(self.out, SetAttribute(Attribute::Bold))?;
            }
            self.out.write_all(text.as_bytes())?;
            if self.colours && (piece.colour.is_some() || piece.bold) {
                queue!(self.out, SetAttribute(Attribute::Reset), ResetColor)?;
            }
        }
        Ok(())
    }

    /// Everything that is shown. Nodes give way when the terminal is too small for all.
    fn lines(&self, fleet: &Fleet, height: usize) -> Vec<Vec<Piece>> {
        let title = format!("gossip demo: {} {}", self.nodes, self.transport.words());
        let mut lines = vec![
            vec![Piece::bold(title), Piece::plain(format!("  {:.1} s", self.since.elapsed().as_secs_f64()))],
            vec![],
        ];
        lines.extend(self.steps.iter().map(|(step, result)| match result {
            Some(result) => vec![Piece::coloured("  ✓ ", Color::Green), Piece::plain(result.clone())],
            None => vec![Piece::coloured("  ▸ ", Color::Yellow), Piece::plain(format!("{step} …"))],
        }));
        lines.push(vec![]);
        let below = self.news.len() + 3;
        let room = height.saturating_sub(lines.len() + below).max(1);
        lines.push(vec![Piece::bold(format!(
            "  {:<9} {:<width$} {:<9} {:<11} {:<26} {:>9} {:>11}",
            "NODE",
            "ADDRESS",
            "STATE",
            "SEEN SO BY",
            "SEES",
            "BYTES/S",
            "DATAGRAMS/S",
            width = self.transport.width()
        ))]);
        lines.extend(self.node_lines(fleet, room));
        lines.push(vec![]);
        lines.extend(self.news.iter().map(|news| vec![Piece::coloured(news.clone(), Color::DarkGrey)]));
        lines
    }

    /// A line for each node; of too many those in the middle are left out, for the last is the one that is killed.
    fn node_lines(&self, fleet: &Fleet, room: usize) -> Vec<Vec<Piece>> {
        let hidden = fleet.nodes.len().saturating_sub(room);
        let line = |at: usize| self.node_line(fleet, at, &fleet.nodes[at]);
        let last = fleet.nodes.len() - 1;
        if hidden == 0 {
            return (0..=last).map(line).collect();
        }
        let mut lines: Vec<_> = (0..room - 1).map(line).collect();
        lines.push(vec![Piece::plain(format!("  … {hidden} more"))]);
        lines.push(line(last));
        lines
    }

    fn node_line(&self, fleet: &Fleet, at: usize, node: &DemoNode) -> Vec<Piece> {
        let address = node.address.as_ref().map(shown).unwrap_or_default();
        let width = self.transport.width();
        let (state, agreement, colour) = standing(fleet, at, node);
        let views = &node.views;
        let sees = if node.is_running() {
            let count = |state| views.count(state);
            let others = [MemberState::Suspect, MemberState::Dead, MemberState::Leaving];
            let others = others.into_iter().filter(|&state| count(state) > 0);
            let states = [MemberState::Alive].into_iter().chain(others);
            states.map(|state| format!("{} {}", count(state), state_word(state.name()))).collect::<Vec<_>>().join(", ")
        } else {
            String::new()
        };
        let rate = self.meter.rates.get(at).copied().unwrap_or(Rate::of(Traffic::default(), SPAN));
        let tail = format!(" {agreement:<11} {sees:<26} {:>9} {:>11}", rate.bytes, rate.datagrams);
        vec![
            Piece::plain(format!("  {:<9} {address:<width$} ", node.name)),
            Piece::coloured(format!("{state:<9}"), colour),
            Piece::plain(tail),
        ]
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to be done about a terminal that is gone.
        let _ = execute!(self.out, EndSynchronizedUpdate, Show, LeaveAlternateScreen);
    }
}

/// What most others believe of a node, and how many of them do.
fn standing(fleet: &Fleet, at: usize, node: &DemoNode) -> (&'static str, String, Color) {
    let Some(id) = node.id else { return ("-", String::new(), Color::DarkGrey) };
    let others: Vec<usize> = fleet.running().filter(|&other| other != at).collect();
    let states = [
        (MemberState::Dead, Color::Red),
        (MemberState::Suspect, Color::Yellow),
        (MemberState::Leaving, Color::DarkGrey),
        (MemberState::Alive, Color::Green),
    ];
    let counted = states.map(|(state, colour)| {
        let count = others.iter().filter(|&&other| fleet.nodes[other].views.state_of(id) == Some(state)).count();
        (state, colour, count)
    });
    // Of states with the same number of believers the last is taken, as long as nobody is sure of a change.
    match counted.into_iter().max_by_key(|&(_, _, count)| count) {
        Some((state, colour, count)) if count > 0 => {
            (state_word(state.name()), format!("{count} of {}", others.len()), colour)
        }
        _ => ("unknown", format!("{} of {}", others.len(), others.len()), Color::DarkGrey),
    }
}

impl Meter {
    /// Counts what was sent, once a second.
    fn measure(&mut self, fleet: &Fleet) {
        let at = Instant::now();
        let span = at.saturating_duration_since(self.at);
        if span < SPAN && !self.counted.is_empty() {
            return;
        }
        let now: Vec<Traffic> = fleet.nodes.iter().map(DemoNode::traffic).collect();
        if self.counted.len() == now.len() {
            self.rates = now.iter().zip(&self.counted).map(|(&now, &before)| Rate::of(now - before, span)).collect();
        }
        self.counted = now;
        self.at = at;
    }
}

impl Rate {
    /// Both over the same span, so that where there are bytes there are datagrams.
    fn of(sent: Traffic, span: Duration) -> Self {
        Self { bytes: Tenths::rate(sent.datagram_bytes, span), datagrams: Tenths::rate(sent.datagrams, span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_in_a_little_more_than_a_second_is_not_lost_in_its_rate() {
        let sent = Traffic { datagrams: 1, datagram_bytes: 110, ..Traffic::default() };
        let rate = Rate::of(sent, Duration::from_millis(1_100));
        assert_eq!((rate.datagrams.to_string(), rate.bytes.to_string()), ("0.9".to_owned(), "100.0".to_owned()));
    }
}
