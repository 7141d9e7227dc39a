//! What the fuzz targets do with an input, and what must hold then.
//!
//! Each target is a function that takes any bytes and panics if something is wrong. They need no fuzzer, so the
//! inputs in `corpus/` are replayed by an ordinary test. `README.md` tells how to run them and what each asserts.

mod cluster_faults;
mod command;
mod decoder;
mod driver_input;
mod host;
mod hostile_node;
#[path = "../../gossip-driver/src/memory.rs"]
#[expect(dead_code, reason = "it is the runtime of the driver's own tests, which use more of it")]
mod memory;
mod node_model;
mod node_values;
mod packet_body;
mod packet_bytes;
mod packet_values;
mod pair;
mod reference;
mod runtime {
    //! Where that file expects them.
    pub(crate) use gossip_driver::{Datagrams, Listener, Runtime, SocketBuffers, Timer};
}
mod sealed_attacks;
mod text;
mod wire;

pub use cluster_faults::cluster_faults;
pub use driver_input::driver_input;
pub use hostile_node::hostile_node;
pub use node_model::node_model;
pub use node_values::node_values;
pub use packet_body::packet_body;
pub use packet_bytes::packet_bytes;
pub use packet_values::packet_values;
pub use sealed_attacks::sealed_attacks;
pub use text::text;

/// A target: its name, which is that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("cluster_faults", cluster_faults),
    ("driver_input", driver_input),
    ("hostile_node", hostile_node),
    ("node_model", node_model),
    ("node_values", node_values),
    ("packet_body", packet_body),
    ("packet_bytes", packet_bytes),
    ("packet_values", packet_values),
    ("sealed_attacks", sealed_attacks),
    ("text", text),
];
