//! The agent: one node, its control endpoint and its log, until it is told to stop.

mod election;
mod journal;
mod kept;
mod locks;
mod web;

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gossip_tokio::{Cluster, Config, Endpoint, KeyRing, LockConfig, StartError, Store, StoreConfig, Tags};
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::{AgentArgs, PlaintextMode};
use crate::config_file::Settings;

use crate::control::answer::Steering;
use crate::control::protocol::MetaValue;
use crate::control::server::Server;
use crate::control::{ControlAddress, ControlChoice};
use crate::describe::NAME_KEY;
use crate::exit::Failure;
use crate::key_file::KeyFile;
use crate::output;
use crate::signals::StopSignals;

pub(crate) use election::ElectionChoice;
use kept::Kept;
pub(crate) use locks::LocksChoice;

/// What the key-value store of agents is called.
const STORE: &str = "default";

/// The cluster's name unless one is given.
const DEFAULT_CLUSTER: &str = "default";

/// What the agent does beside being a member.
#[derive(Debug)]
struct Duties {
    kv: bool,
    kv_file: Option<PathBuf>,
    elections: Vec<ElectionChoice>,
    pools: Vec<(String, LockConfig)>,
}

/// An agent at work.
pub(crate) type Serving = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// Checks the settings, starts the log, and hands the agent to `run`.
///
/// # Errors
///
/// What keeps it from starting, or why it stopped other than on request.
pub(crate) fn run(args: AgentArgs, run: impl FnOnce(Serving) -> Result<(), Failure>) -> Result<(), Failure> {
    let print_config = args.print_config;
    let settings = gather(args)?;
    let config = configure(&settings)?;
    let filter = log_filter(settings.log.as_deref().unwrap_or("info"))?;
    if print_config {
        let preset = settings.preset.unwrap_or_default().config(&config.protocol.cluster);
        return output::print(&settings.spelled_out(&config).to_toml(&preset)?);
    }
    start_log(filter)?;
    let usual = || ControlChoice::usual(settings.key_file.is_some());
    let control = settings.control.clone().map_or_else(usual, Ok)?;
    let pools = locks::assigned(&settings.locks, &settings.election)?;
    let Settings { kv, kv_file, election: elections, .. } = settings;
    let duties = Duties { kv: kv.unwrap_or_default() || kv_file.is_some(), kv_file, elections, pools };
    run(Box::pin(serve(config, control, duties)))
}

/// The settings of the command line over those of the file.
fn gather(args: AgentArgs) -> Result<Settings, Failure> {
    let file = args.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
    let mut meta = BTreeMap::new();
    for (key, value) in args.meta {
        if meta.insert(key.clone(), value).is_some() {
            return Err(Failure::Usage(format!("--meta: key {key:?} is given twice; give each once")));
        }
    }
    let line = Settings {
        bind: args.bind,
        advertise: args.advertise,
        stream_only: args.stream_only.then_some(true),
        dial_only: args.dial_only.then_some(true),
        cluster: args.cluster,
        id: args.id,
        name: args.name,
        join: args.join,
        tag: args.tag,
        control: args.control,
        kv: args.kv.then_some(true),
        kv_file: args.kv_file,
        election: args.election,
        locks: args.locks,
        key_file: args.key_file,
        plaintext: args.plaintext,
        ws_listen: args.ws_listen,
        ws_advertise: args.ws_advertise,
        tls_cert: args.tls.tls_cert,
        tls_key: args.tls.tls_key,
        tls_ca: args.tls.tls_ca,
        tls_name: args.tls.tls_name,
        tcp_tls: args.tls.tcp_tls.then_some(true),
        mutual_tls: args.tls.mutual_tls.then_some(true),
        token_file: args.token_file,
        preset: args.preset,
        log: args.log.or_else(|| env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())),
        meta,
        ..Settings::default()
    };
    Ok(line.over(file))
}

