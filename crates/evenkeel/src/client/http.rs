//! One exchange of JSON, with limits: nobody waits for ever for a process that hangs.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::place::Place;
use crate::failure::Complaint;

/// For a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the connection to the end of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_BYTES: usize = 64 << 20;

/// What is asked of the admin interface.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    /// JSON; empty for none.
    body: String,
}

impl Call {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: String::new() }
    }

    pub(crate) fn post(path: &str, body: &Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), body: body.to_string() }
    }

    pub(crate) fn delete(path: String) -> Self {
        Self { method: Method::DELETE, path, body: String::new() }
    }

    fn request(&self, host: &str, token: Option<&str>) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::builder().method(&self.method).uri(&self.path).header(HOST, host);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::from(self.body.clone())).map_err(|error| error.to_string())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No Evenkeel is there.
    Unreachable(String),
    /// It does not want to, or says what we do not understand.
    Refused(Complaint),
}

/// Sends a call and reads the JSON that answers it.
///
/// # Errors
/// See [`Trouble`].
pub(crate) async fn send(place: &Place, call: &Call, token: Option<&str>) -> Result<Value, Trouble> {
    let host = match place {
        Place::Tcp(address) => address.as_str(),
        Place::Unix(_) => "localhost",
    };
    let request = call.request(host, token).map_err(Trouble::Unreachable)?;
    let answer = match place {
        Place::Tcp(address) => exchange(TcpStream::connect(address), request).await,
        Place::Unix(socket) => exchange(UnixStream::connect(socket), request).await,
    };
    let (status, body) = answer.map_err(Trouble::Unreachable)?;
    judge(status, &body, host)
}

/// The status and body that come back from a connection still to be made.
async fn exchange<S>(
    connecting: impl Future<Output = std::io::Result<S>>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
        .map_err(|error| plain(&error))?;
    timeout(ANSWER_TIMEOUT, async {
        let response = converse(stream, request).await.map_err(|error| format!("it does not answer HTTP: {error}"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(|error| format!("its answer broke off: {error}"))?.to_bytes()))
    })
    .await
    .map_err(|_| format!("it accepts connections but gave no answer within {} s", ANSWER_TIMEOUT.as_secs()))?
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors come back with the request.
    tokio::spawn(connection);
    sender.send_request(request).await
}

/// The system's words without its number.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "permission denied (try as the user of the process, or root)".to_owned()
        }
        _ => error.to_string(),
    }
}

fn judge(status: StatusCode, body: &[u8], host: &str) -> Result<Value, Trouble> {
    let value = serde_json::from_slice::<Value>(body).ok();
    match (status, value) {
        (StatusCode::OK, Some(value)) => Ok(value),
        (_, Some(value)) if value["error"]["message"].is_string() => Err(Trouble::Refused(refusal(&value["error"]))),
        // Something else has that port; the process may be at the next place.
        (status, _) => {
            Err(Trouble::Unreachable(format!("{host} answers, but not as Evenkeel does (status {})", status.as_u16())))
        }
    }
}

/// The API's error in its own words; for tokens, what the command line takes.
fn refusal(error: &Value) -> Complaint {
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let remedy = match error["code"].as_str() {
        Some("token-missing" | "token-wrong") => {
            "name a file with the token of [admin] token with --token-file or EVENKEEL_TOKEN_FILE".to_owned()
        }
        Some("read-only") => {
            "use the admin socket (as the user of the process, or root), or set [admin] token and name a file with it by \
             --token-file"
                .to_owned()
        }
        _ => text("remedy"),
    };
    Complaint::new(format!("refused: {}", text("message")), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: StatusCode, body: &str) -> Result<Value, Trouble> {
        judge(status, body.as_bytes(), "h:1")
    }

    #[test]
    fn what_is_not_evenkeel_is_not_reached() {
        assert!(matches!(of(StatusCode::OK, "<html>"), Err(Trouble::Unreachable(_))));
        assert!(matches!(of(StatusCode::NOT_FOUND, "{}"), Err(Trouble::Unreachable(_))));
    }

    #[test]
    fn refusals_keep_their_words() {
        let body = r#"{"error":{"code":"host-refused","message":"m","remedy":"r"}}"#;
        let Err(Trouble::Refused(complaint)) = of(StatusCode::FORBIDDEN, body) else {
            unreachable!("a refusal");
        };
        assert_eq!(complaint, Complaint::new("refused: m", "r"));
    }

    #[test]
    fn a_missing_token_names_the_flag() {
        let body = r#"{"error":{"code":"token-missing","message":"m","remedy":"r"}}"#;
        let Err(Trouble::Refused(complaint)) = of(StatusCode::UNAUTHORIZED, body) else {
            unreachable!("a refusal");
        };
        assert!(complaint.remedy.contains("--token-file"), "{complaint}");
    }
}
