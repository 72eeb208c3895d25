//! The stage: the thread on which the sample backends, their remote and the story live.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::remote;
use super::sample::Sample;
use super::story::Story;
use crate::proxy::free_address;

/// Their names.
const NAMES: [&str; 3] = ["oak", "elm", "ash"];
/// Connections to the remote at once; more wait.
const REMOTE_CONNECTIONS: usize = 64;
/// After an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is built before anything runs, so that the configuration can name the real ports.
pub(crate) struct Stage {
    runtime: Runtime,
    samples: Arc<[Arc<Sample>]>,
    listeners: Vec<TcpListener>,
    remote: TcpListener,
    remote_address: SocketAddr,
}

impl Stage {
    /// Binds the sample backends, and the remote at `remote` or the next free port.
    ///
    /// # Errors
    /// The system refuses a port or the runtime.
    pub(crate) fn build(remote: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let bound = NAMES.into_iter().map(Sample::bind).collect::<io::Result<Vec<_>>>()?;
        let (samples, listeners): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        let remote = std::net::TcpListener::bind(free_address(remote).unwrap_or(remote))?;
        remote.set_nonblocking(true)?;
        let remote_address = remote.local_addr()?;
        let remote = TcpListener::from_std(remote)?;
        drop(inside);
        Ok(Self { runtime, samples: samples.into(), listeners, remote, remote_address })
    }

    pub(crate) fn samples(&self) -> &[Arc<Sample>] {
        &self.samples
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.remote_address
    }

    /// Starts the play, which ends with the process.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub(crate) fn play(self, story: Story) -> io::Result<()> {
        std::thread::Builder::new().name("stage".to_owned()).spawn(move || {
            self.runtime.block_on(async {
                for (sample, listener) in self.samples.iter().zip(self.listeners) {
                    tokio::spawn(Arc::clone(sample).live(listener));
                }
                tokio::spawn(story.clone().go_on());
                listen(self.remote, self.samples, story).await;
            });
        })?;
        Ok(())
    }
}

async fn listen(remote: TcpListener, samples: Arc<[Arc<Sample>]>, story: Story) {
    let turns = Arc::new(Semaphore::new(REMOTE_CONNECTIONS));
    while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
        let Ok((stream, _)) = remote.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let (samples, story) = (Arc::clone(&samples), story.clone());
        tokio::spawn(async move {
            converse(stream, &samples, &story).await;
            drop(turn);
        });
    }
}

async fn converse(stream: TcpStream, samples: &[Arc<Sample>], story: &Story) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let answer = remote::carry_out(samples, request.uri().path(), request.uri().query());
        if let Some(change) = &answer.change {
            story.tell(&format!("you: {change}"));
        }
        let mut response = Response::new(Full::<Bytes>::from(answer.text));
        *response.status_mut() = answer.status;
        Ok::<_, Infallible>(response)
    });
    // How a connection ends is the client's business. Silent ones do not keep their place.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
