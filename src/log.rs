//! The `log` facade's sink.
