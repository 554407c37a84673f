//! Bounded byte buffer.
