//! A message with headers, as the runner reads it, and as it is buried.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::hostile_input::message(bytes));
