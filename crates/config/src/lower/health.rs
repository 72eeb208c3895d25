//! `health` of a pool, in its short and its long form.

use std::time::Duration;

use policy::plan::{Address, Agent, Backend, Expected, HealthCheck, ProbeKind, Question, Talk};

use crate::context::Context;
use crate::decode;
use crate::diagnostic::{Problem, code};
use crate::keys::{self, HEALTH};
use crate::table::{Item, Table, Value, Words};
use crate::values::{host, name, path, pattern, reply};

/// Keys that mean something only for an HTTP request of the file's own.
const OF_HTTP: [&str; 8] =
    ["method", "host", "headers", "status", "body", "degraded_on", "degraded_weight", "drain_on"];
/// Keys that mean something only for a TCP dialogue.
const OF_TCP: [&str; 2] = ["send", "expect"];

/// The active check of a pool; the outer `None` is a note, the inner one is off.
pub(super) fn of(context: &mut Context<'_>, pool: &Table) -> Option<Option<HealthCheck>> {
    let item = pool.item("health")?;
    match &item.value {
        Value::Table(table) => {
            let kind = long(context, table)?;
            check(table, kind).map(Some)
        }
        Value::Text(_) => {
            let kind = short(context, item.words()?)?;
            let Some(kind) = kind else { return Some(None) };
            // The short form has the long one's other defaults, which are in force all the same.
            let table = decode::defaults(context, &HEALTH, &keys::joined(&pool.name, "health"), item.at);
            check(&table, kind).map(Some)
        }
        _ => None,
    }
}

/// Notes that a check or its agent has a port, but a backend is no host.
pub(super) fn refuse_sockets(context: &mut Context<'_>, pool: &Table, backends: &[Backend]) -> Option<()> {
    let socket = backends.iter().find(|backend| matches!(backend.address, Address::Unix(_)));
    let Some(socket) = socket else { return Some(()) };
    let problem = Problem::new(code::CONFLICT, format!("`{}` is a socket and has no ports", socket.address));
    context
        .error(pool.place("health"), problem.remedy("leave `port` and `agent` out, or move it to a pool of its own"));
    None
}

/// Reads `"/healthz"`, `"alive"`, `"tcp"`; `Some(None)` is `"off"`.
fn short(context: &mut Context<'_>, words: Words<'_>) -> Option<Option<ProbeKind>> {
    match words.text {
        "off" => Some(None),
        "alive" => Some(Some(ProbeKind::Alive)),
        "tcp" => Some(Some(ProbeKind::Tcp)),
        "grpc" => Some(Some(ProbeKind::Grpc { service: String::new() })),
        text if text.starts_with('/') => {
            let path = context.take(words.at, path::target(text))?;
            Some(Some(ProbeKind::Http(Box::new(Question::get(&path)))))
        }
        text => {
            let problem = match text {
                "tls" | "postgres" | "mysql" | "redis" => {
                    Problem::not_available(&format!("the check `{text}`"), "the nearest is `health = \"tcp\"`")
                }
                _ => Problem::value(format!("`health` cannot be `{text}`"))
                    .remedy("write a path such as `\"/healthz\"`, or `\"alive\"`, `\"tcp\"`, `\"grpc\"` or `\"off\"`"),
            };
            context.error(words.at, problem);
            None
        }
    }
}

/// Reads which probe a table chooses.
fn long(context: &mut Context<'_>, table: &Table) -> Option<ProbeKind> {
    let http = table.words("http");
    let chosen = |key: &str| table.flag(key).unwrap_or(false);
    let grpc = grpc(table);
    let others = usize::from(chosen("alive")) + usize::from(chosen("tcp"));
    if usize::from(http.is_some()) + usize::from(grpc.is_some()) + others > 1 {
        let problem = Problem::new(code::CONFLICT, "a probe does one thing")
            .remedy("keep one of `http`, `grpc`, `alive` and `tcp`");
        context.error(table.at, problem);
        return None;
    }
    if let Some(service) = grpc {
        refuse(context, table, &OF_HTTP, "http = \"/healthz\"");
        refuse(context, table, &OF_TCP, "tcp = true");
        return Some(ProbeKind::Grpc { service });
    }
    match http {
        Some(words) => {
            refuse(context, table, &OF_TCP, "tcp = true");
            question(context, table, words).map(|question| ProbeKind::Http(Box::new(question)))
        }
        None if chosen("tcp") => {
            refuse(context, table, &OF_HTTP, "http = \"/healthz\"");
            talk(context, table)
        }
        // A broken `http` was told; it does not become another check.
        None if table.written("http").is_some() => None,
        None => {
            refuse(context, table, &OF_HTTP, "http = \"/healthz\"");
            refuse(context, table, &OF_TCP, "tcp = true");
            Some(ProbeKind::Alive)
        }
    }
}

/// The service that is asked for where gRPC is; empty for the whole server.
fn grpc(table: &Table) -> Option<String> {
    match &table.item("grpc")?.value {
        Value::Flag(true) => Some(String::new()),
        Value::Text(service) => Some(service.clone()),
        _ => None,
    }
}

/// Notes that a check needs HTTP/2, but a backend does not speak it.
pub(super) fn refuse_http1(context: &mut Context<'_>, pool: &Table, backends: &[Backend]) -> Option<()> {
    let Some(backend) = backends.iter().find(|backend| !backend.http2) else { return Some(()) };
    let what = format!("`{}` is spoken to over HTTP/1.1, and the check `grpc` needs HTTP/2", backend.name);
    let remedy = "write its address with `h2c://`, or `h2://` for TLS";
    context.error(pool.place("health"), Problem::new(code::CONFLICT, what).remedy(remedy));
    None
}

