//! Path normalisation.

use proptest::prelude::*;
use wire::path::{Normal, normalise};

/// The normal path, also when it is the one given.
fn normal(raw: &str) -> Result<String, &'static str> {
    let mut out = b"left over".to_vec();
    match normalise(raw.as_bytes(), &mut out)? {
        Normal::AsIs => {
            assert!(out.is_empty(), "{raw}");
            Ok(raw.to_owned())
        }
        Normal::Changed => {
            let changed = String::from_utf8(out).expect("tests use ASCII");
            assert_ne!(changed, raw);
            Ok(changed)
        }
    }
}

#[test]
fn rfc3986_5_2_4_dot_segments_are_resolved() {
    let table = [
        ("/a/b/c/./../../g", "/a/g"),
        ("/.", "/"),
        ("/..", "/"),
        ("/./", "/"),
        ("/../", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/../..", "/"),
        ("/../../a", "/a"),
        ("/a/./b", "/a/b"),
        ("/a//../b", "/a/b"),
        ("/a//..", "/a/"),
        ("/..//a", "//a"),
        ("//..", "/"),
        ("//../a", "/a"),
        ("/a/b/../../../../c/", "/c/"),
        ("/./././a", "/a"),
        ("/a/../b/../c", "/c"),
        ("/.../a/..", "/.../"),
    ];
    for (raw, expected) in table {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn escaped_dots_are_dots() {
    let table = [
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/%2e%2E", "/"),
        ("/a/%2E", "/a/"),
        ("/%2e%2e%2e/..", "/"),
    ];
    for (raw, expected) in table {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn rfc3986_6_2_2_2_escaped_unreserved_characters_are_written_plainly() {
    let table = [
        ("/%41", "/A"),
        ("/%61dmin/x", "/admin/x"),
        ("/%7Ea/%2D%5f%2e.%39", "/~a/-_..9"),
        ("/a%2Fb%61", "/a%2Fba"),
        ("/%61/%2e%2E/b", "/b"),
        ("/%61/.%2e/%2541", "/%2541"),
        ("/%C3%A9%65", "/%C3%A9e"),
    ];
    for (raw, expected) in table {
        assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn all_else_stays_as_it_is() {
    for raw in [
        "/",
        "/a",
        "/a/",
        "//",
        "/a//b",
        "/a%2Fb",
        "/a%2f..%2fb",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/...",
        "/.a",
        "/a.",
        "/..a",
        "/a..",
        "/%252e%252e/",
        "/%2541",
        "/a%20b",
        "/%C3%A9",
        "/a;b=c",
        "/a%5c..%5cb",
        "/~a/!$&'()*+,;=:@",
        "/{a}|^`\"<>[]",
        "/*",
    ] {
        assert_eq!(normal(raw).as_deref(), Ok(raw), "{raw}");
    }
}

#[test]
fn paths_with_a_second_meaning_are_refused() {
    for raw in [
        "",
        "a",
        "*",
        "?",
        "./a",
        "/%00",
        "/%0a",
        "/%1f",
        "/%1F",
        "/%7f",
        "/%",
        "/%2",
        "/%g0",
        "/%0g",
        "/%%",
        "/% 41",
        "/a\\b",
        "/\\..\\",
        "/a b",
        "/a\tb",
        "/a\0",
        "/a#b",
        "/a?b",
        "/\u{e9}",
        "/\u{7f}",
        "/a/../%00",
        "/%+1",
    ] {
        assert!(normal(raw).is_err(), "{raw:?}");
    }
}

proptest! {
    #[test]
    fn a_normal_path_is_normal_and_has_no_dot_segment(
        pieces in prop::collection::vec(prop::sample::select(vec!["/", ".", "..", "%2e", "%2E", "a", "%2f", "//", ";", "b.c", "/../"]), 0..24),
    ) {
        let once = normal(&format!("/{}", pieces.concat())).unwrap();
        prop_assert_eq!(normal(&once), Ok(once.clone()));
        prop_assert!(once.starts_with('/'));
        for segment in once.split('/') {
            let spelt = segment.to_ascii_lowercase().replace("%2e", ".");
            prop_assert!(spelt != "." && spelt != "..", "{}", once);
        }
    }
}
