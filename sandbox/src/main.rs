//! rds-sandbox
fn main() {}
