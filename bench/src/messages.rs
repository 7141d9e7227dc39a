//! Measures messages between two nodes in this process, over loopback: what each costs, both ends together.
//!
//! ```sh
//! cargo run --release -p gossip-bench --bin messages
//! ```

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use comfy_table::Table;
use futures_util::{StreamExt, stream};
use gossip_tokio::{Cluster, Config, MessageType, Payload, Raw, Rejected, Reliability, Request};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Longest wait for messages that may be lost.
const SILENCE: Duration = Duration::from_millis(500);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends messages and requests between two nodes and prints what they cost, beside what the reference takes.
#[derive(Debug, Parser)]
struct Options {
    /// Messages in each measurement.
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Reliable messages and requests under way at the same time.
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Datagrams sent ahead of what has arrived; 0 sends as fast as the node takes them, and loses what the receiver's
    /// socket cannot hold.
    #[arg(long, default_value_t = 1_024)]
    window: u64,
    /// Sizes of messages in bytes.
    #[arg(long, value_delimiter = ',', default_value = "100,1024")]
    sizes: Vec<usize>,
    /// How often each measurement is repeated; the best is printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these: datagram, reliable, request.
    #[arg(long, value_delimiter = ',', default_value = "datagram,reliable,request")]
    only: Vec<Kind>,
    /// Prints one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Best effort, by datagram.
    Datagram,
    /// By stream, confirmed.
    Reliable,
    /// Answered with as many bytes.
    Request,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match measure_all(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("messages: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_all(options: &Options) -> Outcome<()> {
    let pair = Pair::start().await?;
    let mut results = Vec::new();
    for kind in [Kind::Datagram, Kind::Reliable, Kind::Request].into_iter().filter(|kind| options.only.contains(kind)) {
        for &size in options.sizes.iter().filter(|&&size| kind != Kind::Request || size == options.sizes[0]) {
            let mut rounds = Vec::new();
            for _ in 0..options.rounds.max(1) {
                rounds.push(pair.measure(kind, size, options).await?);
            }
            rounds.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
            results.extend(rounds.into_iter().next());
        }
    }
    if options.json {
        for result in &results {
            println!("{}", result.as_json());
        }
    } else {
        println!("{}", table(&results));
    }
    pair.stop().await;
    Ok(())
}

/// What one measurement gave.
struct Measured {
    kind: Kind,
    size: usize,
    per_second: f64,
    /// Processor time for each message, both ends together.
    cpu_us: f64,
    lost: u64,
}

/// What the reference takes for the same on a machine of two cores: CPU in µs for each message, messages a second.
struct Reference {
    cpu_us: Option<(f64, f64)>,
    per_second: Option<(f64, f64)>,
}

impl Measured {
    fn reference(&self) -> Reference {
        let (cpu_us, per_second) = match (self.kind, self.size) {
            (Kind::Datagram, 100) => (Some((12.0, 19.0)), None),
            (Kind::Datagram, 1_000..=1_024) => (Some((14.0, 22.0)), None),
            (Kind::Reliable, 100) => (Some((106.0, 126.0)), Some((7_800.0, 7_800.0))),
            (Kind::Reliable, 1_000..=1_024) => (Some((131.0, 143.0)), None),
            (Kind::Request, 100) => (None, Some((6_400.0, 8_300.0))),
            _ => (None, None),
        };
        Reference { cpu_us, per_second }
    }

    /// The share of the reference's processor time, its lower and its upper figure.
    fn cpu_ratio(&self) -> Option<(f64, f64)> {
        self.reference().cpu_us.map(|(low, high)| (self.cpu_us / high, self.cpu_us / low))
    }

    /// How many times the reference's rate.
    fn rate_ratio(&self) -> Option<(f64, f64)> {
        self.reference().per_second.map(|(low, high)| (self.per_second / high, self.per_second / low))
    }

    fn as_json(&self) -> Value {
        json!({
            "kind": self.kind.name(),
            "bytes": self.size,
            "per_second": self.per_second.round(),
            "cpu_us": self.cpu_us,
            "lost": self.lost,
            "cpu_share_of_reference": self.cpu_ratio().map(|(low, high)| [low, high]),
            "times_rate_of_reference": self.rate_ratio().map(|(low, high)| [low, high]),
        })
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Reliable => "reliable",
            Self::Request => "request",
        }
    }
}

fn table(results: &[Measured]) -> Table {
    let range =
        |ratio: Option<(f64, f64)>| ratio.map_or_else(|| "-".into(), |(low, high)| format!("{low:.2}-{high:.2}"));
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_FULL_CONDENSED);
    table.set_header(["kind", "bytes", "messages/s", "CPU µs each", "lost", "CPU / reference", "rate / reference"]);
    for result in results {
        table.add_row([
            result.kind.name().to_owned(),
            result.size.to_string(),
            format!("{:.0}", result.per_second),
            format!("{:.2}", result.cpu_us),
            result.lost.to_string(),
            range(result.cpu_ratio()),
            range(result.rate_ratio()),
        ]);
    }
    table
}

