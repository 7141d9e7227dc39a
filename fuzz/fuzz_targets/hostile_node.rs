//! Fuzz target; see `src/hostile_node.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::hostile_node(data));
