//! What RFC 9110 and RFC 9112 ask of a proxy's wire level, rule by rule.

mod answer;
mod chunked;
mod path;
mod proxy;
mod request;

use wire::h1::Limits;

/// Limits that no test meets by accident.
const LIMITS: Limits = Limits { head_bytes: 32 * 1024, fields: 100, target_bytes: 8 * 1024 };
