//! Requests to route.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use policy::plan::{Action, FixedAnswer, HeaderRules, HostMatch, ListenerId, Match, PathMatch, Route};
use policy::route::{Query, Router};
use wire::h1::parse_request;
use wire::head::Request;

use crate::Run;
use crate::parse::{BROWSER, LIMITS};

fn route(wanted: Match) -> Route {
    Route {
        name: String::new(),
        matches: vec![wanted],
        action: Action::Answer(FixedAnswer { status: 204, body: Vec::new(), headers: Vec::new() }),
        rewrite: None,
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        body_bytes: None,
        urgency: Default::default(),
        limit: None,
        buffer: Default::default(),
    }
}

fn host(name: String) -> Match {
    Match { host: HostMatch::Exact(name), ..Match::default() }
}

/// A listener's pool takes what is left, as in every configuration.
fn last() -> Match {
    Match { priority: i32::MIN, listeners: vec![ListenerId(0)], ..Match::default() }
}

/// Routes a browser's request for `shop.example/account/orders`.
fn run(matches: impl Iterator<Item = Match>) -> Run {
    let routes: Vec<Route> = matches.chain([last()]).map(route).collect();
    let router = Router::compile(&routes);
    let mut request = Request::default();
    parse_request(BROWSER.as_bytes(), &LIMITS, &mut request).expect("a good request");
    Box::new(move |count| {
        let query = Query {
            listener: ListenerId(0),
            head: &request,
            buf: BROWSER.as_bytes(),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        for _ in 0..count {
            assert!(black_box(router.route_matched(black_box(&query))).is_some());
        }
    })
}

pub(crate) fn one() -> Run {
    run(std::iter::empty())
}

pub(crate) fn thousand_paths() -> Run {
    let paths = (0..999).map(|n| PathMatch::Prefix(format!("/section-{n}")));
    let all = paths.chain([PathMatch::Prefix("/account".to_owned())]);
    run(all.map(|path| Match { path, ..host("shop.example".to_owned()) }))
}

pub(crate) fn ten_thousand_hosts() -> Run {
    let names = (0..9_999).map(|n| format!("shop-{n}.example"));
    run(names.chain(["shop.example".to_owned()]).map(host))
}
