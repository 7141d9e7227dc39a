//! Snapshots of stores in files.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
#[cfg(unix)]
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use gossip_core::{SnapshotError, StoreView};

use crate::StopReason;

/// Files that are kept of those set aside from one path for one reason.
const MOST_ASIDE: u32 = 100;

/// A file that was to replace another one was left by a crash if nobody has written to it for so long.
const LEFT_AFTER: Duration = Duration::from_hours(1);

/// Most files beside a snapshot that are looked at for such ones.
const MOST_BESIDE: usize = 10_000;

/// So many random characters end the name of such a file.
const RANDOM: usize = 6;

/// So many bytes of a snapshot's name are in theirs, which must not be too long.
const LONGEST_NAME: usize = 200;

/// A store was not written to a file. The file is what it was, or the new one as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The file cannot be written.
    #[error("cannot write the snapshot {}: {error}", .path.display())]
    Write {
        /// Where it was to be.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// There is something else.
    #[error("{} is not replaced by this store: {error}; move it away, or choose another name", .path.display())]
    Taken {
        /// Where it was to be.
        path: PathBuf,
        /// What is wrong with what is there.
        #[source]
        error: SnapshotError,
    },
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

/// A store was not loaded from a file. Nothing of it was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the snapshot {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// It was cut or damaged, and set aside.
    #[error("{}: {error}; {}", .path.display(), fate(.moved))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: SnapshotError,
        /// Where it is now; an error if it could not be moved, and is where it was.
        moved: io::Result<PathBuf>,
    },
    /// It is no snapshot of this store that this version reads. It stays where it is.
    #[error("{}: {error}; the file was left where it is", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: SnapshotError,
    },
    /// The node no longer runs.
    #[error("the node no longer runs: {0}")]
    Stopped(StopReason),
}

fn fate(moved: &io::Result<PathBuf>) -> String {
    match moved {
        Ok(to) => format!("the file is {} now", to.display()),
        Err(error) => format!("the file could not be moved aside: {error}"),
    }
}

impl SaveError {
    pub(super) fn write(path: &Path, error: io::Error) -> Self {
        Self::Write { path: path.to_path_buf(), error }
    }
}

impl LoadError {
    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_path_buf(), error }
    }
}

/// Why a file is moved away from where the next save would replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    Damaged,
    /// It has what the store did not take.
    Refused,
}

impl Aside {
    const fn word(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Refused => "refused",
        }
    }
}

/// Does something with a file in a thread of its own, because whoever asks a disk has to wait.
pub(super) async fn aside<T: Send + 'static>(
    path: &Arc<Path>,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = oneshot::channel();
    let path = Arc::clone(path);
    let work = move || {
        // The caller may have given up.
        let _ = done.send(work(&path));
    };
    thread::Builder::new().name("gossip-store".to_owned()).spawn(work)?;
    outcome.await.unwrap_or_else(|_| Err(io::Error::other("the work with the file panicked")))
}

/// The beginning of a file; `None` if there is none.
pub(super) fn head(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_at_most(path, StoreView::SNAPSHOT_HEAD as u64)
}

/// All of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    read_at_most(path, u64::MAX)
}

fn read_at_most(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    // To open a pipe is to wait for somebody at its other end, and a device may do anything.
    let absent = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    match fs::metadata(path) {
        Err(error) if absent(&error) => return Ok(None),
        found => check_type(found?.file_type())?,
    }
    let file = match File::open(path) {
        Err(error) if absent(&error) => return Ok(None),
        opened => opened?,
    };
    // There may be another one by now, and a device may have no end.
    check_type(file.metadata()?.file_type())?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn check_type(found: FileType) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = describe(found);
    let reason = format!("it is {what}, not a regular file; give the path of a regular file, or of none yet");
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

fn describe(found: FileType) -> &'static str {
    #[cfg(unix)]
    if found.is_fifo() {
        return "a named pipe";
    } else if found.is_socket() {
        return "a socket";
    } else if found.is_char_device() || found.is_block_device() {
        return "a device";
    }
    if found.is_dir() { "a directory" } else { "something else" }
}

/// Whether a file that does not begin as a snapshot may have been one: it ends too early, or its space was given and
/// never written. Others are somebody else's.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    bytes.iter().take(StoreView::SNAPSHOT_HEAD).all(|&byte| byte == 0)
}

