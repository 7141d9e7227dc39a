//! The usual control socket of a user: what an agent with keys takes, and where commands look first.
//!
//! It is in a directory that nobody else can enter, in the first of the user's places that is there. Commands try them
//! all, because an agent that a service manager started may not be told of the same ones. A place where others can put
//! things is none: they could put a socket there.

use std::path::PathBuf;

use super::ControlAddress;

/// The socket's name in its directory.
const SOCKET: &str = "control.sock";

/// The variables that name a place of the user's, and the directory in it.
const PLACES: [(&str, &str); 2] = [("XDG_RUNTIME_DIR", "gossip"), ("HOME", ".gossip")];

/// The sockets where an agent of the user may listen.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Those that nobody but the user can have put there.
    pub(crate) own: Vec<ControlAddress>,
    /// What is wrong with the others.
    pub(crate) doubtful: Vec<String>,
}

/// Where an agent with keys is controlled unless it is told.
///
/// # Errors
///
/// The user has no place for a socket: what is wrong with those that the environment names, if it names any.
pub(crate) fn address() -> Result<ControlAddress, String> {
    let mut wrong = Vec::new();
    for (variable, place, directory) in places() {
        match private::refuse_place(&place) {
            Ok(()) => return Ok(ControlAddress::Unix(directory.join(SOCKET))),
            Err(reason) => wrong.push(format!("{variable}: {reason}")),
        }
    }
    Err(wrong.join("; "))
}

/// Where commands look for an agent: whatever lies in the usual places.
pub(crate) fn sockets() -> Sockets {
    let mut sockets = Sockets::default();
    for (variable, place, directory) in places() {
        let socket = directory.join(SOCKET);
        if socket.symlink_metadata().is_err() {
            continue;
        }
        match private::refuse_place(&place).and_then(|()| private::refuse_directory(&directory)) {
            Ok(()) => sockets.own.push(ControlAddress::Unix(socket)),
            Err(reason) => sockets.doubtful.push(format!("{} ({variable}): {reason}", socket.display())),
        }
    }
    sockets
}

/// The variables that are set, their places, and the directories in these.
fn places() -> impl Iterator<Item = (&'static str, PathBuf, PathBuf)> {
    PLACES.into_iter().filter_map(|(variable, name)| {
        let place = PathBuf::from(std::env::var_os(variable)?);
        let directory = place.join(name);
        (!place.as_os_str().is_empty()).then_some((variable, place, directory))
    })
}

#[cfg(unix)]
pub(crate) use private::prepare;

#[cfg(unix)]
mod private {
    use std::fs::{self, DirBuilder, Metadata};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    use std::path::Path;

    /// Everything that the group or others may do.
    const SHARED: u32 = 0o077;
    /// That they may put things there, and move away what is there.
    const SHARED_WRITING: u32 = 0o022;

    /// Makes the directory of a socket if it is one of the usual ones.
    ///
    /// # Errors
    ///
    /// It cannot be made, or others can enter it.
    pub(crate) fn prepare(socket: &Path) -> io::Result<()> {
        let is_usual = |parent: &&Path| super::places().any(|(_, _, usual)| usual == **parent);
        let Some(directory) = socket.parent().filter(is_usual) else { return Ok(()) };
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => refuse_directory(directory).map_err(|reason| io::Error::new(io::ErrorKind::PermissionDenied, reason)),
        }
    }

    /// Refuses what is no place of the user's, and one where others can put things.
    pub(super) fn refuse_place(place: &Path) -> Result<(), String> {
        let shown = place.display();
        if !place.is_absolute() {
            return Err(format!("{shown} is no absolute path"));
        }
        let found = fs::metadata(place).map_err(|error| format!("{shown}: {error}"))?;
        refuse(&found, SHARED_WRITING, "write to it").map_err(|reason| format!("{shown} {reason}"))
    }

    /// Refuses what is no directory of the user's that nobody else can enter.
    pub(super) fn refuse_directory(directory: &Path) -> Result<(), String> {
        let shown = directory.display();
        let found = fs::symlink_metadata(directory).map_err(|error| format!("{shown}: {error}"))?;
        let wrong = refuse(&found, SHARED, "enter it");
        wrong.map_err(|reason| format!("{shown} {reason}; it must be a directory of this user's with mode 0700"))
    }

    fn refuse(found: &Metadata, shared: u32, what: &str) -> Result<(), String> {
        let (owner, user, mode) = (found.uid(), rustix::process::geteuid().as_raw(), found.mode() & 0o777);
        if !found.is_dir() {
            Err("is no directory".to_owned())
        } else if owner != user {
            Err(format!("belongs to another user (uid {owner}, not {user})"))
        } else if mode & shared != 0 {
            Err(format!("has mode {mode:04o}, so others can {what}"))
        } else {
            Ok(())
        }
    }
}

#[cfg(not(unix))]
mod private {
    use std::path::Path;

    pub(super) fn refuse_place(_: &Path) -> Result<(), String> {
        Err("this system has no Unix sockets".to_owned())
    }

    pub(super) fn refuse_directory(_: &Path) -> Result<(), String> {
        Err("this system has no Unix sockets".to_owned())
    }
}
