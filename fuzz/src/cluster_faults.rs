//! Three to five nodes under arbitrary faults: no rule of the simulator's oracles is broken meanwhile, and
//! afterwards they agree within the time that they should need.

use arbitrary::{Arbitrary, Unstructured};
use gossip_sim::{Action, Comeback, Fault, Link, RunError, Scenario, Select, Share, Simulation, Span};

/// Most faults of an input.
const FAULTS: usize = 6;

#[derive(Arbitrary, Debug)]
struct Trouble {
    at_ms: u16,
    lasts_ms: u16,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum What {
    Spoil { nodes: u8, loss: u8, duplicate: u8, reorder: u8, corrupt: u8, truncate: u8, replay: u8 },
    Cut { from: u8, to: u8, one_way: bool },
    Split { nodes: u8 },
    Restart { nodes: u8, back_as: u8 },
    Pause { nodes: u8 },
    Noise { nodes: u8, per_second: u8 },
}

/// Runs the cluster of the input.
pub fn cluster_faults(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Some(scenario) = scenario(&mut u) else { return };
    let seed = u64::from(u8::arbitrary(&mut u).unwrap_or(0));
    let text = scenario.to_toml();
    match Simulation::new(scenario).seed(seed).until_first_failure().run() {
        Ok(report) => assert!(report.passed(), "seed {seed}\n{text}\n{report}"),
        // Nodes that come and go in another order than they can.
        Err(RunError::Scenario(_)) => {}
        Err(error) => panic!("{error}"),
    }
}

fn scenario(u: &mut Unstructured<'_>) -> Option<Scenario> {
    let nodes = 3 + u32::from(u8::arbitrary(u).ok()? % 3);
    let mut fault = Vec::new();
    while fault.len() < FAULTS && !u.is_empty() {
        let Ok(trouble) = Trouble::arbitrary(u) else { break };
        fault.push(trouble.into_fault(nodes));
    }
    Some(Scenario { nodes, seeds: nodes, duration: Span::secs(20), fault, ..Scenario::default() })
}

impl Trouble {
    fn into_fault(self, nodes: u32) -> Fault {
        let some = |bits: u8| {
            let chosen: Vec<u32> = (0..nodes).filter(|node| bits & (1 << node) != 0).collect();
            Select::List(if chosen.is_empty() { vec![u32::from(bits) % (nodes - 1)] } else { chosen })
        };
        let back = |how: u8| match how % 4 {
            0 => Comeback::NewId,
            1 => Comeback::NewAddress,
            _ => Comeback::Same,
        };
        let action = match self.what {
            What::Spoil { nodes, loss, duplicate, reorder, corrupt, truncate, replay } => {
                let link = Link {
                    loss: percent(loss, 90),
                    duplicate: percent(duplicate, 50),
                    reorder: percent(reorder, 50),
                    reorder_by: Some(Span::millis(300)),
                    corrupt: percent(corrupt, 30),
                    truncate: percent(truncate, 30),
                    replay: percent(replay, 30),
                    ..Link::default()
                };
                Action::Impair { nodes: some(nodes), with: None, link }
            }
            What::Cut { from, to, one_way } => Action::Cut { from: some(from), to: Some(some(to)), one_way },
            // There has to be another side.
            What::Split { nodes: chosen } => Action::Split { groups: vec![some(chosen & !(1 << (nodes - 1)))] },
            What::Restart { nodes, back_as } => Action::Crash { nodes: some(nodes), back_as: back(back_as) },
            What::Pause { nodes } => Action::Pause { nodes: some(nodes) },
            What::Noise { nodes, per_second } => {
                Action::Noise { nodes: some(nodes), per_second: u32::from(per_second % 60) + 1 }
            }
        };
        let (at, lasts) = (u64::from(self.at_ms % 20_000), u64::from(self.lasts_ms).max(100));
        Fault { at: Span::millis(at), lasts: Some(Span::millis(lasts)), every: None, action }
    }
}

fn percent(value: u8, most: u8) -> Share {
    Share::new(f64::from(value % (most + 1)) / 100.0).expect("at most a whole")
}
