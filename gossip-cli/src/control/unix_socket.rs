//! The Unix socket of an agent: private to its user, and put in the place of one that a dead agent left.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

/// The file of a socket; it is removed when this is dropped, unless another agent has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Listens at `path`.
///
/// # Errors
///
/// `AddrInUse` if an agent answers there, `AlreadyExists` if something lies there that is not a socket; else what the
/// system says.
pub(crate) async fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else lies there, not a socket"));
        }
        Ok(_) => refuse_if_alive(path).await?,
    }
    bind_privately(path)
}

async fn refuse_if_alive(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there")),
    }
}

/// Refuses a listener that is neither of this user nor of root: its socket may lie where anybody can put one.
///
/// # Errors
///
/// Whose it is.
pub(crate) fn refuse_strangers(stream: &UnixStream) -> io::Result<()> {
    let (owner, user) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    if is_trusted(owner, user) {
        return Ok(());
    }
    let reason = format!("who listens there is another user (uid {owner}, not {user})");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

fn is_trusted(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

/// Binds in a directory that nobody else can enter, and moves the socket to its place when its mode is set: at no time
/// can another user connect, whatever the umask is.
fn bind_privately(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let room = private_room(path)?;
    let first = room.path().join("s");
    let listener = UnixListener::bind(&first)?;
    fs::set_permissions(&first, fs::Permissions::from_mode(0o600))?;
    let inode = fs::symlink_metadata(&first)?.ino();
    fs::rename(&first, path)?;
    Ok((listener, SocketFile { path: path.to_owned(), inode }))
}

/// A private directory beside the socket's place, of a name that nobody can foresee; it is removed when this is dropped.
fn private_room(path: &Path) -> io::Result<TempDir> {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".g").permissions(fs::Permissions::from_mode(0o700)).tempdir_in(beside)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test, removed at its end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = std::env::temp_dir().join(format!("gossip-{name}-{}", std::process::id()));
            fs::create_dir_all(&place).unwrap();
            Self(place)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("control.sock")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[tokio::test]
    async fn a_socket_is_private_and_leaves_nothing_behind() {
        let place = Place::new("private");
        let (listener, file) = listen(&place.socket()).await.unwrap();
        assert_eq!(fs::metadata(place.socket()).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(place.socket()).await.unwrap();
        drop((listener, file));
        assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
    }

    #[test]
    fn only_this_user_and_root_are_trusted_with_keys() {
        for (owner, user, expected) in [(0, 0, true), (7, 7, true), (0, 7, true), (7, 0, false), (8, 7, false)] {
            assert_eq!(is_trusted(owner, user), expected, "{owner} for {user}");
        }
    }

    #[tokio::test]
    async fn what_lies_in_the_way_of_the_socket_before_it_is_in_place_cannot_be_foreseen() {
        let place = Place::new("rooms");
        let [one, two] = [(); 2].map(|()| private_room(&place.socket()).unwrap());
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let place = Place::new("stale");
        drop(std::os::unix::net::UnixListener::bind(place.socket()).unwrap());
        let (_listener, _file) = listen(&place.socket()).await.unwrap();
        assert_eq!(listen(&place.socket()).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(place.socket()).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let place = Place::new("file");
        fs::write(place.socket(), "precious").unwrap();
        assert_eq!(listen(&place.socket()).await.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
    }
}
