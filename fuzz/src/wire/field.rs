//! What messages are made of.

use std::net::{IpAddr, SocketAddr};

use arbitrary::{Arbitrary, Result, Unstructured};
use gossip_driver::{NodeAddress, NodeId, WebAddress};

/// Something with a place in a message.
pub(crate) trait Field: Sized {
    /// Takes it from the front; `None` if it is not there.
    fn read(from: &mut &[u8]) -> Option<Self>;

    /// Puts it at the end.
    fn write(&self, to: &mut Vec<u8>);
}

/// States the fields of a message once, in order, for both directions.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(arbitrary::Arbitrary, Clone, Debug, PartialEq)]
        pub(crate) struct $name { $($(#[$about])* pub(crate) $field: $kind,)* }

        impl $crate::wire::Field for $name {
            fn read(from: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::wire::Field::read(from)?,)* })
            }

            fn write(&self, to: &mut Vec<u8>) {
                $($crate::wire::Field::write(&self.$field, to);)*
            }
        }
    };
}

pub(super) use record;

/// A number of at most so many bits, seven in each byte, the lowest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sevens<const BITS: u32>(pub(crate) u64);

impl<const BITS: u32> Field for Sevens<BITS> {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let mut value = 0;
        for place in 0..BITS.div_ceil(7) {
            let digits = u8::read(from)?;
            let shift = place * 7;
            if shift + 8 - (digits & 0x7f).leading_zeros() > BITS {
                return None;
            }
            value |= u64::from(digits & 0x7f) << shift;
            if digits & 0x80 == 0 {
                return Some(Self(value));
            }
        }
        None
    }

    fn write(&self, to: &mut Vec<u8>) {
        let mut rest = self.0;
        while rest >= 0x80 {
            to.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
            rest >>= 7;
        }
        to.push(u8::try_from(rest).expect("seven bits"));
    }
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Field for $kind {
            fn read(from: &mut &[u8]) -> Option<Self> {
                Sevens::<{ <$kind>::BITS }>::read(from)?.0.try_into().ok()
            }

            fn write(&self, to: &mut Vec<u8>) {
                Sevens::<{ <$kind>::BITS }>(u64::from(*self)).write(to);
            }
        }
    )*};
}

number!(u16, u32, u64);

impl Field for u8 {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let (&first, rest) = from.split_first()?;
        *from = rest;
        Some(first)
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }
}

impl Field for bool {
    fn read(from: &mut &[u8]) -> Option<Self> {
        match u8::read(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }
}

impl<const N: usize> Field for [u8; N] {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(*bytes)
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.extend(self);
    }
}

impl Field for Vec<u8> {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(u64::read(from)?).ok()?;
        let (bytes, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(bytes.to_vec())
    }

    fn write(&self, to: &mut Vec<u8>) {
        (self.len() as u64).write(to);
        to.extend(self);
    }
}

impl Field for String {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(Vec::read(from)?).ok()
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.as_bytes().to_vec().write(to);
    }
}

impl<T: Field> Field for Option<T> {
    fn read(from: &mut &[u8]) -> Option<Self> {
        if bool::read(from)? { T::read(from).map(Some) } else { Some(None) }
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.is_some().write(to);
        if let Some(value) = self {
            value.write(to);
        }
    }
}

/// All bytes up to the end.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) struct Rest(pub(crate) Vec<u8>);

impl Field for Rest {
    fn read(from: &mut &[u8]) -> Option<Self> {
        Some(Self(std::mem::take(from).to_vec()))
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.extend(&self.0);
    }
}

/// One after the other up to the end.
#[derive(Arbitrary, Clone, Debug, PartialEq)]
pub(crate) struct Many<T>(pub(crate) Vec<T>);

impl<T: Field> Field for Many<T> {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let mut all = Vec::new();
        while !from.is_empty() {
            all.push(T::read(from)?);
        }
        Some(Self(all))
    }

    fn write(&self, to: &mut Vec<u8>) {
        for one in &self.0 {
            one.write(to);
        }
    }
}

