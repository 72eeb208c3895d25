//! Serving: one thread, one runtime, a bounded number of connections.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use control::Handle;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::access::{Gate, Peer};
use crate::api;
use crate::bind::{Bound, SocketFile};
use crate::guests::{Guest, Guests};

/// Connections at once, over all TCP addresses and again on the socket, so that nobody from outside can keep the operator
/// out; the oldest that waits for its client makes room for the next.
const CONNECTIONS: usize = 256;
/// Bytes of a request head.
const HEADER_BYTES: usize = 32 << 10;
/// Field lines of a request head.
const HEADER_FIELDS: usize = 64;
/// For a request head, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After it even a busy connection ends, so that one whose client reads nothing does not stay for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3600);
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The running admin interface; ends when dropped.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// The addresses in force: `127.0.0.1:9900`, `unix:/run/evenkeel/admin.sock`.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender is the word to stop.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // An error means that the thread has ended already, by a panic.
            let _ = thread.join();
        }
    }
}

impl Bound {
    /// Serves on the bound addresses, in a thread of its own.
    ///
    /// # Errors
    /// The thread, its runtime or the sockets' registration failed.
    pub fn serve(self, handle: Handle) -> io::Result<Server> {
        let addresses = self.addresses();
        if let Some(problem) = self.socket_problem() {
            tracing::info!("{problem}; the admin interface is served without it");
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let gate = Gate { token: self.token.clone(), bound: self.tcp_addresses().collect() };
        let router = api::router(handle, gate);
        let (stop, stopped) = oneshot::channel();
        let thread =
            std::thread::Builder::new().name("admin".to_owned()).spawn(move || run(&runtime, self, router, stopped))?;
        for address in &addresses {
            tracing::info!("admin interface on {address}");
        }
        Ok(Server { addresses, stop: Some(stop), thread: Some(thread) })
    }
}

fn run(runtime: &Runtime, bound: Bound, router: Router, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        // Kept until the end: dropping it removes the file.
        let _file = match listen(bound, router) {
            Ok(file) => file,
            Err(error) => {
                tracing::error!("the admin interface cannot be served: {error}");
                return;
            }
        };
        // An error is the sender's end, which is the word to stop.
        let _ = stopped.await;
    });
}

fn listen(bound: Bound, router: Router) -> io::Result<Option<SocketFile>> {
    let guests = Guests::new(CONNECTIONS);
    let service = TowerToHyperService::new(router);
    for listener in bound.tcp {
        let listener = TcpListener::from_std(listener)?;
        tokio::spawn(accept_tcp(listener, service.clone(), Arc::clone(&guests)));
    }
    let Some((listener, file)) = bound.unix else { return Ok(None) };
    let guests = Guests::new(CONNECTIONS);
    tokio::spawn(accept_unix(UnixListener::from_std(listener)?, service, guests));
    Ok(Some(file))
}

async fn accept_tcp(listener: TcpListener, service: TowerToHyperService<Router>, guests: Arc<Guests>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let guest = guests.admit().await;
                tokio::spawn(converse(stream, Peer::Ip(peer.ip()), service.clone(), guest));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn accept_unix(listener: UnixListener, service: TowerToHyperService<Router>, guests: Arc<Guests>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let guest = guests.admit().await;
                tokio::spawn(converse(stream, Peer::Unix, service.clone(), guest));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn converse<S>(stream: S, peer: Peer, router: TowerToHyperService<Router>, guest: Guest)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (served, busy) = (router.call(request), guest.is_served());
        async move {
            let answer = served.await;
            drop(busy);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How a connection ends is the client's business.
        _ = timeout(CONNECTION_TIMEOUT, connection) => {}
        () = guest.must_leave() => {}
    }
}

#[cfg(test)]
mod tests;
