//! One GET of JSON, with limits: nobody waits for ever for a process that hangs.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, Response, StatusCode};
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

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No Evenkeel is there.
    Unreachable(String),
    /// It does not want to, or says what we do not understand.
    Refused(Complaint),
}

/// Reads JSON.
///
/// # Errors
/// See [`Trouble`].
pub(crate) async fn get(place: &Place, path: &str, token: Option<&str>) -> Result<Value, Trouble> {
    let (host, answer) = match place {
        Place::Tcp(address) => (address.as_str(), exchange(TcpStream::connect(address), address, path, token).await),
        Place::Unix(socket) => ("localhost", exchange(UnixStream::connect(socket), "localhost", path, token).await),
    };
    let (status, body) = answer.map_err(Trouble::Unreachable)?;
    judge(status, &body, host)
}

/// The status and body that come back from a connection still to be made.
async fn exchange<S>(
    connecting: impl Future<Output = std::io::Result<S>>,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> Result<(StatusCode, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))?
        .map_err(|error| plain(&error))?;
    let mut request = Request::get(path).header(HOST, host);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    timeout(ANSWER_TIMEOUT, async {
        let response = send(stream, request).await.map_err(|error| format!("it does not answer HTTP: {error}"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        Ok((status, body.map_err(|error| format!("its answer broke off: {error}"))?.to_bytes()))
    })
    .await
    .map_err(|_| format!("it accepts connections but gave no answer within {} s", ANSWER_TIMEOUT.as_secs()))?
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>>
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
