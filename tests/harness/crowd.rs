//! Crowds: thousands of clients that come as they like, and backends of a known capacity, on threads of their own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};

use super::{GET, OK};

/// Clients on one source address, of which each has some 28,000 ports.
const CLIENTS_OF_AN_ADDRESS: usize = 1_000;
/// A client gives up a request after so long.
const GIVES_UP: Duration = Duration::from_secs(20);

/// A backend that takes a known time for each request, and serves so many at once.
pub(crate) struct TimedServer {
    pub(crate) address: String,
    most: Arc<AtomicUsize>,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

/// What of it all connections share.
#[derive(Clone)]
struct Served {
    takes: Duration,
    capacity: Arc<Semaphore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl TimedServer {
    pub(crate) fn start(takes: Duration, capacity: usize) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(Notify::new());
        let capacity = Arc::new(Semaphore::new(capacity));
        let served = Served { takes, capacity, now: Arc::default(), most: Arc::default() };
        let (most, stopped) = (Arc::clone(&served.most), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let accepting = tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(serve(stream, served.clone()));
                    }
                });
                stopped.notified().await;
                accepting.abort();
            });
        });
        Self { address, most, stop, thread: Some(thread) }
    }

    /// The most requests it ever had at once, those that it let wait included.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Drop for TimedServer {
    fn drop(&mut self) {
        self.stop.notify_one();
        let _ = self.thread.take().unwrap().join();
    }
}

async fn serve(mut stream: TcpStream, served: Served) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut seen = Vec::new();
    loop {
        if read_head(&mut stream, &mut seen).await?.is_none() {
            return Ok(());
        }
        let now = served.now.fetch_add(1, Ordering::SeqCst) + 1;
        served.most.fetch_max(now, Ordering::SeqCst);
        let permit = served.capacity.acquire().await.unwrap();
        tokio::time::sleep(served.takes).await;
        drop(permit);
        served.now.fetch_sub(1, Ordering::SeqCst);
        stream.write_all(OK.as_bytes()).await?;
        seen.clear();
    }
}

/// Who comes, how often, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    pub(crate) clients: usize,
    /// Requests a second of all together, by chance.
    pub(crate) rate: f64,
    pub(crate) lasts: Duration,
    pub(crate) connections: Connections,
}

/// What clients do with a connection after an answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Connections {
    Keep,
    Close,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// After the beginning of the crowd.
    pub(crate) at: Duration,
    /// Of the answer; 0 if there was none.
    pub(crate) status: u16,
    pub(crate) took: Duration,
}

/// What a crowd saw.
pub(crate) struct Seen(pub(crate) Vec<Asked>);

impl Crowd {
    /// Lets it come, and waits for its end.
    pub(crate) fn visit(self, address: &str) -> Seen {
        let address: SocketAddr = address.parse().unwrap();
        block_on(async move {
            let began = Instant::now();
            let clients = (0..self.clients).map(|number| tokio::spawn(self.client(address, number, began)));
            let clients: Vec<_> = clients.collect();
            let mut all = Vec::new();
            for client in clients {
                all.extend(client.await.unwrap());
            }
            all.sort_by_key(|asked| asked.at);
            Seen(all)
        })
    }

    async fn client(self, address: SocketAddr, number: usize, began: Instant) -> Vec<Asked> {
        let mean = self.clients as f64 / self.rate;
        let mut dice = Dice(number as u64 + 1);
        let (mut asked, mut stream) = (Vec::new(), None);
        let mut next = began + Duration::from_secs_f64(mean * dice.throw());
        while next < began + self.lasts {
            tokio::time::sleep_until(next.into()).await;
            let sent = Instant::now();
            let answered = tokio::time::timeout(GIVES_UP, ask(&mut stream, address, number)).await;
            let status = answered.ok().and_then(Result::ok).unwrap_or(0);
            if status == 0 {
                stream = None;
            }
            if self.connections == Connections::Close
                && let Some(open) = stream.take()
            {
                // Else the system would run out of ports.
                let _ = socket2::SockRef::from(&open).set_linger(Some(Duration::ZERO));
            }
            asked.push(Asked { at: sent - began, status, took: sent.elapsed() });
            next = sent + Duration::from_secs_f64(-mean * (1.0 - dice.throw()).ln());
        }
        asked
    }
}

/// Chance of a client.
struct Dice(u64);

impl Dice {
    /// From 0 to 1, without 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// One exchange; the connection is kept if it may be.
async fn ask(stream: &mut Option<TcpStream>, address: SocketAddr, number: usize) -> io::Result<u16> {
    let mut open = match stream.take() {
        Some(open) => open,
        None => connect(address, number).await?,
    };
    open.write_all(GET.as_bytes()).await?;
    let mut seen = Vec::new();
    let Some(head_end) = read_head(&mut open, &mut seen).await? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let head = String::from_utf8_lossy(&seen[..head_end]).into_owned();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize = value("Content-Length:").and_then(|length| length.parse().ok()).unwrap_or(0);
    while seen.len() < head_end + length {
        if open.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if value("Connection:") != Some("close") {
        *stream = Some(open);
    }
    head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

async fn connect(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number / CLIENTS_OF_AN_ADDRESS + 1).unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads up to the end of a head, and perhaps beyond; where it ends. `None` if the peer closed before it began.
async fn read_head(stream: &mut TcpStream, seen: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(at + 4));
        }
        if stream.read_buf(seen).await? == 0 {
            return if seen.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Seen {
    fn admitted(&self) -> Vec<Duration> {
        let mut took: Vec<Duration> =
            self.0.iter().filter(|asked| asked.status == 200).map(|asked| asked.took).collect();
        took.sort();
        took
    }

    /// How many got this status.
    pub(crate) fn count(&self, status: u16) -> usize {
        self.0.iter().filter(|asked| asked.status == status).count()
    }

    /// The 99th percentile of those that were admitted.
    pub(crate) fn p99(&self) -> Duration {
        let took = self.admitted();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    /// When the last one was sent that was not answered with 200.
    pub(crate) fn last_refused(&self) -> Option<Duration> {
        self.0.iter().filter(|asked| asked.status != 200).map(|asked| asked.at).max()
    }
}
