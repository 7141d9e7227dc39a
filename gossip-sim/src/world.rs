//! The world: virtual machines, the ways between them, and what happens next.

mod act;
mod connect;
mod preload;
mod pump;
mod send;
mod start;
mod watch;

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use bytes::BytesMut;
use gossip_core::Node;

use crate::app::App;
use crate::facts::{Facts, Person, Status};
use crate::fault::Action;
use crate::host::Host;
use crate::link::Path;
use crate::metrics::Metrics;
use crate::oracle::{Failure, Oracles};
use crate::packet::{PacketId, Pool};
use crate::queue::{Class, Queue};
use crate::random::{Purpose, Random};
use crate::scenario::{Problem, Scenario, Select, Span};
use crate::stream::Connections;
use crate::trace::Trace;

pub(crate) use send::Echoes;

/// The address of a virtual node.
pub type Addr = u32;

/// No machine has the address.
const NOBODY: u32 = u32::MAX;

/// What will happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A datagram arrives at an address.
    Datagram {
        packet: PacketId,
        to: Addr,
    },
    /// A slow machine has read something.
    Read {
        host: u32,
        life: u32,
    },
    /// A node's deadline.
    Timer {
        host: u32,
    },
    /// A machine tries to connect.
    Dial {
        connection: u32,
    },
    /// A connection is made.
    Connected {
        connection: u32,
    },
    /// One end of a connection sends what waits there.
    Push {
        connection: u32,
        by_dialer: bool,
    },
    /// A frame arrives.
    Frame {
        connection: u32,
        by_dialer: bool,
        packet: PacketId,
    },
    /// A connection may have been unused for long.
    Idle {
        connection: u32,
    },
    /// A machine is told that a peer cannot be reached.
    Unreachable {
        host: u32,
        life: u32,
        address: Addr,
    },
    Begin {
        fault: u32,
    },
    End {
        fault: u32,
    },
    /// A flip-flop changes.
    Flip {
        fault: u32,
        closes: bool,
    },
    /// Garbage for one of the targets of a fault.
    Noise {
        fault: u32,
    },
    /// A node starts and joins.
    Start {
        host: u32,
    },
    /// The application's timer.
    Wake {
        host: u32,
    },
    /// The workload changes something.
    Work,
    /// The oracles look at the whole.
    Watch,
}

/// Makes the application of each virtual node.
pub(crate) type AppFactory = Box<dyn Fn(u32) -> Box<dyn App>>;

/// A cluster of real nodes in virtual time.
///
/// [`Simulation`](crate::Simulation) runs a whole scenario; a world can also be driven by hand, in steps, to look at
/// its nodes in between.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) facts: Facts,
    pub(crate) hosts: Vec<Host>,
    /// Which machine has an address.
    addresses: Vec<u32>,
    queue: Queue<What>,
    pool: Pool,
    connections: Connections,
    path: Path,
    /// Impairments in force, by fault: who is struck, with whom, and how.
    impairments: BTreeMap<u32, send::Impairment>,
    echoes: Echoes,
    links: Random,
    nodes: Random,
    work: Random,
    noise: Random,
    pub(crate) trace: Trace,
    pub(crate) oracles: Oracles,
    pub(crate) metrics: Metrics,
    buffer: BytesMut,
    factory: Option<AppFactory>,
    /// Whether the sabotage of the scenario is in effect.
    sabotaged: bool,
}

