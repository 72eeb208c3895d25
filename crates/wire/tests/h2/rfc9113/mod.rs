//! RFC 9113, section by section.

mod client;
mod errors;
mod flow;
mod frames;
mod messages;
mod settings;
mod streams;
