//! Asking the running process: finding its admin interface, reading from it and changing things by it.
//!
//! [`find`] says where it may be, [`http`] talks, and this page tries one place after the other.

mod find;
mod http;
mod place;

pub(crate) use http::Call;
use http::Trouble;
use place::Place;
use serde_json::Value;

use crate::cli::Reach;
use crate::failure::{Complaint, Failure};
use crate::process::runtime;

/// Reads JSON from the admin interface of the running process.
///
/// # Errors
/// No process is reached, it refuses, or its answer is not what is expected.
pub(crate) fn ask(reach: &Reach, path: &str) -> Result<Value, Failure> {
    call(reach, &Call::get(path))
}

/// Has the admin interface of the running process do something; its answer.
///
/// # Errors
/// As [`ask`].
pub(crate) fn call(reach: &Reach, call: &Call) -> Result<Value, Failure> {
    let token = reach.token_file.as_deref().map(find::token).transpose()?;
    let places = find::places(reach)?;
    let runtime = runtime()?;
    let mut tried = Vec::new();
    for place in places {
        match runtime.block_on(http::send(&place, call, token.as_deref())) {
            Ok(body) => return Ok(body),
            Err(Trouble::Unreachable(why)) => tried.push((place, why)),
            Err(Trouble::Refused(complaint)) => return Err(Failure::Refused(complaint)),
        }
    }
    Err(Failure::Unreachable(nobody(&tried)))
}

fn nobody(tried: &[(Place, String)]) -> Complaint {
    let lines: Vec<String> = tried.iter().map(|(place, why)| format!("\n  tried {place}: {why}")).collect();
    Complaint::new(
        format!("no running Evenkeel is reached{}", lines.concat()),
        "start one with `evenkeel run` or `evenkeel demo`; if it is elsewhere, name its admin address with --admin or \
         EVENKEEL_ADMIN",
    )
}
