//! Values of headers, keys, channels, subjects, replies.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| common::hostile_input::name(bytes));
