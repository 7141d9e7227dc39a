//! The rows, found by id, with a fingerprint that is kept up with every change.

use core::hash::{BuildHasher, Hasher};

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use hashbrown::HashTable;
use siphasher::sip::{SipHasher13, SipHasher24};

use crate::identity::{Address, Epoch, Incarnation, NodeId};
use crate::membership::{Member, MemberState, RoundTrip};
use crate::metadata::Metadata;
use crate::rng::Rng;
use crate::time::Instant;

/// Buckets of the fingerprint at its finest.
pub(crate) const BUCKETS: usize = 256;

/// A place in the table; stays the same while the member is in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The node itself.
    pub(crate) const MYSELF: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(index: u32) -> Self {
        Self(index)
    }
}

/// A member and what only this node needs to know of it.
#[derive(Debug)]
pub(crate) struct Row<A> {
    pub(crate) member: Member<A>,
    /// Forgotten here only: remembered against old news, not shown.
    pub(crate) hidden: bool,
    /// Too old a tombstone to be told to others.
    pub(crate) retired: bool,
    pub(crate) round_trip: RoundTrip,
    /// The latest start that the member itself was heard in.
    heard: Epoch,
}

impl<A> Row<A> {
    fn bucket(&self) -> usize {
        usize::from(self.member.id.as_bytes()[15])
    }

    /// Version of the metadata held for the start that the member is in.
    pub(crate) fn metadata_version(&self) -> u64 {
        let current = self.member.metadata.epoch() == self.member.incarnation.epoch;
        if current { self.member.metadata.version() } else { 0 }
    }

    fn fingerprint(&self) -> u64 {
        if self.retired {
            return 0;
        }
        // A suspicion is transient: it does not make two tables differ.
        let state = match self.member.state {
            MemberState::Suspect => MemberState::Alive,
            state => state,
        };
        let mut hasher = SipHasher24::new();
        hasher.write(self.member.id.as_bytes());
        hasher.write_u64(self.member.incarnation.epoch.as_u64());
        hasher.write_u32(self.member.incarnation.refutations);
        hasher.write_u8(state as u8);
        // Nobody can ask for the metadata of a member that is gone.
        hasher.write_u64(if state.is_live() { self.metadata_version() } else { 0 });
        hasher.finish()
    }
}

#[derive(Debug)]
pub(crate) struct Table<A> {
    rows: Vec<Option<Row<A>>>,
    free: Vec<Slot>,
    by_id: HashTable<Slot>,
    hash: KeyedHash,
    /// Who declared the dead ones dead.
    declarers: BTreeMap<Slot, NodeId>,
    buckets: [u64; BUCKETS],
    root: u64,
    root_since: Instant,
    version: u64,
}

impl<A: Address> Table<A> {
    /// A table that holds the node itself.
    pub(crate) fn new(myself: Member<A>, rng: &mut Rng) -> Self {
        let mut table = Self {
            rows: Vec::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hash: KeyedHash { keys: (rng.next_u64(), rng.next_u64()) },
            declarers: BTreeMap::new(),
            buckets: [0; BUCKETS],
            root: 0,
            root_since: myself.since,
            version: 0,
        };
        let now = myself.since;
        let slot = table.insert(myself, now);
        debug_assert_eq!(slot, Slot::MYSELF, "the node itself comes first");
        table
    }

