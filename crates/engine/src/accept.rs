//! Accepting: who may come in, how many, and to which worker (DESIGN D8).
//!
//! Owns the accept loops. When descriptors run out it pauses instead of spinning; when the kernel has given this worker
//! far more connections than the others have, it hands new ones on.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll};
use std::time::Duration;

use policy::plan::{Listener, ListenerId};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::futures::Notified;

use crate::clients::ClientPlace;
use crate::h1::{Connection, Greeting};
use crate::room::Asked;
use crate::seam::Peer;
use crate::stream::Stream;
use crate::worker::{Command, Worker};

/// Pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// As [`EXHAUSTED_PAUSE`], when idle connections are closing meanwhile.
const ROOM_PAUSE: Duration = Duration::from_millis(10);
const CANNOT_ACCEPT: &str = "cannot accept connections";
/// Accepted in a row before those who are in already get their turn.
const TURN: u32 = 64;
/// Taken of the kernel's queue when a listener closes, which is more than it holds: who floods it must not keep it open.
const LAST_TAKEN: u32 = 8192;
/// A worker hands new connections on while it has more than 5/4 of the mean and this many.
const UNEVEN_SLACK: usize = 16;

/// A socket to accept on.
pub(crate) enum Door {
    Tcp(ListenerId, std::net::TcpListener),
    Unix(ListenerId, std::os::unix::net::UnixListener),
}

/// An accepted TCP connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    listener: ListenerId,
    stream: std::net::TcpStream,
    peer: SocketAddr,
}

/// Accepts until the worker stops.
pub(crate) async fn run(worker: Rc<Worker>, door: Door) {
    let ended = match door {
        Door::Tcp(listener, socket) => match TcpListener::from_std(socket) {
            Ok(socket) => {
                accept_tcp(&worker, listener, &socket).await;
                socket.into_std().and_then(|socket| empty_tcp(&worker, listener, &socket))
            }
            Err(error) => Err(error),
        },
        Door::Unix(listener, socket) => match UnixListener::from_std(socket) {
            Ok(socket) => {
                accept_unix(&worker, listener, &socket).await;
                socket.into_std().and_then(|socket| empty_unix(&worker, listener, &socket))
            }
            Err(error) => Err(error),
        },
    };
    if let Err(error) = ended
        && error.kind() != io::ErrorKind::WouldBlock
    {
        worker.room.complain(CANNOT_ACCEPT, &error);
    }
}

/// Lets in what the kernel has queued without the runtime having heard of it: it would be reset with the socket.
/// Ends with the error that says that there is no more.
fn empty_tcp(worker: &Rc<Worker>, id: ListenerId, socket: &std::net::TcpListener) -> io::Result<()> {
    for _ in 0..LAST_TAKEN {
        let (stream, peer) = socket.accept()?;
        stream.set_nonblocking(true)?;
        let local = stream.local_addr()?;
        admit_tcp(worker, (id, local), TcpStream::from_std(stream)?, peer);
    }
    Ok(())
}

/// As [`empty_tcp`]; the queue is that of all workers.
fn empty_unix(worker: &Rc<Worker>, id: ListenerId, socket: &std::os::unix::net::UnixListener) -> io::Result<()> {
    for _ in 0..LAST_TAKEN {
        let (stream, _) = socket.accept()?;
        stream.set_nonblocking(true)?;
        admit_unix(worker, id, UnixStream::from_std(stream)?);
    }
    Ok(())
}

async fn accept_tcp(worker: &Rc<Worker>, id: ListenerId, socket: &TcpListener) {
    let bound = socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    // A socket bound to all addresses does not know which one a client came to; only PROXY headers tell it on.
    let asks = bound.ip().is_unspecified() && worker.plan.pools.iter().any(|pool| pool.send_proxy.is_some());
    let mut stop = pin!(worker.stop.notified());
    let mut taken = 0;
    loop {
        worker.gate.pass_slowly(worker.stopping.get()).await;
        let next = poll_fn(|cx| {
            let accepted = socket.poll_accept(cx);
            or_stop(worker, stop.as_mut(), cx, accepted)
        });
        match next.await {
            Some(Ok((stream, peer))) => {
                let local = if asks { stream.local_addr().unwrap_or(bound) } else { bound };
                admit_tcp(worker, (id, local), stream, peer);
                take_turns(&mut taken).await;
            }
            Some(Err(error)) => pause_after(worker, &error).await,
            None => return,
        }
    }
}

async fn accept_unix(worker: &Rc<Worker>, id: ListenerId, socket: &UnixListener) {
    let mut stop = pin!(worker.stop.notified());
    let mut taken = 0;
    loop {
        worker.gate.pass_slowly(worker.stopping.get()).await;
        let next = poll_fn(|cx| {
            let accepted = socket.poll_accept(cx);
            or_stop(worker, stop.as_mut(), cx, accepted)
        });
        match next.await {
            Some(Ok((stream, _))) => {
                admit_unix(worker, id, stream);
                take_turns(&mut taken).await;
            }
            Some(Err(error)) => pause_after(worker, &error).await,
            None => return,
        }
    }
}

/// A flood of newcomers must not keep those waiting who are in already.
async fn take_turns(taken: &mut u32) {
    *taken += 1;
    if *taken == TURN {
        *taken = 0;
        tokio::task::yield_now().await;
    }
}

/// Once stopping, the kernel's queue is served to its end, and only then the socket closes.
fn or_stop<T>(
    worker: &Worker,
    stop: Pin<&mut Notified<'_>>,
    cx: &mut Context<'_>,
    accepted: Poll<io::Result<T>>,
) -> Poll<Option<io::Result<T>>> {
    match accepted {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending if worker.stopping.get() => Poll::Ready(None),
        Poll::Pending => stop.poll(cx).map(|()| None),
    }
}

