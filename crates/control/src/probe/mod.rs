//! Probes: active health checks, performed.
//!
//! Owns the sockets of probes and when they run. What a result means is `policy::health`'s business; [`post`] feeds it
//! and takes its verdict to [`crate::backends`].

pub(crate) mod agent;
mod http;
mod http2;
mod once;
mod patience;
pub(crate) mod post;
pub(crate) mod roster;
mod talk;