    /// Number of rows, of whatever state, the node itself included.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn find(&self, id: NodeId) -> Option<Slot> {
        let is_it = |slot: &Slot| self.rows[slot.index()].as_ref().is_some_and(|row| row.member.id == id);
        self.by_id.find(self.hash.hash_one(id), is_it).copied()
    }

    /// The same as [`find`](Self::find), for a member that is likely in `slot`. In a table of thousands this spares most
    /// of what a packet costs: the places of the index are spread over memory that no cache holds.
    pub(crate) fn find_at(&self, slot: Option<Slot>, id: NodeId) -> Option<Slot> {
        let is_there = |&slot: &Slot| {
            self.rows.get(slot.index()).is_some_and(|row| row.as_ref().is_some_and(|row| row.member.id == id))
        };
        slot.filter(is_there).or_else(|| self.find(id))
    }

    pub(crate) fn row(&self, slot: Slot) -> &Row<A> {
        self.rows[slot.index()].as_ref().expect("a slot is only kept while its row is there")
    }

    pub(crate) fn member(&self, slot: Slot) -> &Member<A> {
        &self.row(slot).member
    }

    pub(crate) fn myself(&self) -> &Member<A> {
        self.member(Slot::MYSELF)
    }

    /// The first occupied slot at `cursor` or after it.
    pub(crate) fn next_from(&self, cursor: usize) -> Option<Slot> {
        let rest = self.rows.get(cursor..)?;
        let offset = rest.iter().position(Option::is_some)?;
        u32::try_from(cursor + offset).ok().map(Slot)
    }

    /// The occupied slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let numbered = (0..).map(Slot).zip(&self.rows);
        numbered.filter(|(_, row)| row.is_some()).map(|(slot, _)| slot)
    }

    /// Rows that are shown to the application.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Member<A>> {
        self.rows
            .iter()
            .flatten()
            .filter(|row| !row.hidden && row.member.state != MemberState::Removed)
            .map(|row| &row.member)
    }

    pub(crate) fn insert(&mut self, member: Member<A>, now: Instant) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| self.grow());
        let id = member.id;
        let round_trip = RoundTrip::default();
        let row = Row { member, hidden: false, retired: false, round_trip, heard: Epoch::from_u64(0) };
        self.count(row.bucket(), row.fingerprint(), now);
        self.rows[slot.index()] = Some(row);
        let (rows, hash) = (&self.rows, &self.hash);
        let rehash = |slot: &Slot| rows[slot.index()].as_ref().map_or(0, |row| hash.hash_one(row.member.id));
        self.by_id.insert_unique(hash.hash_one(id), slot, rehash);
        slot
    }

    /// A slot at the end. Tables of many thousands are common: they grow by an eighth, not to the double.
    fn grow(&mut self) -> Slot {
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(self.rows.len() / 8 + 4);
        }
        self.rows.push(None);
        Slot(u32::try_from(self.rows.len() - 1).expect("max_members is far below 2^32"))
    }

    pub(crate) fn remove(&mut self, slot: Slot, now: Instant) -> Option<Row<A>> {
        let row = self.rows.get_mut(slot.index())?.take()?;
        if let Ok(entry) = self.by_id.find_entry(self.hash.hash_one(row.member.id), |&found| found == slot) {
            entry.remove();
        }
        self.declarers.remove(&slot);
        self.free.push(slot);
        self.count(row.bucket(), row.fingerprint().wrapping_neg(), now);
        Some(row)
    }

    /// Changes a row, and the fingerprint with it.
    pub(crate) fn change<R>(&mut self, slot: Slot, now: Instant, change: impl FnOnce(&mut Row<A>) -> R) -> R {
        let row = self.rows[slot.index()].as_mut().expect("a slot is only kept while its row is there");
        let before = row.fingerprint();
        let result = change(row);
        let (bucket, after) = (row.bucket(), row.fingerprint());
        self.count(bucket, after.wrapping_sub(before), now);
        result
    }

    pub(crate) fn set_claim(&mut self, slot: Slot, incarnation: Incarnation, state: MemberState, now: Instant) {
        self.change(slot, now, |row| {
            row.member.incarnation = incarnation;
            if row.member.state != state {
                row.member.state = state;
                row.member.since = now;
            }
            if state.is_live() {
                (row.hidden, row.retired) = (false, false);
            }
        });
        if state != MemberState::Dead {
            self.declarers.remove(&slot);
        }
    }

    /// Notes who declared a member dead.
    pub(crate) fn declare(&mut self, slot: Slot, by: NodeId) {
        self.declarers.insert(slot, by);
    }

    pub(crate) fn declared_by(&self, slot: Slot) -> Option<NodeId> {
        self.declarers.get(&slot).copied()
    }

    pub(crate) fn set_metadata(&mut self, slot: Slot, metadata: Metadata, now: Instant) {
        self.change(slot, now, |row| row.member.metadata = metadata);
    }

    /// The latest start that a member itself was heard in. Others may still tell of one that is over.
    pub(crate) fn heard(&self, slot: Slot) -> Epoch {
        self.row(slot).heard
    }

    /// Takes note that a packet came from a member in this start; whether it is the first one.
    pub(crate) fn note_heard(&mut self, slot: Slot, epoch: Epoch) -> bool {
        let row = self.rows[slot.index()].as_mut().expect("a slot is only kept while its row is there");
        let is_news = row.heard < epoch;
        row.heard = row.heard.max(epoch);
        is_news
    }

    /// Measured round trips do not change what the table says.
    pub(crate) fn round_trip_mut(&mut self, slot: Slot) -> &mut RoundTrip {
        let row = self.rows[slot.index()].as_mut().expect("a slot is only kept while its row is there");
        &mut row.round_trip
    }

    /// Changes with every change of a row.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The fingerprint of the whole table.
    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    /// When the fingerprint changed last.
    pub(crate) fn root_since(&self) -> Instant {
        self.root_since
    }

    /// The bucket, of `count` (a power of two up to [`BUCKETS`]), that the row is in.
    pub(crate) fn bucket_of(&self, slot: Slot, count: usize) -> usize {
        self.row(slot).bucket() % count
    }

    /// The fingerprints in `count` buckets, a power of two up to [`BUCKETS`].
    pub(crate) fn folded(&self, count: usize) -> impl Iterator<Item = u64> {
        (0..count).map(move |first| {
            self.buckets.iter().skip(first).step_by(count).fold(0_u64, |sum, &bucket| sum.wrapping_add(bucket))
        })
    }

    fn count(&mut self, bucket: usize, change: u64, now: Instant) {
        self.version += 1;
        if change != 0 {
            self.buckets[bucket] = self.buckets[bucket].wrapping_add(change);
            self.root = self.root.wrapping_add(change);
            self.root_since = now;
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn fingerprint_from_scratch(&self) -> u64 {
        self.rows.iter().flatten().fold(0, |sum, row| sum.wrapping_add(row.fingerprint()))
    }
}

/// `SipHash` with keys from the node's seed: nobody outside can choose ids that collide.
#[derive(Clone)]
pub(crate) struct KeyedHash {
    keys: (u64, u64),
}

/// Without its keys: who knows them can choose ids that collide.
impl core::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KeyedHash")
    }
}

impl KeyedHash {
    pub(crate) const fn new(keys: (u64, u64)) -> Self {
        Self { keys }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.keys.0, self.keys.1)
    }
}
