//! Big configurations are read in the time that people wait, and within the named limits.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use config::source::Memory;

use super::{codes, outcome_of, outcome_with};

/// Far more than the machines of tests need; a quadratic reader takes minutes.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn thousands_of_pools_and_routes() {
    let started = Instant::now();
    let mut text = String::from("[listener.web]\nbind = \":80\"\n");
    for number in 0..3_000 {
        let _ = write!(
            text,
            "[[route]]\nhost = \"h{number}.example\"\npool = \"p{number}\"\n[pool.p{number}]\nbackends = [\"a:1\", \"b:1\"]\n"
        );
    }
    let outcome = outcome_of(&text);
    assert_eq!(outcome.plan.unwrap().pools.len(), 3_000);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn many_routes_on_one_host_are_compared_with_each_other() {
    let started = Instant::now();
    let mut text = format!("{}{}", super::FRONT, super::POOL);
    for number in 0..2_000 {
        let _ = write!(text, "[[route]]\npath = \"/p{number}/*\"\npool = \"app\"\n");
    }
    assert_eq!(codes(&outcome_of(&text)), [""; 0]);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[test]
fn hosts_times_paths_have_a_limit() {
    let list = |what: &str| (0..400).map(|number| format!("\"{what}{number}\"")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "{}{}[[route]]\nhost = [{}]\npath = [{}]\npool = \"app\"\n",
        super::FRONT,
        super::POOL,
        list("h"),
        list("/p")
    );
    assert_eq!(codes(&outcome_of(&text)), ["too-many"]);
}

#[test]
fn included_files_have_a_limit() {
    let files = (0..1_100).fold(Memory::new(), |memory, number| memory.file(format!("conf.d/{number}.toml"), ""));
    let text = format!("include = \"conf.d/*.toml\"\n{}{}", super::FRONT, super::POOL);
    assert_eq!(codes(&outcome_with(&text, files)), ["too-many"]);
}

#[test]
fn deep_nesting_is_refused_not_overrun() {
    for open in ["[", "{ a = "] {
        let outcome = outcome_of(&format!("a = {}", open.repeat(100_000)));
        assert!(outcome.plan.is_none());
    }
    assert!(outcome_of(&format!("[{}]", vec!["a"; 50_000].join("."))).plan.is_none());
}

#[test]
fn a_pool_has_as_many_backends_as_balancers_count() {
    let pool = |backends: u32| {
        let addresses: Vec<_> = (0..backends).map(|number| format!("\"a{number}:1\"")).collect();
        format!("{}[pool.app]\nbackends = [{}]\n", super::FRONT, addresses.join(", "))
    };
    assert_eq!(codes(&outcome_of(&pool(65_535))), [""; 0]);
    assert_eq!(codes(&outcome_of(&pool(65_536))), ["too-many"]);
}
