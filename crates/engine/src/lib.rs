//! The data plane: one core, doing it.
//!
//! Owns sockets, connections, buffers and the road of a request. Decides nothing: `policy` does. `control` starts it
//! with a plan, tells it of changed backends through [`Shared`] and [`Engine::backend_changed`], hears of failures
//! through [`Report`], and stops it.

mod accept;
mod backends;
pub mod blocks;
mod buffered;
mod buffers;
mod cause;
mod circuit;
mod clients;
mod clock;
mod connect;
mod connections;
pub mod counters;
mod credits;
mod date;
mod exchange;
mod gate;
mod h1;
pub mod listen;
mod outage;
pub mod passive;
mod queue;
mod record;
mod report;
mod room;
mod seam;
mod shared;
mod stream;
mod sys;
#[cfg(test)]
mod testing;
mod timers;
mod worker;

pub use buffered::Buffered;
pub use circuit::CircuitFigures;
pub use gate::{SharedShortage, WorkerShortage};
pub use queue::QueueFigures;
pub use report::{Report, Reports};
pub use shared::{BackendShared, PoolShared, Shared, WorkerShared};
pub use worker::Engine;