/// Puts a file in the place of another one, which is there until the new one is whole and on the disk.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let prefix = prefix_of(path);
    // They are in nobody's way, except by the space they take.
    let _ = remove_leftovers(directory, &prefix, LEFT_AFTER);
    let mut file = tempfile::Builder::new().prefix(&prefix).rand_bytes(RANDOM).tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is on the disk when its directory is.
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// How the name of a file begins that is to replace the one at `path`.
fn prefix_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".gossip-store-{}-", &name[..name.floor_char_boundary(LONGEST_NAME)])
}

/// Removes what was to replace a file when the process or the machine came to its end.
fn remove_leftovers(directory: &Path, prefix: &str, after: Duration) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.take(MOST_BESIDE) {
        let entry = entry?;
        let is_one = entry
            .file_name()
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
            .is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        if !is_one {
            continue;
        }
        let found = entry.metadata()?;
        // Of a time to come is what was written before the clock was set back: another save may still be at it.
        if found.is_file() && found.modified()?.elapsed().is_ok_and(|age| age >= after) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Gives a file another name, which says why and which no other file has; that name.
pub(super) fn set_aside(path: &Path, why: Aside) -> io::Result<PathBuf> {
    let why = why.word();
    for number in 1..=MOST_ASIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(why);
        if number > 1 {
            name.push(format!("-{number}"));
        }
        let to = PathBuf::from(name);
        // This takes the name, so that nobody else's file is replaced.
        match OpenOptions::new().write(true).create_new(true).open(&to) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        return match fs::rename(path, &to) {
            Ok(()) => Ok(to),
            Err(error) => {
                fs::remove_file(&to)?;
                Err(error)
            }
        };
    }
    let reason = format!("there are {MOST_ASIDE} {why} ones beside it: look at them and remove them");
    Err(io::Error::new(ErrorKind::AlreadyExists, reason))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn damaged_files_do_not_take_the_names_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kv");
        let names: Vec<_> = ["one", "two", "three"]
            .into_iter()
            .map(|content| {
                fs::write(&path, content).unwrap();
                set_aside(&path, Aside::Damaged).unwrap()
            })
            .collect();
        assert!(!path.exists());
        let contents: Vec<_> = names.iter().map(|name| fs::read_to_string(name).unwrap()).collect();
        assert_eq!(contents, ["one", "two", "three"]);
        assert!(names[2].ends_with("kv.damaged-3"), "{names:?}");
        assert_eq!(set_aside(&path, Aside::Damaged).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!directory.path().join("kv.damaged-4").exists(), "the name was taken for nothing");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kv");
        assert!(head(&path).unwrap().is_none());
        for content in [&b"first"[..], &[7; 100]] {
            replace(&path, content).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(content));
        }
        assert_eq!(head(&path).unwrap().unwrap().len(), StoreView::SNAPSHOT_HEAD);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        replace(&directory.path().join("missing/kv"), b"x").unwrap_err();
        assert_eq!(head(directory.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kv");
        let old = SystemTime::now() - LEFT_AFTER;
        let files = [
            (".gossip-store-kv-aB3dEf", old, false),
            (".gossip-store-kv-aB3dEg", SystemTime::now(), true),
            (".gossip-store-kv-x-aB3dEf", old, true),
            (".gossip-store-other-aB3dEf", old, true),
            (".gossip-store-kv-notes", old, true),
            ("kv-aB3dEf", old, true),
        ];
        for (name, written, _) in files {
            File::create(directory.path().join(name)).unwrap().set_modified(written).unwrap();
        }
        replace(&path, b"x").unwrap();
        for (name, _, stays) in files {
            assert_eq!(directory.path().join(name).exists(), stays, "{name}");
        }
        // The longest name that a file can have is no reason not to save.
        let long = directory.path().join("\u{e9}".repeat(127));
        replace(&long, b"x").unwrap();
        assert_eq!(fs::read(long).unwrap(), b"x");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let cases: [(&Path, &str); 4] = [
            (&pipe, "a named pipe"),
            (&link, "a named pipe"),
            (Path::new("/dev/zero"), "a device"),
            (directory.path(), "a directory"),
        ];
        let (done, outcome) = std::sync::mpsc::channel();
        // Whoever opens a pipe for reading would wait for a writer for ever.
        for (path, what) in cases {
            for work in [head, read] {
                let (done, path) = (done.clone(), path.to_path_buf());
                thread::spawn(move || done.send(work(&path)));
                let read = outcome.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
                let error = read.expect_err(what);
                assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains(what), "{error}");
            }
        }
    }

    #[test]
    fn what_was_never_written_is_told_from_the_files_of_others() {
        assert!(is_torn(b"") && is_torn(&[0; 4_096]));
        assert!(!is_torn(b"#!/bin/sh\n") && !is_torn(b"\0\x01"));
    }
}
