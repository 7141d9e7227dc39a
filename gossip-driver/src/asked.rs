//! At which address of this host each peer asked last, so that it is answered from there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Peers remembered at least, if so many ask; twice as many at most.
const PEERS: usize = 4_096;

/// What a socket for all addresses of a host remembers. The system would answer from the address that it prefers for
/// the way to the peer, which a firewall or another host in between may take for a stranger's.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    recent: HashMap<SocketAddr, IpAddr>,
    /// Gives way when as many others are recent.
    earlier: HashMap<SocketAddr, IpAddr>,
}

impl Asked {
    /// A datagram from a peer came to this address.
    pub(crate) fn note(&mut self, from: SocketAddr, at: IpAddr) {
        if at.is_unspecified() || at.is_multicast() || self.recent.get(&from) == Some(&at) {
            return;
        }
        if self.recent.len() >= PEERS {
            self.earlier = std::mem::take(&mut self.recent);
        }
        self.recent.insert(from, at);
    }

    /// Where a peer asked.
    pub(crate) fn by(&self, peer: SocketAddr) -> Option<IpAddr> {
        self.recent.get(&peer).or_else(|| self.earlier.get(&peer)).copied()
    }

    /// The address is of no use for this peer any more.
    pub(crate) fn forget(&mut self, peer: SocketAddr) {
        self.recent.remove(&peer);
        self.earlier.remove(&peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], u16::try_from(number).unwrap()))
    }

    fn home(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn the_last_address_counts_until_it_is_forgotten() {
        let mut asked = Asked::default();
        asked.note(peer(1), home(1));
        asked.note(peer(1), home(2));
        asked.note(peer(2), IpAddr::from([0, 0, 0, 0]));
        asked.note(peer(2), IpAddr::from([224, 0, 0, 1]));
        assert_eq!((asked.by(peer(1)), asked.by(peer(2))), (Some(home(2)), None));
        asked.forget(peer(1));
        assert_eq!(asked.by(peer(1)), None);
    }

    #[test]
    fn those_who_ask_are_remembered_however_many_others_do_and_memory_is_bounded() {
        let mut asked = Asked::default();
        for number in 1..=3 * PEERS {
            asked.note(peer(number), home(1));
            asked.note(peer(0), home(2));
            assert_eq!(asked.by(peer(0)), Some(home(2)));
            assert!(asked.recent.len() + asked.earlier.len() <= 2 * PEERS);
        }
        assert_eq!(asked.by(peer(1)), None);
        assert_eq!(asked.by(peer(3 * PEERS)), Some(home(1)));
    }
}
