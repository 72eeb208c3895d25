//! TLS at the front door and towards backends.

mod backends;
mod certificates;
mod clients;
mod ends;
mod handshakes;
mod programs;
mod stage;
