#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| haven_agent::fuzzing::body(bytes));
