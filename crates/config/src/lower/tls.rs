//! `tls` of listeners and pools, `hsts`, `http_redirect`, `[cluster]`.

use std::path::PathBuf;
use std::time::Duration;

use certs::Kind;
use policy::plan::{
    Action, Backend, BackendTls, Bind, CertSource, ClientAuth, HeaderRules, Listener, ListenerId, ListenerTls, Match,
    Piece, Preset, Redirect, Route, Secret, Template,
};

use crate::context::Context;
use crate::diagnostic::{Problem, code};
use crate::files::At;
use crate::source::Source;
use crate::table::{Item, Table, Words};
use crate::warn::facts::{CertFacts, Origin, RouteFacts};

/// Characters of a secret that cannot be guessed.
const SECRET_MIN: usize = 16;

/// The source as the loader of certificates sees it.
struct Files<'a>(&'a dyn Source);

impl certs::Files for Files<'_> {
    fn read(&self, path: &std::path::Path) -> Result<Vec<u8>, String> {
        self.0.bytes(path)
    }

    fn list(&self, folder: &std::path::Path) -> Option<Vec<PathBuf>> {
        self.0.list(folder)
    }
}

/// A path relative to the folder of the file that names it.
fn path(context: &Context<'_>, words: Words<'_>) -> PathBuf {
    context.files.folder(words.at.file).join(words.text)
}

/// `tls` of a listener; the outer `None` is a note. What its files lack is noted, too.
pub(super) fn of_listener(
    context: &mut Context<'_>,
    listener: &Table,
    found: &mut Vec<CertFacts>,
) -> Option<Option<Box<ListenerTls>>> {
    let handshake_timeout = listener.table("timeouts")?.wait("handshake")?;
    let Some(item) = listener.item("tls") else { return Some(None) };
    let mut sources = Vec::new();
    let (mut preset, mut client) = (Some(Preset::default()), Some(None));
    match item.table() {
        None => places(context, item, &mut sources),
        Some(table) => {
            if table.written("cert").is_some() {
                sources.extend(pair(context, table).map(|source| (table.place("cert"), source)));
            } else if let Some(at) = table.written("key").or(table.written("ocsp")) {
                let problem = Problem::new(code::MISSING_KEY, "a key without its certificate");
                context.error(at, problem.remedy("add `cert = \"…\"`"));
            }
            for item in table.list("certs") {
                places(context, item, &mut sources);
            }
            preset = preset_of(table);
            client = client_auth(context, table);
        }
    }
    if sources.is_empty() && item.table().is_none_or(|table| table.written("cert").is_none()) {
        let problem = Problem::new(code::MISSING_KEY, "`tls` names no certificate")
            .remedy("for example `tls = [\"/etc/evenkeel/certs/\"]` or `tls = { cert = \"…\", key = \"…\" }`");
        context.error(item.at, problem);
    }
    let certs: Vec<_> = sources.iter().map(|(_, source)| source.clone()).collect();
    judge(context, &certs, &sources, found);
    Some(Some(Box::new(ListenerTls { certs, preset: preset?, client: client?, handshake_timeout })))
}

/// Every source that a value names.
fn places(context: &mut Context<'_>, item: &Item, sources: &mut Vec<(At, CertSource)>) {
    if let Some(words) = item.words() {
        sources.push((item.at, CertSource::Place(path(context, words))));
    } else if let Some(table) = item.table() {
        sources.extend(pair(context, table).map(|source| (item.at, source)));
    } else if let crate::table::Value::List(items) = &item.value {
        items.iter().for_each(|item| places(context, item, sources));
    }
}

fn pair(context: &Context<'_>, table: &Table) -> Option<CertSource> {
    let cert = path(context, table.words("cert")?);
    let key = table.words("key").map_or_else(|| cert.clone(), |words| path(context, words));
    let ocsp = table.words("ocsp").map(|words| path(context, words));
    Some(CertSource::Pair { cert, key, ocsp })
}

fn preset_of(table: &Table) -> Option<Preset> {
    Some(if table.words("preset")?.text == "modern" { Preset::Modern } else { Preset::Intermediate })
}

