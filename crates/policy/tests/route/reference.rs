//! A slow router: evaluates every match and sorts what holds, straight from the contract's words. It shares nothing with
//! the compiled one but the types.

use std::cmp::Ordering;

use policy::plan::{FieldMatch, FieldTest, HostMatch, Match, PathMatch, Route};
use wire::head::{Method, Name};

use crate::build::Sent;

/// Route index, match index and rest of the best match.
pub(crate) fn reference(routes: &[Route], sent: &Sent) -> Option<(u32, usize, String)> {
    let mut holding: Vec<(usize, usize, &Match)> = Vec::new();
    for (route, it) in routes.iter().enumerate() {
        for (index, wanted) in it.matches.iter().enumerate() {
            if holds(wanted, sent) {
                holding.push((route, index, wanted));
            }
        }
    }
    // The sort is stable: what is equal stays in the order of the file.
    holding.sort_by(|a, b| compare(a.2, b.2));
    let (route, index, wanted) = holding.first()?;
    Some((u32::try_from(*route).ok()?, *index, rest(wanted, &path(sent))))
}

fn compare(a: &Match, b: &Match) -> Ordering {
    let more = |a: usize, b: usize| b.cmp(&a);
    more_first(a.priority, b.priority)
        .then_with(|| host_kind(&a.host).cmp(&host_kind(&b.host)))
        .then_with(|| more(wildcard_length(&a.host), wildcard_length(&b.host)))
        .then_with(|| path_kind(&a.path).cmp(&path_kind(&b.path)))
        .then_with(|| more(prefix_length(&a.path), prefix_length(&b.path)))
        .then_with(|| more_first(!a.methods.is_empty(), !b.methods.is_empty()))
        .then_with(|| more(a.headers.len(), b.headers.len()))
        .then_with(|| more(a.query.len(), b.query.len()))
        .then_with(|| more(a.cookies.len(), b.cookies.len()))
        .then_with(|| more_first(a.clients.is_some(), b.clients.is_some()))
}

fn more_first<T: Ord>(a: T, b: T) -> Ordering {
    b.cmp(&a)
}

fn host_kind(host: &HostMatch) -> u8 {
    match host {
        HostMatch::Exact(_) => 1,
        HostMatch::Wildcard(_) => 2,
        HostMatch::Any => 3,
    }
}

fn wildcard_length(host: &HostMatch) -> usize {
    if let HostMatch::Wildcard(suffix) = host { suffix.len() } else { 0 }
}

fn path_kind(path: &PathMatch) -> u8 {
    match path {
        PathMatch::Exact(_) => 1,
        PathMatch::Regex(_) => 2,
        PathMatch::Prefix(_) => 3,
        PathMatch::Any => 4,
    }
}

fn prefix_length(path: &PathMatch) -> usize {
    if let PathMatch::Prefix(prefix) = path { prefix.len() } else { 0 }
}

fn rest(wanted: &Match, path: &str) -> String {
    match &wanted.path {
        _ if path == "*" => String::new(),
        PathMatch::Any => path.to_owned(),
        PathMatch::Prefix(prefix) => path[prefix.len()..].to_owned(),
        PathMatch::Exact(_) | PathMatch::Regex(_) => String::new(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(sent: &Sent) -> String {
    text(sent.head.path(&sent.buf))
}

fn holds(wanted: &Match, sent: &Sent) -> bool {
    (wanted.listeners.is_empty() || wanted.listeners.contains(&sent.listener))
        && host_holds(&wanted.host, &host(sent))
        && path_holds(&wanted.path, &path(sent))
        && (wanted.methods.is_empty() || method_holds(wanted, sent))
        && wanted.clients.as_ref().is_none_or(|clients| clients.contains(sent.client))
        && all_hold(&wanted.headers, &headers(sent), str::to_lowercase)
        && all_hold(&wanted.query, &query(sent), str::to_owned)
        && all_hold(&wanted.cookies, &cookies(sent), str::to_owned)
}

fn host(sent: &Sent) -> String {
    let authority = text(sent.head.authority.of(&sent.buf)).to_lowercase();
    if let Some((literal, _)) = authority.split_once(']') {
        return format!("{literal}]");
    }
    let host = authority.split(':').next().unwrap_or_default();
    host.strip_suffix('.').unwrap_or(host).to_owned()
}

fn host_holds(wanted: &HostMatch, host: &str) -> bool {
    match wanted {
        HostMatch::Any => true,
        HostMatch::Exact(name) => name == host,
        HostMatch::Wildcard(suffix) => host.strip_suffix(&format!(".{suffix}")).is_some_and(|label| !label.is_empty()),
    }
}

fn path_holds(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Any => true,
        PathMatch::Prefix(prefix) if prefix.is_empty() => true,
        _ if path == "*" => false,
        PathMatch::Prefix(prefix) => path == prefix || path.starts_with(&format!("{prefix}/")),
        PathMatch::Exact(wanted) => wanted == path,
        PathMatch::Regex(pattern) => pattern.regex.is_match(path.as_bytes()),
    }
}

fn method_holds(wanted: &Match, sent: &Sent) -> bool {
    let token = text(sent.head.method_span.of(&sent.buf));
    wanted.methods.iter().any(|method| match method.method {
        Method::Other => method.name == token,
        known => known == sent.head.method,
    })
}

fn all_hold(wanted: &[FieldMatch], pairs: &[(String, String)], spell: impl Fn(&str) -> String) -> bool {
    wanted.iter().all(|field| {
        let values: Vec<&String> =
            pairs.iter().filter(|(name, _)| spell(name) == field.name).map(|(_, value)| value).collect();
        match &field.test {
            FieldTest::Present => !values.is_empty(),
            FieldTest::Absent => values.is_empty(),
            FieldTest::Exact(wanted) => values.contains(&wanted),
            FieldTest::Regex(pattern) => values.iter().any(|value| pattern.regex.is_match(value.as_bytes())),
        }
    })
}

fn headers(sent: &Sent) -> Vec<(String, String)> {
    sent.head.fields.iter().map(|f| (text(f.name.of(&sent.buf)), text(f.value.of(&sent.buf)))).collect()
}

fn cookies(sent: &Sent) -> Vec<(String, String)> {
    let lines = sent.head.fields.iter().filter(|field| field.known == Name::Cookie);
    let mut pairs = Vec::new();
    for line in lines {
        for pair in text(line.value.of(&sent.buf)).split(';') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    pairs
}

fn query(sent: &Sent) -> Vec<(String, String)> {
    let written = text(sent.head.query.of(&sent.buf));
    let pairs = written.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decode(n), decode(v))).collect()
}

fn decode(written: &str) -> String {
    let spaced = written.replace('+', " ");
    let (mut out, mut left) = (String::new(), spaced.as_str());
    while let Some(first) = left.chars().next() {
        let code = left.strip_prefix('%').and_then(|digits| digits.get(..2));
        let code = code.filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
        if let Some(byte) = code.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            out.push(char::from(byte));
            left = &left[3..];
        } else {
            out.push(first);
            left = &left[first.len_utf8()..];
        }
    }
    out
}
