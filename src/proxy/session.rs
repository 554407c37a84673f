//! A connection's sockets and TLS.
