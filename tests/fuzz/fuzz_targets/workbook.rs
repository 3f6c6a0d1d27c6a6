#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xinqiao_fuzz::fuzz::run("workbook", input));