/// The node's configuration, checked as a whole.
fn configure(settings: &Settings) -> Result<Config, Failure> {
    let cluster = settings.cluster.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let mut config = settings.preset.unwrap_or_default().config(cluster);
    settings.protocol.apply(&mut config.protocol);
    settings.transport.apply(&mut config);
    config.stream_only = settings.stream_only.unwrap_or_default();
    config.dial_only = settings.dial_only.unwrap_or_default();
    match (&settings.bind, &settings.ws_listen) {
        (Some(_), _) | (None, Some(_)) if config.dial_only => {
            return Err(Failure::usage(
                "a node that only dials listens nowhere: leave out bind and ws_listen, or dial_only",
            ));
        }
        (Some(bind), _) => config.bind.clone_from(bind),
        (None, Some(_)) => config.web_only = true,
        (None, None) if config.dial_only => {}
        (None, None) => {
            return Err(Failure::usage(
                "no bind address: give --bind ADDR, or bind = \"ADDR\" in the configuration file; \
                 or --dial-only for a node that nobody connects to",
            ));
        }
    }
    config.advertise.clone_from(&settings.advertise);
    config.id = settings.id;
    config.tags.clone_from(&settings.tag);
    config.seeds.clone_from(&settings.join);
    config.metadata = metadata(settings)?;
    let config = web::configured(with_keys(config, settings)?, settings)?;
    config.validate().map_err(|error| {
        // Of a text its length is checked, and what is said is that number alone.
        let unit = if ["cluster", "application"].contains(&error.field) { " (its length in bytes)" } else { "" };
        Failure::usage(format!("configuration: {}{unit}: {}", error.field, error.reason))
    })?;
    check_addresses(&config)?;
    check_tags(&config.tags)?;
    election::check(&settings.election)?;
    locks::assigned(&settings.locks, &settings.election)?;
    Ok(config)
}

/// The same configuration with the keys of the file, if there is one.
fn with_keys(config: Config, settings: &Settings) -> Result<Config, Failure> {
    let mode = settings.plaintext.unwrap_or_default();
    match &settings.key_file {
        Some(path) => {
            let (file, ring) = KeyFile::open(path)?;
            Ok(config.keys(ring, mode.into()).key_keeper(file))
        }
        None if mode == PlaintextMode::Refuse => Ok(config),
        None => Err(Failure::usage(
            "--plaintext, or plaintext in the configuration file, is about a node that has keys: give --key-file too",
        )),
    }
}

fn metadata(settings: &Settings) -> Result<Vec<(String, gossip_tokio::Value)>, Failure> {
    let mut entries = settings.meta.clone();
    if settings.name.as_deref() == Some("") {
        return Err(Failure::usage("--name, or name in the configuration file: the name is empty; leave it out"));
    }
    if let Some(name) = &settings.name
        && entries.insert(NAME_KEY.to_owned(), MetaValue::Text(name.clone())).is_some()
    {
        let reason = "the metadata key \"name\" is set by --name and by --meta (or their like in the file); choose one";
        return Err(Failure::usage(reason));
    }
    entries
        .into_iter()
        .map(|(key, value)| match value.into_value() {
            Ok(value) => Ok((key, value)),
            Err(reason) => Err(Failure::Usage(format!("metadata key {key:?}: {reason}"))),
        })
        .collect()
}

fn check_addresses(config: &Config) -> Result<(), Failure> {
    let bad = |option: &str, error: &dyn std::fmt::Display| {
        Failure::Usage(format!("--{option}, or {option} in the configuration file: {error}"))
    };
    Endpoint::parse_bind(&config.bind, config.prefer_ipv6).map_err(|error| bad("bind", &error))?;
    if let Some(advertise) = &config.advertise {
        let advertised = Endpoint::parse_advertise(advertise).map_err(|error| bad("advertise", &error))?;
        if advertised.as_web_address().is_some() && config.web_listen.is_none() {
            let reason = format!("this node would be known as {advertise} and listen nowhere; give --ws-listen too");
            return Err(bad("advertise", &reason));
        }
        if advertised.as_web_address().is_some() && !config.web_only {
            let reason = format!(
                "a node that is known as {advertise} has no sockets at the bind address; leave out --bind, or give \
                 --ws-advertise instead, to be known by the sockets and by the URL"
            );
            return Err(bad("advertise", &reason));
        }
    }
    for seed in &config.seeds {
        seed.parse::<Endpoint>().map_err(|error| bad("join", &error))?;
    }
    Ok(())
}

