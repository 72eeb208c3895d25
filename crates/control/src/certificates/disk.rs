//! Files: reading them, and telling whether they are still what they were.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file system.
pub(super) struct Disk;

impl certs::Files for Disk {
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => error.to_string(),
        })
    }

    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        let mut inside: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        Some(inside)
    }
}

/// What tells a file from the one that had its name before: where it is, how long, since when.
type Mark = (u64, u64, u64, i64, i64);

/// The marks of all files at some places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Print(BTreeMap<PathBuf, Option<Mark>>);

/// Folders are looked into so deep: certbot has one for each name.
const DEPTH: u32 = 2;

impl Print {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut print = Self::default();
        for path in paths {
            print.add(path, DEPTH);
        }
        print
    }

    fn add(&mut self, path: &Path, depth: u32) {
        // Through links: that what they lead to is replaced is a change.
        let meta = std::fs::metadata(path).ok();
        let is_folder = meta.as_ref().is_some_and(std::fs::Metadata::is_dir);
        if !is_folder {
            let mark = meta.map(|meta| (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
            self.0.insert(path.to_owned(), mark);
        } else if depth > 0 {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                self.add(&entry.path(), depth - 1);
            }
        }
    }
}
