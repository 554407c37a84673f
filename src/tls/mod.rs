//! Server identity and client trust.
