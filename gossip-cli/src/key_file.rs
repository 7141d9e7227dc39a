//! Key files: reading them with care for who else can, and replacing them as a whole when the keys change.

mod text;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gossip_tokio::{Keeping, Key, KeyKeeper, KeyRing, Suite};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::exit::Failure;

pub(crate) use text::{key_line, looks_like_key, parse, suite_of};

/// Largest file that is read: several times as long as a full ring with comments.
const MAX_FILE: usize = 16 << 10;

/// Where an agent keeps its keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    /// Held while a file is put in place, so that a later ring comes later.
    placing: Arc<Mutex<()>>,
}

impl KeyFile {
    /// Reads the ring in a file: its first key is the primary.
    ///
    /// # Errors
    ///
    /// Others than the owner can read it; it cannot be read or is no regular file; what is wrong in it, and in which line.
    pub(crate) fn open(path: &Path) -> Result<(Self, KeyRing), Failure> {
        // Whoever opens a pipe waits for its other end, and nothing can be put in the place of a device.
        let kind = path.metadata().map_err(|error| unreadable(path, &error))?.file_type();
        if !kind.is_file() {
            let shown = path.display();
            let reason = "it is no regular file, and an agent has to write its keys when they change";
            return Err(Failure::usage(format!("cannot read key file {shown}: {reason}")));
        }
        refuse_if_anothers(path)?;
        let ring = read(path)?;
        // A link stays a link when the file is replaced.
        let path = path.canonicalize().map_err(|error| unreadable(path, &error))?;
        remove_unfinished(&path);
        Ok((Self { path, placing: Arc::default() }, ring))
    }

    /// Puts a file with this ring in the place of the last one, unless it is not wanted any more when that is all that is left to do.
    fn replace(&self, ring: &KeyRing, is_wanted: impl FnOnce() -> bool) -> io::Result<()> {
        let path = self.path.parent().unwrap_or(Path::new("."));
        // What cannot be opened is found out while the last file is still there.
        #[cfg(unix)]
        let folder = File::open(path)?;
        let next = unfinished(&self.path, ring)?;
        let _one_after_the_other = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_wanted() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
        }
        next.persist(&self.path)?;
        // So that it is the new one after a loss of power too; where directories cannot be synced there is nothing to do.
        #[cfg(unix)]
        folder.sync_all()?;
        Ok(())
    }
}

impl KeyKeeper for KeyFile {
    fn keep<'a>(&'a self, ring: &'a KeyRing) -> Keeping<'a> {
        let (file, ring) = (self.clone(), ring.clone());
        Box::pin(async move {
            let shown = self.path.display().to_string();
            // Whoever gives up believes that the old ring is there, and may have a later one written.
            let waiting = Arc::new(());
            let wanted = Arc::downgrade(&waiting);
            let replace = move || file.replace(&ring, || wanted.strong_count() > 0);
            let written = tokio::task::spawn_blocking(replace).await;
            drop(waiting);
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            written.map_err(|error| format!("cannot write key file {shown}: {error}"))
        })
    }
}

/// Reads a ring from a file that only its owner can read.
///
/// # Errors
///
/// Those of [`KeyFile::open`].
pub(crate) fn read(path: &Path) -> Result<KeyRing, Failure> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    refuse_if_shared(path, &file)?;
    let text = read_text(&mut file).map_err(|error| unreadable(path, &error))?;
    parse(&text).map_err(|problem| Failure::usage(format!("key file {}{problem}", path.display())))
}

/// Reads a ring from stdin.
///
/// # Errors
///
/// It cannot be read; what is wrong in it, and in which line.
pub(crate) fn read_stdin() -> Result<KeyRing, Failure> {
    let text = read_text(&mut io::stdin().lock());
    let text = text.map_err(|error| Failure::usage(format!("cannot read a key from stdin: {error}")))?;
    parse(&text).map_err(|problem| Failure::usage(format!("stdin{problem}")))
}

/// Writes a new key to a file that does not exist yet and that nobody else can read.
///
/// # Errors
///
/// There is something already, or it cannot be written.
pub(crate) fn write_new(path: &Path, key: &Key) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "it exists already, and may hold the only copy of a key; choose another name".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::failed(format!("cannot write key file {}: {reason}", path.display()))
    };
    if path.symlink_metadata().is_ok() {
        return Err(failed(&io::ErrorKind::AlreadyExists.into()));
    }
    // Put in place when it is whole, and only if nothing has come there meanwhile.
    let next = unfinished(path, &KeyRing::new(key.clone())).map_err(|error| failed(&error))?;
    next.persist_noclobber(path).map(drop).map_err(|error| failed(&error.error))
}

/// How the names of files begin and end that are not yet in their place.
fn unfinished_name(path: &Path) -> (String, &'static str) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (format!(".{name}."), ".new")
}

