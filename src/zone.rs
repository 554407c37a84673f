//! The node's time zone.
