#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sqlx_rds::fuzz::sql(data));