/// Notes keys that the chosen probe would not heed.
fn refuse(context: &mut Context<'_>, table: &Table, keys: &[&str], belongs_to: &str) {
    for key in keys {
        if let Some(at) = table.written(key) {
            let problem = Problem::new(code::CONFLICT, format!("`{key}` means nothing for this check"));
            context.error(at, problem.remedy(format!("it belongs to `{belongs_to}`")));
        }
    }
}

fn question(context: &mut Context<'_>, table: &Table, words: Words<'_>) -> Option<Question> {
    let path = context.take(words.at, path::target(words.text));
    let method = match table.words("method") {
        Some(words) => context.take(words.at, name::method(words.text)).map(|method| method.name),
        None => Some("GET".to_owned()),
    };
    let host = match table.words("host") {
        Some(words) => context.take(words.at, host::field(words.text)).map(Some),
        None => Some(None),
    };
    let headers = headers(context, table);
    let status = statuses(context, table, "status");
    let body = expected(context, table, "body");
    let degraded = statuses(context, table, "degraded_on");
    let drain = statuses(context, table, "drain_on");
    let question = Question {
        method: method?,
        path: path?,
        host: host?,
        headers: headers?,
        status: status?.unwrap_or_else(|| vec![(200, 399)]),
        body: body?,
        degraded: degraded?.unwrap_or_default(),
        degraded_permille: table.count::<u16>("degraded_weight")?.saturating_mul(10),
        drain: drain?.unwrap_or_default(),
    };
    if question.method == "HEAD" && question.body.is_some() {
        let problem = Problem::new(code::CONFLICT, "the answer to a HEAD has no body");
        context.error(table.place("body"), problem.remedy("leave `method` out"));
        return None;
    }
    Some(question)
}

fn headers(context: &mut Context<'_>, table: &Table) -> Option<Vec<(String, String)>> {
    let members = table.members("headers");
    let mut fields = Vec::with_capacity(members.len());
    for member in members {
        let name = context.take(member.at, name::changeable_field(&member.name));
        let words = member.item.words()?;
        let value = context.take(words.at, name::field_value(words.text));
        fields.extend(name.zip(value).map(|(name, ())| (name, words.text.to_owned())));
    }
    (fields.len() == members.len()).then_some(fields)
}

/// Ranges of statuses; the inner `None` if the key was not written.
fn statuses(context: &mut Context<'_>, table: &Table, key: &str) -> Option<Option<Vec<(u16, u16)>>> {
    let Some(at) = table.written(key) else { return Some(None) };
    let items = table.list(key);
    let ranges: Vec<_> = items.iter().filter_map(|item| range(context, item)).collect();
    if items.is_empty() && table.item(key).is_some() {
        context.error(at, Problem::value(format!("`{key}` without a status lets nothing pass")));
    }
    (!ranges.is_empty() && ranges.len() == items.len()).then_some(Some(ranges))
}

fn range(context: &mut Context<'_>, item: &Item) -> Option<(u16, u16)> {
    match &item.value {
        Value::Count(status) => u16::try_from(*status).ok().map(|status| (status, status)),
        Value::Text(text) => context.take(item.at, reply::statuses(text)),
        _ => None,
    }
}

fn talk(context: &mut Context<'_>, table: &Table) -> Option<ProbeKind> {
    let send = match table.words("send") {
        Some(words) => context.take(words.at, reply::bytes(words.text)),
        None => Some(Vec::new()),
    };
    let expect = expected(context, table, "expect");
    let talk = Talk { send: send?, expect: expect? };
    let is_silent = talk.send.is_empty() && talk.expect.is_none();
    Some(if is_silent { ProbeKind::Tcp } else { ProbeKind::Talk(talk) })
}

/// What must be in a reply; the outer `None` is a note. Only TCP replies are written with escapes.
fn expected(context: &mut Context<'_>, table: &Table, key: &str) -> Option<Option<Expected>> {
    let Some(item) = table.item(key) else { return table.written(key).is_none().then_some(None) };
    match &item.value {
        Value::Text(text) if text.is_empty() => {
            context.error(item.at, Problem::value(format!("`{key}` is empty: it would be in every reply")));
            None
        }
        Value::Text(text) if key == "expect" => {
            context.take(item.at, reply::bytes(text)).map(|bytes| Some(Expected::Text(bytes)))
        }
        Value::Text(text) => Some(Some(Expected::Text(text.clone().into_bytes()))),
        Value::Table(table) => {
            let words = table.words("regex")?;
            context.take(words.at, pattern::anywhere(words.text)).map(|pattern| Some(Expected::Pattern(pattern)))
        }
        _ => None,
    }
}

fn agent(table: &Table) -> Option<Agent> {
    Some(Agent { port: table.count("port")?, interval: table.wait("interval")?? })
}

fn check(table: &Table, kind: ProbeKind) -> Option<HealthCheck> {
    let agent = match table.table("agent") {
        Some(table) => Some(agent(table)?),
        None => None,
    };
    let interval = table.wait("interval")??;
    Some(HealthCheck {
        kind,
        port: table.count("port"),
        interval,
        interval_in_doubt: table.wait("interval_in_doubt").flatten().unwrap_or(interval / 3),
        timeout: table.wait("timeout")??,
        fall: table.count("fall")?,
        rise: table.count("rise")?,
        start_up: table.wait("start_up")?.unwrap_or(Duration::ZERO),
        hold_down_max: table.wait("hold_down_max")?.unwrap_or(Duration::ZERO),
        agent,
    })
}
