//! A command in a process group of its own, which ends with its parent where the system knows that.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::{ATTACHED, AttachedArgs};
use crate::exit::Failure;

/// How often it is looked whether the last process of a group is gone.
const LOOK: Duration = Duration::from_millis(20);

/// A command, and what it has started in its group.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    /// Starts a command with these variables.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn start(command: &[OsString], variables: &[(&str, String)]) -> Result<Self, Failure> {
        // The process that becomes the command says first what is to happen to it when its parent is killed.
        let mut own = Command::new(env::current_exe().map_err(|error| cannot_start(&error))?);
        own.arg(ATTACHED).arg(getpid().to_string()).arg("--").args(command);
        own.envs(variables.iter().map(|(name, value)| (name, value))).process_group(0);
        if io::stdin().is_terminal() {
            // A group in the background that reads from it is stopped.
            own.stdin(Stdio::null());
        }
        let child = own.spawn().map_err(|error| cannot_start(&error))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    /// Waits for the end of the command; what it has started may go on.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        self.child.wait().await.map_err(Failure::failed)
    }

    /// Sends a signal to the command and what it has started. They may be gone already.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            let _ = kill_process_group(id, signal);
        }
    }

    /// Asks all of it to end, and kills what has not by the deadline.
    pub(super) async fn stop(mut self, deadline: Instant) {
        self.signal(Signal::TERM);
        // One that is stopped would hear of it later.
        self.signal(Signal::CONT);
        let gone = async {
            // Its own end is not that of what it has started.
            let _ = self.child.wait().await;
            while self.id.is_some_and(|id| test_kill_process_group(id).is_ok()) {
                sleep(LOOK).await;
            }
        };
        if timeout_at(deadline, gone).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
    }
}

fn cannot_start(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot start a process: {error}"))
}

/// The exit code that tells of an end as shells do.
pub(super) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// Becomes the command, which is killed when the parent ends.
///
/// # Errors
///
/// The command cannot be run.
pub(crate) fn attached(args: &AttachedArgs) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(Failure::failed)?;
    // The parent may have ended before.
    if getppid().map(Pid::as_raw_pid) != Some(args.parent) {
        return Err(Failure::failed("whoever started this is gone"));
    }
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::usage("there is nothing to run"));
    };
    let error = std::process::Command::new(program).args(rest).exec();
    Err(cannot_run(program, &error))
}

fn cannot_run(program: &OsStr, error: &io::Error) -> Failure {
    let reason = format!("cannot run {:?}: {error}", program.to_string_lossy());
    if error.kind() == io::ErrorKind::NotFound { Failure::NoProgram(reason) } else { Failure::NotRun(reason) }
}
