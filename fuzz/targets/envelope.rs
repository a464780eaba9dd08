//! An event in structured mode.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::hostile_input::envelope(bytes));