/// A file beside `path` with this ring, for the owner alone, on the medium; it is removed if it is not put in place.
fn unfinished(path: &Path, ring: &KeyRing) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (prefix, suffix) = unfinished_name(path);
    let mut file = tempfile::Builder::new().prefix(&prefix).suffix(suffix).tempfile_in(folder)?;
    file.write_all(text::of(ring).as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Removes what an agent left that was killed while it wrote: there are keys in it.
fn remove_unfinished(path: &Path) {
    let (prefix, suffix) = unfinished_name(path);
    let entries = path.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_one = name.len() > prefix.len() + suffix.len() && name.starts_with(&prefix) && name.ends_with(suffix);
        if is_one && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // What cannot be removed hinders nothing.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Refuses the file of another user, who could read it, and change it. That of root is read by nobody else.
#[cfg(unix)]
fn refuse_if_anothers(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    let owner = path.metadata().map_err(|error| unreadable(path, &error))?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner == user || owner == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::usage(format!(
        "key file {shown} belongs to another user (uid {owner}, not {user}), who can read and change it: chown {user} {shown}"
    )))
}

#[cfg(not(unix))]
fn refuse_if_anothers(_: &Path) -> Result<(), Failure> {
    Ok(())
}

/// A key that nobody had before.
///
/// # Errors
///
/// The system gives no random numbers.
pub(crate) fn generate(suite: Suite) -> Result<Key, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    let bytes = &mut bytes[..suite.key_length()];
    getrandom::fill(bytes)
        .map_err(|error| Failure::failed(format!("the operating system gives no random numbers: {error}")))?;
    Key::with_suite(suite, bytes).map_err(Failure::failed)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let given = path.display().to_string();
    if error.kind() == io::ErrorKind::NotFound && looks_like_key(&given) {
        let reason = "a key was given instead of the name of a key file: everybody on this machine can read the arguments \
                      of a command, and shells write them down. Generate another key, and give its file or - for stdin";
        return Failure::usage(reason);
    }
    Failure::usage(format!("cannot read key file {given}: {error}"))
}

/// Whoever can read the file can speak for every node.
#[cfg(unix)]
fn refuse_if_shared(path: &Path, file: &File) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt;
    /// Everything that the group or others may do.
    const SHARED: u32 = 0o077;
    let mode = file.metadata().map_err(|error| unreadable(path, &error))?.mode() & 0o777;
    if mode & SHARED == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err(Failure::usage(format!(
        "key file {shown} is open to others than its owner (mode {mode:04o}): chmod 600 {shown}, and if others may have \
         read it, change the key"
    )))
}

#[cfg(not(unix))]
fn refuse_if_shared(_: &Path, _: &File) -> Result<(), Failure> {
    Ok(())
}

/// The text, without copies of it left behind.
fn read_text(from: &mut impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if filled > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {MAX_FILE} bytes")));
    }
    let text =
        str::from_utf8(&bytes[..filled]).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 32])
    }

    #[test]
    fn keys_are_written_for_the_owner_alone_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        write_new(&path, &key(1)).unwrap();
        let (file, mut ring) = KeyFile::open(&path).unwrap();
        assert_eq!(ring, KeyRing::new(key(1)));
        ring.add(key(2)).unwrap();
        ring.set_primary(key(2).id()).unwrap();
        file.replace(&ring, || true).unwrap();
        assert_eq!(read(&path).unwrap(), ring);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_a_killed_agent_left_half_written_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        write_new(&path, &key(1)).unwrap();
        let left = unfinished(&path, &KeyRing::new(key(2))).unwrap().keep().unwrap().1;
        let others = [".other.key.abc.new", ".cluster.key.new", "cluster.key.old"].map(|name| folder.path().join(name));
        for other in &others {
            std::fs::write(other, "precious").unwrap();
        }
        KeyFile::open(&path).unwrap();
        assert!(!left.exists());
        assert!(path.exists() && others.iter().all(|other| other.exists()));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        write_new(&path, &key(1)).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = KeyFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("another user") && error.contains("chown"), "{error}");
        } else {
            eprintln!("skipped: this user cannot give a file away");
        }
    }

    #[test]
    fn a_ring_that_was_given_up_does_not_take_the_place_of_a_later_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cluster.key");
        write_new(&path, &key(1)).unwrap();
        let (file, _) = KeyFile::open(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (go, gate) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            // The only thread that writes is busy, as on a medium that hangs.
            let busy = tokio::task::spawn_blocking(move || gate.recv());
            let late = KeyRing::new(key(2));
            let mut keeping = file.keep(&late);
            let begun = std::future::poll_fn(|cx| std::task::Poll::Ready(keeping.as_mut().poll(cx))).await;
            assert!(begun.is_pending());
            drop(keeping);
            go.send(()).unwrap();
            busy.await.unwrap().unwrap();
            // It comes after the one that was given up.
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        });
        assert_eq!(read(&path).unwrap(), KeyRing::new(key(1)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "precious").unwrap();
        assert!(write_new(&path, &key(1)).unwrap_err().to_string().contains("exists already"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused_and_a_link_stays_a_link() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("cluster.key"), folder.path().join("link"));
        write_new(&path, &key(1)).unwrap();
        for mode in [0o644, 0o640, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&path, &link).unwrap();
        let (file, _) = KeyFile::open(&link).unwrap();
        file.replace(&KeyRing::new(key(2)), || true).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&path).unwrap(), KeyRing::new(key(2)));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_named_and_neither_waited_for_nor_to_be_made_private() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null")] {
            let error = KeyFile::open(path).unwrap_err().to_string();
            assert!(error.contains("no regular file") && !error.contains("chmod"), "{error}");
        }
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
        assert!(made.success());
        let (done, opened) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(KeyFile::open(&pipe).map(drop).map_err(|error| error.to_string())));
        let outcome = opened.recv_timeout(std::time::Duration::from_secs(30)).expect("it does not wait for a writer");
        assert!(outcome.unwrap_err().contains("no regular file"));
    }

    #[test]
    fn a_key_in_the_place_of_a_name_is_not_repeated() {
        let line = key_line(&key(7));
        let error = read(Path::new(&*line)).unwrap_err().to_string();
        assert!(!error.contains(&*line) && error.contains("Generate another key"), "{error}");
        assert!(read(Path::new("/nowhere/x")).unwrap_err().to_string().contains("/nowhere/x"));
    }
}
