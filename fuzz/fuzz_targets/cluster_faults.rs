//! Fuzz target; see `src/cluster_faults.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::cluster_faults(data));
