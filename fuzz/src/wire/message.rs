//! The messages of a body.

use arbitrary::{Arbitrary, Result, Unstructured};

use super::field::record;
use super::{Ballot, Claim, Delta, Epoch, Field, Id, Incarnation, Lock, Many, Place, Rest, StoreRoot, StoreSync};

/// The last four bytes of an id; of likely ones that is their number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail([u8; 4]);

impl Tail {
    fn of(id: Id) -> Self {
        let [.., a, b, c, d] = id.0.to_be_bytes();
        Self([a, b, c, d])
    }
}

impl<'a> Arbitrary<'a> for Tail {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::of(u.arbitrary()?))
    }
}

impl Field for Tail {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Field::read(from).map(Self)
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
    }
}

record! { Ping { sequence: u32, target: Tail, root: [u8; 8], } }
record! { Ack { sequence: u32, root: [u8; 8], } }
record! { PingRequest { sequence: u32, target: Id, patience_ms: u32, } }
record! { Nack { sequence: u32, } }
record! { Want { subject: Id, epoch: Epoch, version: u64, } }
record! { Join { versions: [u8; 2], cluster: String, application: String, } }
record! { Accept { more: bool, } }
record! { Reject { code: u8, versions: [u8; 2], application: String, } }
record! { Digest { buckets: Vec<u8>, } }
record! { Difference { wanted: Vec<u8>, } }
record! { Conflict { incarnation: Incarnation, address: Place, } }
record! { Direct { target: Tail, kind: u16, payload: Rest, } }
record! {
    /// A request, or a message that is to be confirmed.
    Request { target: Id, id: u64, kind: u16, patience_ms: u32, number: u64, before: u64, payload: Rest, }
}
record! { Reply { id: u64, outcome: u8, payload: Rest, } }
record! {
    /// A copy of a broadcast.
    Copy {
        hop: u32,
        origin: Id,
        epoch: Epoch,
        sequence: u64,
        flags: u8,
        hops: u8,
        recent: u32,
        age_ms: u32,
        kind: u16,
        tag: String,
        arcs: Vec<u8>,
        path: Vec<u8>,
        payload: Rest,
    }
}
record! {
    /// A run of broadcasts of a lane.
    Run { lane: [u8; 8], first: u64, count: u64, }
}
record! { Compare { trouble_ms: u32, runs: Many<Run>, } }

/// A message of a kind that there is not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strange {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Strange {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let kind = u8::arbitrary(u)?;
        Ok(Self {
            kind: if (1..=26).contains(&kind) || (32..=33).contains(&kind) { kind + 100 } else { kind },
            payload: u.arbitrary()?,
        })
    }
}

/// The kinds of messages and their numbers.
macro_rules! kinds {
    ($($code:literal $kind:ident($payload:ty),)*) => {
        /// A message.
        #[derive(Arbitrary, Clone, Debug, PartialEq)]
        pub(crate) enum Message {
            $($kind($payload),)*
            Strange(Strange),
        }

        impl Message {
            /// Its number.
            pub(crate) fn code(&self) -> u8 {
                match self {
                    $(Self::$kind(_) => $code,)*
                    Self::Strange(strange) => strange.kind,
                }
            }

            fn read_payload(kind: u8, payload: &mut &[u8]) -> Option<Self> {
                Some(match kind {
                    $($code => Self::$kind(Field::read(payload)?),)*
                    kind => Self::Strange(Strange { kind, payload: payload.to_vec() }),
                })
            }

            fn write_payload(&self, to: &mut Vec<u8>) {
                match self {
                    $(Self::$kind(payload) => payload.write(to),)*
                    Self::Strange(strange) => to.extend(&strange.payload),
                }
            }
        }
    };
}

