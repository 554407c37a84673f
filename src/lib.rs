//! The Haven node agent.

pub mod auth;
pub mod buf;
pub mod config;
pub mod docker;
pub mod http;
pub mod log;
pub mod metrics;
pub mod proxy;
pub mod report;
pub mod secret;
pub mod sys;
pub mod tls;
pub mod zone;
