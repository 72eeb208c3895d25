//! What should happen: the plan, routing, balancing, health, retries.
//!
//! Owns every decision; performs none. Plain types and small state machines without socket, clock, randomness, lock or
//! thread: `now` and `rng` are arguments. `engine` and `control` drive it, `config` builds its [`plan::Plan`].

pub mod access;
pub mod adaptive;
pub mod ask;
pub mod balance;
pub mod block;
pub mod breaker;
pub mod hashing;
pub mod health;
pub mod hedge;
pub mod limit;
pub mod outlier;
pub mod overload;
pub mod pace;
pub mod plan;
pub mod retry;
pub mod rewrite;
pub mod rng;
pub mod route;
pub mod split;
pub mod surge;
pub mod template;