/// The outer `None` is a note.
fn client_auth(context: &mut Context<'_>, table: &Table) -> Option<Option<ClientAuth>> {
    if table.written("client_ca").is_none() {
        for key in ["client_auth", "forward_client_cert"] {
            if let Some(at) = table.written(key) {
                let problem = Problem::new(code::MISSING_KEY, format!("`{key}` without `client_ca` asks nobody"));
                context.error(at, problem.remedy("name those who issue the certificates: `client_ca = \"…\"`"));
            }
        }
        return Some(None);
    }
    let ca = authorities(context, table, "client_ca")?;
    let required = table.words("client_auth")?.text == "required";
    Some(Some(ClientAuth { ca, required, whole: table.flag("forward_client_cert")? }))
}

/// Files of authorities that can be read.
fn authorities(context: &mut Context<'_>, table: &Table, key: &str) -> Option<Vec<PathBuf>> {
    let paths: Vec<_> = table.all_words(key).map(|words| path(context, words)).collect();
    let read = certs::authorities(&paths, &Files(context.source));
    context.take(table.place(key), read.map_err(|why| Problem::new(code::CERTIFICATE, why)))?;
    if paths.is_empty() {
        context.error(table.place(key), Problem::value(format!("`{key}` names no file")));
    }
    Some(paths)
}

/// Loads what the sources name: errors are noted at once, warnings when there is a plan.
fn judge(context: &mut Context<'_>, certs: &[CertSource], places: &[(At, CertSource)], found: &mut Vec<CertFacts>) {
    let loaded = certs::load(certs, &Files(context.source), context.source.now());
    for problem in loaded.problems {
        let Some((at, _)) = places.get(problem.source) else { continue };
        if problem.is_error {
            context.error(*at, Problem::new(code::CERTIFICATE, problem.message).remedy_if(problem.remedy));
        } else {
            let code = match problem.kind {
                Kind::File => crate::warn::CERTIFICATE_FILE,
                Kind::Expiry => crate::warn::CERTIFICATE_EXPIRY,
                Kind::Chain => crate::warn::CERTIFICATE_CHAIN,
                Kind::Names => crate::warn::CERTIFICATE_NAMES,
            };
            found.push(CertFacts { at: *at, code, message: problem.message, remedy: problem.remedy });
        }
    }
}

/// The value of `Strict-Transport-Security`; the outer `None` is a note.
pub(super) fn hsts(context: &mut Context<'_>, listener: &Table) -> Option<Option<String>> {
    let Some(item) = listener.item("hsts") else { return Some(None) };
    if listener.written("tls").is_none() {
        let problem = Problem::new(code::CONFLICT, "`hsts` without `tls`: browsers heed it over HTTPS alone");
        context.error(item.at, problem.remedy("put it on the listener that has `tls`"));
        return None;
    }
    let with = |age: Duration, more: &str| Some(Some(format!("max-age={}{more}", age.as_secs())));
    match item.table() {
        None => with(listener.wait("hsts")??, ""),
        Some(table) => {
            let mut more = String::new();
            if table.flag("subdomains")? {
                more += "; includeSubDomains";
            }
            if table.flag("preload")? {
                more += "; preload";
            }
            with(table.wait("max_age")??, &more)
        }
    }
}

/// The listener and the route that `http_redirect` stands for; its addresses with their places.
pub(super) fn redirect(
    context: &mut Context<'_>,
    (secure, table): (&Listener, &Table),
    binds: Vec<Bind>,
    id: ListenerId,
) -> Option<(Listener, Route, RouteFacts)> {
    let at = table.written("http_redirect")?;
    if secure.tls.is_none() {
        let problem =
            Problem::new(code::CONFLICT, "`http_redirect` without `tls` leads to a port that speaks plain HTTP");
        context.error(at, problem.remedy("put it on the listener that has `tls`"));
        return None;
    }
    let port = secure.binds.iter().find_map(|bind| match bind {
        Bind::Tcp { addr, .. } => Some(addr.port()),
        Bind::Unix(_) => None,
    });
    let port = port.filter(|port| !matches!(port, 0 | 443)).map_or_else(String::new, |port| format!(":{port}"));
    let to = vec![Piece::Text("https://".to_owned()), Piece::Host, Piece::Text(port), Piece::Path, Piece::Query];
    let listener = Listener {
        name: format!("{}-redirect", secure.name),
        binds,
        access: secure.access.clone(),
        proxy_protocol: secure.proxy_protocol,
        trusted_proxies: secure.trusted_proxies.clone(),
        timeouts: secure.timeouts,
        floors: secure.floors,
        limit: secure.limit.clone(),
        client_connections: secure.client_connections,
        tls: None,
        hsts: None,
    };
    let all = Match { priority: i32::MAX, listeners: vec![id], ..Match::default() };
    let route = Route {
        name: format!("redirect of listener {}", secure.name),
        matches: vec![all],
        action: Action::Redirect(Redirect { status: 308, to: Template(to) }),
        rewrite: None,
        request_headers: HeaderRules::default(),
        response_headers: HeaderRules::default(),
        body_bytes: None,
        buffer: Default::default(),
        urgency: Default::default(),
        limit: None,
    };
    Some((listener, route, RouteFacts { at, clients: Vec::new(), origin: Origin::Listener }))
}

