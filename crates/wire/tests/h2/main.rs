//! HTTP/2: RFC 9113 section by section against raw frames, abuse with figures, dialogues with another implementation, and
//! flow control from seeds.

mod abuse;
mod differential;
mod peer;
mod rfc9113;
mod simulation;
