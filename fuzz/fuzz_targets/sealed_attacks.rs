//! Fuzz target; see `src/sealed_attacks.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::sealed_attacks(data));
