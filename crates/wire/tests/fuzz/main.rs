//! Fuzz targets as plain functions: each replays its corpus and then many mutations of it, the same ones on every run.
//!
//! The corpus is `fuzz/corpus/TARGET/*` at the top of the repository; an input that once failed belongs there. A longer
//! run: `EVENKEEL_FUZZ_ITERATIONS=10000000 cargo test --release -p wire --test fuzz`.

mod h2;
mod mutate;
mod targets;

use std::panic::catch_unwind;
use std::path::Path;

use mutate::Mutator;

/// Mutations of a run that nobody asked to be longer.
const ITERATIONS: u64 = 20_000;

/// Runs `target` on every input of its corpus, then on mutations.
fn run(name: &str, target: fn(&[u8])) {
    let corpus = read_corpus(name);
    assert!(!corpus.is_empty(), "fuzz/corpus/{name} holds no input");
    for input in &corpus {
        check(name, target, input);
    }
    let iterations = std::env::var("EVENKEEL_FUZZ_ITERATIONS").ok().and_then(|text| text.parse().ok());
    let mut mutator = Mutator::new(&corpus);
    for _ in 0..iterations.unwrap_or(ITERATIONS) {
        check(name, target, &mutator.next_input());
    }
}

/// In the order of their names, so that each run is the same.
fn read_corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("corpus files can be read")).collect()
}

fn check(name: &str, target: fn(&[u8]), input: &[u8]) {
    let outcome = catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "{name} fails on b\"{}\": keep it in fuzz/corpus/{name}", input.escape_ascii());
}

#[test]
fn request_head() {
    run("request_head", targets::request_head);
}

#[test]
fn answer_head() {
    run("answer_head", targets::answer_head);
}

#[test]
fn chunked() {
    run("chunked", targets::chunked);
}

#[test]
fn proxy() {
    run("proxy", targets::proxy);
}

#[test]
fn certificate() {
    run("certificate", targets::certificate);
}

#[test]
fn path() {
    run("path", targets::path);
}

#[test]
fn h2_server() {
    run("h2_server", h2::h2_server);
}

#[test]
fn h2_client() {
    run("h2_client", h2::h2_client);
}
