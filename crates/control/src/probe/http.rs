//! The HTTP part of a probe: one request on a connection that nobody uses again.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use policy::ask::Ask;
use policy::health::ProbeFailure;
use policy::plan::{Expected, Question};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::talk::lacking;

/// Bytes of an answer head that a probe reads.
const MAX_HEAD: usize = 32 << 10;
/// Bytes of an answer body that are read: for what must be in it, else so that a small answer does not end in a reset on
/// the backend's side.
const MAX_BODY: usize = 64 << 10;
/// How long it is waited for where nothing must be in it.
const MAX_BODY_WAIT: Duration = Duration::from_millis(100);

/// More interim answers than this to one probe are an attack or a fault, as they are to a request.
const MAX_INTERIM: usize = 16;

/// What came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// What its fields ask for.
    pub(super) ask: Option<Ask>,
}

/// Sends the question; the head of a well-formed answer whose body, where the status lets it pass, has what it must.
pub(super) async fn ask<S>(stream: S, host: &str, question: &Question) -> Result<Answer, ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut request = request(host, question)?;
    let interim = Interim::of(&mut request);
    let shaken = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| describe(&error))?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async {
        let answer = sender.send_request(request).await.map_err(|error| describe(&error))?;
        let status = answer.status().as_u16();
        let field = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let ask = Ask::from_fields(field("x-evenkeel-state"), field("x-evenkeel-weight"));
        match &question.body {
            Some(expected) if question.accepts(status) => read_for(answer, expected).await?,
            // The status is what was asked; how the body ends is not.
            _ => {
                let _ = tokio::time::timeout(MAX_BODY_WAIT, drain(answer)).await;
            }
        }
        Ok(Answer { status, ask })
    });
    let result = tokio::select! {
        biased;
        // What this branch gives in place of an answer is never looked at.
        () = interim.too_many.notified() => Err(ProbeFailure::Timeout),
        result = &mut exchange => result,
        // The connection has ended: what it had to say is with the exchange already.
        _ = &mut connection => exchange.await,
    };
    interim.check().and(result)
}

fn request(host: &str, question: &Question) -> Result<Request<Empty<Bytes>>, ProbeFailure> {
    let unusable = |what: &str| ProbeFailure::Malformed(format!("the check's {what} cannot be sent"));
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::from_bytes(question.method.as_bytes()).map_err(|_| unusable("method"))?;
    *request.uri_mut() = Uri::try_from(&question.path).map_err(|_| unusable("path"))?;
    let host = HeaderValue::from_str(host).map_err(|_| unusable("host"))?;
    let fields = request.headers_mut();
    fields.insert(USER_AGENT, HeaderValue::from_static("evenkeel-probe"));
    for (name, value) in &question.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("headers"))?;
        fields.insert(name, HeaderValue::from_str(value).map_err(|_| unusable("headers"))?);
    }
    fields.insert(HOST, host);
    fields.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Interim answers (1xx), which nobody else counts.
#[derive(Default)]
struct Interim {
    come: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    fn of(request: &mut Request<Empty<Bytes>>) -> Arc<Self> {
        let interim = Arc::new(Self::default());
        let told = Arc::clone(&interim);
        hyper::ext::on_informational(request, move |_| {
            told.come.fetch_add(1, Ordering::Relaxed);
            if told.check().is_err() {
                told.too_many.notify_one();
            }
        });
        interim
    }

    fn check(&self) -> Result<(), ProbeFailure> {
        let come = self.come.load(Ordering::Relaxed);
        if come <= MAX_INTERIM { Ok(()) } else { Err(ProbeFailure::Malformed("too many interim answers".to_owned())) }
    }
}

/// Reads a body until what is expected has come.
async fn read_for(mut answer: Response<Incoming>, expected: &Expected) -> Result<(), ProbeFailure> {
    let mut body = Vec::new();
    while body.len() < MAX_BODY {
        let Some(frame) = answer.frame().await else { break };
        let frame = frame.map_err(|error| describe(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        body.extend_from_slice(&data[..data.len().min(MAX_BODY - body.len())]);
        if expected.is_in(&body) {
            return Ok(());
        }
    }
    // An expression may match nothing at all.
    if expected.is_in(&body) { Ok(()) } else { Err(lacking("body", expected, &body)) }
}

async fn drain(mut answer: Response<Incoming>) {
    let mut read = 0;
    while read < MAX_BODY {
        match answer.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}

fn describe(error: &hyper::Error) -> ProbeFailure {
    let text = if error.is_parse() {
        "not a valid HTTP answer"
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "connection closed before the answer"
    } else {
        return ProbeFailure::Malformed(cause(error));
    };
    ProbeFailure::Malformed(text.to_owned())
}

/// The innermost cause; hyper's own words say little.
fn cause(error: &hyper::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
