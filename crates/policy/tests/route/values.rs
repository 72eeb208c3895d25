//! Conditions on methods, fields, query parameters, cookies and clients.

use policy::plan::{FieldTest, Match};
use policy::route::Router;

use crate::build::{Narrow, Sent, get, is, on, pattern, routes};

fn takes(wanted: Match, request: &Sent) -> bool {
    request.goes_to(&Router::compile(&routes([wanted]))).is_some()
}

#[test]
fn methods_are_compared_with_case_and_by_name_where_unknown() {
    let wanted = || on("", "").method("GET").method("PURGE");
    assert!(takes(wanted(), &get("", "/")));
    assert!(takes(wanted(), &get("", "/").method("PURGE")));
    assert!(!takes(wanted(), &get("", "/").method("purge")));
    assert!(!takes(wanted(), &get("", "/").method("get")));
    assert!(!takes(wanted(), &get("", "/").method("LOCK")));
    assert!(!takes(wanted(), &get("", "/").method("POST")));
}

#[test]
fn field_names_are_compared_without_case_and_values_with_it() {
    assert!(takes(on("", "").header("x-a", is("One")), &get("", "/").header("X-A", "One")));
    assert!(!takes(on("", "").header("x-a", is("One")), &get("", "/").header("X-A", "one")));
    assert!(!takes(on("", "").header("x-a", is("One")), &get("", "/").header("x-aa", "One")));
}

#[test]
fn of_several_lines_of_a_field_one_that_fits_is_enough() {
    let request = get("", "/").header("x-a", "1").header("x-b", "9").header("X-A", "2");
    assert!(takes(on("", "").header("x-a", is("1")), &request));
    assert!(takes(on("", "").header("x-a", is("2")), &request));
    assert!(!takes(on("", "").header("x-a", is("9")), &request));
    assert!(!takes(on("", "").header("x-a", is("1, 2")), &request));
    assert!(takes(on("", "").header("x-a", is("1")).header("x-a", is("2")), &request));
}

#[test]
fn a_field_is_present_or_absent() {
    let with = get("", "/").header("X-Debug", "");
    let without = get("", "/");
    assert!(takes(on("", "").header("x-debug", FieldTest::Present), &with));
    assert!(!takes(on("", "").header("x-debug", FieldTest::Present), &without));
    assert!(takes(on("", "").header("x-debug", FieldTest::Absent), &without));
    assert!(!takes(on("", "").header("x-debug", FieldTest::Absent), &with));
}

#[test]
fn a_field_regex_matches_the_whole_value() {
    let wanted = || on("", "").header("user-agent", FieldTest::Regex(pattern("curl/[0-9.]+")));
    assert!(takes(wanted(), &get("", "/").header("User-Agent", "curl/8.10.1")));
    assert!(!takes(wanted(), &get("", "/").header("User-Agent", "curl/8.10.1 (extra)")));
}

#[test]
fn query_parameters_are_percent_decoded_and_plus_is_a_space() {
    let wanted = || on("", "").query("full name", is("A&B c"));
    for query in ["full+name=A%26B+c", "x=1&full%20name=A%26B%20c", "full%20name=no&full+name=A%26B+c"] {
        assert!(takes(wanted(), &get("", "/").query(query)), "{query}");
    }
    for query in ["", "full name", "full+name=A&B+c", "FULL+NAME=A%26B+c"] {
        assert!(!takes(wanted(), &get("", "/").query(query)), "{query}");
    }
    assert!(!takes(wanted(), &get("", "/")));
    assert!(takes(on("", "").query("v", FieldTest::Regex(pattern("a b"))), &get("", "/").query("v=a%20b")));
    assert!(takes(on("", "").query("v", FieldTest::Absent), &get("", "/").query("w=v")));
    assert!(takes(on("", "").query("v", FieldTest::Present), &get("", "/").query("w&v")));
}

#[test]
fn cookies_are_found_in_every_cookie_line() {
    let request = get("", "/").header("Cookie", "a=1; b=2").header("x", "c=3").header("cookie", "d=4;e=5=6; f");
    for (name, value) in [("a", "1"), ("b", "2"), ("d", "4"), ("e", "5=6"), ("f", "")] {
        assert!(takes(on("", "").cookie(name, is(value)), &request), "{name}");
    }
    for name in ["c", "A", "1", "cookie"] {
        assert!(takes(on("", "").cookie(name, FieldTest::Absent), &request), "{name}");
    }
    assert!(takes(on("", "").cookie("a", FieldTest::Regex(pattern("[0-9]"))), &request));
}

#[test]
fn clients_are_compared_as_ipv4_however_the_socket_shows_them() {
    let wanted = || on("", "").client("10.0.0.0/8");
    assert!(takes(wanted(), &get("", "/").client("10.1.2.3")));
    assert!(takes(wanted(), &get("", "/").client("::ffff:10.1.2.3")));
    assert!(!takes(wanted(), &get("", "/").client("11.1.2.3")));
    assert!(!takes(wanted(), &get("", "/").client("::a01:203")));
}
