//! Arcs of the circle, and how one is shared out.

use smallvec::SmallVec;

use crate::identity::{Address, NodeId};
use crate::membership::{Slot, Table};
use crate::ring::{Point, point_of};
use crate::rng::Rng;

/// Fewest parts of an arc that is shared out.
const FEWEST: usize = 3;

/// An arc with up to this many times as many members as it would have parts is not shared out any further: each gets its
/// copy directly. So most nodes are leaves, which saves acknowledgements, and a level of the tree.
const LEAVES: usize = 3;

/// Most parts on the wire.
const MOST_PARTS: usize = 32;

/// The stretch of the circle from `start` over `span` points; 2³² is all of it, zero is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arc {
    pub(crate) start: Point,
    pub(crate) span: u64,
}

impl Arc {
    pub(crate) const EMPTY: Self = Self { start: 0, span: 0 };

    /// The whole circle, from a point on.
    pub(crate) const fn whole(start: Point) -> Self {
        Self { start, span: 1 << 32 }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.span == 0
    }

    pub(crate) fn contains(self, point: Point) -> bool {
        u64::from(point.wrapping_sub(self.start)) < self.span
    }

    /// The point behind its last one.
    #[expect(clippy::cast_possible_truncation, reason = "points wrap around")]
    fn end(self) -> Point {
        self.start.wrapping_add(self.span as Point)
    }
}

/// Arcs one after the other, as they travel: the points at which they begin, and the one at which the last ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arcs(pub(crate) SmallVec<[u8; 64]>);

impl Arcs {
    pub(crate) fn one(arc: Arc) -> Self {
        let mut arcs = Self::default();
        arcs.push(arc.start);
        arcs.push(arc.end());
        arcs
    }

    fn push(&mut self, point: Point) {
        self.0.extend_from_slice(&point.to_be_bytes());
    }

    /// Whether these are the bytes of some arcs, or of none.
    pub(crate) fn are_valid(bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let count = bytes.len() / 4;
        if !bytes.len().is_multiple_of(4) || !(2..=MOST_PARTS + 1).contains(&count) {
            return false;
        }
        let mut last = 0;
        offsets(bytes).all(|offset| core::mem::replace(&mut last, offset) <= offset)
    }

    /// The one in which a point lies.
    pub(crate) fn find(bytes: &[u8], point: Point) -> Option<Arc> {
        let first = points(bytes).next()?;
        let place = u64::from(point.wrapping_sub(first));
        let pairs = points(bytes).zip(offsets(bytes).zip(offsets(bytes).skip(1)));
        pairs
            .map(|(start, (begin, end))| (Arc { start, span: end - begin }, begin..end))
            .find_map(|(arc, range)| range.contains(&place).then_some(arc))
    }
}

fn points(bytes: &[u8]) -> impl Iterator<Item = Point> {
    bytes.chunks_exact(4).map(|bytes| Point::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// How far each point is from the first; the last one may have gone all the way round.
fn offsets(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let first = points(bytes).next().unwrap_or(0);
    let last = bytes.len() / 4 - 1;
    points(bytes).enumerate().map(move |(index, point)| match point.wrapping_sub(first) {
        0 if index == last => 1 << 32,
        offset => u64::from(offset),
    })
}

/// Who gets which arc.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) parts: SmallVec<[(Slot, Arc); 12]>,
    /// The arcs for the wire; none if all parts are single members.
    pub(crate) arcs: Arcs,
}

/// Shares the members in `arc` out, in parts of equal number, each to a random member of it; without those who stand at a
/// point of `except`.
pub(crate) fn split<A: Address>(
    members: &[Slot],
    table: &Table<A>,
    arc: Arc,
    except: &[Point],
    rng: &mut Rng,
) -> Share {
    let range = Range::new(members, table, arc, except);
    let count = range.len();
    let fanout = fanout(members.len() + 1);
    if count <= LEAVES * fanout {
        let parts = (0..count).map(|index| (range.member(index), Arc::EMPTY)).collect();
        return Share { parts, arcs: Arcs::default() };
    }
    let mut share = Share { parts: SmallVec::new(), arcs: Arcs::default() };
    let mut start = arc.start;
    for part in 0..fanout {
        let (first, next) = (part * count / fanout, (part + 1) * count / fanout);
        let end = if next == count { arc.end() } else { point(range.member(next), table) };
        let target = range.member(first + rng.below(next - first));
        let span = match u64::from(end.wrapping_sub(start)) {
            0 if fanout == 1 => arc.span,
            span => span,
        };
        share.parts.push((target, Arc { start, span }));
        share.arcs.push(start);
        start = end;
    }
    share.arcs.push(arc.end());
    share
}

/// A random member in `arc`, without those who stand at a point of `except`.
pub(crate) fn choose_in<A: Address>(
    members: &[Slot],
    table: &Table<A>,
    arc: Arc,
    except: &[Point],
    rng: &mut Rng,
) -> Option<Slot> {
    let range = Range::new(members, table, arc, except);
    let count = range.len();
    (count > 0).then(|| range.member(rng.below(count)))
}

/// Parts into which an arc is shared out, so that the tree over `size` nodes has a depth of 2 up to 30 nodes, 3 up to
/// 1,000, 4 up to 10,000, and 5 beyond.
pub(crate) fn fanout(size: usize) -> usize {
    let depth = match size {
        0..=30 => 2,
        31..=1_000 => 3,
        1_001..=10_000 => 4,
        _ => 5,
    };
    let reaches = |fanout: usize| (1..depth).fold(LEAVES * fanout, |below, _| fanout.saturating_mul(1 + below));
    (FEWEST..MOST_PARTS).find(|&fanout| reaches(fanout) + 1 >= size).unwrap_or(MOST_PARTS)
}

/// The members in an arc, by number.
struct Range<'a> {
    members: &'a [Slot],
    first: usize,
    count: usize,
    /// Numbers of those left out, in order.
    except: SmallVec<[usize; 8]>,
}

impl<'a> Range<'a> {
    fn new<A: Address>(members: &'a [Slot], table: &Table<A>, arc: Arc, except: &[Point]) -> Self {
        let at = |point: Point| members.partition_point(|&slot| self::point(slot, table) < point);
        let first = at(arc.start);
        let end = at(arc.end());
        let count = match () {
            () if arc.span == 1 << 32 => members.len(),
            () if arc.end() < arc.start => members.len() - first + end,
            () => end - first,
        };
        let mut range = Self { members, first, count, except: SmallVec::new() };
        for &excepted in except.iter().filter(|&&point| arc.contains(point)) {
            let index = at(excepted);
            if members.get(index).is_some_and(|&slot| point(slot, table) == excepted) {
                let number = (index + members.len() - first) % members.len();
                if !range.except.contains(&number) {
                    range.except.push(number);
                }
            }
        }
        range.except.sort_unstable();
        range
    }

    fn len(&self) -> usize {
        self.count - self.except.len()
    }

    fn member(&self, index: usize) -> Slot {
        let mut number = index;
        for &except in &self.except {
            number += usize::from(except <= number);
        }
        self.members[(self.first + number) % self.members.len()]
    }
}

fn point<A: Address>(slot: Slot, table: &Table<A>) -> Point {
    let id: NodeId = table.member(slot).id;
    point_of(id)
}
