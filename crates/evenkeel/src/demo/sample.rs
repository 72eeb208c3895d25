//! A sample backend: a small HTTP server on a real port that can be made sick, slow or dead.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Where the balancer's probes ask.
pub(crate) const HEALTH_PATH: &str = "/healthz";
/// Connections at once; more wait in the kernel.
const CONNECTIONS: usize = 4096;
/// Connections that the kernel queues.
const BACKLOG: u32 = 1024;
/// After something that the system refused.
const PAUSE: Duration = Duration::from_millis(50);

/// How a sample backend feels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It answers.
    Well,
    /// It answers everything with this error, probes included.
    Sick(StatusCode),
    /// It lets everything wait so long, probes included.
    Slow(Duration),
    /// Its port is closed and its connections are gone, until then.
    Dead(Instant),
}

/// A sample backend.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    condition: watch::Sender<Condition>,
    answers: AtomicU64,
    born: Instant,
}

impl Sample {
    /// A sample backend on a free port, and its listener for [`Self::live`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// The system refuses the port.
    pub(crate) fn bind(name: &'static str) -> io::Result<(Arc<Self>, TcpListener)> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(BACKLOG)?;
        let sample = Self {
            name,
            address: listener.local_addr()?,
            condition: watch::Sender::new(Condition::Well),
            answers: AtomicU64::new(0),
            born: Instant::now(),
        };
        Ok((Arc::new(sample), listener))
    }

    /// Changes how it feels.
    pub(crate) fn turn(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }

    /// How it feels.
    pub(crate) fn condition(&self) -> Condition {
        *self.condition.borrow()
    }

    /// Requests answered, probes apart.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Serves, dies and returns, for ever.
    pub(crate) async fn live(self: Arc<Self>, mut listener: TcpListener) {
        let mut condition = self.condition.subscribe();
        loop {
            tokio::select! {
                () = self.serve(listener) => {}
                _ = condition.wait_for(|condition| matches!(condition, Condition::Dead(_))) => {}
            }
            listener = self.rest().await;
        }
    }

    /// Serves until it is dropped; its connections end with it.
    async fn serve(self: &Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => { connections.spawn(Arc::clone(self).converse(stream)); }
                    Err(_) => sleep(PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Stays dead for as long as it should. The port is kept bound without listening: whoever connects is refused, and
    /// nobody else can take it.
    async fn rest(&self) -> TcpListener {
        let mut socket = self.hold().await;
        let mut condition = self.condition.subscribe();
        loop {
            // Read apart: a guard that is held while waiting would lock whoever changes the condition out.
            let now = *condition.borrow_and_update();
            let Condition::Dead(until) = now else { break };
            tokio::select! {
                () = sleep_until(until) => self.turn(Condition::Well),
                // The sender is ours: it cannot be gone.
                _ = condition.changed() => {}
            }
        }
        loop {
            match socket.listen(BACKLOG) {
                Ok(listener) => return listener,
                Err(_) => socket = self.hold().await,
            }
        }
    }

    async fn hold(&self) -> TcpSocket {
        let bind = || {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(self.address)?;
            io::Result::Ok(socket)
        };
        loop {
            match bind() {
                Ok(socket) => return socket,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| self.answer(request));
        // How a connection ends is the other side's business.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let condition = self.condition();
        if let Condition::Slow(wait) = condition {
            sleep(wait).await;
        }
        let number = match request.uri().path() {
            HEALTH_PATH => self.answers(),
            _ => self.answers.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let (status, words) = match condition {
            Condition::Sick(status) => (status, "is sick"),
            _ => (StatusCode::OK, "answers"),
        };
        let text = format!("{} {words} (answer {number}, up {} s)\n", self.name, self.born.elapsed().as_secs());
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let text = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(hyper::header::CONTENT_TYPE, text);
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(sample: &Sample) -> io::Result<String> {
        let mut stream = TcpStream::connect(sample.address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn until(sample: &Sample, wanted: impl Fn(&io::Result<String>) -> bool) {
        while !wanted(&ask(sample).await) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_answers_with_its_name_and_counts() {
        let (sample, listener) = Sample::bind("oak").unwrap();
        tokio::spawn(Arc::clone(&sample).live(listener));
        assert!(ask(&sample).await.unwrap().contains("oak answers (answer 1, "));
        sample.turn(Condition::Sick(StatusCode::SERVICE_UNAVAILABLE));
        let answer = ask(&sample).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("oak is sick (answer 2, "), "{answer}");
    }

    #[tokio::test]
    async fn death_refuses_drops_and_ends_by_itself() {
        let (sample, listener) = Sample::bind("oak").unwrap();
        tokio::spawn(Arc::clone(&sample).live(listener));
        let mut open = TcpStream::connect(sample.address).await.unwrap();
        assert!(ask(&sample).await.is_ok());
        sample.turn(Condition::Dead(Instant::now() + Duration::from_secs(3600)));
        // The open connection ends, whichever way.
        let mut rest = Vec::new();
        let _ = open.read_to_end(&mut rest).await;
        until(&sample, |answer| answer.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)).await;
        sample.turn(Condition::Dead(Instant::now()));
        until(&sample, |answer| answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200 "))).await;
        assert_eq!(sample.condition(), Condition::Well);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_lets_wait() {
        let (sample, listener) = Sample::bind("oak").unwrap();
        tokio::spawn(Arc::clone(&sample).live(listener));
        sample.turn(Condition::Slow(Duration::from_secs(7)));
        let before = Instant::now();
        assert!(ask(&sample).await.is_ok());
        assert!(before.elapsed() >= Duration::from_secs(7));
    }
}
