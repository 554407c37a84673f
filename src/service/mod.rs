//! The agent as a service of the system: what the service manager is told while it runs.

pub mod notify;
