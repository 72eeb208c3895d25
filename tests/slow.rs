//! Slow and hungry peers: what a crowd of them costs, who is harmed by it, and when they are cut.

mod crowds;
mod descriptors;
mod floods;
mod floors;
mod stage;
