//! The contract's paragraph on the match order, sentence by sentence.
//!
//! In each test the match that must win stands last in the file, so that order in the file never helps it.

use policy::plan::{FieldTest, HostMatch, Match, PathMatch, RouteId};
use policy::route::Router;

use crate::build::{Narrow, Sent, get, is, on, route, routes};

/// The last of these matches takes the request, and the first when it stands alone.
fn last_wins(request: &Sent, matches: [Match; 2]) {
    let alone = Router::compile(&routes([matches[0].clone()]));
    assert_eq!(request.goes_to(&alone), Some(0), "the loser could have taken it");
    assert_eq!(request.goes_to(&Router::compile(&routes(matches))), Some(1));
}

fn router(matches: impl IntoIterator<Item = Match>) -> Router {
    Router::compile(&routes(matches))
}

#[test]
fn no_route_takes_nothing() {
    assert_eq!(get("a.example", "/").goes_to(&Router::compile(&[])), None);
    assert_eq!(get("a.example", "/").goes_to(&Router::default()), None);
    assert_eq!(get("a.example", "/").goes_to(&router([on("b.example", "")])), None);
}

#[test]
fn a_route_without_conditions_takes_everything() {
    let router = router([on("", "")]);
    for request in [get("a.example", "/"), get("", "*").method("OPTIONS"), get("[::1]", "/x").listener(9)] {
        assert_eq!(request.goes_to(&router), Some(0));
    }
}

#[test]
fn priority_comes_before_everything() {
    let request = get("shop.example", "/api").header("x-a", "1");
    last_wins(&request, [on("shop.example", "/api").header("x-a", is("1")), on("", "").priority(1)]);
    last_wins(&request, [on("shop.example", "/api").priority(-1), on("", "")]);
    last_wins(&request, [on("shop.example", "/api").priority(i32::MIN), on("", "").priority(i32::MAX)]);
}

#[test]
fn priority_decides_among_prefixes_too() {
    let request = get("", "/a/b/c");
    last_wins(&request, [on("", "/a/b/*"), on("", "/a/*").priority(1)]);
    last_wins(&request, [on("", "/a/b/c"), on("", "/*").priority(1)]);
}

#[test]
fn only_a_full_match_counts() {
    let router = router([on("", "/*"), on("shop.example", "/api/*").header("x-beta", is("1"))]);
    assert_eq!(get("shop.example", "/api/x").goes_to(&router), Some(0));
    assert_eq!(get("shop.example", "/api/x").header("x-beta", "1").goes_to(&router), Some(1));
}

#[test]
fn a_longer_prefix_that_fails_falls_back_to_a_shorter_one() {
    let router = router([on("", "/a/*"), on("", "/a/b/*").method("POST"), on("", "/a/b/c").method("POST")]);
    assert_eq!(get("", "/a/b/c").goes_to(&router), Some(0));
    assert_eq!(get("", "/a/b/c").method("POST").goes_to(&router), Some(2));
    assert_eq!(get("", "/a/b/d").method("POST").goes_to(&router), Some(1));
}

#[test]
fn an_exact_host_that_fails_falls_back_to_a_wildcard_and_then_to_no_host() {
    let router = router([on("", ""), on("*.example", "/x"), on("shop.example", "/y")]);
    assert_eq!(get("shop.example", "/y").goes_to(&router), Some(2));
    assert_eq!(get("shop.example", "/x").goes_to(&router), Some(1));
    assert_eq!(get("shop.example", "/z").goes_to(&router), Some(0));
}

#[test]
fn an_exact_host_comes_before_a_wildcard_before_none() {
    let request = get("a.shop.example", "/");
    last_wins(&request, [on("*.shop.example", ""), on("a.shop.example", "")]);
    last_wins(&request, [on("", ""), on("*.shop.example", "")]);
    last_wins(&request, [on("", ""), on("a.shop.example", "")]);
}

#[test]
fn the_longest_wildcard_comes_first() {
    last_wins(&get("a.shop.example", "/"), [on("*.example", ""), on("*.shop.example", "")]);
}

#[test]
fn a_wildcard_means_any_depth_but_not_the_apex() {
    let router = router([on("*.shop.example", "")]);
    for host in ["a.shop.example", "b.a.shop.example", "d.c.b.a.shop.example"] {
        assert_eq!(get(host, "/").goes_to(&router), Some(0), "{host}");
    }
    for host in ["shop.example", ".shop.example", "ashop.example", "example", "", "a.shop.example.org"] {
        assert_eq!(get(host, "/").goes_to(&router), None, "{host}");
    }
}

