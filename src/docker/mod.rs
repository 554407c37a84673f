//! What the agent itself asks of Docker.

mod endpoint;

pub use endpoint::{DEFAULT_TCP_PORT, Endpoint, EndpointError};