kinds! {
    1 Ping(Ping),
    2 Ack(Ack),
    3 PingRequest(PingRequest),
    4 Nack(Nack),
    5 Claim(Claim),
    6 Metadata(Delta),
    7 MetadataRequest(Many<Want>),
    8 Join(Join),
    9 Accept(Accept),
    10 Reject(Reject),
    11 Digest(Digest),
    12 Difference(Difference),
    13 Conflict(Conflict),
    16 Direct(Direct),
    17 Request(Request),
    18 Reply(Reply),
    19 Copy(Copy),
    20 CopyAck(Many<u32>),
    21 Recent(Many<Run>),
    22 Pull(Many<Run>),
    23 Baseline(Many<Run>),
    24 Compare(Compare),
    25 Ballot(Ballot),
    26 Lock(Lock),
    32 StoreRoot(StoreRoot),
    33 StoreSync(StoreSync),
}

impl Message {
    /// What an honest receiver answers.
    pub(crate) fn answer(&self) -> Option<Self> {
        Some(match self {
            Self::Ping(ping) => Self::Ack(Ack { sequence: ping.sequence, root: ping.root }),
            Self::PingRequest(request) => Self::Nack(Nack { sequence: request.sequence }),
            Self::Join(_) => Self::accept(false),
            Self::Digest(digest) => Self::Difference(Difference { wanted: vec![0xff; digest.buckets.len() / 64] }),
            Self::Request(request) => Self::Reply(Reply { id: request.id, outcome: 0, payload: Rest(Vec::new()) }),
            Self::Copy(copy) => Self::CopyAck(Many(vec![copy.hop])),
            Self::Recent(runs) => Self::Pull(runs.clone()),
            Self::Compare(compare) => Self::Recent(compare.runs.clone()),
            _ => return None,
        })
    }

    /// A message of an application.
    pub(crate) fn direct(target: Id, kind: u16, payload: Rest) -> Self {
        Self::Direct(Direct { target: Tail::of(target), kind, payload })
    }

    /// The last packet, or one of several, of an answer to that.
    pub(crate) fn accept(more: bool) -> Self {
        Self::Accept(Accept { more })
    }

    /// Whether its fields are within their limits. Others do not decode.
    pub(crate) fn is_valid(&self) -> bool {
        let are_buckets = |count: usize| [16, 32, 64, 128, 256].contains(&count);
        match self {
            Self::Claim(claim) => claim.is_valid(),
            Self::Metadata(delta) => delta.is_valid(),
            Self::Digest(digest) => digest.buckets.len().is_multiple_of(8) && are_buckets(digest.buckets.len() / 8),
            Self::Difference(difference) => difference.wanted.is_empty() || are_buckets(difference.wanted.len() * 8),
            Self::Copy(copy) => copy.is_valid(),
            Self::Ballot(ballot) => ballot.is_valid(),
            Self::Lock(lock) => lock.is_valid(),
            Self::StoreSync(sync) => sync.is_valid(),
            _ => true,
        }
    }
}

impl Copy {
    fn is_valid(&self) -> bool {
        let is_circle = |arcs: &[u8]| {
            let points: Vec<u32> =
                arcs.chunks(4).map(|point| point.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))).collect();
            let from_first: Vec<u32> = points.iter().map(|point| point.wrapping_sub(points[0])).collect();
            // If the last point is the first one, the arcs go all the way round.
            let inner = if from_first.last() == Some(&0) { &from_first[..points.len() - 1] } else { &from_first };
            arcs.len().is_multiple_of(4) && (2..=33).contains(&points.len()) && inner.is_sorted()
        };
        (1..=1 << 62).contains(&self.sequence)
            && self.tag.len() <= 64
            && (self.arcs.is_empty() || is_circle(&self.arcs))
            && self.path.len().is_multiple_of(4)
            && self.path.len() <= 16 * 4
    }
}

impl Field for Message {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let kind = u8::read(from)?;
        let length = usize::try_from(u32::read(from)?).ok()?;
        let (mut payload, rest) = from.split_at_checked(length)?;
        *from = rest;
        Self::read_payload(kind, &mut payload).filter(Self::is_valid)
    }

    fn write(&self, to: &mut Vec<u8>) {
        let mut payload = Vec::new();
        self.write_payload(&mut payload);
        to.push(self.code());
        u32::try_from(payload.len()).expect("inputs are short").write(to);
        to.extend(payload);
    }
}
