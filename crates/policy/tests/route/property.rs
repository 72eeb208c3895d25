//! The compiled router against the slow one, over routes and requests that collide a lot.

use policy::plan::{FieldTest, ListenerId, Match, Route};
use policy::route::Router;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::build::{Narrow, Sent, get, is, on, pattern, route};
use crate::reference::reference;

fn host() -> impl Strategy<Value = &'static str> {
    select(vec!["", "", "", "a.test", "b.a.test", "c.b.a.test", "*.test", "*.a.test", "*.b.a.test", "[::1]"])
}

fn sent_host() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "a.test",
        "a.test",
        "b.a.test",
        "b.a.test",
        "c.b.a.test",
        "d.c.b.a.test",
        "test",
        "A.Test:80",
        "b.a.test.",
        "B.A.TEST.:1",
        "xa.test",
        "x.xa.test",
        ".a.test",
        "[::1]:80",
        "[::1]",
        "other",
    ])
}

fn segments(most: usize) -> impl Strategy<Value = String> {
    vec(select(vec!["a", "a", "b", "ab", ""]), 0..=most)
        .prop_map(|names| names.iter().map(|name| format!("/{name}")).collect())
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        5 => segments(3).prop_map(|path| path + "/*"),
        3 => segments(3),
        2 => select(vec!["~.*", "~/a.*", "~/[ab]", "~/a/b?", "~/(a|b)/.*"]).prop_map(str::to_owned),
    ]
}

fn sent_path() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just("*".to_owned()), 20 => segments(4)]
}

fn test() -> impl Strategy<Value = FieldTest> {
    prop_oneof![
        2 => Just(FieldTest::Present),
        1 => Just(FieldTest::Absent),
        4 => select(vec!["1", "2", ""]).prop_map(is),
        1 => Just(FieldTest::Regex(pattern("[12]"))),
    ]
}

fn conditions() -> impl Strategy<Value = Vec<(&'static str, FieldTest)>> {
    prop_oneof![5 => Just(Vec::new()), 2 => vec((select(vec!["p", "q"]), test()), 1..3)]
}

fn base() -> impl Strategy<Value = Match> {
    let priority = prop_oneof![6 => Just(0), 2 => -1..=1, 1 => select(vec![i32::MIN, i32::MAX])];
    let methods = prop_oneof![5 => Just(vec![]), 2 => subsequence(vec!["GET", "POST", "PURGE"], 1..=2)];
    let listeners = prop_oneof![4 => Just(vec![]), 1 => subsequence(vec![0, 1, 2], 1..=2)];
    let client = prop_oneof![4 => Just(""), 1 => select(vec!["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"])];
    (host(), path(), priority, methods, listeners, client).prop_map(
        |(host, path, priority, methods, listeners, client)| {
            let mut it = on(host, &path).priority(priority);
            it.listeners = listeners.into_iter().map(ListenerId).collect();
            it = methods.into_iter().fold(it, Narrow::method);
            if client.is_empty() { it } else { it.client(client) }
        },
    )
}

fn one_match() -> impl Strategy<Value = Match> {
    (base(), conditions(), conditions(), conditions()).prop_map(|(mut it, headers, query, cookies)| {
        it = headers.into_iter().fold(it, |it, (name, test)| it.header(name, test));
        it = query.into_iter().fold(it, |it, (name, test)| it.query(name, test));
        cookies.into_iter().fold(it, |it, (name, test)| it.cookie(name, test))
    })
}

fn some_routes() -> impl Strategy<Value = Vec<Route>> {
    vec(vec(one_match(), 0..4).prop_map(route), 0..20)
}

fn pairs(names: Vec<&'static str>) -> impl Strategy<Value = Vec<String>> {
    vec((select(names), select(vec!["=1", "=2", "=", "", "=%31", "=3"])), 0..3)
        .prop_map(|pairs| pairs.iter().map(|(name, value)| format!("{name}{value}")).collect())
}

fn request() -> impl Strategy<Value = Sent> {
    let names = || select(vec!["p", "P", "q", "Q", "r"]);
    let fields = vec((names(), select(vec!["1", "2", "3", ""])), 0..4);
    let method = select(vec!["GET", "POST", "PURGE", "purge"]);
    let client = select(vec!["10.0.0.1", "10.1.0.1", "::ffff:10.1.0.1", "2001:db8::1", "192.0.2.1"]);
    let place = (0..4_u16, client, method);
    let values = (fields, pairs(vec!["p", "q", "%70", "p+"]), pairs(vec!["p", "q", "P"]));
    (sent_host(), sent_path(), place, values).prop_map(|(host, path, (listener, client, method), values)| {
        let (fields, query, cookies) = values;
        let mut sent = get(host, &path).listener(listener).client(client).method(method);
        sent = fields.into_iter().fold(sent, |sent, (name, value)| sent.header(name, value));
        if !query.is_empty() {
            sent = sent.query(&query.join("&"));
        }
        cookies.chunks(2).fold(sent, |sent, line| sent.header("Cookie", &line.join("; ")))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_compiled_router_agrees_with_the_slow_one(routes in some_routes(), requests in vec(request(), 20)) {
        let router = Router::compile(&routes);
        for sent in requests {
            let wanted = reference(&routes, &sent);
            let found = sent.matched(&router).map(|it| (it.route.0, it.match_index, sent.rest(&router)));
            let found = found.map(|(route, index, rest)| (route, index, rest.unwrap_or_default()));
            prop_assert_eq!(found, wanted, "{:?}", sent);
        }
    }
}

/// A comparison where hardly anything matches would prove little.
#[test]
fn the_generated_requests_do_collide() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut contested) = (0, 0);
    for _ in 0..200 {
        let routes = some_routes().new_tree(&mut runner).expect("routes").current();
        let sent = request().new_tree(&mut runner).expect("a request").current();
        let alone = |route: &Route| reference(std::slice::from_ref(route), &sent).is_some();
        let holding = routes.iter().filter(|route| alone(route)).count();
        taken += usize::from(holding > 0);
        contested += usize::from(holding > 1);
    }
    assert!(taken > 60, "{taken} of 200 requests are taken");
    assert!(contested > 20, "{contested} of 200 requests are wanted by several routes");
}
