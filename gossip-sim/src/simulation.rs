//! One whole run of a scenario.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Instant;

use crate::app::App;
use crate::oracle::{Failure, Oracle};
use crate::report::{Report, cpu_time};
use crate::scenario::{Problem, Scenario, Span};
use crate::world::{AppFactory, World};

/// Virtual time that a run goes on at most after its duration and its last fault.
const LONGEST_TAIL: u64 = 24 * 3_600 * 1_000_000;

/// A check of the user's own, at the end of a run.
type Check = Box<dyn Fn(&World) -> Result<(), String>>;

/// A run that is being put together: a scenario, a seed, and the user's own code.
pub struct Simulation {
    scenario: Scenario,
    seed: u64,
    factory: Option<AppFactory>,
    checks: Vec<Check>,
    trace: Option<PathBuf>,
    until_first_failure: bool,
}

impl Simulation {
    /// A run of the scenario with seed 1.
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, seed: 1, factory: None, checks: Vec::new(), trace: None, until_first_failure: false }
    }

    /// Uses another seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Puts an application on each virtual node, whenever the node starts; the factory is told the machine's number.
    #[must_use]
    pub fn app<T: App>(self, factory: impl Fn(u32) -> T + 'static) -> Self {
        let factory: AppFactory = Box::new(move |host| Box::new(factory(host)));
        Self { factory: Some(factory), ..self }
    }

    /// Adds a check at the end of the run, when the nodes have had time to agree.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&World) -> Result<(), String> + 'static) -> Self {
        self.checks.push(Box::new(check));
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
        self.scenario.check()?;
        let (name, seed, nodes) = (self.scenario.name.clone(), self.seed, self.scenario.nodes);
        match catch_unwind(AssertUnwindSafe(|| self.run_unguarded())) {
            Ok(result) => result,
            Err(panic) => {
                let message = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                    .unwrap_or_else(|| "a panic without a message".to_owned());
                let failure = Failure { oracle: Oracle::Panic, at: Span::ZERO, node: None, message };
                Ok(Report { scenario: name, seed, nodes, oracle_failures: vec![failure], ..Report::default() })
            }
        }
    }

    fn run_unguarded(self) -> Result<Report, RunError> {
        let begun = Instant::now();
        let mut world = World::with_apps(&self.scenario, self.seed, self.factory)?;
        if self.until_first_failure {
            world.oracles.stop_at_first();
        }
        if let Some(path) = &self.trace {
            world.trace_to(path)?;
        }
        let setup = begun.elapsed();
        let (begun, cpu) = (Instant::now(), cpu_time());
        let end = world.scenario.duration.as_micros().max(world.faults_end()).max(world.workload_ends());
        world.run_for(Span::micros(end));
        while world.is_unsettled() && world.facts.now < end + LONGEST_TAIL {
            world.run_for(Span::secs(1));
        }
        if !world.oracles.is_full() {
            world.check_agreement(true);
        }
        for check in &self.checks {
            if let Err(message) = check(&world) {
                world.oracles.report(&world.facts, Oracle::Application, None, message);
            }
        }
        let (wall, cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));
        world.trace.finish()?;
        Ok(Report::of(&mut world, self.seed, setup, wall, cpu))
    }
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
    /// Whether the nodes may still come to agree, and have not.
    fn is_unsettled(&self) -> bool {
        let patience = self.facts.settle_time() + 2_000_000;
        let calm_since = self.facts.disturbed.unwrap_or(0).max(self.workload_ends());
        let is_due = self.facts.now < calm_since + patience;
        !self.oracles.is_full() && is_due && (self.facts.faults_active > 0 || !self.has_agreed())
    }

    fn has_agreed(&self) -> bool {
        self.oracles.agreement.took(&self.facts).is_some()
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
