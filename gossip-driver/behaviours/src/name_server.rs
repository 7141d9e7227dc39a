//! A DNS server on the loopback interface, with a zone that a test changes while it is served.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gossip_driver::{SocketBuffers, bind_tcp, bind_udp};
use hickory_server::Server;
use hickory_server::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordSet, RecordType, RrKey};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::{Builder, Runtime};

/// The zone that is served.
const ZONE: &str = "example.test.";
/// How many ports are tried until one is free for both UDP and TCP.
const ATTEMPTS: usize = 64;
const SERIAL: u32 = 1;

/// A DNS server for the zone `example.test`, which is empty at first. It serves until it is dropped, on a thread of its
/// own.
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl NameServer {
    /// Serves at this address, over UDP and TCP; port 0 takes a free one.
    pub fn start(address: SocketAddr) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
        let mut zone = InMemoryZoneHandler::empty(name(ZONE), ZoneType::Primary, AxfrPolicy::Deny);
        let authority = SOA::new(name(ZONE), name(ZONE), SERIAL, 60, 60, 60, 1);
        zone.upsert_mut(Record::from_rdata(name(ZONE), 60, RData::SOA(authority)), SERIAL);
        let zone = Arc::new(zone);
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::from(name(ZONE)), vec![Arc::clone(&zone) as _]);
        let mut server = Server::new(catalog);
        let address = {
            let _context = runtime.enter();
            let (datagrams, listener) = sockets(address);
            let address = listener.local_addr().expect("it is bound");
            server.register_socket(datagrams);
            server.register_listener(listener, Duration::from_secs(5), 4_096);
            address
        };
        runtime.spawn(async move { server.block_until_done().await });
        Self { address, zone, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a name these addresses in place of those that it had.
    pub fn addresses(&self, of: &str, ttl: u32, addresses: &[IpAddr]) {
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv4());
        self.set(of, RecordType::A, ttl, four.into_iter().map(RData::from));
        self.set(of, RecordType::AAAA, ttl, six.into_iter().map(RData::from));
    }

    /// Gives a name these SRV records in place of those that it had: priority, weight, port and target of each.
    pub fn services(&self, of: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) {
        let records = services
            .iter()
            .map(|&(priority, weight, port, target)| RData::SRV(SRV::new(priority, weight, port, name(target))));
        self.set(of, RecordType::SRV, ttl, records);
    }

    /// Makes a name stand for another one.
    pub fn alias(&self, of: &str, ttl: u32, target: &str) {
        self.set(of, RecordType::CNAME, ttl, [RData::CNAME(CNAME(name(target)))]);
    }

    fn set(&self, of: &str, kind: RecordType, ttl: u32, data: impl IntoIterator<Item = RData>) {
        let mut set = RecordSet::new(name(of), kind, SERIAL);
        for data in data {
            set.insert(Record::from_rdata(name(of), ttl, data), SERIAL);
        }
        // It is served by another thread, which never holds the records for long.
        let mut records = async_io::block_on(self.zone.records_mut());
        let records: &mut BTreeMap<_, _> = &mut records;
        let key = RrKey::new(LowerName::from(name(of)), kind);
        if set.is_empty() {
            records.remove(&key)
        } else {
            records.insert(key, Arc::new(set))
        };
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_str_relaxed(text).expect("the test knows what a name is");
    name.set_fqdn(true);
    name
}

/// Both sockets on one port, within the runtime that is entered.
fn sockets(address: SocketAddr) -> (UdpSocket, TcpListener) {
    let buffers = SocketBuffers { receive: 1 << 16, send: 1 << 16 };
    for _ in 0..ATTEMPTS {
        let listener = bind_tcp(address).expect("a port is free");
        let bound = listener.local_addr().expect("it is bound");
        if let Ok(datagrams) = bind_udp(bound, buffers) {
            let datagrams = UdpSocket::from_std(datagrams).expect("it does not block");
            return (datagrams, TcpListener::from_std(listener).expect("it does not block"));
        }
    }
    panic!("no port of {address} is free for both UDP and TCP");
}