/// Two nodes that know each other, and what the second one has received.
struct Pair {
    sender: Cluster,
    receiver: Cluster,
    received: Arc<AtomicU64>,
    kind: MessageType,
}

impl Pair {
    async fn start() -> Outcome<Self> {
        let config = || Config::lan("bench").bind("127.0.0.1:0");
        let (sender, receiver) = (Cluster::start(config()).await?, Cluster::start(config()).await?);
        sender.join([receiver.address().to_string()]).await?;
        let kind = MessageType::user(200)?;
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        receiver.handle_messages(kind, move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        })?;
        receiver.handle_requests(kind, |request: Request| std::future::ready(echo(&request.payload)))?;
        Ok(Self { sender, receiver, received: count, kind })
    }

    async fn measure(&self, kind: Kind, size: usize, options: &Options) -> Outcome<Measured> {
        let mut body = vec![0; size];
        getrandom::fill(&mut body)?;
        // A connection, and memory that is used again.
        self.run(kind, &body, (options.messages / 20).max(1), options).await?;
        let (begin, processor) = (Instant::now(), processor_time());
        let (lost, end) = self.run(kind, &body, options.messages, options).await?;
        let processor = processor_time().saturating_sub(processor);
        // What is lost costs its sender, and is of use to nobody.
        let count = (options.messages - lost) as f64;
        Ok(Measured {
            kind,
            size,
            per_second: count / (end - begin).as_secs_f64(),
            cpu_us: processor.as_secs_f64() * 1e6 / count,
            lost,
        })
    }

    /// Sends so many; how many were lost, and when the last one came.
    async fn run(&self, kind: Kind, body: &[u8], count: u64, options: &Options) -> Outcome<(u64, Instant)> {
        self.received.store(0, Ordering::Relaxed);
        let (to, about, in_flight) = (self.receiver.id(), self.kind, options.in_flight);
        let sender = self.sender.patient();
        match kind {
            Kind::Datagram => {
                for number in 0..count {
                    if options.window > 0 && number % (options.window / 2).max(1) == 0 {
                        self.settle(number.saturating_sub(options.window / 2)).await;
                    }
                    sender.send(to, about, Raw(body), Reliability::BestEffort).await?;
                }
                return Ok(self.settle(count).await);
            }
            Kind::Reliable => {
                let sends = (0..count).map(|_| sender.send(to, about, Raw(body), Reliability::Reliable));
                let mut sends = stream::iter(sends).buffer_unordered(in_flight);
                while let Some(sent) = sends.next().await {
                    sent?;
                }
            }
            Kind::Request => {
                let requests = (0..count).map(|_| sender.request(to, about, Raw(body), PATIENCE));
                let mut answers = stream::iter(requests).buffer_unordered(in_flight);
                while let Some(answer) = answers.next().await {
                    if answer?.bytes()?.len() != body.len() {
                        return Err("an answer of another length than the request".into());
                    }
                }
            }
        }
        Ok((0, Instant::now()))
    }

    /// Waits until so many have arrived, or nothing more comes; how many are missing, and when the last one came.
    async fn settle(&self, count: u64) -> (u64, Instant) {
        let (mut seen, mut last) = (0, Instant::now());
        loop {
            let received = self.received.load(Ordering::Relaxed);
            if received > seen {
                (seen, last) = (received, Instant::now());
            }
            if seen >= count || last.elapsed() > SILENCE {
                return (count.saturating_sub(seen), last);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.sender.shutdown().await;
        self.receiver.shutdown().await;
    }
}

fn echo(payload: &Payload) -> Result<Raw<impl AsRef<[u8]> + use<>>, Rejected> {
    Ok(Raw(payload.bytes()?))
}

/// Processor time of this process so far: of both nodes, and of the system on their behalf.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
