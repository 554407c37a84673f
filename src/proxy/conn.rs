//! One proxied connection, sans-IO.
