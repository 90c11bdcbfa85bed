//! A load generator for TCP request/response servers.

fn main() {}
