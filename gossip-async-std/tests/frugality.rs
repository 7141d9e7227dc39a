//! What nodes cost the process that they run in, in a program on smol.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use gossip_async_std::AsyncStd;

/// One at a time, because they count for the whole process.
fn run(_threads: usize, behaviour: impl Future<Output = ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    smol::block_on(behaviour);
}

gossip_behaviours::lonely_tests_of!(AsyncStd, run);
