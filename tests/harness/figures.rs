//! What a run leaves for people: figures of drills, and which tests were skipped and why.
//!
//! The files lie in the folder that Cargo gives to integration tests; `./test` empties them first and prints them last.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Notes a figure.
pub(crate) fn figure(line: &str) {
    println!("figure: {line}");
    append("figures", line);
}

/// Notes a line of the table of drills: its cells.
pub(crate) fn table_row(cells: &[String]) {
    println!("drill: {}", cells.join(" | "));
    append("drills", &cells.join("\t"));
}

/// Notes that a test cannot be made here, and why. The test returns after that.
pub(crate) fn skip(test: &str, why: &str) {
    println!("skipped: {test}: {why}");
    append("skipped", &format!("{test}: {why}"));
}

/// Whether this is `./test --long`.
pub(crate) fn long_run() -> bool {
    std::env::var_os("LONG_TESTS").is_some()
}

fn append(file: &str, line: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(folder).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(file)).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
