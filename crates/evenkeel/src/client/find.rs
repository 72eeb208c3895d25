//! Where the running process may be.

use std::path::Path;

use super::place::Place;
use crate::cli::Reach;
use crate::configuration;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::process::DEFAULT_SOCKET;

const PORT: &str = "127.0.0.1:9900";

/// The places to try, best first. One that was named is the only one.
///
/// # Errors
/// What was named is not an address.
pub(crate) fn places(reach: &Reach) -> Result<Vec<Place>, Failure> {
    if let Some(named) = &reach.admin {
        return Ok(vec![Place::parse(named)?]);
    }
    let mut places = configured();
    for place in [Place::Unix(DEFAULT_SOCKET.into()), Place::Tcp(PORT.to_owned())] {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    Ok(places)
}

/// The places of the configuration that `run` would take. A file with errors says nothing here: `check` is for that.
fn configured() -> Vec<Place> {
    let plan = configuration::found().and_then(|path| config::load(&path, &Disk).plan);
    let Some(admin) = plan.map(|plan| plan.admin) else { return Vec::new() };
    let tcp = admin.bind.into_iter().filter(|address| address.port() != 0).map(Place::of_listener);
    admin.socket.into_iter().map(Place::Unix).chain(tcp).collect()
}

/// The token in a file.
///
/// # Errors
/// It cannot be read, or cannot be sent.
pub(crate) fn token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::refused(
            format!("cannot read the token file {}: {error}", path.display()),
            "name another with --token-file",
        )
    })?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let remedy = "it holds the text of [admin] token and nothing else";
        return Err(Failure::refused(format!("there is no token in {}", path.display()), remedy));
    }
    Ok(token.to_owned())
}
