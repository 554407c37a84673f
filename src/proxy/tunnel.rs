//! An upgraded connection, sans-IO.
