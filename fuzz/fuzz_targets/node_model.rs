//! Fuzz target; see `src/node_model.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::node_model(data));
