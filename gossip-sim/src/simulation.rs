//! One whole run of a scenario.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use crate::app::App;
use crate::oracle::Oracle;
use crate::report::{Report, cpu_time};
use crate::scenario::{Problem, Scenario, Span};
use crate::world::{AppFactory, World};

/// Virtual time that a run goes on at most after its duration and its last fault.
const LONGEST_TAIL: u64 = 24 * 3_600 * 1_000_000;

/// Microseconds.
const SECOND: u64 = 1_000_000;

/// A check of the user's own.
type Check = Box<dyn Fn(&World) -> Result<(), String>>;

/// A run that is being put together: a scenario, a seed, and the user's own code.
pub struct Simulation {
    scenario: Scenario,
    seed: u64,
    factory: Option<AppFactory>,
    checks: Vec<Check>,
    invariants: Vec<Check>,
    trace: Option<PathBuf>,
    until_first_failure: bool,
}

impl Simulation {
    /// A run of the scenario with seed 1.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            seed: 1,
            factory: None,
            checks: Vec::new(),
            invariants: Vec::new(),
            trace: None,
            until_first_failure: false,
        }
    }

    /// Uses another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Puts an application on each virtual node, whenever the node starts; the factory is told the machine's number.
    #[must_use]
    pub fn app<T: App>(self, factory: impl Fn(u32) -> T + 'static) -> Self {
        let factory: AppFactory = Rc::new(move |host| Box::new(factory(host)));
        Self { factory: Some(factory), ..self }
    }

    /// Adds a check at the end of the run, when the nodes have had time to agree.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&World) -> Result<(), String> + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Adds a check of what has to hold all the time: it is made every second of virtual time.
    #[must_use]
    pub fn invariant(mut self, check: impl Fn(&World) -> Result<(), String> + 'static) -> Self {
        self.invariants.push(Box::new(check));
        self
    }

    /// Tells everything that happens in a file.
    #[must_use]
    pub fn trace(self, path: impl Into<PathBuf>) -> Self {
        Self { trace: Some(path.into()), ..self }
    }

    /// Ends the run when the first rule is broken.
    #[must_use]
    pub fn until_first_failure(self) -> Self {
        Self { until_first_failure: true, ..self }
    }

    /// Runs it. A panic of a node or an application is a failure of the run, not of the caller.
    ///
    /// # Errors
    ///
    /// What is wrong with the scenario, or that the trace file cannot be written.
    pub fn run(self) -> Result<Report, RunError> {
        let begun = Instant::now();
        let mut world = World::with_apps(&self.scenario, self.seed, self.factory)?;
        if self.until_first_failure {
            world.oracles.stop_at_first();
        }
        if let Some(path) = &self.trace {
            world.trace_to(path)?;
        }
        guarded(&mut world, World::populate);
        let setup = begun.elapsed();
        let (begun, cpu) = (Instant::now(), cpu_time());
        guarded(&mut world, |world| world.run_to_the_end(&self.invariants));
        guarded(&mut world, |world| {
            if !world.oracles.is_full() {
                world.judge_locks();
                world.check_agreement(true);
                world.compare_at_the_end();
            }
            world.call(&self.checks);
        });
        let (wall, cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));
        world.tell_failures();
        world.trace.finish()?;
        Ok(Report::of(&mut world, self.seed, setup, wall, cpu))
    }
}

/// Does a part of the run, unless an earlier one panicked; a panic becomes a failure.
fn guarded(world: &mut World, part: impl FnOnce(&mut World)) {
    if world.failures().iter().any(|failure| failure.oracle == Oracle::Panic) {
        return;
    }
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| part(world))) else { return };
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned());
    world.report_panic(&message);
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulation")
            .field("scenario", &self.scenario.name)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl World {
    fn run_to_the_end(&mut self, invariants: &[Check]) {
        let work_ends =
            self.workload_ends().max(self.scenario.traffic_ends()).max(self.writes_end()).max(self.doings_end());
        let end = self.scenario.duration.as_micros().max(self.faults_end()).max(work_ends);
        if invariants.is_empty() {
            self.run_for(Span::micros(end));
        }
        let last = end.saturating_add(LONGEST_TAIL);
        while !self.oracles.is_full() && self.facts.now < last && (self.facts.now < end || self.is_unfinished()) {
            let left = end.checked_sub(self.facts.now).filter(|left| *left > 0).unwrap_or(SECOND);
            self.run_for(Span::micros(left.min(SECOND)));
            self.call(invariants);
        }
    }

    /// Whether the nodes may still come to agree, find a leader or get locks, or messages arrive.
    fn is_unfinished(&self) -> bool {
        let is_open = self.oracles.agreement.is_open(&self.facts, self.last_change());
        is_open || self.awaits_messages() || self.awaits_leader() || self.awaits_stores() || self.awaits_locks()
    }

    fn call(&mut self, checks: &[Check]) {
        for check in checks {
            if let Err(message) = check(self) {
                self.oracles.report(&self.facts, Oracle::Application, None, message);
            }
        }
    }
}

/// Why a run could not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be.
    #[error("{0}")]
    Scenario(#[from] Problem),
    /// The trace file cannot be written.
    #[error("the trace cannot be written: {0}")]
    Trace(#[from] std::io::Error),
}
