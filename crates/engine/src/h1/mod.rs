//! HTTP/1.1 connections of both sides.

mod backend;
mod client;
mod encode;
mod link;
mod secure;

pub(crate) use backend::{BackendLink, HeadError};
pub(crate) use client::{Connection, Greeting};
pub(crate) use encode::{PSEUDONYM, RequestHead, keeps_request_field, max_forwards, put_forwarding, shadows_rules};
