//! What the agent itself asks of Docker.
