//! Fuzz target; see `src/node_values.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::node_values(data));
