//! The configuration's source: the file system and the environment.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::source::Source;

/// Bytes of a file; a device or a pipe may have no end.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// The real files and the real environment.
#[derive(Debug)]
pub(crate) struct Disk;

impl Source for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
        let read = file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|error| reason(&error))?;
        if read as u64 > FILE_MAX { Err("it has more than 64 MiB".to_owned()) } else { Ok(text) }
    }

    fn glob(&self, base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
        // Only the pattern is one: a folder named `[a]` is meant as it is written.
        let whole = match Path::new(pattern).is_absolute() {
            true => pattern.to_owned(),
            false => format!("{}{pattern}", prefix(base)),
        };
        let paths = glob::glob(&whole).map_err(|error| error.to_string())?;
        paths
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {}", error.path().display(), reason(error.error())))
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

fn prefix(base: &Path) -> String {
    let base = glob::Pattern::escape(&base.to_string_lossy());
    if base.is_empty() { base } else { format!("{base}/") }
}

/// The system's words without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_brackets_is_no_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("[a]");
        std::fs::create_dir(&odd).unwrap();
        std::fs::write(odd.join("x.toml"), "").unwrap();
        assert_eq!(Disk.glob(&odd, "*.toml"), Ok(vec![odd.join("x.toml")]));
        assert_eq!(Disk.glob(&odd, "x.toml"), Ok(vec![odd.join("x.toml")]));
        assert_eq!(Disk.glob(&odd, "y.toml"), Ok(vec![]));
    }

    #[test]
    fn reasons_are_plain() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("latin1"), [0xff]).unwrap();
        assert_eq!(Disk.read(&folder.path().join("none")), Err("no such file".to_owned()));
        assert_eq!(Disk.read(&folder.path().join("latin1")), Err("it is not UTF-8 text".to_owned()));
        assert_eq!(Disk.read(folder.path()), Err("it is a folder".to_owned()));
    }
}