/// A node's id. Most of the arbitrary ones are among eight, so that packets speak of nodes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u128);

impl Id {
    /// How many ids are likely.
    pub(crate) const LIKELY: u8 = 8;
}

impl<'a> Arbitrary<'a> for Id {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = u8::arbitrary(u)?;
        Ok(Self(if first < 240 { u128::from(first % Self::LIKELY) + 1 } else { u.arbitrary()? }))
    }
}

impl Field for Id {
    fn read(from: &mut &[u8]) -> Option<Self> {
        <[u8; 16]>::read(from).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.0.to_be_bytes().write(to);
    }
}

/// The start of a node. Most of the arbitrary ones are among four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) u64);

impl Epoch {
    /// The first one that is likely.
    pub(crate) const FIRST: u64 = 1_000;
}

impl<'a> Arbitrary<'a> for Epoch {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = u8::arbitrary(u)?;
        Ok(Self(if first < 240 { Self::FIRST + u64::from(first % 4) } else { u.arbitrary()? }))
    }
}

impl Field for Epoch {
    fn read(from: &mut &[u8]) -> Option<Self> {
        <[u8; 8]>::read(from).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }

    fn write(&self, to: &mut Vec<u8>) {
        self.0.to_be_bytes().write(to);
    }
}

/// The address of a node. Most of the arbitrary ones are those of the likely ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) NodeAddress);

impl Place {
    /// Where the node with this number is.
    pub(crate) fn of(number: u8) -> Self {
        Self(NodeAddress::Socket(Self::socket_of(number)))
    }

    /// The socket that the node with this number has.
    pub(crate) fn socket_of(number: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, number], 7_979))
    }
}

impl<'a> Arbitrary<'a> for Place {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let first = u8::arbitrary(u)?;
        if first < 240 {
            return Ok(Self::of(first % Id::LIKELY + 1));
        }
        let ip = if first % 2 == 0 { <[u8; 4]>::arbitrary(u)?.into() } else { <[u8; 16]>::arbitrary(u)?.into() };
        let socket = SocketAddr::new(ip, u.arbitrary()?);
        Ok(Self(match first {
            240..250 => NodeAddress::Socket(socket),
            250..253 => NodeAddress::Stream(socket),
            253 | 254 => {
                NodeAddress::Web(format!("wss://node-{}.example", socket.port()).parse().expect("it is a URL"))
            }
            _ => NodeAddress::DialOnly(NodeId::from_u128(socket.port().into())),
        }))
    }
}

impl Field for Place {
    fn read(from: &mut &[u8]) -> Option<Self> {
        let variant = u32::read(from)?;
        let ip = match variant {
            0 | 2 => <[u8; 4]>::read(from)?.into(),
            1 | 3 => <[u8; 16]>::read(from)?.into(),
            4 => {
                let url = String::read(from)?;
                let address: WebAddress = url.parse().ok()?;
                return (address.as_str() == url).then_some(Self(NodeAddress::Web(address)));
            }
            5 => return <[u8; 16]>::read(from).map(|id| Self(NodeAddress::DialOnly(NodeId::from_bytes(id)))),
            _ => return None,
        };
        let socket = SocketAddr::new(ip, u16::read(from)?);
        Some(Self(if variant < 2 { NodeAddress::Socket(socket) } else { NodeAddress::Stream(socket) }))
    }

    fn write(&self, to: &mut Vec<u8>) {
        let (first, socket) = match &self.0 {
            NodeAddress::Socket(socket) => (0, socket),
            NodeAddress::Stream(socket) => (2, socket),
            NodeAddress::Web(url) => {
                to.push(4);
                return url.as_str().to_owned().write(to);
            }
            NodeAddress::DialOnly(id) => {
                to.push(5);
                return id.as_bytes().write(to);
            }
            other => panic!("{other} does not travel"),
        };
        to.push(first + u8::from(socket.is_ipv6()));
        match socket.ip() {
            IpAddr::V4(ip) => ip.octets().write(to),
            IpAddr::V6(ip) => ip.octets().write(to),
        }
        socket.port().write(to);
    }
}
