//! The world: virtual machines, the ways between them, and what happens next.

mod act;
mod connect;
mod deliveries;
mod hand;
mod keys;
mod lead;
mod lock;
mod mirror;
mod outsider;
mod preload;
mod pump;
mod send;
mod start;
mod store;
mod traffic;
mod watch;

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::rc::Rc;

use bytes::BytesMut;
use gossip_core::{Channel, Node};

use crate::app::App;
use crate::facts::{Facts, Person, Status};
use crate::host::Host;
use crate::link::Path;
use crate::metrics::Metrics;
use crate::oracle::{Failure, Oracle, Oracles};
use crate::outsider::Outsiders;
use crate::packet::{PacketId, Pool};
use crate::queue::{Class, Queue};
use crate::random::{Purpose, Random};
use crate::scenario::{Problem, Scenario, Span};
use crate::stream::Connections;
use crate::trace::Trace;
use crate::traffic::Entry;

use lock::Doings;
pub(crate) use send::Echoes;
use store::Writes;
use traffic::Traffic;

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
    /// Packets of an outsider for each of his victims.
    Intrude {
        fault: u32,
    },
    /// What an outsider sent arrives.
    Intrusion {
        host: u32,
        packet: PacketId,
        channel: Channel,
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
    /// The next message of an entry of the scenario.
    Send {
        entry: Entry,
    },
    /// The next write to the store.
    Write,
    /// The next operation on a lock.
    Grasp,
    /// An answer that was put off.
    Answer {
        number: u64,
    },
    /// The oracles look at the whole.
    Watch,
    /// They look whether an agreement has begun.
    Look,
}

/// Makes the application of each virtual node.
pub(crate) type AppFactory = Rc<dyn Fn(u32) -> Box<dyn App>>;

/// A cluster of real nodes in virtual time.
///
/// [`Simulation`](crate::Simulation) runs a whole scenario; a world can also be driven by hand, in steps, to look at
/// its nodes in between, to use them, and to strike them with faults.
pub struct World {
    pub(crate) scenario: Scenario,
    seed: u64,
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
    traffic: Traffic,
    writes: Writes,
    doings: Doings,
    outsiders: Outsiders,
    /// The same without outsiders, to compare with.
    mirror: Option<Box<Self>>,
    /// This is such a world.
    is_mirror: bool,
    /// Whether the sabotage of the scenario is in effect.
    sabotaged: bool,
    /// What is happening.
    current: Option<What>,
    /// How often an application was called.
    calls: u64,
    /// The machine whose application is being called.
    calling: Option<u32>,
}

impl World {
    /// The world of a scenario, at its beginning.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario, and where.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, Problem> {
        let mut world = Self::with_apps(scenario, seed, None)?;
        world.populate();
        Ok(world)
    }

    /// The world before anything is in it.
    pub(crate) fn with_apps(scenario: &Scenario, seed: u64, factory: Option<AppFactory>) -> Result<Self, Problem> {
        scenario.check()?;
        let scenario = scenario.expanded(seed);
        let mut facts = Facts::new(&scenario);
        facts.config.keys = scenario.sealed.then(|| crate::keys::ring(seed));
        let world = Self {
            facts,
            seed,
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
            traffic: Traffic::new(seed),
            writes: Writes::new(seed),
            doings: Doings::new(seed),
            outsiders: Outsiders::new(seed),
            mirror: None,
            is_mirror: false,
            sabotaged: false,
            current: None,
            calls: 0,
            calling: None,
            scenario,
        };
        Ok(world)
    }

    /// Sets all machines up and starts the first nodes.
    pub(crate) fn populate(&mut self) {
        self.set_up_mirror();
        for _ in 0..self.scenario.machines() {
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
        self.begin_traffic();
        self.begin_writes();
        self.begin_doings();
        self.queue.push(0, Class::Watch, What::Look);
        self.queue.push(watch::INTERVAL, Class::Watch, What::Watch);
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

    pub(crate) fn has_app(&self) -> bool {
        self.factory.is_some()
    }

    /// What the oracles found so far.
    pub fn failures(&self) -> &[Failure] {
        self.oracles.failures()
    }

    /// The fingerprint of everything that happened so far.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// A node or an application panicked: whoever was being called.
    pub(crate) fn report_panic(&mut self, message: &str) {
        let (host, what) = match self.calling.take() {
            Some(host) => (Some(host), "the application panicked: "),
            None => (self.current.and_then(|what| self.machine_of(what)), ""),
        };
        self.oracles.report(&self.facts, Oracle::Panic, host, format!("{what}{message}"));
    }

    /// The machine at which something happens, if at one.
    fn machine_of(&self, what: What) -> Option<u32> {
        match what {
            What::Datagram { to, .. } => Some(self.host_at(to)).filter(|&host| host != NOBODY),
            What::Read { host, .. }
            | What::Timer { host }
            | What::Unreachable { host, .. }
            | What::Start { host }
            | What::Intrusion { host, .. }
            | What::Wake { host } => Some(host),
            _ => None,
        }
    }

    /// Writes into the file of the trace what the oracles found.
    pub(crate) fn tell_failures(&mut self) {
        for failure in self.oracles.failures() {
            self.trace.tell(failure.at.as_micros(), format_args!("oracle: {failure}"));
        }
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
        self.current = Some(what);
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
            What::Intrude { fault } => self.intrude(fault),
            What::Intrusion { host, packet, channel } => self.meet_intrusion(host, packet, channel),
            What::Start { host } => self.start_and_join(host),
            What::Wake { host } => self.wake(host),
            What::Work => self.do_work(),
            What::Send { entry } => self.send_next(entry),
            What::Write => self.write_next(),
            What::Grasp => self.grasp_next(),
            What::Answer { number } => self.give_answer(number),
            What::Watch => self.watch(),
            What::Look => self.look_closely(),
        }
        true
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now()).field("hosts", &self.len()).finish_non_exhaustive()
    }
}
