//! Certificates and keys: texts in, what TLS needs or what is wrong out.
//!
//! Owns reading PEM, finding which key belongs to which certificate, completing chains, judging dates and names, and
//! choosing by SNI among what was found. Reads no file itself (its caller gives [`Files`]) and has no clock. `config` asks
//! it for what is wrong before anything runs; `control` for what to serve, at the start and when files change; `engine`
//! serves it.

mod folder;
mod identity;
mod judge;
mod load;
mod pem;
mod store;

use std::path::{Path, PathBuf};

pub use identity::Identity;
pub use load::{Loaded, authorities, identity, load};
pub use store::Store;

/// Files as the loader sees them.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// The reason, as people should read it, for instance `permission denied`.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;

    /// What is in a folder, in the order of names; `None` if it is none.
    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>>;
}

/// What is wrong with a source of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which of the sources.
    pub source: usize,
    /// Whether the source cannot be used.
    pub is_error: bool,
    /// What kind it is, for those who silence warnings.
    pub kind: Kind,
    /// What is wrong, with file names.
    pub message: String,
    /// What to do; may be empty.
    pub remedy: String,
}

/// Kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file cannot be read or has nothing of use.
    File,
    /// Dates.
    Expiry,
    /// A chain that browsers cannot follow.
    Chain,
    /// Names that are missing or there twice.
    Names,
}

/// Days before the end of a certificate on which it is warned of.
pub const WARN_DAYS: i64 = 21;
/// Seconds of a day.
pub const DAY_S: i64 = 24 * 60 * 60;

#[cfg(test)]
mod tests;
