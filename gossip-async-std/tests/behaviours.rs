//! What all adapters do, in a program on async-std.

use std::future::Future;

use gossip_async_std::AsyncStd;

/// The threads are those of the process.
fn run(_threads: usize, behaviour: impl Future<Output = ()>) {
    // Boxed, because a build without optimization copies it from frame to frame of the stack, sixty times.
    async_std::task::block_on(Box::pin(behaviour));
}

gossip_behaviours::tests_of!(AsyncStd, run);