/// `tls` of a pool; `None` in it where no backend is spoken to over TLS. The outer `None` is a note.
pub(super) fn of_pool(context: &mut Context<'_>, pool: &Table, backends: &[Backend]) -> Option<Option<BackendTls>> {
    if backends.iter().any(|backend| backend.tls) && pool.words("send_proxy")?.text != "off" {
        let problem =
            Problem::not_available("`send_proxy` to backends of `https://`", "the client is in X-Forwarded-For");
        context.error(pool.place("send_proxy"), problem);
        return None;
    }
    let Some(table) = pool.table("tls") else {
        return Some(backends.iter().any(|it| it.tls).then(BackendTls::default));
    };
    if !backends.iter().any(|backend| backend.tls) && !backends.is_empty() {
        let problem = Problem::new(code::CONFLICT, "`tls` is for backends of `https://`, and this pool has none");
        context
            .error(pool.place("tls"), problem.remedy("write for instance `backends = [\"https://10.0.0.11:8443\"]`"));
        return None;
    }
    let ca = match table.written("ca") {
        Some(_) => authorities(context, table, "ca"),
        None => Some(Vec::new()),
    };
    let name = table.words("name").map(|words| name(context, words)).transpose().ok();
    let identity = identity(context, table);
    let unverified = !table.flag("verify")?;
    if unverified && table.written("ca").is_some() {
        let problem = Problem::new(code::CONFLICT, "`verify = false` believes everybody, whatever `ca` says");
        context.error(table.place("verify"), problem.remedy("keep one of the two"));
        return None;
    }
    Some(Some(BackendTls { ca: ca?, name: name?, identity: identity?, unverified, preset: preset_of(table)? }))
}

/// A name to ask for.
fn name(context: &mut Context<'_>, words: Words<'_>) -> Result<String, ()> {
    let is_ip = words.text.parse::<std::net::IpAddr>().is_ok();
    if is_ip || crate::values::host::is_name(words.text) {
        return Ok(words.text.trim_end_matches('.').to_ascii_lowercase());
    }
    let problem = Problem::value(format!("`{}` is not the name of a server", words.text));
    context.error(words.at, problem.remedy("write for instance `\"app.internal\"`"));
    Err(())
}

/// The outer `None` is a note.
fn identity(context: &mut Context<'_>, table: &Table) -> Option<Option<(PathBuf, PathBuf)>> {
    let Some(words) = table.words("cert") else {
        if let Some(at) = table.written("key").filter(|_| table.written("cert").is_none()) {
            let problem = Problem::new(code::MISSING_KEY, "a key without its certificate");
            context.error(at, problem.remedy("add `cert = \"…\"`"));
        }
        return table.written("cert").is_none().then_some(None);
    };
    let cert = path(context, words);
    let key = table.words("key").map_or_else(|| cert.clone(), |words| path(context, words));
    let read = certs::identity(&cert, &key, &Files(context.source));
    context.take(words.at, read.map_err(|why| Problem::new(code::CERTIFICATE, why)))?;
    Some(Some((cert, key)))
}

/// `secret` of `[cluster]`; the outer `None` is a note.
pub(super) fn secret(context: &mut Context<'_>, root: &Table) -> Option<Option<Secret>> {
    let Some(words) = root.table("cluster").and_then(|table| table.words("secret")) else { return Some(None) };
    if words.text.len() < SECRET_MIN {
        let problem = Problem::value(format!("the secret must have at least {SECRET_MIN} characters"))
            .remedy("make one with `openssl rand -hex 32`");
        context.error(words.at, problem);
        return None;
    }
    Some(Some(Secret::new(words.text.to_owned())))
}