#[test]
fn the_host_comes_before_the_path() {
    last_wins(&get("shop.example", "/api"), [on("", "/api"), on("shop.example", "")]);
    last_wins(&get("shop.example", "/api"), [on("*.example", "/api"), on("shop.example", "/*")]);
}

#[test]
fn port_trailing_dot_and_case_of_the_host_are_ignored() {
    let router = router([on("shop.example", ""), on("[2001:db8::1]", "")]);
    for host in ["shop.example:8080", "shop.example.", "SHOP.Example", "Shop.Example.:443"] {
        assert_eq!(get(host, "/").goes_to(&router), Some(0), "{host}");
    }
    assert_eq!(get("[2001:DB8::1]:443", "/").goes_to(&router), Some(1));
}

#[test]
fn a_host_too_long_to_be_one_matches_only_routes_without_host() {
    let long = "a".repeat(300) + ".example";
    let router = router([on("*.example", ""), on(&long, ""), on("", "")]);
    assert_eq!(get(&long, "/").goes_to(&router), Some(2));
}

#[test]
fn an_exact_path_comes_before_a_regex_before_a_prefix_before_none() {
    let request = get("", "/api/x");
    last_wins(&request, [on("", "~/api/.*"), on("", "/api/x")]);
    last_wins(&request, [on("", "/api/*"), on("", "~/.*")]);
    last_wins(&request, [on("", ""), on("", "/*")]);
    last_wins(&get("", "/"), [on("", "/*"), on("", "/")]);
}

#[test]
fn a_regex_is_anchored() {
    let router = router([on("", "~/api/[0-9]+|/v2")]);
    assert_eq!(get("", "/api/12").goes_to(&router), Some(0));
    assert_eq!(get("", "/v2").goes_to(&router), Some(0));
    for path in ["/api/12/x", "/x/api/12", "/api/", "/v2/", "/x/v2", "/api/12\n"] {
        assert_eq!(get("", path).goes_to(&router), None, "{path}");
    }
}

#[test]
fn the_longest_prefix_comes_first() {
    last_wins(&get("", "/a/b/c"), [on("", "/a/*"), on("", "/a/b/*")]);
    last_wins(&get("", "/a/b"), [on("", "/*"), on("", "/a/b/*")]);
}

#[test]
fn a_prefix_matches_itself_and_everything_below_by_segment() {
    let router = router([on("", "/api/*")]);
    for path in ["/api", "/api/", "/api/x", "/api/x/y", "/api//x"] {
        assert_eq!(get("", path).goes_to(&router), Some(0), "{path}");
    }
    for path in ["/", "/apix", "/ap", "/API", "//api", "/x/api", "/api%2fx"] {
        assert_eq!(get("", path).goes_to(&router), None, "{path}");
    }
}

#[test]
fn a_slash_alone_is_only_the_root() {
    let router = router([on("", "/")]);
    assert_eq!(get("", "/").goes_to(&router), Some(0));
    assert_eq!(get("", "").goes_to(&router), Some(0), "an absolute-form target without path means the root");
    assert_eq!(get("", "/x").goes_to(&router), None);
    assert_eq!(get("", "//").goes_to(&router), None);
}

#[test]
fn options_asterisk_is_only_for_routes_without_path() {
    let asked = get("", "*").method("OPTIONS");
    let asterisk = Match { path: PathMatch::Exact("*".into()), ..Match::default() };
    assert_eq!(asked.goes_to(&router([on("", "/api/*"), on("", "~.*"), asterisk, on("", "/")])), None);
    assert_eq!(asked.goes_to(&router([on("", "/*")])), Some(0));
    assert_eq!(asked.goes_to(&router([on("", "")])), Some(0));
}

#[test]
fn the_path_comes_before_method_and_headers() {
    let request = get("", "/a/b").header("x-a", "1");
    last_wins(&request, [on("", "/a/*").method("GET").header("x-a", is("1")), on("", "/a/b/*")]);
}

#[test]
fn a_method_condition_comes_before_headers() {
    let request = get("", "/").header("x-a", "1").header("x-b", "1");
    last_wins(&request, [on("", "").header("x-a", is("1")).header("x-b", is("1")), on("", "").method("GET")]);
}

#[test]
fn more_headers_come_before_fewer_before_query() {
    let request = get("", "/").header("x-a", "1").header("x-b", "1").query("p=1&q=1");
    last_wins(&request, [on("", "").header("x-a", is("1")), on("", "").header("x-a", is("1")).header("x-b", is("1"))]);
    last_wins(&request, [on("", "").query("p", is("1")).query("q", is("1")), on("", "").header("x-a", is("1"))]);
}

