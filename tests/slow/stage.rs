//! What crowds need: thousands of bare connections, a backend that serves them from one thread, and a client who behaves
//! and notices what the others do to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::harness::{Backend, Evenkeel, Method, OK, Setup, Wire};

/// Connections of a crowd.
pub(super) const CROWD: usize = 2000;
/// Body of the answer to `/big`.
pub(super) const BIG: usize = 16 * 1024 * 1024;
/// Descriptors of this process that a crowd needs: both its ends, and the rest of the suite.
const DESCRIPTORS: u64 = 2 * CROWD as u64 + 1500;
/// Kernel buffers of the crowd's ends: an attacker's are small, and thousands of grown ones would be gigabytes.
const KERNEL_BYTES: usize = 32 * 1024;

/// What the neighbour asks: of another backend than the crowd does.
const CALM: &str = "GET /calm HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A pond for the crowd, and a backend for the neighbour.
pub(super) fn before(pond: &Pond, calm: &Backend) -> Setup {
    let route = "[[route]]\npath = \"/calm\"\npool = \"calm\"";
    Setup::over([pond.address.as_str()]).more(route).more_pool("calm", calm)
}

/// One crowd at a time; `None` where this process may not open so many descriptors.
pub(super) fn turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = setrlimit(Resource::Nofile, raised);
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (allowed >= DESCRIPTORS).then_some(turn)
}

/// A connection with small kernel buffers.
pub(super) fn bare(address: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(KERNEL_BYTES).unwrap();
    socket.connect(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream
}

/// So many connections that have sent this.
pub(super) fn crowd(front: &Evenkeel, clients: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let client = |_| {
        let mut client = bare(front.address());
        client.write_all(bytes).unwrap();
        client
    };
    (0..clients).map(client).collect()
}

/// Resident memory of a process now, in KiB.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A backend that serves thousands of connections from one thread: `/big` with 16 MiB, `/upload` with nothing until its
/// body is whole (which it never is), `/wait` with nothing at all, `/tunnel` with a switch of protocols, all else with
/// `ok`.
pub(super) struct Pond {
    pub(super) address: String,
    stop: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

struct Swimmer {
    stream: TcpStream,
    input: Vec<u8>,
    owed: usize,
    is_gone: bool,
}

impl Pond {
    pub(super) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        socket2::SockRef::from(&listener).set_send_buffer_size(KERNEL_BYTES).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let serving = std::thread::spawn(move || serve(&listener, &told));
        Self { address, stop, serving: Some(serving) }
    }
}

impl Drop for Pond {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.serving.take().unwrap().join();
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool) {
    let mut swimmers: Vec<Swimmer> = Vec::new();
    let (mut room, water) = (vec![0; 64 * 1024], vec![b'x'; 256 * 1024]);
    while !stop.load(Ordering::Relaxed) {
        let mut moved = false;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            swimmers.push(Swimmer { stream, input: Vec::new(), owed: 0, is_gone: false });
        }
        for swimmer in &mut swimmers {
            moved |= swimmer.turn(&mut room, &water);
        }
        swimmers.retain(|swimmer| !swimmer.is_gone);
        if !moved {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Swimmer {
    /// Reads and writes what can be; whether anything was.
    fn turn(&mut self, room: &mut [u8], water: &[u8]) -> bool {
        if self.owed > 0 {
            return match self.stream.write(&water[..self.owed.min(water.len())]) {
                Ok(n) => {
                    self.owed -= n;
                    true
                }
                Err(error) => self.failed(&error),
            };
        }
        match self.stream.read(room) {
            Ok(0) => {
                self.is_gone = true;
                true
            }
            Ok(n) => {
                self.input.extend_from_slice(&room[..n]);
                self.answer();
                true
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &std::io::Error) -> bool {
        self.is_gone = error.kind() != ErrorKind::WouldBlock;
        false
    }

    fn answer(&mut self) {
        if self.input.starts_with(b"POST /upload") || self.input.starts_with(b"GET /wait") {
            self.input.truncate(12);
            return;
        }
        let Some(end) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return };
        let head: Vec<u8> = self.input.drain(..end + 4).collect();
        let answer = if head.starts_with(b"GET /big") {
            self.owed = BIG;
            format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n")
        } else if head.starts_with(b"GET /tunnel") {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n".to_owned()
        } else {
            OK.to_owned()
        };
        self.is_gone = self.stream.write_all(answer.as_bytes()).is_err();
    }
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    served: AtomicU64,
    failures: Mutex<Vec<String>>,
    waits: Mutex<Vec<Duration>>,
}

/// A client who behaves: every few milliseconds a request, by turns on a connection that it keeps and on a new one.
pub(super) struct Neighbour {
    seen: Arc<Seen>,
    at_work: Option<JoinHandle<()>>,
}

impl Neighbour {
    pub(super) fn of(front: &Evenkeel) -> Self {
        let seen = Arc::new(Seen::default());
        let (kept, address) = (Arc::clone(&seen), front.address().to_owned());
        let at_work = std::thread::spawn(move || {
            let mut wire = None;
            while !kept.stop.load(Ordering::Relaxed) {
                for keeps in [true, false] {
                    let began = Instant::now();
                    match ask(&mut wire, &address, keeps) {
                        Ok(()) => kept.served.fetch_add(1, Ordering::Relaxed),
                        Err(why) => {
                            wire = None;
                            kept.failures.lock().unwrap().push(why);
                            0
                        }
                    };
                    kept.waits.lock().unwrap().push(began.elapsed());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { seen, at_work: Some(at_work) }
    }

    pub(super) fn served(&self) -> u64 {
        self.seen.served.load(Ordering::Relaxed)
    }

    /// Ends it. It must have been served, and always; says how long that took.
    #[track_caller]
    pub(super) fn unharmed(mut self) -> String {
        self.stop();
        let failures = self.seen.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{} failures, first {:?}", failures.len(), &failures[..failures.len().min(5)]);
        let mut waits = self.seen.waits.lock().unwrap().clone();
        waits.sort_unstable();
        assert!(!waits.is_empty(), "nothing was asked");
        let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let (served, p50, p99, most) = (self.served(), at(50), at(99), at(100));
        format!("a neighbour's {served} requests: 0 failed, p50 {p50:.1} ms, p99 {p99:.1} ms, slowest {most:.0} ms")
    }

    fn stop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(at_work) = self.at_work.take() {
            let _ = at_work.join();
        }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop();
    }
}

fn ask(kept: &mut Option<Wire>, address: &str, keeps: bool) -> Result<(), String> {
    let connect = || Wire::try_connect(address).map_err(|error| format!("connect: {error}"));
    let mut wire = match kept.take() {
        Some(wire) if keeps => wire,
        other => {
            *kept = other;
            connect()?
        }
    };
    wire.try_send(CALM).map_err(|error| format!("send: {error}"))?;
    let answer = wire.read_answer(Method::Other).map_err(|broken| format!("{broken:?}"))?;
    if answer.status() != 200 {
        return Err(format!("{answer:?}"));
    }
    if keeps {
        *kept = Some(wire);
    }
    Ok(())
}
