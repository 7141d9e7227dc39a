//! Measures clusters of real nodes on loopback: joining, idling, and crashes, with the settings of the `lan` preset.
//!
//! ```sh
//! cargo run --release -p gossip-bench --bin cluster -- --nodes 8,64 --idle 300 --crashes 5
//! ```

mod idle;
mod measure;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

use crate::measure::Group;

/// Starts clusters in this process, measures them, and prints one JSON object a line.
#[derive(Debug, Parser)]
struct Options {
    /// Sizes to measure, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "8,64")]
    nodes: Vec<usize>,
    /// Seconds of quiet in which traffic, processor time and false suspicions are counted.
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Nodes killed one after the other; the medians of their detection times are printed.
    #[arg(long, default_value_t = 3)]
    crashes: usize,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    for &nodes in &options.nodes {
        if let Err(error) = measure(nodes, &options).await {
            eprintln!("cluster of {nodes}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn measure(nodes: usize, options: &Options) -> Outcome<()> {
    if nodes < 2 || options.crashes + 1 >= nodes {
        return Err("at least two nodes must survive all crashes".into());
    }
    let (mut group, converged) = Group::join_at_once(nodes).await?;
    let idle = idle::watch(&mut group, Duration::from_secs(options.idle)).await?;
    let (mut suspected, mut dead) = (Vec::new(), Vec::new());
    for _ in 0..options.crashes {
        let times = group.kill_one().await?;
        suspected.push(times.suspected);
        dead.push(times.dead_at_all);
    }
    let milliseconds = |times: &[Duration]| times.iter().map(Duration::as_millis).collect::<Vec<_>>();
    let line = json!({
        "nodes": nodes,
        "converged_ms": converged.as_millis(),
        "idle": idle.as_json(),
        "suspected_first_ms": milliseconds(&suspected),
        "suspected_first_ms_median": median(&mut suspected).map(|time| time.as_millis()),
        "dead_all_ms": milliseconds(&dead),
        "dead_all_ms_median": median(&mut dead).map(|time| time.as_millis()),
    });
    println!("{line}");
    group.stop().await;
    Ok(())
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