async fn pause_after(worker: &Worker, error: &io::Error) {
    // A connection that its client has already given up is nobody's fault.
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
        worker.room.complain(CANNOT_ACCEPT, error);
        worker.room.give_up(worker, Asked::ForDescriptors);
        let pause = if worker.timers.leaving() > 0 { ROOM_PAUSE } else { EXHAUSTED_PAUSE };
        tokio::time::sleep(pause).await;
    }
}

/// Serves a connection that another worker has accepted.
pub(crate) fn take(worker: &Rc<Worker>, accepted: Accepted) {
    let local = accepted.stream.local_addr().unwrap_or(accepted.peer);
    if let Ok(stream) = TcpStream::from_std(accepted.stream) {
        open(worker, (accepted.listener, local), Stream::Tcp(stream), accepted.peer);
    }
}

fn admit_tcp(worker: &Rc<Worker>, (id, local): (ListenerId, SocketAddr), stream: TcpStream, peer: SocketAddr) {
    let listener = listener(worker, id);
    let counters = &worker.counters().listeners[usize::from(id.0)];
    let ip = peer.ip().to_canonical();
    counters.accepted.add(1);
    if !listener.access.admits(ip) || (listener.proxy_protocol && !listener.trusted_proxies.contains(ip)) {
        counters.denied.add(1);
        return;
    }
    if worker.refuses_address(id, ip) {
        let mut stream = Stream::Tcp(stream);
        return stream.end_with_reset();
    }
    match less_loaded(worker).or_else(|| roomier(worker)) {
        Some(other) => hand_on(worker, other, (id, stream, peer)),
        None => open(worker, (id, local), Stream::Tcp(stream), peer),
    }
}

fn admit_unix(worker: &Rc<Worker>, id: ListenerId, stream: UnixStream) {
    let local = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    worker.counters().listeners[usize::from(id.0)].accepted.add(1);
    open(worker, (id, local), Stream::Unix(stream), peer);
}

fn hand_on(worker: &Worker, other: usize, (listener, stream, peer): (ListenerId, TcpStream, SocketAddr)) {
    if let Ok(stream) = stream.into_std() {
        // A worker that has ended takes its connection with it: the process is stopping then.
        let _ = worker.peers[other].send(Command::Take(Accepted { listener, stream, peer }));
    }
}

/// The worker with the fewest connections, if this one has far more than its share.
fn less_loaded(worker: &Worker) -> Option<usize> {
    // While stopping, the other worker may be gone before it could take it.
    if worker.peers.len() < 2 || worker.stopping.get() {
        return None;
    }
    let counts = || worker.shared.workers.iter().map(|w| w.connections.load(Ordering::Relaxed));
    let mine = worker.shared.workers[worker.id].connections.load(Ordering::Relaxed);
    let total: usize = counts().sum();
    if mine <= UNEVEN_SLACK + total * 5 / (4 * worker.peers.len()) {
        return None;
    }
    counts().enumerate().min_by_key(|&(_, count)| count).map(|(index, _)| index).filter(|&index| index != worker.id)
}

/// At the limit, and with nobody idle here, the worker that has most to give up.
fn roomier(worker: &Worker) -> Option<usize> {
    if worker.peers.len() < 2 || worker.stopping.get() || worker.room.for_client(worker) {
        return None;
    }
    let counts = worker.shared.workers.iter().map(|w| w.connections.load(Ordering::Relaxed));
    let others = counts.enumerate().filter(|&(index, count)| index != worker.id && count > 0);
    others.max_by_key(|&(_, count)| count).map(|(index, _)| index)
}

fn listener(worker: &Worker, id: ListenerId) -> &Listener {
    &worker.plan.listeners[usize::from(id.0)]
}

fn open(worker: &Rc<Worker>, (id, local): (ListenerId, SocketAddr), stream: Stream, peer: SocketAddr) {
    let counters = &worker.counters().listeners[usize::from(id.0)];
    if !worker.room.for_client(worker) {
        counters.over_limit.add(1);
        return;
    }
    let listener = listener(worker, id);
    let place = match client_place(worker, id, peer.ip()) {
        Ok(place) => place,
        Err(OverCap) => return counters.over_client_limit.add(1),
    };
    let is_unix = matches!(stream, Stream::Unix(_));
    let peer = Peer {
        addr: peer,
        trusted: !listener.proxy_protocol && (is_unix || listener.trusted_proxies.contains(peer.ip())),
        listener: id,
        local_ip: if is_unix { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { local.ip() },
        local_port: local.port(),
        secure: false,
    };
    let greeting = if listener.proxy_protocol { Greeting::Proxy } else { Greeting::None };
    let connection = Connection::new(worker, stream, peer, greeting);
    // Counted first: of two workers that count at once, the later one sees both.
    fence(Ordering::SeqCst);
    let limit = worker.shared.connection_limit.load(Ordering::Relaxed);
    if worker.shared.connections() > limit + worker.timers.leaving() {
        return counters.over_limit.add(1);
    }
    match place {
        None => tokio::task::spawn_local(connection),
        Some(place) => tokio::task::spawn_local(async move {
            connection.await;
            drop(place);
        }),
    };
}

/// The client has as many connections as it may.
struct OverCap;

/// Counts a connection of a client where the listener caps them; proxies that are trusted speak for many clients.
fn client_place(worker: &Worker, id: ListenerId, ip: IpAddr) -> Result<Option<ClientPlace>, OverCap> {
    let Some(clients) = &worker.shared.clients[usize::from(id.0)] else { return Ok(None) };
    if listener(worker, id).trusted_proxies.contains(ip) {
        return Ok(None);
    }
    clients.admit(ip).map(Some).ok_or(OverCap)
}

#[cfg(test)]
mod tests;
