//! The warning of shadowed routes held against the router itself: what is warned of never gets a request.

use std::fmt::Write as _;
use std::net::IpAddr;

use policy::plan::{ListenerId, Plan, RouteId};
use policy::route::Query;
use proptest::prelude::*;
use wire::head::{Field, Method, Name, Request, Span};

use super::outcome_of;

const HOSTS: &[&str] = &[
    "",
    "host = \"a.example\"",
    "host = \"*.example\"",
    "host = \"*.a.example\"",
    "host = [\"a.example\", \"b.example\"]",
];
const PATHS: &[&str] =
    &["", "path = \"/a\"", "path = \"/a/*\"", "path = \"/a/b/*\"", "path = \"/*\"", "path = { regex = \"/a.*\" }"];
const OTHERS: &[&str] = &[
    "",
    "priority = 1",
    "methods = \"GET\"",
    "listener = \"web\"",
    "client = \"10.0.0.0/8\"",
    "headers = { x = true }",
    "headers = { x = false }",
    "headers = { x = \"1\" }",
    "headers = { x = { regex = \"[0-9]\" } }",
    "headers = { x = \"1\" }\npriority = 1",
];

fn route() -> impl Strategy<Value = String> {
    let pick = |from: &'static [&'static str]| prop::sample::select(from);
    (pick(HOSTS), pick(PATHS), pick(OTHERS)).prop_map(|(host, path, other)| format!("{host}\n{path}\n{other}\n"))
}

/// Each route leads to a pool of its own.
fn file_of(routes: &[String]) -> String {
    let mut text = "[listener.web]\nbind = \":80\"\n[listener.inside]\nbind = \":81\"\n".to_owned();
    for (number, route) in routes.iter().enumerate() {
        let _ = write!(
            text,
            "[[route]] # {number}\n{route}pool = \"p{number}\"\n[pool.p{number}]\nbackends = [\"a:1\", \"b:1\"]\n"
        );
    }
    text
}

/// The routes that a request of the samples reaches.
fn reached(plan: &Plan) -> Vec<RouteId> {
    let mut found = Vec::new();
    for host in ["a.example", "b.example", "x.a.example", "other"] {
        for path in ["/", "/a", "/ab", "/a/b", "/a/b/c", "/c"] {
            for header in [None, Some("1"), Some("2"), Some("z")] {
                for method in [Method::Get, Method::Post] {
                    for (listener, client) in [(0, "10.0.0.1"), (1, "10.0.0.1"), (0, "192.0.2.1"), (1, "192.0.2.1")] {
                        let (head, buf) = request(host, path, header, method);
                        let client: IpAddr = client.parse().unwrap();
                        found.extend(plan.router.route(&Query {
                            listener: ListenerId(listener),
                            head: &head,
                            buf: &buf,
                            client,
                        }));
                    }
                }
            }
        }
    }
    found
}

fn request(host: &str, path: &str, header: Option<&str>, method: Method) -> (Request, Vec<u8>) {
    let mut buf = Vec::new();
    let mut span = |text: &str| {
        let start = u32::try_from(buf.len()).unwrap();
        buf.extend_from_slice(text.as_bytes());
        Span { start, end: u32::try_from(buf.len()).unwrap() }
    };
    let mut head = Request { method, authority: span(host), path: span(path), ..Request::default() };
    head.method_span = span(if method == Method::Get { "GET" } else { "POST" });
    if let Some(value) = header {
        head.fields.push(Field { name: span("x"), value: span(value), known: Name::Other, ..Field::default() });
    }
    (head, buf)
}

/// The numbers of the routes that are warned of.
fn warned(text: &str) -> (Plan, Vec<RouteId>) {
    let outcome = outcome_of(text);
    let shadowed = outcome.diagnostics.iter().filter(|one| one.code == "shadowed-route");
    let lines = shadowed.map(|one| one.place.as_ref().unwrap().line);
    let number = |line: usize| text.lines().nth(line - 1).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let numbers = lines.map(|line| RouteId(number(line))).collect();
    (outcome.plan.unwrap(), numbers)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shadowed_route_is_never_reached(routes in prop::collection::vec(route(), 2..6)) {
        let text = file_of(&routes);
        let (plan, shadowed) = warned(&text);
        let reached = reached(&plan);
        for route in shadowed {
            prop_assert!(!reached.contains(&route), "{route:?} is reached:\n{text}");
        }
    }

    #[test]
    fn an_equal_route_behind_is_always_found(route in route()) {
        let text = file_of(&[route.clone(), route]);
        prop_assert_eq!(warned(&text).1, [RouteId(1)]);
    }
}
