//! Includes: several files as one.

use std::path::Path;

use config::source::Memory;
use config::{Outcome, load};
use policy::plan::Plan;

use super::{FRONT, POOL, codes, plan_in, told};

fn with(files: &[(&str, &str)]) -> Outcome {
    let memory = files.iter().fold(Memory::new(), |memory, (path, text)| memory.file(*path, *text));
    load(Path::new("evenkeel.toml"), &memory)
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.routes.iter().map(|route| route.name.as_str()).collect()
}

#[test]
fn files_are_merged_in_the_order_of_their_names_and_routes_are_appended() {
    let main = format!("include = \"conf.d/*.toml\"\n{FRONT}[[route]]\npath = \"/main\"\npool = \"app\"\n");
    let plan = plan_in(with(&[
        ("evenkeel.toml", &main),
        ("conf.d/b.toml", "[[route]]\npath = \"/b\"\npool = \"app\"\n[pool.app]\nbackends = [\"a:1\", \"b:1\"]\n"),
        ("conf.d/a.toml", "[[route]]\npath = \"/a\"\npool = \"app\"\n[pool.app.timeouts]\nconnect = \"1s\"\n"),
        ("conf.d/skipped.txt", "colour = 1\n"),
    ]));
    assert_eq!(names(&plan), ["route 1 (/main)", "route 2 (/a)", "route 3 (/b)", "listener web"]);
}

#[test]
fn a_key_that_is_defined_twice_names_both_places() {
    let main = format!("include = [\"a.toml\"]\n{FRONT}{POOL}policy = \"random\"\n");
    let outcome =
        with(&[("evenkeel.toml", &main), ("a.toml", "[pool.app]\npolicy = \"first\"\nbackends = [\"c:1\"]\n")]);
    insta::assert_snapshot!(told(&outcome), @r#"
    error: `pool.app.policy` is defined twice
     --> a.toml:2:1
      |
    2 | policy = "first"
      | ^^^^^^
      |
      = it is defined at evenkeel.toml:7, too; keep one of the two

    error: `pool.app.backends` is defined twice
     --> a.toml:3:1
      |
    3 | backends = ["c:1"]
      | ^^^^^^^^
      |
      = it is defined at evenkeel.toml:6, too; keep one of the two
    "#);
}

#[test]
fn includes_are_relative_to_their_own_file() {
    let main = format!("include = [\"shop/main.toml\"]\n{FRONT}");
    plan_in(with(&[
        ("evenkeel.toml", &main),
        ("shop/main.toml", "include = \"pools.toml\"\n[errors]\n503 = \"file:sorry.html\"\n"),
        ("shop/pools.toml", POOL),
        ("shop/sorry.html", "sorry"),
    ]));
}

#[test]
fn a_circle_ends() {
    let main = format!("include = [\"*.toml\"]\n{FRONT}{POOL}");
    plan_in(with(&[("evenkeel.toml", &main), ("a.toml", "include = [\"evenkeel.toml\", \"a.toml\"]\n")]));
}

#[test]
fn a_star_may_find_nothing_but_a_name_must_be_there() {
    let good = format!("include = [\"conf.d/*.toml\"]\n{FRONT}{POOL}");
    plan_in(with(&[("evenkeel.toml", &good)]));
    let bad = format!("include = [\"conf.d/a.toml\"]\n{FRONT}{POOL}");
    insta::assert_snapshot!(told(&with(&[("evenkeel.toml", &bad)])), @r#"
    error: there is no file `conf.d/a.toml`
     --> evenkeel.toml:1:12
      |
    1 | include = ["conf.d/a.toml"]
      |            ^^^^^^^^^^^^^^^
      |
      = the path is relative to the folder of this file
    "#);
}

#[test]
fn an_include_of_the_wrong_type_is_told() {
    assert_eq!(codes(&with(&[("evenkeel.toml", &format!("include = 3\n{FRONT}{POOL}"))])), ["wrong-type"]);
}

#[test]
fn a_mistake_in_an_included_file_is_told_there() {
    let main = format!("include = \"a.toml\"\n{FRONT}");
    let outcome = with(&[("evenkeel.toml", &main), ("a.toml", "[pool.app]\nbackends = [\"a:1\"]\npolcy = 1\n")]);
    let place = outcome.diagnostics[0].place.as_ref().unwrap();
    assert_eq!((place.file.as_path(), place.line, place.column, place.length), (Path::new("a.toml"), 3, 1, 5));
}
