//! A simulator for gossip clusters: thousands of real nodes, every fault, virtual time, one seed.
//!
//! The nodes are [`gossip_core::Node`]s that exchange their real bytes. Time is virtual, and everything random follows
//! from a seed: the same scenario and seed give the same run, bit for bit, on every machine. While it runs, oracles
//! check what must hold in every cluster; a run that breaks a rule can be made small and replayed.
//!
//! ```
//! use gossip_sim::{Scenario, Simulation};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scenario = Scenario::parse(
//!     r#"
//!         nodes = 10
//!         duration = "60s"
//!
//!         [[fault]]
//!         at = "5s"
//!         do = { crash = { nodes = 2 } }
//!
//!         [[fault]]
//!         at = "10s"
//!         lasts = "20s"
//!         do = { split = { groups = ["50%"] } }
//!     "#,
//!     "example",
//! )?;
//! let report = Simulation::new(scenario).seed(7).run()?;
//! assert!(report.passed(), "{report}");
//! assert_eq!(report.dead_all_ms.count, 2);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Scenario`] says what happens; it is built in code, read from a file, or one of those [built in](Scenario::builtin).
//! - [`Simulation`] runs it, with [your own code](App) on each node if you like; [`World`] can be driven by hand.
//! - [`Report`] is the outcome, [`html`] draws it, [`compare()`] tells whether another one is worse.
//! - [`Sweep`] runs many seeds on all cores; [`shrink()`] makes a failure small.
//!
//! The command `gossip-sim` does all of it; `docs/SIMULATOR.md` tells how to use it in one's own CI.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "virtual times, node numbers and shares are bounded by the check of the scenario, far below these limits"
)]

mod app;
mod builtin;
mod clock;
mod compare;
mod election;
mod facts;
mod fault;
mod hardship;
mod histogram;
mod history;
mod host;
mod html;
mod keys;
mod link;
mod lock;
mod metrics;
mod oracle;
mod outsider;
mod packet;
mod partition;
mod payload;
mod queue;
mod random;
mod report;
mod sabotage;
mod scenario;
mod shrink;
mod simulation;
mod store;
mod stream;
mod sweep;
mod trace;
mod traffic;
mod trouble;
mod workload;
mod world;

pub use app::{App, AppContext};
pub use compare::{CompareError, Difference, compare};
pub use election::Election;
pub use facts::{Status, Subject};
pub use fault::{Action, Comeback, Fault};
pub use html::html;
pub use keys::Step;
pub use link::{Burst, Latency, Link};
pub use lock::Locks;
pub use metrics::{Crash, NodeTraffic, Sample, Spread, StateChange};
pub use oracle::harmless::Outsiders;
pub use oracle::locks::Counts as LockCounts;
pub use oracle::requests::Failures;
pub use oracle::{Failure, Oracle};
pub use outsider::Tactic;
pub use partition::NodeSet;
pub use report::{FaultSpan, Messages, Percentiles, Report, Requests as RequestCounts};
pub use sabotage::{Bug, Sabotage};
pub use scenario::{
    Chaos, Expected, Kind, Preset, Problem, Replay, Scenario, ScenarioError, Select, Settings, Share, SignedSpan, Span,
    Start,
};
pub use shrink::{Shrunk, shrink, shrink_with};
pub use simulation::{RunError, Simulation};
pub use store::Store;
pub use sweep::{Summary, Sweep, Swept};
pub use traffic::{Broadcasts, Directs, Requests};
pub use workload::Workload;
pub use world::{Addr, World};