#[test]
fn more_query_conditions_come_before_fewer_before_cookies() {
    let request = get("", "/").header("cookie", "c=1; d=1").query("p=1&q=1");
    last_wins(&request, [on("", "").query("p", is("1")), on("", "").query("p", is("1")).query("q", is("1"))]);
    last_wins(&request, [on("", "").cookie("c", is("1")).cookie("d", is("1")), on("", "").query("p", is("1"))]);
}

#[test]
fn more_cookies_come_before_fewer_before_clients_before_order() {
    let request = get("", "/").header("cookie", "c=1; d=1").client("10.0.0.1");
    last_wins(&request, [on("", "").cookie("c", is("1")), on("", "").cookie("c", is("1")).cookie("d", is("1"))]);
    last_wins(&request, [on("", "").client("10.0.0.0/8"), on("", "").cookie("c", is("1"))]);
    last_wins(&request, [on("", ""), on("", "").client("10.0.0.0/8")]);
}

#[test]
fn what_is_equal_goes_by_order_in_the_file() {
    let same = || on("shop.example", "/api/*").header("x-a", FieldTest::Present);
    let router = Router::compile(&[route([on("", "/x"), same()]), route([same(), same()])]);
    let taken = get("shop.example", "/api").header("x-a", "").matched(&router).expect("a route");
    assert_eq!((taken.route, taken.match_index), (RouteId(0), 1));
    let router = Router::compile(&[route([]), route([same(), same()])]);
    let taken = get("shop.example", "/api").header("x-a", "").matched(&router).expect("a route");
    assert_eq!((taken.route, taken.match_index), (RouteId(1), 0));
}

#[test]
fn a_narrowed_listener_is_a_condition_and_no_merit() {
    let router = router([on("", ""), on("", "").listener(1), on("", "/x").listener(1).listener(2)]);
    assert_eq!(get("", "/").listener(1).goes_to(&router), Some(0));
    assert_eq!(get("", "/x").listener(0).goes_to(&router), Some(0));
    assert_eq!(get("", "/x").listener(2).goes_to(&router), Some(2));
}

#[test]
fn a_listeners_default_pool_comes_last() {
    let default = |listener| on("", "").listener(listener).priority(i32::MIN);
    let router = router([on("", "/*").priority(-1000), default(0), default(1)]);
    assert_eq!(get("", "/").goes_to(&router), Some(0));
    let without_route = Router::compile(&routes([on("b.example", ""), default(0), default(1)]));
    assert_eq!(get("a.example", "/").goes_to(&without_route), Some(1));
    assert_eq!(get("a.example", "/").listener(1).goes_to(&without_route), Some(2));
    assert_eq!(get("a.example", "/").listener(2).goes_to(&without_route), None);
}

#[test]
fn the_rest_is_what_the_asterisk_stood_for() {
    let rest = |written: &str, path: &str| get("", path).rest(&router([on("", written)]));
    assert_eq!(rest("/api/*", "/api/x/y").as_deref(), Some("/x/y"));
    assert_eq!(rest("/api/*", "/api/").as_deref(), Some("/"));
    assert_eq!(rest("/api/*", "/api").as_deref(), Some(""));
    assert_eq!(rest("/*", "/api").as_deref(), Some("/api"));
    assert_eq!(rest("", "/api").as_deref(), Some("/api"));
    assert_eq!(rest("/api", "/api").as_deref(), Some(""));
    assert_eq!(rest("~/a.*", "/api").as_deref(), Some(""));
    assert_eq!(rest("/*", "*").as_deref(), Some(""));
    assert_eq!(rest("", "*").as_deref(), Some(""));
}

#[test]
fn what_is_matched_is_the_normalised_path() {
    let mut request = get("", "/x/../api/y");
    request.head.normal_path = b"/api/y".to_vec();
    let router = router([on("", "/x/*"), on("", "/api/*")]);
    assert_eq!(request.goes_to(&router), Some(1));
    assert_eq!(request.rest(&router).as_deref(), Some("/y"));
}

#[test]
fn several_conditions_on_one_match_all_count() {
    let wanted = on("", "").method("GET").header("x-a", is("1")).client("192.0.2.0/24").listener(0);
    let router = router([wanted]);
    let good = || get("", "/").header("x-a", "1");
    assert_eq!(good().goes_to(&router), Some(0));
    for bad in [good().method("POST"), good().client("10.0.0.1"), good().listener(1), get("", "/")] {
        assert_eq!(bad.goes_to(&router), None);
    }
}

#[test]
fn hosts_and_kinds_of_hosts_do_not_mix() {
    let same_text = Match { host: HostMatch::Wildcard("a.example".into()), ..Match::default() };
    let router = router([same_text, on("a.example", "")]);
    assert_eq!(get("a.example", "/").goes_to(&router), Some(1));
    assert_eq!(get("b.a.example", "/").goes_to(&router), Some(0));
}
