//! The usual control socket of a user: what an agent with keys takes, and where commands look first.
//!
//! It is in a directory that nobody else can enter, in the first of the user's places that is there. Commands try them
//! all, because an agent that a service manager started may not be told of the same ones.

use std::path::PathBuf;

use super::ControlAddress;

/// The socket's name in its directory.
const SOCKET: &str = "control.sock";

/// The variables that name a place of the user's, and the directory in it.
const PLACES: [(&str, &str); 2] = [("XDG_RUNTIME_DIR", "gossip"), ("HOME", ".gossip")];

/// Where an agent with keys is controlled unless it is told; `None` where the user has no place for a socket.
pub(crate) fn address() -> Option<ControlAddress> {
    directories().next().map(|directory| ControlAddress::Unix(directory.join(SOCKET)))
}

/// The sockets at which commands look for an agent: those that nobody but the user can have put there.
pub(crate) fn sockets() -> impl Iterator<Item = ControlAddress> {
    let directories = directories().filter(|directory| private::is_own(directory));
    directories.map(|directory| ControlAddress::Unix(directory.join(SOCKET)))
}

/// The places that are there and the user's.
fn directories() -> impl Iterator<Item = PathBuf> {
    let set =
        PLACES.into_iter().filter_map(|(variable, name)| Some((PathBuf::from(std::env::var_os(variable)?), name)));
    set.filter(|(place, _)| place.is_absolute() && private::belongs_to_user(place))
        .map(|(place, name)| place.join(name))
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

    /// Makes the directory of a socket if it is one of the usual ones.
    ///
    /// # Errors
    ///
    /// It cannot be made, or others can enter it.
    pub(crate) fn prepare(socket: &Path) -> io::Result<()> {
        let Some(directory) = socket.parent().filter(|parent| super::directories().any(|usual| usual == *parent))
        else {
            return Ok(());
        };
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ if is_own(directory) => Ok(()),
            _ => {
                let shown = directory.display();
                let reason = format!("{shown} is not a directory of this user's with mode 0700: move it away");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
            }
        }
    }

    /// Whether it is a directory of the user's that nobody else can enter.
    pub(super) fn is_own(directory: &Path) -> bool {
        fs::symlink_metadata(directory)
            .is_ok_and(|found| found.is_dir() && is_users(&found) && found.mode() & SHARED == 0)
    }

    /// Whether it is a directory of the user's.
    pub(super) fn belongs_to_user(directory: &Path) -> bool {
        fs::metadata(directory).is_ok_and(|found| found.is_dir() && is_users(&found))
    }

    fn is_users(found: &Metadata) -> bool {
        found.uid() == rustix::process::geteuid().as_raw()
    }
}

#[cfg(not(unix))]
mod private {
    use std::path::Path;

    pub(super) fn is_own(_: &Path) -> bool {
        false
    }

    pub(super) fn belongs_to_user(_: &Path) -> bool {
        false
    }
}
