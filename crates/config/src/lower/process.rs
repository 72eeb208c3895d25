//! `[admin]`, `[limits]`, `[access_log]`, `[errors]`, `[check]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use policy::plan::{AccessLog, Admin, Bind, ErrorPage, Limits, LogTarget, LogWrite, Overload};

use super::page;
use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::table::{Member, Table, Words};
use crate::values::address;

/// `[admin]`: beyond loopback it needs a token, since whoever reaches it could otherwise take backends out.
pub(super) fn admin(context: &mut Context<'_>, root: &Table) -> Option<Admin> {
    let table = root.table("admin")?;
    let mut bind = Vec::new();
    for words in table.all_words("bind") {
        bind.extend(admin_address(context, words));
    }
    let token = table.words("token").and_then(|words| token(context, words));
    let open = bind.iter().find(|addr| !addr.ip().is_loopback());
    if let Some(open) = open.filter(|_| table.written("token").is_none()) {
        let message = format!("the admin interface would be open to everybody who reaches {open}");
        let remedy = "add `token = \"${file:/etc/evenkeel/token}\"`, or bind 127.0.0.1";
        context.error(table.place("bind"), Problem::new(code::MISSING_KEY, message).remedy(remedy));
    }
    Some(Admin { bind, socket: socket(context, table), token })
}

fn admin_address(context: &mut Context<'_>, words: Words<'_>) -> Option<SocketAddr> {
    match context.take(words.at, address::bind(words.text))? {
        Bind::Tcp { addr, .. } => Some(addr),
        Bind::Unix(_) => {
            let problem = Problem::value("`bind` of [admin] is for TCP").remedy("name the path with `socket`");
            context.error(words.at, problem);
            None
        }
    }
}

fn token(context: &mut Context<'_>, words: Words<'_>) -> Option<String> {
    if words.text.is_empty() || !words.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = Problem::value("the token must be visible ASCII without spaces, and not empty")
            .remedy("make one with `openssl rand -hex 32`");
        context.error(words.at, problem);
        return None;
    }
    Some(words.text.to_owned())
}

fn socket(context: &mut Context<'_>, table: &Table) -> Option<PathBuf> {
    let words = table.words("socket").filter(|words| words.text != "off")?;
    let path = words.text.strip_prefix("unix:").unwrap_or(words.text);
    context.take(words.at, address::unix(path))
}

/// Where `[admin]` says its addresses.
pub(super) fn admin_place(root: &Table) -> Option<At> {
    root.table("admin")?.written("bind")
}

/// `[limits]`.
pub(super) fn limits(context: &mut Context<'_>, root: &Table) -> Option<Limits> {
    let table = root.table("limits")?;
    let header_bytes = table.bytes("header_bytes")?;
    let target_bytes = table.bytes("target_bytes")?;
    if let Some(at) = table.written("target_bytes").filter(|_| target_bytes > header_bytes) {
        let problem =
            Problem::new(code::CONFLICT, "`target_bytes` is more than `header_bytes`, which holds the target")
                .remedy("raise `header_bytes`, too");
        context.error(at, problem);
    }
    Some(Limits {
        connections: table.count("connections")?,
        header_bytes,
        header_fields: table.count("header_fields")?,
        target_bytes: target_bytes.min(header_bytes),
        body_bytes: table.size("body_bytes")?,
        buffered: table.bytes("buffered")?,
    })
}

/// `[overload]`, and `memory` of `[limits]`.
pub(super) fn overload(root: &Table) -> Option<Overload> {
    let table = root.table("overload")?;
    Some(Overload {
        lag: table.wait("lag")?,
        // A word is "off".
        memory: table.count("memory"),
        descriptors: table.count("descriptors"),
        memory_bytes: root.table("limits")?.size("memory").flatten(),
    })
}

/// `[access_log]`.
pub(super) fn access_log(context: &mut Context<'_>, root: &Table) -> Option<AccessLog> {
    let table = root.table("access_log")?;
    let write = match table.words("write")?.text {
        "off" => LogWrite::Off,
        "sampled" => LogWrite::Sampled,
        "all" => LogWrite::All,
        _ => LogWrite::Errors,
    };
    let to = table.words("to")?;
    let target = match to.text {
        "stdout" => LogTarget::Stdout,
        path => LogTarget::File(PathBuf::from(path)),
    };
    if to.text.trim().is_empty() || to.text.contains(char::is_control) {
        let problem = Problem::value(format!("`{}` is not the path of a file", to.text));
        context.error(to.at, problem.remedy("write for instance `\"/var/log/evenkeel/access.log\"`, or `\"stdout\"`"));
    }
    Some(AccessLog { write, to: target, one_in: table.count("one_in")? })
}

/// The codes of `[check] allow`.
pub(super) fn allowed(root: &Table) -> Vec<String> {
    let check = root.table("check");
    check.map(|table| table.all_words("allow").map(|words| words.text.to_owned()).collect()).unwrap_or_default()
}

/// `[errors]`.
pub(super) fn error_pages(context: &mut Context<'_>, root: &Table) -> Vec<ErrorPage> {
    root.members("errors").iter().filter_map(|member| error_page(context, member)).collect()
}

fn error_page(context: &mut Context<'_>, member: &Member) -> Option<ErrorPage> {
    let status = member.name.parse::<u16>().ok().filter(|status| (400..=599).contains(status));
    if status.is_none() {
        let problem = Problem::value(format!("`{}` is not the status of an error", member.name))
            .remedy("write one from 400 to 599; each status has a line of its own");
        context.error(member.at, problem);
    }
    let words = member.item.words()?;
    let Some(path) = words.text.strip_prefix("file:") else {
        let problem = Problem::value("an error page is a file").remedy("write `\"file:sorry.html\"`");
        context.error(words.at, problem);
        return None;
    };
    let body = page::read(context, path, words.at)?;
    Some(ErrorPage { status: status?, content_type: page::content_type(path).to_owned(), body })
}
