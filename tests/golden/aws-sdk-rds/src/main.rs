//! Writes and checks the `aws_sdk_rds` column of `tests/golden/tokens.json`.

fn main() {}
