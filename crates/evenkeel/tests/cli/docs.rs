//! What the pages and the samples show is what the binary takes.

use std::path::{Path, PathBuf};

use crate::harness::Desk;

/// Stands before a block that is added to the whole file shown last.
const ADDED: &str = "<!-- added to the file above -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The configurations of a page: whole files, and whole files with something added.
fn configurations(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut whole = String::new();
    for (n, part) in page.split("```toml\n").enumerate().skip(1) {
        let (block, _) = part.split_once("```").unwrap();
        let before = page.split("```toml\n").nth(n - 1).unwrap().trim_end();
        if before.ends_with(ADDED) {
            found.push(format!("{whole}\n{block}"));
        } else {
            block.clone_into(&mut whole);
            found.push(whole.clone());
        }
    }
    found
}

fn passes(desk: &Desk, text: &str, where_from: &str) {
    desk.write("evenkeel.toml", text);
    let output = desk.command(&["check", "--strict"]).env("TOKEN", "secret").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{where_from}:\n{text}\n{out}{err}");
}

/// A folder with the files that examples name.
fn desk() -> Desk {
    let desk = Desk::empty();
    desk.write("sorry.html", "<p>Back soon.</p>");
    desk.write("blocked.txt", "203.0.113.0/24\n");
    desk.write("token", "secret\n");
    desk
}

#[test]
fn every_configuration_of_the_pages_passes_the_check() {
    let pages = [
        ("README.md", 1),
        ("docs/guide.md", 8),
        ("docs/limits.md", 3),
        ("docs/retries.md", 3),
        ("docs/buffering.md", 1),
        ("docs/policies.md", 1),
    ];
    for (page, least) in pages {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let configurations = configurations(&text);
        assert!(configurations.len() >= least, "{page} has {} configurations", configurations.len());
        for configuration in configurations {
            passes(&desk(), &configuration, page);
        }
    }
}

#[test]
fn every_sample_passes_the_check() {
    let folder = root().join("examples");
    let mut samples = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            passes(&desk(), &std::fs::read_to_string(&path).unwrap(), &path.display().to_string());
            samples += 1;
        }
    }
    assert!(samples >= 3);
}

#[test]
fn every_word_of_the_lexicon_that_status_shows_is_explained() {
    let lexicon = std::fs::read_to_string(root().join("docs/lexicon.md")).unwrap();
    for word in ["ready", "unknown", "down", "draining", "drained", "listener", "route", "pool", "backend", "plan"] {
        assert!(lexicon.contains(&format!("**{word}**")), "{word}");
    }
}
