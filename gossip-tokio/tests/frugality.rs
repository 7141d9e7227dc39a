//! What nodes cost the process that they run in, on tokio.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use gossip_tokio::Tokio;
use tokio::runtime::Builder;

/// One at a time, because they count for the whole process.
fn run(threads: usize, behaviour: impl Future<Output = ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime starts");
    runtime.block_on(behaviour);
}

gossip_behaviours::lonely_tests_of!(Tokio, run);
