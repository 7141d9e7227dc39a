//! The configuration file of an agent: TOML with every option, timing and limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use gossip_tokio::{Config, NodeId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::agent::{ElectionChoice, LocksChoice};
use crate::args::PlaintextMode;
use crate::control::ControlChoice;
use crate::control::protocol::MetaValue;
use crate::exit::{Failure, one_line};

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// Timing to start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Preset {
    /// One data centre.
    #[default]
    Lan,
    /// Several continents.
    Wan,
    /// One machine, for tests and demonstrations.
    Local,
}

impl Preset {
    pub(crate) fn config(self, cluster: &str) -> Config {
        match self {
            Self::Lan => Config::lan(cluster),
            Self::Wan => Config::wan(cluster),
            Self::Local => Config::local(cluster),
        }
    }
}

/// What can stand in the file; what does not is left as the preset has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) bind: Option<String>,
    pub(crate) advertise: Option<String>,
    pub(crate) stream_only: Option<bool>,
    pub(crate) dial_only: Option<bool>,
    pub(crate) cluster: Option<String>,
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub(crate) id: Option<NodeId>,
    pub(crate) name: Option<String>,
    pub(crate) join: Vec<String>,
    pub(crate) tag: Vec<String>,
    pub(crate) control: Option<ControlChoice>,
    pub(crate) kv: Option<bool>,
    pub(crate) kv_file: Option<PathBuf>,
    pub(crate) election: Vec<ElectionChoice>,
    pub(crate) locks: Vec<LocksChoice>,
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) plaintext: Option<PlaintextMode>,
    pub(crate) ws_listen: Option<String>,
    pub(crate) ws_advertise: Option<String>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) tls_name: Option<String>,
    pub(crate) tcp_tls: Option<bool>,
    pub(crate) mutual_tls: Option<bool>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) preset: Option<Preset>,
    pub(crate) log: Option<String>,
    pub(crate) meta: BTreeMap<String, MetaValue>,
    #[serde(skip_serializing)]
    pub(crate) protocol: ProtocolSection,
    #[serde(skip_serializing)]
    pub(crate) transport: TransportSection,
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident of $target:ty { $($field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name { $($field: Option<$kind>,)* }

        impl $name {
            /// Changes what is set here.
            pub(crate) fn apply(&self, target: &mut $target) {
                $(if let Some(value) = self.$field.clone() {
                    target.$field = value.into();
                })*
            }

            /// Everything as it is there.
            pub(crate) fn of(target: &$target) -> Self {
                Self { $($field: Some(target.$field.clone().into()),)* }
            }
        }
    };
}

section! {
    /// Timing and limits of the protocol.
    ProtocolSection of gossip_tokio::protocol::Config {
        application: String,
        probe_interval: Span,
        probe_timeout: Span,
        indirect_probes: usize,
        stream_probe: bool,
        suspicion_min: u32,
        suspicion_max: u32,
        suspicion_accusers: usize,
        awareness_max: u32,
        gossip_interval: Span,
        gossip_fanout: usize,
        retransmit: u32,
        heal_interval: Span,
        join_timeout: Span,
        leave_timeout: Span,
        retention: Span,
        max_datagram: usize,
        max_message: usize,
        chunk: usize,
        max_members: usize,
        max_metadata: usize,
        max_events: usize,
        max_transmits: usize,
        max_deliveries: usize,
        max_delivery_bytes: usize,
        max_requests: usize,
        max_peer_bytes: usize,
        max_queued_bytes: usize,
        confirm_timeout: Span,
        max_origins: usize,
        repair_time: Span,
        repair_bytes: usize,
        order_timeout: Span,
        max_held: usize,
    }
}

section! {
    /// Timing and limits of sockets, connections and queues.
    TransportSection of Config {
        prefer_ipv6: bool,
        dns_servers: Vec<SocketAddr>,
        min_name_ttl: Span,
        max_name_ttl: Span,
        dial_timeout: Span,
        write_timeout: Span,
        first_frame_timeout: Span,
        idle_timeout: Span,
        max_connections: usize,
        max_unproven: usize,
        link_queue_bytes: usize,
        total_queue_bytes: usize,
        receive_queue_bytes: usize,
        command_queue: usize,
        event_queue: usize,
        message_queue: usize,
        max_handlers: usize,
        receive_budget: usize,
        socket_receive_buffer: usize,
        socket_send_buffer: usize,
    }
}

/// A time span, written like `500ms` or `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(Duration);

impl From<Duration> for Span {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|error| D::Error::custom(format!("{text:?} is not a time like \"500ms\" or \"1m 30s\": {error}")))
    }
}

