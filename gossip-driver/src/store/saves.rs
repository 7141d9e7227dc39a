//! The order of saves that are under way at the same time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The saves of a store.
#[derive(Debug, Default)]
pub(crate) struct Saves {
    snapshots: AtomicU64,
    /// By path, as long as a save to it is under way.
    places: Mutex<HashMap<PathBuf, Weak<Place>>>,
}

/// Where a store is saved. Saves to one path write one after the other, and none over what is newer.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// The number of the snapshot that is there; 0 if none of those under way was written yet.
    written: Mutex<u64>,
}

impl Saves {
    /// The number of the snapshot that the node's task makes now: later ones have higher numbers.
    pub(crate) fn number(&self) -> u64 {
        self.snapshots.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// To be asked for before the snapshot is made, and held until it is written.
    pub(super) fn place(&self, path: &Path) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| place.strong_count() > 0);
        if let Some(place) = places.get(path).and_then(Weak::upgrade) {
            return place;
        }
        let place = Arc::new(Place::default());
        places.insert(path.to_path_buf(), Arc::downgrade(&place));
        place
    }
}

impl Place {
    /// Writes the snapshot with this number, unless a later one is there. Waits for whoever else writes.
    pub(super) fn write<E>(&self, number: u64, write: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if *written < number {
            write()?;
            *written = number;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_not_written_over_what_is_newer() {
        let saves = Saves::default();
        let (first, second) = (saves.place(Path::new("kv")), saves.place(Path::new("kv")));
        let other = saves.place(Path::new("other"));
        let (older, newer) = (saves.number(), saves.number());
        let mut content = Vec::new();
        second.write(newer, || Err("the disk is full")).unwrap_err();
        let mut write = |place: &Place, number| {
            place.write(number, || {
                content.push(number);
                Ok::<_, ()>(())
            })
        };
        for (place, number) in [(&second, newer), (&first, older), (&other, older)] {
            write(place, number).unwrap();
        }
        assert_eq!(content, [newer, older], "the older one goes to the other place alone");
    }

    #[test]
    fn places_are_remembered_while_a_save_is_under_way() {
        let saves = Saves::default();
        let place = saves.place(Path::new("kv"));
        assert!(Arc::ptr_eq(&place, &saves.place(Path::new("kv"))));
        drop(place);
        for number in 0..10 {
            drop(saves.place(Path::new(&format!("kv-{number}"))));
        }
        assert_eq!(saves.places.lock().unwrap().len(), 1, "all but the last are forgotten");
    }
}
