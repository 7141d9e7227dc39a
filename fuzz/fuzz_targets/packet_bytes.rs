//! Fuzz target; see `src/packet_bytes.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::packet_bytes(data));
