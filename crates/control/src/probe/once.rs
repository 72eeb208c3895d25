//! One probe: a fresh connection, perhaps a PROXY header, perhaps a request; nothing is kept.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::tls::TlsFault;
use policy::ask::Ask;
use policy::health::ProbeFailure;
use policy::plan::{ProbeKind, ProxyVersion, Question};
use rustix::io::Errno;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use wire::proxy::{Header, encode_v1, encode_v2};

use super::http::Answer;
use super::http2::Asked;
use super::{http, http2, patience, talk};
use crate::backends::Seat;

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) kind: ProbeKind,
    /// Instead of the backend's own.
    pub(crate) port: Option<u16>,
    /// For the whole probe, from connect to the head of the answer, or to what must be in its body.
    pub(crate) timeout: Duration,
    /// The `Host` field.
    pub(crate) host: String,
    /// Backends that expect a PROXY header expect it from probes, too.
    pub(crate) send_proxy: Option<ProxyVersion>,
    /// Whose settings of TLS are used, where it is spoken to over that.
    pub(crate) tls: Option<Seat>,
    /// The scheme that it is asked with, where it is spoken to over HTTP/2.
    pub(crate) http2: Option<&'static str>,
}

/// How a probe speaks TLS: as requests do.
pub(crate) type Secured = (Arc<ClientConfig>, ServerName<'static>);

/// Where a probe goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Passed, and the backend asks for less than its weight.
    Asks(Ask),
    Failed(ProbeFailure),
    /// This machine could not even try, which says nothing about the backend (out of descriptors, ports, memory).
    Untried(String),
}

/// Probes an endpoint.
pub(crate) async fn probe(check: &Check, endpoint: &Endpoint, secured: Option<Secured>) -> Outcome {
    patience::within(check.timeout, run(check, endpoint, secured))
        .await
        .unwrap_or(Outcome::Failed(ProbeFailure::Timeout))
}

async fn run(check: &Check, endpoint: &Endpoint, secured: Option<Secured>) -> Outcome {
    match endpoint {
        Endpoint::Tcp(addr) => match TcpStream::connect((addr.ip(), check.port.unwrap_or(addr.port()))).await {
            Ok(stream) => match (check.tls, secured) {
                (None, _) => converse(check, stream).await,
                (Some(_), None) => Outcome::Failed(ProbeFailure::Connect(TlsFault::Unset.sentence().to_owned())),
                (Some(_), Some((config, name))) => match TlsConnector::from(config).connect(name, stream).await {
                    Ok(stream) if check.http2.is_some() && stream.get_ref().1.alpn_protocol() != Some(b"h2") => {
                        Outcome::Failed(ProbeFailure::Connect(TlsFault::NoHttp2.sentence().to_owned()))
                    }
                    Ok(stream) => converse(check, stream).await,
                    Err(error) => Outcome::Failed(ProbeFailure::Connect(tls_reason(&error))),
                },
            },
            Err(error) => not_connected(&error),
        },
        Endpoint::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => converse(check, stream).await,
            Err(error) => not_connected(&error),
        },
    }
}

async fn converse<S>(check: &Check, mut stream: S) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    if let Some(version) = check.send_proxy
        && let Err(error) = stream.write_all(&proxy_header(version)).await
    {
        return Outcome::Failed(ProbeFailure::Connect(error.to_string()));
    }
    let asked = Asked { scheme: check.http2.unwrap_or("http"), host: &check.host };
    match &check.kind {
        ProbeKind::Tcp => Outcome::Passed,
        ProbeKind::Grpc { service } => {
            http2::ask_grpc(stream, &asked, service).await.map_or_else(Outcome::Failed, |()| Outcome::Passed)
        }
        ProbeKind::Talk(dialogue) => {
            talk::hold(stream, dialogue).await.map_or_else(Outcome::Failed, |()| Outcome::Passed)
        }
        ProbeKind::Alive if check.http2.is_some() => match http2::ask_alive(stream, &asked).await {
            Ok(Some(answer)) => judge(answer, is_alive),
            Ok(None) => Outcome::Passed,
            Err(failure) => Outcome::Failed(failure),
        },
        ProbeKind::Alive => {
            let question = Question { method: "HEAD".to_owned(), ..Question::get("/") };
            let answer = http::ask(stream, &check.host, &question).await;
            answer.map_or_else(Outcome::Failed, |answer| judge(answer, is_alive))
        }
        ProbeKind::Http(question) => {
            let answer = match check.http2 {
                Some(_) => http2::ask(stream, &asked, question).await,
                None => http::ask(stream, &check.host, question).await,
            };
            answer.map_or_else(Outcome::Failed, |answer| match question.asked_by(answer.status) {
                Some(wish) => Outcome::Asks(Ask::from_status(answer.status, wish)),
                None => judge(answer, |status| question.accepts(status)),
            })
        }
    }
}

fn judge(answer: Answer, passes: impl Fn(u16) -> bool) -> Outcome {
    match answer {
        Answer { status, .. } if !passes(status) => Outcome::Failed(ProbeFailure::Status(status)),
        Answer { ask: Some(ask), .. } => Outcome::Asks(ask),
        Answer { ask: None, .. } => Outcome::Passed,
    }
}

/// A process that answers at all is alive; 501 is how a server says that it does not know HEAD.
fn is_alive(status: u16) -> bool {
    status < 500 || status == 501
}

/// The header of a connection on nobody's behalf: UNKNOWN in version 1, LOCAL in version 2 (PROXY protocol, sections
/// 2.1 and 2.2).
fn proxy_header(version: ProxyVersion) -> Vec<u8> {
    let mut header = Vec::new();
    match version {
        ProxyVersion::V1 => encode_v1(&mut header, &Header::Unknown),
        ProxyVersion::V2 => encode_v2(&mut header, &Header::Local),
    }
    header
}

/// Whether it is this machine that lacks something.
pub(super) fn is_ours(error: &io::Error) -> bool {
    const OURS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];
    OURS.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn not_connected(error: &io::Error) -> Outcome {
    if is_ours(error) {
        Outcome::Untried(error.to_string())
    } else {
        Outcome::Failed(ProbeFailure::Connect(reason(error)))
    }
}

/// Why a handshake failed: which rule a certificate breaks, if it is that.
fn tls_reason(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(inner) => TlsFault::of(inner).sentence().to_owned(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => TlsFault::Closed.sentence().to_owned(),
        None => reason(error),
    }
}

/// The system's words without its number: `connection refused`.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
