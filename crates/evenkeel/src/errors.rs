//! `evenkeel errors`: the last failed exchanges, one a line.

use serde_json::Value;

use crate::calendar::utc;
use crate::check::pretty;
use crate::cli;
use crate::client;
use crate::columns::Align::{Left, Right};
use crate::columns::Columns;
use crate::failure::Done;
use crate::output;

/// Characters of a request that are shown.
const REQUEST_CHARACTERS: usize = 80;

pub(crate) fn carry_out(args: &cli::Errors) -> Done {
    let value = client::ask(&args.reach, &format!("/api/v1/errors?last={}", args.last))?;
    let lines = value.as_array().map_or(&[][..], Vec::as_slice);
    if args.form.json {
        output::print(&pretty(&value))?;
    } else if lines.is_empty() {
        output::print("no exchange has failed since the start")?;
    } else {
        output::print(&table(lines))?;
    }
    Ok(())
}

fn table(lines: &[Value]) -> String {
    let mut columns = Columns::new(&[
        ("TIME", Left),
        ("STATUS", Right),
        ("CAUSE", Left),
        ("REQUEST", Left),
        ("ROUTE", Left),
        ("BACKEND", Left),
        ("ATTEMPTS", Right),
        ("REQUEST ID", Left),
        ("DETAIL", Left),
    ]);
    for line in lines {
        columns.row([
            utc(line["time_ms"].as_u64().unwrap_or(0)),
            status(line),
            text(line, "cause"),
            request(line),
            text(line, "route"),
            backend(line),
            text(line, "attempts"),
            text(line, "request_id"),
            detail(line),
        ]);
    }
    columns.text()
}

/// A field of an access log line; `-` where there is none.
fn text(line: &Value, name: &str) -> String {
    match &line[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Method, host and path, cut where the line would be for nobody to read; `--json` has the whole.
fn request(line: &Value) -> String {
    if line["method"] == "" {
        return "unreadable".to_owned();
    }
    let whole = format!("{} {}{}", text(line, "method"), text(line, "host"), text(line, "path"));
    match whole.char_indices().nth(REQUEST_CHARACTERS) {
        None => whole,
        Some((end, _)) => format!("{}…", &whole[..end]),
    }
}

/// 0 stands for a client that got none.
fn status(line: &Value) -> String {
    match line["status"].as_u64() {
        None | Some(0) => "-".to_owned(),
        Some(status) => status.to_string(),
    }
}

fn backend(line: &Value) -> String {
    match (&line["pool"], &line["backend"]) {
        (Value::Null, _) => "-".to_owned(),
        (_, Value::Null) => format!("{}/-", text(line, "pool")),
        _ => format!("{}/{}", text(line, "pool"), text(line, "backend")),
    }
}

/// Without a cause of ours, the failure is the backend's own answer.
fn detail(line: &Value) -> String {
    match &line["detail"] {
        Value::Null => "the backend answered so".to_owned(),
        _ => text(line, "detail"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let line = json!({ "method": "GET", "host": "x", "path": format!("/{}", "é".repeat(200)) });
        let request = request(&line);
        assert_eq!(request.chars().count(), REQUEST_CHARACTERS + 1);
        assert!(request.starts_with("GET x/é") && request.ends_with("é…"), "{request}");
    }

    #[test]
    fn request_whose_line_could_not_be_read_is_said_to_be_so() {
        assert_eq!(request(&json!({ "method": "", "host": "", "path": "" })), "unreadable");
    }

    #[test]
    fn one_line_for_each_exchange() {
        let lines = [
            json!({ "time_ms": 1_795_181_199_270_u64, "status": 502, "cause": "connect-failed", "detail": "refused",
                "method": "GET", "host": "shop.example", "path": "/cart", "route": "listener web", "pool": "app",
                "backend": "b", "attempts": 3, "request_id": "r1" }),
            json!({ "time_ms": 1_795_181_199_271_u64, "status": 500, "method": "GET", "host": "shop.example",
                "path": "/", "route": "listener web", "pool": "app", "backend": "a", "attempts": 1,
                "request_id": "r2" }),
            json!({ "time_ms": 1_795_181_199_272_u64, "status": 0, "cause": "client-gone", "detail": "the client went away",
                "method": "GET", "host": "x", "path": "/\u{1b}[1m", "attempts": 0, "request_id": "r3" }),
        ];
        insta::assert_snapshot!(table(&lines));
    }
}