impl World {
    /// The world of a scenario, at its beginning.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario, and where.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, Problem> {
        Self::with_apps(scenario, seed, None)
    }

    pub(crate) fn with_apps(scenario: &Scenario, seed: u64, factory: Option<AppFactory>) -> Result<Self, Problem> {
        scenario.check()?;
        let scenario = scenario.expanded(seed);
        let mut world = Self {
            facts: Facts::new(&scenario),
            hosts: Vec::new(),
            addresses: Vec::new(),
            queue: Queue::new(),
            pool: Pool::default(),
            connections: Connections::default(),
            path: Path::new(&scenario.base_link()),
            impairments: BTreeMap::new(),
            echoes: Echoes::new(&scenario),
            links: Random::new(seed, Purpose::Links),
            nodes: Random::new(seed, Purpose::Nodes),
            work: Random::new(seed, Purpose::Workload),
            noise: Random::new(seed, Purpose::Noise),
            trace: Trace::new(),
            oracles: Oracles::new(),
            metrics: Metrics::new(&scenario),
            buffer: BytesMut::with_capacity(64 << 10),
            factory,
            sabotaged: false,
            scenario,
        };
        world.populate();
        Ok(world)
    }

    fn populate(&mut self) {
        for _ in 0..self.host_count() {
            let host = u32::try_from(self.hosts.len()).expect("the scenario bounds the number of nodes");
            self.hosts.push(Host::new());
            self.addresses.push(host);
            self.facts.people.push(Person { address: host, ..Person::default() });
        }
        for fault in 0..self.scenario.fault.len() {
            let at = self.scenario.fault[fault].at.as_micros();
            self.queue.push(at, Class::Fault, What::Begin { fault: fault as u32 });
        }
        self.start_all();
        self.plant();
        if let Some(workload) = &self.scenario.workload {
            self.queue.push(workload.every.as_micros(), Class::Watch, What::Work);
        }
        self.queue.push(watch::INTERVAL, Class::Watch, What::Watch);
    }

    /// Machines that the scenario speaks of: those at the start, and newcomers.
    fn host_count(&self) -> u32 {
        let joins = self.scenario.fault.iter().filter_map(|fault| match &fault.action {
            Action::Join { nodes: Select::List(list) } => list.iter().max(),
            _ => None,
        });
        joins.map(|&last| last + 1).fold(self.scenario.nodes, u32::max)
    }

    /// Virtual time since the start.
    pub fn now(&self) -> Span {
        Span::micros(self.facts.now)
    }

    /// Virtual machines, running or not.
    pub fn len(&self) -> u32 {
        self.hosts.len() as u32
    }

    /// Whether there is no machine; never true.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The node on a machine, if it runs.
    pub fn node(&self, host: u32) -> Option<&Node<Addr>> {
        self.hosts.get(host as usize)?.node.as_ref()
    }

    /// What the node of a machine is doing.
    pub fn status(&self, host: u32) -> Status {
        self.facts.people.get(host as usize).map_or(Status::Absent, |person| person.status)
    }

    /// The application on a machine, if it is of this type.
    pub fn app<T: App>(&self, host: u32) -> Option<&T> {
        let app: &dyn std::any::Any = self.hosts.get(host as usize)?.app.as_deref()?;
        app.downcast_ref()
    }

    /// What the oracles found so far.
    pub fn failures(&self) -> &[Failure] {
        self.oracles.failures()
    }

    /// The fingerprint of everything that happened so far.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// The scenario, with all random choices made.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Tells everything that happens from now on in a file, line by line.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn trace_to(&mut self, path: &FilePath) -> std::io::Result<()> {
        self.trace.write_to(path)
    }

    /// Runs for a span of virtual time, or until the oracles have seen enough.
    pub fn run_for(&mut self, span: Span) {
        let end = self.facts.now.saturating_add(span.as_micros());
        while !self.oracles.is_full() && self.step(end) {}
        self.facts.now = self.facts.now.max(end);
    }

    /// Does what happens next, if it happens until `end`.
    pub(crate) fn step(&mut self, end: u64) -> bool {
        let Some((at, what)) = self.queue.pop(end) else { return false };
        self.facts.now = at;
        self.metrics.steps += 1;
        match what {
            What::Datagram { packet, to } => self.arrive(packet, to),
            What::Read { host, life } => self.read_next(host, life),
            What::Timer { host } => self.fire(host),
            What::Dial { connection } => self.dial(connection),
            What::Connected { connection } => self.connected(connection),
            What::Push { connection, by_dialer } => self.push(connection, by_dialer),
            What::Frame { connection, by_dialer, packet } => self.frame(connection, by_dialer, packet),
            What::Idle { connection } => self.idle(connection),
            What::Unreachable { host, life, address } => self.unreachable(host, life, address),
            What::Begin { fault } => self.begin(fault),
            What::End { fault } => self.end(fault),
            What::Flip { fault, closes } => self.flip(fault, closes),
            What::Noise { fault } => self.make_noise(fault),
            What::Start { host } => self.start_and_join(host),
            What::Wake { host } => self.wake(host),
            What::Work => self.do_work(),
            What::Watch => self.watch(),
        }
        true
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now()).field("hosts", &self.len()).finish_non_exhaustive()
    }
}
