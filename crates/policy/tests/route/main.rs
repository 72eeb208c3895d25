//! The router against the contract: its sentences by example, a slow matcher by comparison, its cost by counting.

mod build;
mod cost;
mod order;
mod property;
mod reference;
mod split;
mod values;