fn check_tags(tags: &[String]) -> Result<(), Failure> {
    let (most, longest) = (Tags::MOST, Tags::LONGEST);
    if tags.len() > most {
        return Err(Failure::Usage(format!("--tag: {} tags, at most {most} are allowed", tags.len())));
    }
    if let Some(tag) = tags.iter().find(|tag| tag.contains(',')) {
        let reason =
            format!("--tag: {tag:?} has a comma; give --tag once for each tag, or tag = [\"a\", \"b\"] in a file");
        return Err(Failure::Usage(reason));
    }
    match tags.iter().find(|tag| tag.is_empty() || tag.len() > longest) {
        Some(tag) => Err(Failure::Usage(format!("--tag: a tag of {} bytes, expected 1 to {longest}", tag.len()))),
        None => Ok(()),
    }
}

/// Reads what to log. A word that is no level would be taken for a target, and silence everything else.
fn log_filter(text: &str) -> Result<EnvFilter, Failure> {
    let wrong = |reason: &str| Failure::Usage(format!("--log (or RUST_LOG): {text:?} is not a log filter: {reason}"));
    let is_understood = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    // Between brackets stand spans and their fields, which may hold commas.
    if !text.contains('[')
        && let Some(part) = text.split(',').map(str::trim).find(|part| !is_understood(part))
    {
        let reason = format!("{part:?} is neither off, error, warn, info, debug or trace, nor TARGET=LEVEL");
        return Err(wrong(&reason));
    }
    EnvFilter::try_new(text).map_err(|error| wrong(&error.to_string()))
}

