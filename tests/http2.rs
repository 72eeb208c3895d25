//! HTTP/2 from clients: real ones, and raw frames.

mod abuse;
mod answers;
mod endings;
mod requests;
