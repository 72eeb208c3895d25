//! The real binary as people and scripts call it: what it prints, and its exit status.

#[cfg(test)]
mod block;
#[cfg(test)]
mod check;
#[cfg(test)]
mod config;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod run;
#[cfg(test)]
mod status;
#[cfg(test)]
mod usage;