#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn write_id<S: Serializer>(id: &Option<NodeId>, serializer: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_string()).serialize(serializer)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// File, line, what is wrong there and what would be right.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable = |reason: String| Failure::usage(format!("cannot read configuration {shown}: {reason}"));
        let mut text = String::new();
        // What a device or a pipe holds is not known before it is read.
        let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
        if read.map_err(|error| unreadable(error.to_string()))? as u64 > MAX_FILE {
            return Err(unreadable(format!("it is larger than {MAX_FILE} bytes")));
        }
        Self::parse(&text).map_err(|(line, problem)| Failure::usage(format!("configuration {shown}:{line}: {problem}")))
    }

    /// Reads the text of a file; the error is a line and what is wrong in it.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
            (line, one_line(&error.message().replace("unknown field", "unknown key")))
        })
    }

    /// These settings, and those of `base` where these have none. Lists are not mixed, metadata is, key by key.
    pub(crate) fn over(self, base: Self) -> Self {
        let mut meta = base.meta;
        meta.extend(self.meta);
        Self {
            bind: self.bind.or(base.bind),
            advertise: self.advertise.or(base.advertise),
            stream_only: self.stream_only.or(base.stream_only),
            dial_only: self.dial_only.or(base.dial_only),
            cluster: self.cluster.or(base.cluster),
            id: self.id.or(base.id),
            name: self.name.or(base.name),
            join: either(self.join, base.join),
            tag: either(self.tag, base.tag),
            control: self.control.or(base.control),
            kv: self.kv.or(base.kv),
            kv_file: self.kv_file.or(base.kv_file),
            election: either(self.election, base.election),
            locks: either(self.locks, base.locks),
            key_file: self.key_file.or(base.key_file),
            plaintext: self.plaintext.or(base.plaintext),
            ws_listen: self.ws_listen.or(base.ws_listen),
            ws_advertise: self.ws_advertise.or(base.ws_advertise),
            tls_cert: self.tls_cert.or(base.tls_cert),
            tls_key: self.tls_key.or(base.tls_key),
            tls_ca: self.tls_ca.or(base.tls_ca),
            tls_name: self.tls_name.or(base.tls_name),
            tcp_tls: self.tcp_tls.or(base.tcp_tls),
            mutual_tls: self.mutual_tls.or(base.mutual_tls),
            token_file: self.token_file.or(base.token_file),
            preset: self.preset.or(base.preset),
            log: self.log.or(base.log),
            meta,
            protocol: base.protocol,
            transport: base.transport,
        }
    }

    /// All settings as they apply, with nothing left to the preset.
    pub(crate) fn spelled_out(self, config: &Config) -> Self {
        Self {
            bind: (!config.dial_only && !config.web_only).then(|| config.bind.clone()),
            stream_only: Some(config.stream_only),
            dial_only: Some(config.dial_only),
            tcp_tls: Some(config.tcp_tls),
            mutual_tls: Some(self.mutual_tls.unwrap_or_default()),
            kv: Some(self.kv.unwrap_or_default() || self.kv_file.is_some()),
            cluster: Some(config.protocol.cluster.clone()),
            control: self.control.or_else(|| ControlChoice::usual(self.key_file.is_some()).ok()),
            preset: Some(self.preset.unwrap_or_default()),
            protocol: ProtocolSection::of(&config.protocol),
            transport: TransportSection::of(config),
            ..self
        }
    }

    /// The text of a file with these settings. What is as in `preset` stands there as a comment, so that the file goes
    /// with another preset too.
    ///
    /// # Errors
    ///
    /// What TOML cannot write: a whole number beyond 63 bits.
    pub(crate) fn to_toml(&self, preset: &Config) -> Result<String, Failure> {
        let text = || {
            let mut text = toml::to_string(self)?;
            text.push_str(&section_text("protocol", &self.protocol, &ProtocolSection::of(&preset.protocol))?);
            text.push_str(&section_text("transport", &self.transport, &TransportSection::of(preset))?);
            Ok(text)
        };
        text()
            .map_err(|error: toml::ser::Error| Failure::failed(format!("cannot write these settings as TOML: {error}")))
    }
}

/// A list, or the other one if there is nothing in it.
fn either<T>(mine: Vec<T>, theirs: Vec<T>) -> Vec<T> {
    if mine.is_empty() { theirs } else { mine }
}

