//! What a search costs, counted in lookups and evaluated matches: neither may grow with what cannot match.

use policy::plan::Match;
use policy::route::{Effort, Router};

use crate::build::{Narrow, Sent, get, is, on, routes};

fn effort(matches: impl IntoIterator<Item = Match>, request: &Sent) -> Effort {
    Router::compile(&routes(matches)).effort(&request.as_query())
}

#[test]
fn one_unconditional_route_costs_nothing() {
    assert_eq!(effort([on("", "")], &get("a.example", "/x")), Effort::default());
}

#[test]
fn a_listeners_default_pool_costs_one_evaluation() {
    let request = get("a.example", "/x");
    assert_eq!(effort([on("", "").listener(0)], &request), Effort { lookups: 0, evaluated: 1 });
}

#[test]
fn ten_thousand_hosts_cost_what_one_costs() {
    let hosts = |n: usize| (0..n).map(|i| on(&format!("h{i}.example"), "/*")).chain([on("*.example", "")]);
    let request = get("h0.example", "/some/path");
    assert_eq!(effort(hosts(10_000), &request), effort(hosts(1), &request));
    assert_eq!(effort(hosts(10_000), &request).evaluated, 1);
}

#[test]
fn ten_thousand_wildcards_cost_a_lookup_for_each_label() {
    let wildcards = (0..10_000).map(|i| on(&format!("*.h{i}.example"), "/*"));
    let cost = effort(wildcards, &get("a.b.h77.example", "/"));
    assert!(cost.lookups <= 5, "{cost:?}");
    assert_eq!(cost.evaluated, 1);
}

#[test]
fn a_host_of_a_hundred_labels_costs_no_more_than_the_longest_wildcard() {
    let cost = effort([on("*.example", "")], &get(&("a.".repeat(100) + "other"), "/"));
    assert!(cost.lookups <= 4, "{cost:?}");
}

#[test]
fn a_thousand_paths_of_one_host_cost_what_few_cost() {
    let paths = |n: usize| {
        let exact = (0..n).map(|i| on("shop.example", &format!("/exact/{i}")));
        exact.chain((0..n).map(|i| on("shop.example", &format!("/tree/{}/{i}/*", i % 7))))
    };
    for path in ["/exact/3", "/tree/3/3/x", "/tree/3", "/none", "/"] {
        let (many, few) =
            (effort(paths(1_000), &get("shop.example", path)), effort(paths(5), &get("shop.example", path)));
        assert_eq!(many, few, "{path}");
        assert!(many.evaluated <= 1, "{path}: {many:?}");
    }
}

#[test]
fn a_long_path_costs_no_more_lookups_than_the_deepest_prefix() {
    let cost = effort([on("", "/a/a/a/*")], &get("", &"/a".repeat(4_000)));
    assert!(cost.lookups <= 4, "{cost:?}");
    assert_eq!(cost.evaluated, 1);
}

#[test]
fn a_thousand_priorities_cost_what_one_costs() {
    let spread = (0..1_000).map(|i| on("", &format!("/p{i}/*")).priority(i));
    let flat = (0..1_000).map(|i| on("", &format!("/p{i}/*")));
    let request = get("", "/p500/x");
    assert_eq!(effort(spread, &request), effort(flat, &request));
}

#[test]
fn regexes_of_other_hosts_are_never_run() {
    let matches = (0..1_000).map(|i| on(&format!("h{i}.example"), "~/x[0-9]*"));
    assert_eq!(effort(matches, &get("h5.example", "/x1")).evaluated, 1);
}

#[test]
fn regexes_are_not_run_after_an_exact_path() {
    let matches = (0..100).map(|i| on("", &format!("~/{i}.*"))).chain([on("", "/5")]);
    assert_eq!(effort(matches, &get("", "/5")).evaluated, 1);
}

#[test]
fn what_grows_is_only_the_number_of_conditions_on_the_same_path() {
    let tenants = (0..50).map(|i| on("", "/api/*").header("x-tenant", is(&i.to_string())));
    assert_eq!(effort(tenants, &get("", "/api/x").header("x-tenant", "49")).evaluated, 50);
}
