//! Requests made from a model: what was put in comes out, however the bytes arrive.

use proptest::prelude::*;
use proptest::sample::select;
use wire::h1::{Parsed, parse_request};
use wire::head::{Framing, Request, Version};

use super::{LIMITS, text};

/// What a request is made of; the white space around each value is part of how it is written only.
#[derive(Clone, Debug)]
struct Model {
    empty_lines: usize,
    method: &'static str,
    path: String,
    query: Option<String>,
    version: (&'static str, Version),
    fields: Vec<(String, String, &'static str)>,
    body: (&'static str, Framing),
}

impl Model {
    fn written(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let mut head = "\r\n".repeat(self.empty_lines);
        head += &format!("{} {}{query} {}\r\nHost: a.example:80\r\n", self.method, self.path, self.version.0);
        for (name, value, space) in &self.fields {
            head += &format!("{name}:{space}{value}{space}\r\n");
        }
        head + self.framing().0 + "\r\n"
    }

    /// HTTP/1.0 has no transfer codings.
    fn framing(&self) -> (&'static str, Framing) {
        match self.body.1 {
            Framing::Chunked if self.version.1 == Version::Http10 => ("", Framing::None),
            _ => self.body,
        }
    }
}

fn models() -> impl Strategy<Value = Model> {
    let versions = vec![("HTTP/1.1", Version::Http11), ("HTTP/1.0", Version::Http10), ("HTTP/1.7", Version::Http11)];
    let bodies = vec![
        ("", Framing::None),
        ("Content-Length: 17\r\n", Framing::Length(17)),
        ("transfer-encoding:chunked\r\n", Framing::Chunked),
    ];
    // Bytes in all places of a word, so that each way of scanning meets each of them.
    let field = (
        "x-[a-zA-Z0-9_.!-]{0,20}",
        "([a-z\"(=][a-z \t,;=\u{e9}~-]{0,30}[a-z%]|)",
        select(vec!["", " ", "\t", " \t  "]),
    );
    (
        (0..=4_usize, select(vec!["GET", "HEAD", "POST", "DELETE", "X"]), "(/[a-zA-Z0-9_~;:@!-]{0,12}){1,4}"),
        (proptest::option::of("[a-zA-Z0-9/?%.=&-]{0,20}"), select(versions)),
        proptest::collection::vec(field, 0..12),
        select(bodies),
    )
        .prop_map(|((empty_lines, method, path), (query, version), fields, body)| Model {
            empty_lines,
            method,
            path,
            query,
            version,
            fields,
            body,
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_no_earlier_than_whole(model in models(), after in "[a-z\r\n]{0,8}") {
        let head = model.written();
        let mut out = Request::default();
        for length in 0..head.len() {
            prop_assert_eq!(parse_request(&head.as_bytes()[..length], &LIMITS, &mut out), Ok(Parsed::Partial));
        }
        let whole = head.clone() + &after;
        let buf = whole.as_bytes();
        prop_assert_eq!(parse_request(buf, &LIMITS, &mut out), Ok(Parsed::Complete(head.len())));

        prop_assert_eq!(text(out.method_span.of(buf)), model.method);
        prop_assert_eq!(text(out.path(buf)), &model.path);
        prop_assert_eq!(out.has_query.then(|| text(out.query.of(buf))), model.query.as_deref());
        prop_assert_eq!(out.version, model.version.1);
        prop_assert_eq!(out.framing, model.framing().1);
        prop_assert_eq!(text(out.authority.of(buf)), "a.example:80");
        let read: Vec<_> = out.fields.iter().map(|f| (text(f.name.of(buf)), text(f.value.of(buf)))).collect();
        let put: Vec<_> = model.fields.iter().map(|(name, value, _)| (&name[..], &value[..])).collect();
        prop_assert_eq!(&read[1..=put.len()], &put[..]);
    }
}