/// A section, a line for each key; those that are the same in `preset` are comments.
fn section_text<S: Serialize>(heading: &str, section: &S, preset: &S) -> Result<String, toml::ser::Error> {
    let preset = toml::to_string(preset)?;
    let lines = toml::to_string(section)?;
    let lines = lines.lines().map(|line| {
        let mark = if preset.lines().any(|same| same == line) { "# " } else { "" };
        format!("{mark}{line}\n")
    });
    Ok(format!("\n[{heading}]\n{}", lines.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for preset in [Preset::Lan, Preset::Wan, Preset::Local] {
            let settings = Settings {
                id: Some(NodeId::from_u128(7)),
                name: Some("web-1".to_owned()),
                join: vec!["seed.example:7979".to_owned()],
                tag: vec!["web".to_owned()],
                election: vec!["db,floor=2,where=role=db".parse().unwrap()],
                locks: vec!["jobs,max_ttl=20s".parse().unwrap()],
                meta: BTreeMap::from([
                    ("port".to_owned(), MetaValue::Int(80)),
                    ("load".to_owned(), MetaValue::Float(0.5)),
                    ("ready".to_owned(), MetaValue::Bool(true)),
                    ("zone".to_owned(), MetaValue::Text("eu".to_owned())),
                ]),
                preset: Some(preset),
                ..Settings::default()
            };
            let mut config = preset.config("prod");
            config.protocol.probe_interval = Duration::from_millis(1_234);
            let settings = settings.spelled_out(&config);
            let text = settings.to_toml(&preset.config("prod")).unwrap();
            let read = Settings::parse(&text).unwrap();
            assert_eq!(read.protocol.probe_interval, settings.protocol.probe_interval);
            assert_eq!((read.protocol.probe_timeout, read.transport.dial_timeout), (None, None), "{text}");
            assert_eq!(read.spelled_out(&config), settings, "{text}");
        }
    }

    #[test]
    fn sections_change_what_they_name_and_nothing_else() {
        let text = "[protocol]\nprobe_interval = \"750ms\"\n[transport]\nmax_unproven = 9\n";
        let settings = Settings::parse(text).unwrap();
        let mut config = Config::lan("x");
        settings.protocol.apply(&mut config.protocol);
        settings.transport.apply(&mut config);
        assert_eq!(config.protocol.probe_interval, Duration::from_millis(750));
        assert_eq!(config.protocol.probe_timeout, Config::lan("x").protocol.probe_timeout);
        assert_eq!(config.max_unproven, 9);
        assert_eq!(config.max_connections, Config::lan("x").max_connections);
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        let cases: [(&str, usize, &[&str]); 8] = [
            ("bind = \"a:1\"\nbindd = 1\n", 2, &["unknown key `bindd`", "`bind`", "`advertise`"]),
            ("\n[protocol]\nprobe_intervall = \"1s\"\n", 3, &["unknown key `probe_intervall`", "`probe_interval`"]),
            ("[protocol]\nprobe_interval = \"soon\"\n", 2, &["soon", "500ms"]),
            ("[protocol]\nprobe_interval = 500\n", 2, &["string"]),
            ("id = \"12\"\n", 1, &["UUID"]),
            ("control = \"0.0.0.0:1\"\n", 1, &["loopback"]),
            ("kv = true\nelection = [\"db,floor=0\"]\n", 2, &["db,floor=0", "floor"]),
            ("x = = 1\n", 1, &[]),
        ];
        for (text, line, parts) in cases {
            let (found, problem) = Settings::parse(text).unwrap_err();
            assert_eq!(found, line, "{text}: {problem}");
            assert!(parts.iter().all(|part| problem.contains(part)), "{text}: {problem}");
            assert!(!problem.contains('\n'), "{problem}");
        }
    }

    #[test]
    fn the_command_line_wins_and_metadata_is_mixed() {
        let settings = |bind: &str, join: &[&str], key: &str| Settings {
            bind: Some(bind.to_owned()),
            join: join.iter().map(|&seed| seed.to_owned()).collect(),
            meta: BTreeMap::from([
                (key.to_owned(), MetaValue::Text(bind.to_owned())),
                ("both".to_owned(), MetaValue::Text(bind.to_owned())),
            ]),
            ..Settings::default()
        };
        let file = settings("file", &["a", "b"], "file");
        let merged = settings("line", &[], "line").over(file.clone());
        assert_eq!(merged.bind.as_deref(), Some("line"));
        assert_eq!(merged.join, ["a", "b"]);
        assert_eq!(merged.meta["both"], MetaValue::Text("line".to_owned()));
        assert_eq!(merged.meta.len(), 3);
        assert_eq!(settings("line", &["c"], "line").over(file).join, ["c"]);
    }
}
