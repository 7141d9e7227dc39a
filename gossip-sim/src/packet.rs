//! Packets under way. Buffers are used again, and the copies of a fan-out share one.

use crate::world::Addr;

/// Bytes up to which an emptied buffer is kept.
const KEPT_CAPACITY: usize = 4_096;

/// Emptied buffers kept.
const KEPT: usize = 16_384;

/// What the bytes of a packet are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// For the node.
    Gossip,
    /// For the application on top of it.
    Application,
}

/// A place in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketId(u32);

#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: Addr,
    pub(crate) kind: Kind,
    holders: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    packets: Vec<Packet>,
    free: Vec<PacketId>,
    scratch: Vec<u8>,
}

impl Pool {
    /// Keeps a copy of `bytes` for one holder.
    pub(crate) fn store(&mut self, bytes: &[u8], from: Addr, kind: Kind) -> PacketId {
        if let Some(id) = self.free.pop() {
            let packet = &mut self.packets[id.0 as usize];
            packet.bytes.extend_from_slice(bytes);
            (packet.from, packet.kind, packet.holders) = (from, kind, 1);
            return id;
        }
        let id = u32::try_from(self.packets.len()).expect("fewer than 2^32 packets fit into memory");
        self.packets.push(Packet { bytes: bytes.to_vec(), from, kind, holders: 1 });
        PacketId(id)
    }

    pub(crate) fn packet(&self, id: PacketId) -> &Packet {
        &self.packets[id.0 as usize]
    }

    /// One more holder.
    pub(crate) fn share(&mut self, id: PacketId) {
        self.packets[id.0 as usize].holders += 1;
    }

    /// One holder less; the last one frees the buffer.
    pub(crate) fn release(&mut self, id: PacketId) {
        let packet = &mut self.packets[id.0 as usize];
        packet.holders -= 1;
        if packet.holders == 0 {
            self.recycle(id);
        }
    }

    /// Gives up one hold and hands out the bytes, for the holder to change as it likes.
    pub(crate) fn consume<R>(&mut self, id: PacketId, work: impl FnOnce(Addr, &mut [u8]) -> R) -> R {
        let packet = &mut self.packets[id.0 as usize];
        packet.holders -= 1;
        if packet.holders == 0 {
            let result = work(packet.from, &mut packet.bytes);
            self.recycle(id);
            return result;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(&packet.bytes);
        work(packet.from, &mut self.scratch)
    }

    /// Packets held.
    #[cfg(test)]
    fn in_use(&self) -> usize {
        self.packets.len() - self.free.len()
    }

    fn recycle(&mut self, id: PacketId) {
        let bytes = &mut self.packets[id.0 as usize].bytes;
        bytes.clear();
        if bytes.capacity() > KEPT_CAPACITY || self.free.len() >= KEPT {
            *bytes = Vec::new();
        }
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_holder_changes_the_others_do_not_see() {
        let mut pool = Pool::default();
        let id = pool.store(b"abc", 7, Kind::Gossip);
        pool.share(id);
        pool.consume(id, |_, bytes| bytes[0] = b'x');
        pool.consume(id, |from, bytes| assert_eq!((from, &*bytes), (7, &b"abc"[..])));
        assert_eq!(pool.in_use(), 0);
        assert_eq!(pool.store(b"d", 1, Kind::Gossip), id, "the place is used again");
        assert_eq!(pool.packet(id).bytes, b"d");
    }
}
