//! Fuzz target; see `src/driver_input.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gossip_fuzz::driver_input(data));
