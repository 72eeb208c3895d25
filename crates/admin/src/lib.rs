//! The admin interface: JSON API, metrics, health endpoints and the status page.
//!
//! Owns what is said over HTTP and who may hear it; asks `control` for everything that is true, and passes run-time
//! changes on to it. One thread of its own serves all admin addresses.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (plan, handle): (policy::plan::Plan, control::Handle) = unimplemented!();
//! let bound = admin::bind(&plan.admin)?; // a taken address is an error before anything runs
//! let server = bound.serve(handle)?;     // its socket file goes with it
//! # Ok(()) }
//! ```

mod access;
mod api;
mod bind;
mod blocks;
mod certificates;
mod guests;
mod metrics;
mod openapi;
mod page;
mod refusal;
#[cfg(test)]
mod samples;
mod serve;
mod view;

pub use bind::{BindError, Bound, bind};
pub use serve::Server;
