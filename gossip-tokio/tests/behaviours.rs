//! What all adapters do, on tokio.

use std::future::Future;

use gossip_tokio::Tokio;
use tokio::runtime::Builder;

fn run(threads: usize, behaviour: impl Future<Output = ()>) {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.worker_threads(threads).enable_all().build().expect("a runtime starts");
    runtime.block_on(behaviour);
}

gossip_behaviours::tests_of!(Tokio, run);
