//! Processes of the built command: agents that are killed when a test ends, their clients and monitors.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// Longest wait for something that takes a moment.
pub const SOON: Duration = Duration::from_secs(20);

/// The built command, without what the environment of the test would change in it.
pub fn gossip() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gossip"));
    for variable in ["GOSSIP_CONTROL", "RUST_LOG", "NO_COLOR", "XDG_RUNTIME_DIR", "HOME"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub fn run(args: &[&str]) -> Output {
    gossip().args(args).output().expect("the built command runs")
}

/// The exit code, and what was written to stdout and stderr.
pub fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Tries until it works or the time is over.
pub fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Everything that it wrote to stderr so far.
    log: Arc<Mutex<String>>,
    lines: Mutex<Receiver<String>>,
}

impl Process {
    /// Starts it; its output is collected.
    pub fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built command starts");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let collected = Arc::clone(&log);
        thread::spawn(move || {
            let mut step = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut step) {
                collected
                    .lock()
                    .expect("nobody panics while holding it")
                    .push_str(&String::from_utf8_lossy(&step[..count]));
            }
        });
        Self { child, log, lines: Mutex::new(lines) }
    }

    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics while holding it").clone()
    }

    /// The next line of its stdout.
    pub fn line(&self, within: Duration) -> Option<String> {
        self.lines.lock().expect("nobody panics while holding it").recv_timeout(within).ok()
    }

    /// Sends it a signal, such as `-TERM`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill {signal}");
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        eventually("the process ends", within, || self.child.try_wait().expect("it can be waited for"))
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of process {}:\n{}", self.child.id(), self.log());
        }
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    pub process: Process,
    pub id: String,
    pub address: String,
    pub control: String,
    /// The user's directory for sockets, as far as this agent knows.
    pub place: Folder,
}

impl Agent {
    /// Starts an agent with the timing for one machine, on ports of its own unless `args` choose them. One with keys
    /// is controlled where it is by default, as if its user had no other agent.
    pub fn start(args: &[&str]) -> Self {
        Self::start_by(gossip(), args)
    }

    /// The same by another command line that ends in that of the built command.
    pub fn start_by(mut command: Command, args: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let place = Folder::new(&format!("agent-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        command.args(["agent", "--preset", "local"]).env("XDG_RUNTIME_DIR", place.file("")).stdin(Stdio::null());
        for (option, value) in [("--bind", "127.0.0.1:0"), ("--control", "127.0.0.1:0")] {
            let is_given = args.contains(&option)
                || (option == "--control" && args.contains(&"--key-file"))
                || (option == "--bind" && args.contains(&"--dial-only"));
            if !is_given {
                command.args([option, value]);
            }
        }
        command.args(args);
        let process = Process::start(command);
        let fact = |label: &str| {
            let line = process.line(SOON).unwrap_or_else(|| panic!("the agent tells its {label}: {}", process.log()));
            let (found, fact) = line.split_once(' ').expect("a label and a fact");
            assert_eq!(found, label);
            fact.trim().to_owned()
        };
        let (id, _, _, address, control) =
            (fact("id"), fact("cluster"), fact("bind"), fact("address"), fact("control"));
        Self { process, id, address, control, place }
    }

    /// Starts an agent that joins through this one.
    pub fn companion(&self, args: &[&str]) -> Self {
        let mut all = vec!["--join", &self.address];
        all.extend(args);
        Self::start(&all)
    }

    /// Runs a client command against this agent.
    pub fn ask(&self, args: &[&str]) -> Output {
        gossip().args(args).args(["--control", &self.control]).output().expect("the built command runs")
    }

    /// Runs a client command that must succeed, and reads its JSON.
    pub fn json(&self, args: &[&str]) -> Json {
        let output = self.ask(&[args, &["--json"]].concat());
        let (code, out, err) = told(&output);
        assert_eq!(code, Some(0), "{args:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?} prints JSON: {error}: {out}"))
    }

    /// The state in which this agent sees a node.
    pub fn state_of(&self, id: &str) -> Option<String> {
        let members = self.json(&["members"]);
        let members = members.as_array().expect("a list of members");
        let found = members.iter().find(|member| member["id"] == id)?;
        Some(found["state"].as_str().expect("a state").to_owned())
    }

    /// Runs a client command with this on its stdin.
    pub fn ask_with(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = gossip();
        command.args(args).args(["--control", &self.control]).stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the built command starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        let writer = thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("the built command runs");
        writer.join().expect("it does not panic").expect("the command reads all of it");
        output
    }

    /// Waits until this agent sees a node in a state.
    pub fn sees(&self, id: &str, state: &str, within: Duration) {
        let what = format!("{} sees {id} {state}", self.id);
        eventually(&what, within, || (self.state_of(id).as_deref() == Some(state)).then_some(()));
    }

    /// Follows this agent's events; returns when nothing that happens from now on is missed.
    pub fn monitor(&self) -> Monitor {
        let mut command = gossip();
        command.args(["monitor", "--json", "--control", &self.control]);
        let monitor = Monitor { process: Process::start(command) };
        monitor.wait_for("the monitor is in place", SOON, |event| event["event"] == "watching");
        monitor
    }

    /// Listens at this agent; returns when nothing that comes from now on is missed.
    pub fn listen(&self, args: &[&str]) -> Monitor {
        let mut command = gossip();
        command.args(["listen", "--json", "--control", &self.control]).args(args);
        let listener = Monitor { process: Process::start(command) };
        listener.wait_for("the listener is in place", SOON, |heard| heard["event"] == "listening");
        listener
    }
}

/// Somebody who follows an agent's events, or the messages that come to it.
#[derive(Debug)]
pub struct Monitor {
    pub process: Process,
}

impl Monitor {
    /// The next event.
    pub fn next(&self, within: Duration) -> Option<Json> {
        let line = self.process.line(within)?;
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("an event is JSON: {error}: {line}")))
    }

    /// Waits for an event; returns everything seen on the way, it being the last.
    pub fn wait_for(&self, what: &str, within: Duration, fits: impl Fn(&Json) -> bool) -> Vec<Json> {
        let deadline = Instant::now() + within;
        let mut seen = Vec::new();
        while let Some(event) = self.next(deadline.saturating_duration_since(Instant::now())) {
            let found = fits(&event);
            seen.push(event);
            if found {
                return seen;
            }
        }
        panic!("not within {within:?}: {what}; seen: {seen:#?}");
    }
}

/// A folder of a test's own, removed at its end.
#[derive(Debug)]
pub struct Folder(std::path::PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gossip-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder can be made");
        // Whatever the umask is, nobody else can write there.
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("its mode can be set");
        Self(path)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a readable path").to_owned()
    }

    /// Writes a file; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
