//! Fuzz target; see `src/packet_body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::packet_body(data));
