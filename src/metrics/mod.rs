//! The node's health.
