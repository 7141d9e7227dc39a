//! Grants that nodes count on, and what may end them.

use std::collections::BTreeMap;

use gossip_core::Instant;

use crate::clock::Clock;
use crate::oracle::locks::Mark;
use crate::oracle::locks::story::Story;

/// Word that a grant holds until then.
#[derive(Clone, Copy, Debug)]
struct Word {
    /// Which statement it is.
    statement: usize,
    until: Instant,
    /// When it was asked for, and when it came.
    since: u64,
    told: u64,
}

/// A grant that a node was told of.
#[derive(Debug)]
pub(super) struct Held {
    host: u32,
    pub(super) key: u32,
    token: Mark,
    grant: usize,
    words: Vec<Word>,
}

impl Held {
    /// A grant that was asked for then.
    pub(super) fn new(told: &Told<'_>, key: u32, statement: usize, since: u64) -> Self {
        let &Told { now, host, token, until, .. } = told;
        Self { host, key, token, grant: statement, words: vec![Word { statement, until, since, told: now }] }
    }

    /// Until when the node counts on it, by its clock.
    pub(super) fn until(&self) -> Instant {
        self.words.iter().map(|word| word.until).max().unwrap_or(Instant::from_micros(0))
    }

    fn since(&self) -> u64 {
        self.words.last().map_or(0, |word| word.since)
    }
}

/// Until when a node counts on a grant.
pub(super) struct Told<'a> {
    pub(super) now: u64,
    pub(super) host: u32,
    pub(super) token: Mark,
    pub(super) until: Instant,
    pub(super) clock: &'a Clock,
}

#[derive(Debug, Default)]
pub(super) struct Grants {
    held: Vec<Held>,
    /// When lives ended.
    endings: Vec<u64>,
}

type Stories = BTreeMap<u32, Story>;

impl Grants {
    pub(super) fn add(&mut self, held: Held) {
        self.held.push(held);
    }

    pub(super) fn find(&self, host: u32, token: Mark) -> Option<&Held> {
        self.held.iter().find(|held| held.host == host && held.token == token)
    }

    /// Key and token of what a machine's node holds.
    pub(super) fn of(&self, host: u32) -> Vec<(u32, Mark)> {
        self.held.iter().filter(|held| held.host == host).map(|held| (held.key, held.token)).collect()
    }

    /// A node is told that it has a lock for longer, as it asked for then.
    pub(super) fn extended(&mut self, told: &Told<'_>, since: u64, stories: &mut Stories) {
        let &Told { now, host, token, until, clock } = told;
        let Some(held) = self.held.iter_mut().find(|held| held.host == host && held.token == token) else { return };
        let Some(story) = stories.get_mut(&held.key) else { return };
        let statement = story.extended(now, host, since, token, clock.when(until));
        held.words.push(Word { statement, until, since, told: now });
    }

    /// A node shows that it has a lock for longer, if it does so by itself.
    pub(super) fn renewed(&mut self, told: &Told<'_>, stories: &mut Stories) {
        let held = self.find(told.host, told.token).filter(|held| held.until() < told.until);
        // It was asked for after the last word.
        if let Some(since) = held.and_then(|held| held.words.last()).map(|word| word.told) {
            self.extended(told, since, stories);
        }
    }

    /// A node does not count on a grant any more.
    pub(super) fn given_up(&mut self, now: u64, host: u32, token: Mark, stories: &mut Stories) {
        self.end(now, stories, |held| held.host == host && held.token == token);
    }

    pub(super) fn life_ended(&mut self, now: u64, host: u32, stories: &mut Stories) {
        self.endings.push(now);
        self.dropped(now, host, stories);
    }

    /// A node does not count on anything that it was granted.
    pub(super) fn dropped(&mut self, now: u64, host: u32, stories: &mut Stories) {
        self.end(now, stories, |held| held.host == host);
    }

    fn end(&mut self, now: u64, stories: &mut Stories, is_over: impl Fn(&Held) -> bool) {
        self.held.retain(|held| {
            let is_over = is_over(held);
            if let Some(story) = stories.get_mut(&held.key).filter(|_| is_over) {
                story.ends(held.grant, now);
            }
            !is_over
        });
    }

    /// Others may take its locks from now on; it counts on them still.
    pub(super) fn holder_died(&mut self, now: u64, host: u32, stories: &mut Stories) {
        for held in self.held.iter().filter(|held| held.host == host) {
            if let Some(story) = stories.get_mut(&held.key) {
                story.ends(held.grant, now);
            }
        }
    }

    pub(super) fn clock_changed(&mut self, now: u64, host: u32, clock: &Clock, stories: &mut Stories) {
        for held in self.held.iter().filter(|held| held.host == host) {
            let Some(story) = stories.get_mut(&held.key) else { continue };
            for word in &held.words {
                story.holds_until(word.statement, now, clock.when(word.until));
            }
        }
    }

    /// Whether others may have it: too many have forgotten it, or its holder was believed dead.
    pub(super) fn is_excused(&self, now: u64, host: u32, token: Mark, failures: usize, stories: &Stories) -> bool {
        self.find(host, token).is_some_and(|held| {
            let has_ended = stories.get(&held.key).is_some_and(|story| story.has_ended(held.grant, now));
            has_ended || self.endings_since(held.since(), now) >= failures
        })
    }

    /// How many lives ended from one moment to another.
    pub(super) fn endings_since(&self, since: u64, now: u64) -> usize {
        self.endings.iter().filter(|&&at| (since..=now).contains(&at)).count()
    }

    /// When as many lives had ended since as it takes to forget a grant.
    pub(super) fn forgotten(&self, since: u64, failures: usize) -> u64 {
        let mut later = self.endings.iter().copied().filter(|&at| at >= since);
        later.nth(failures.saturating_sub(1)).unwrap_or(u64::MAX)
    }
}
