//! The proof that `gossip-core` needs no operating system: this crate brings a panic handler of its own. Were std anywhere
//! in the tree, there would be two, and the compiler refuses that.
#![no_std]
#![forbid(unsafe_code)]

pub use gossip_core::Node;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