fn start_log(mut filter: EnvFilter) -> Result<(), Failure> {
    // The journal tells the same events, with the names of the nodes.
    if let Ok(directive) = "gossip_driver::report=off".parse() {
        filter = filter.add_directive(directive);
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(output::colours(&io::stderr()))
        .with_writer(io::stderr)
        // The agent goes on when nobody reads its log any more.
        .log_internal_errors(false)
        .try_init()
        .map_err(Failure::failed)
}

async fn serve(config: Config, control: ControlChoice, duties: Duties) -> Result<(), Failure> {
    let mut signals = StopSignals::listen().map_err(Failure::failed)?;
    let server = match &control {
        ControlChoice::At(address) => Some(Server::bind(address).await?),
        ControlChoice::None => None,
    };
    let cluster_name = config.protocol.cluster.clone();
    let seeds = config.seeds.iter().filter_map(|seed| seed.parse::<Endpoint>().ok()?.as_node_address()).collect();
    let leave_timeout = config.protocol.leave_timeout;
    // One byte says in which form the content is.
    let max_payload = config.protocol.max_payload() - 1;
    let keys = config.protocol.keys.clone();
    let has_tcp_tls = config.tcp_tls;
    let cluster = Cluster::start(config).await.map_err(|error| blame(&error))?;
    let store = open_store(&cluster, duties.kv).await?;
    let mut kept = match (&store, duties.kv_file) {
        (Some(store), Some(path)) => Some(Kept::open(store.clone(), path).await?),
        _ => None,
    };
    let elections = election::enter(&cluster, duties.elections).await?;
    let pools = locks::open(&cluster, duties.pools).await?;
    let steering = Steering::new(cluster.clone(), cluster_name.clone(), max_payload).with_store(store);
    let steering = Arc::new(steering.with_elections(elections).with_locks(pools));
    tokio::spawn(journal::keep(cluster.clone(), cluster.events(), seeds, keys.is_some()));
    tell_of_keys(keys.as_ref());
    if has_tcp_tls && keys.is_none() && cluster.address().takes_datagrams() {
        warn!(
            "TLS covers connections alone, and datagrams are not sealed: add --key-file, or --stream-only to have none"
        );
    }
    if keys.is_some() {
        warn_of_neighbours(&control);
    }
    announce(&cluster, &cluster_name, server.as_ref());

    let serving = async {
        match &server {
            Some(server) => server.run(Arc::clone(&steering)).await,
            None => std::future::pending().await,
        }
    };
    let keeping = async {
        match &mut kept {
            Some(kept) => kept.keep().await,
            None => std::future::pending().await,
        }
    };
    let signal = tokio::select! {
        () = serving => None,
        () = keeping => None,
        () = steering.left() => None,
        reason = cluster.stopped() => return Err(Failure::failed(format!("the node stopped: {reason}"))),
        signal = signals.next() => Some(signal),
    };
    let saving = async {
        if let Some(kept) = &mut kept {
            kept.save().await;
        }
    };
    match signal {
        Some(signal) => leave(&cluster, leave_timeout, signal, &mut signals, saving).await?,
        None => saving.await,
    }
    cluster.shutdown().await;
    if let Some(server) = &server {
        server.finish().await;
    }
    info!("stopped");
    Ok(())
}

async fn open_store(cluster: &Cluster, is_wanted: bool) -> Result<Option<Store>, Failure> {
    if !is_wanted {
        return Ok(None);
    }
    let store = cluster.open_store(STORE, StoreConfig::default()).await;
    store.map(Some).map_err(|error| Failure::failed(format!("cannot open the store: {error}")))
}

async fn leave(
    cluster: &Cluster,
    longest: Duration,
    signal: &str,
    signals: &mut StopSignals,
    saving: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let longest = humantime::format_duration(longest);
    info!("leaving the cluster, for at most {longest}; {signal} again stops at once");
    let leaving = async {
        saving.await;
        cluster.leave().await
    };
    tokio::select! {
        outcome = leaving => match outcome {
            Ok(report) => info!(acknowledged = report.acknowledged, "left the cluster"),
            // It has left already, or has nothing to leave because another node has its id.
            Err(error) => info!(%error, "there was nothing to leave"),
        },
        signal = signals.next() => {
            cluster.shutdown().await;
            return Err(Failure::failed(format!("stopped by a second {signal} before the leave was complete")));
        }
    }
    Ok(())
}

/// Says in the log whether anybody is kept out, and by which keys.
fn tell_of_keys(keys: Option<&KeyRing>) {
    let Some(ring) = keys else {
        return info!("packets are not sealed: run this in a network that you trust, or with --key-file");
    };
    let opens: Vec<String> = ring.ids().skip(1).map(|id| id.to_string()).collect();
    info!(
        seals = %ring.primary().id(), opens = opens.join(", "),
        "packets are sealed; nodes without these keys are kept out"
    );
}

/// Says in the log whom the keys do not keep out.
fn warn_of_neighbours(control: &ControlChoice) {
    if let ControlChoice::At(address @ ControlAddress::Tcp(_)) = control {
        warn!(
            control = %address,
            "every user of this machine can steer this node, and speak in its name, over the control address: if there \
             are others than you, leave out --control, or take --control unix:PATH, which is for your user alone"
        );
    }
}

/// Tells programs and people where the node is.
fn announce(cluster: &Cluster, name: &str, server: Option<&Server>) {
    let control = server.map_or_else(|| "none".to_owned(), |server| server.address().to_string());
    let web = cluster.web_address().map(|url| ("ws", url.to_string()));
    let facts = [
        ("id", cluster.id().to_string()),
        ("cluster", output::printable(name)),
        ("bind", cluster.bind_address().map_or_else(|| "none".to_owned(), |at| at.to_string())),
        ("address", cluster.address().to_string()),
        ("control", control),
    ];
    let facts = facts.into_iter().chain(web);
    let text = facts.map(|(label, fact)| format!("{label:<8} {fact}\n")).collect::<Vec<_>>().concat();
    let mut stdout = io::stdout().lock();
    // An agent whose stdout is closed is no worse an agent.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Who is to blame for a node that cannot start: the settings, or the machine.
fn blame(error: &StartError) -> Failure {
    let reason = format!("cannot start the node: {error}");
    match error {
        StartError::Config(_)
        | StartError::BindAddress(_)
        | StartError::AdvertiseAddress(_)
        | StartError::SeedAddress(_)
        | StartError::AdvertiseUnspecified { .. }
        | StartError::WebListen(_)
        | StartError::WebAdvertise(_)
        | StartError::NoCertificate { .. }
        | StartError::NoWebListener
        | StartError::Metadata { .. } => Failure::Usage(reason),
        _ => Failure::Failed(reason),
    }
}
