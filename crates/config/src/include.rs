//! Reading the main file and what it includes, and merging all into one tree.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::decode;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::keys;
use crate::tree::{self, Entry, Raw};

/// Files that one configuration may consist of.
const FILES_MAX: usize = 1_000;

/// The merged tree: a file's own tables first, then those of the files it includes, in the order of their names.
/// `None` when the main file cannot be read.
pub(crate) fn read(context: &mut Context<'_>, root: &Path) -> Option<Vec<Entry>> {
    let text = match context.source.read(root) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("cannot read {}: {reason}", root.display());
            context.error(None, Problem::new(code::UNREADABLE, message).remedy("name another file with `-c FILE`"));
            return None;
        }
    };
    let mut merged = Vec::new();
    let file = context.files.add(root, text);
    add(context, file, &mut merged);
    Some(merged)
}

/// Merges one file, then its includes. A file that was read before is not read again, which ends any circle.
fn add(context: &mut Context<'_>, file: usize, merged: &mut Vec<Entry>) {
    let mut entries = tree::parse(context, file);
    let include = entries.iter().position(|entry| entry.name == keys::INCLUDE).map(|at| entries.remove(at));
    merge(context, merged, entries, "");
    let Some(include) = include else { return };
    for (pattern, at) in decode::include(context, &include) {
        for path in found(context, file, &pattern, at) {
            if context.files.has(&path) {
                continue;
            }
            if context.files.len() >= FILES_MAX {
                context.error(at, Problem::new(code::TOO_MANY, format!("more than {FILES_MAX} files are included")));
                return;
            }
            match context.source.read(&path) {
                Ok(text) => {
                    let file = context.files.add(&path, text);
                    add(context, file, merged);
                }
                Err(reason) => {
                    let message = format!("cannot read {}: {reason}", path.display());
                    context.error(at, Problem::new(code::UNREADABLE, message));
                }
            }
        }
    }
}

/// The files that a pattern stands for, sorted. A pattern without a star must find its file.
fn found(context: &mut Context<'_>, file: usize, pattern: &str, at: At) -> Vec<PathBuf> {
    match context.source.glob(context.files.folder(file), pattern) {
        Ok(paths) if paths.is_empty() && !pattern.contains(['*', '?', '[']) => {
            let problem = Problem::new(code::UNREADABLE, format!("there is no file `{pattern}`"))
                .remedy("the path is relative to the folder of this file");
            context.error(at, problem);
            paths
        }
        Ok(mut paths) => {
            paths.sort();
            paths.dedup();
            paths
        }
        Err(reason) => {
            context.error(at, Problem::new(code::UNREADABLE, format!("cannot look for `{pattern}`: {reason}")));
            Vec::new()
        }
    }
}

/// Adds `entries` to the table `into`, whose dotted name is `name` (empty for the top).
fn merge(context: &mut Context<'_>, into: &mut Vec<Entry>, entries: Vec<Entry>, name: &str) {
    for entry in entries {
        let Some(known) = into.iter_mut().find(|known| known.name == entry.name) else {
            into.push(entry);
            continue;
        };
        let Entry { name: key, at, node } = entry;
        match (&mut known.node.raw, node.raw) {
            (Raw::Table(into), Raw::Table(entries)) => {
                merge(context, into, entries, &keys::joined(name, &key));
            }
            (Raw::List(into), Raw::List(more)) if name.is_empty() && key == keys::ROUTE => into.extend(more),
            _ => {
                let problem =
                    Problem::new(code::DUPLICATE_KEY, format!("`{}` is defined twice", keys::joined(name, &key)))
                        .remedy(format!(
                            "it is defined at {}, too; keep one of the two",
                            context.files.reference(known.at)
                        ));
                context.error(at, problem);
            }
        }
    }
}
