//! What all adapters do, in a program on async-std.

use std::future::Future;

use gossip_async_std::AsyncStd;

/// The threads are those of the process.
fn run(_threads: usize, behaviour: impl Future<Output = ()>) {
    async_std::task::block_on(behaviour);
}

gossip_behaviours::tests_of!(AsyncStd, run);
