//! The files that were read, and places in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::Place;

/// A range of bytes in one of the [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each line starts, for finding lines without counting again.
    lines: Vec<usize>,
}

/// All files, in the order of reading.
#[derive(Debug, Default)]
pub(crate) struct Files(Vec<File>);

impl Files {
    /// Takes a file in; gives its number.
    pub(crate) fn add(&mut self, path: &Path, text: String) -> usize {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.0.push(File { path: path.to_owned(), text, lines });
        self.0.len() - 1
    }

    /// Whether a file is among them already.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.0.iter().any(|file| file.path == path)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn text(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |file| file.text.as_str())
    }

    /// The text at a place; empty when the place does not cut at characters.
    pub(crate) fn excerpt(&self, at: At) -> &str {
        self.text(at.file).get(at.start..at.end).unwrap_or("")
    }

    /// The folder of a file, which relative paths in it start from.
    pub(crate) fn folder(&self, file: usize) -> &Path {
        self.0.get(file).and_then(|file| file.path.parent()).unwrap_or(Path::new(""))
    }

    /// The line of a place, from 1.
    pub(crate) fn line(&self, at: At) -> usize {
        self.0.get(at.file).map_or(1, |file| file.lines.partition_point(|start| *start <= at.start).max(1))
    }

    /// `file:line`, as people read it.
    pub(crate) fn reference(&self, at: At) -> String {
        let path = self.0.get(at.file).map_or(Path::new(""), |file| &file.path);
        format!("{}:{}", path.display(), self.line(at))
    }

    /// Line, column and length of a place; the length stops at the end of the line.
    pub(crate) fn place(&self, at: At) -> Option<Place> {
        let file = self.0.get(at.file)?;
        let line = self.line(at);
        let line_start = *file.lines.get(line - 1)?;
        let rest = file.text.get(at.start..at.end.max(at.start)).unwrap_or("");
        let length = rest.lines().next().unwrap_or("").chars().count().max(1);
        let column = file.text.get(line_start..at.start).unwrap_or("").chars().count() + 1;
        Some(Place { file: file.path.clone(), line, column, length })
    }

    /// The texts by path.
    pub(crate) fn into_map(self) -> BTreeMap<PathBuf, String> {
        self.0.into_iter().map(|file| (file.path, file.text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lengths_end_with_the_line() {
        let mut files = Files::default();
        let file = files.add(Path::new("a.toml"), "é = 1\nß = [\n1]\n".to_owned());
        let start = "é = 1\nß = ".len();
        let place = files.place(At { file, start, end: start + 4 }).unwrap();
        assert_eq!((place.line, place.column, place.length), (2, 5, 1));
    }
}
