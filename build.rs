//! What is made at build time.

fn main() {}
