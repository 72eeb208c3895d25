//! Where the configuration's texts come from: the seam that keeps this crate free of input and output.
//!
//! The caller implements [`Source`] over the file system and the process environment; tests use [`Memory`].

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Files and environment as the configuration sees them.
pub trait Source {
    /// The text of a file.
    ///
    /// # Errors
    /// The reason, as people should read it, for instance `permission denied`.
    fn read(&self, path: &Path) -> Result<String, String>;

    /// The files that match `pattern`, which is relative to the folder `base` unless it is absolute.
    ///
    /// # Errors
    /// The reason why the pattern or the folder cannot be read.
    fn glob(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String>;

    /// The bytes of a file that is no text.
    ///
    /// # Errors
    /// The reason, as people should read it.
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String>;

    /// What is in a folder, in the order of names; `None` if it is none.
    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>>;

    /// Seconds since 1970, for what expires.
    fn now(&self) -> i64;

    /// The value of an environment variable, if it is set.
    fn env(&self, name: &str) -> Option<String>;
}

/// A source in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, String>,
    env: BTreeMap<String, String>,
    now: i64,
}

impl Memory {
    /// No file, no variable.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.files.insert(plain(&path.into()), text.into());
        self
    }

    /// With one more environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}

impl Memory {
    /// At a time, in seconds since 1970.
    #[must_use]
    pub fn at(mut self, now: i64) -> Self {
        self.now = now;
        self
    }
}

impl Source for Memory {
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.read(path).map(String::into_bytes)
    }

    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        let folder = plain(folder);
        let inside: Vec<PathBuf> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder).ok()?.components().next().map(|first| folder.join(first)))
            .filter(|path| *path != folder)
            .collect();
        let mut inside = inside;
        inside.dedup();
        (!inside.is_empty()).then_some(inside)
    }

    fn now(&self) -> i64 {
        self.now
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        self.files.get(&plain(path)).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn glob(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let whole = plain(&base.join(pattern));
        let whole = whole.to_string_lossy();
        Ok(self.files.keys().filter(|path| matches(&whole, &path.to_string_lossy())).cloned().collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

/// Without `.` components, so that `./a.toml` and `a.toml` are one file.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Whether `text` matches `pattern`, in which `*` stands for anything within one folder.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let reach = rest.find('/').unwrap_or(rest.len());
            (0..=reach).filter(|end| rest.is_char_boundary(*end)).any(|end| matches(after, &rest[end..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_one_folder() {
        let memory = Memory::new().file("conf.d/a.toml", "").file("conf.d/b.txt", "").file("conf.d/x/c.toml", "");
        assert_eq!(memory.glob(Path::new(""), "conf.d/*.toml"), Ok(vec![PathBuf::from("conf.d/a.toml")]));
    }

    #[test]
    fn a_missing_file_is_told() {
        assert_eq!(Memory::new().read(Path::new("x")), Err("no such file".to_owned()));
    }
}
