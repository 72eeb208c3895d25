//! A raw backend: it answers what it was told and remembers every byte.

use std::collections::HashMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::message::{Message, text};
use super::patience::eventually;
use super::wire::{Broken, Wire};

/// What a backend does with a connection.
type Script = dyn Fn(&mut Conn) -> Result<(), Broken> + Send + Sync;

/// A connection to a backend. What is read of it is on record.
pub(crate) struct Conn {
    pub(crate) wire: Wire,
    /// Counts the backend's connections from 0.
    pub(crate) number: usize,
    record: Arc<Record>,
}

impl Conn {
    /// Reads a request and puts it on record.
    pub(crate) fn request(&mut self) -> Result<Message, Broken> {
        let read = self.wire.read_request();
        self.keep_bytes();
        let request = read?;
        self.record.requests().push(request.clone());
        Ok(request)
    }

    /// Reads a request's head alone and puts it on record.
    pub(crate) fn head(&mut self) -> Result<Message, Broken> {
        let read = self.wire.read_head();
        self.keep_bytes();
        let request = read?;
        self.record.requests().push(request.clone());
        Ok(request)
    }

    /// Sends; a balancer that does not listen any more is no failure of a backend.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.wire.try_send(bytes);
    }

    /// Waits for the balancer to close.
    pub(crate) fn until_closed(&mut self) {
        let _ = self.wire.read_to_end();
        self.keep_bytes();
    }

    /// Makes the connection end with a reset when the script ends.
    pub(crate) fn end_with_reset(&self) {
        socket2::SockRef::from(self.wire.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn keep_bytes(&mut self) {
        self.record.bytes().append(&mut self.wire.seen);
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.keep_bytes();
    }
}

/// What a backend saw.
#[derive(Default)]
struct Record {
    stopping: AtomicBool,
    requests: Mutex<Vec<Message>>,
    bytes: Mutex<Vec<u8>>,
    streams: Mutex<HashMap<usize, Open>>,
    running: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicUsize,
}

/// The second handle of a connection, to end it with.
enum Open {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Record {
    fn requests(&self) -> MutexGuard<'_, Vec<Message>> {
        self.requests.lock().unwrap()
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap()
    }

    fn cut_all(&self) {
        for (_, open) in self.streams.lock().unwrap().drain() {
            let _ = match open {
                Open::Tcp(stream) => stream.shutdown(Shutdown::Both),
                Open::Unix(stream) => stream.shutdown(Shutdown::Both),
            };
        }
    }
}

/// A raw backend on a free port of loopback, or on a Unix socket.
pub(crate) struct Backend {
    /// As in the configuration.
    pub(crate) address: String,
    record: Arc<Record>,
    accepting: Option<JoinHandle<()>>,
}

impl Backend {
    /// Gives each request this answer.
    pub(crate) fn answering(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::serving(move |conn| {
            loop {
                conn.request()?;
                conn.send(&answer);
            }
        })
    }

    /// Gives a request this answer and closes.
    pub(crate) fn closing(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::serving(move |conn| {
            conn.request()?;
            conn.send(&answer);
            Ok(())
        })
    }

    /// Takes requests and says nothing.
    pub(crate) fn silent() -> Self {
        Self::serving(|conn| {
            loop {
                conn.request()?;
            }
        })
    }

    /// Answers 200 with this name as the body.
    pub(crate) fn named(name: &str) -> Self {
        Self::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
    }

    /// Follows a script on each connection; its end, in whatever way, closes the connection.
    pub(crate) fn serving(script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// As `serving`, on a socket that is bound already.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let accept = move |_: &Record| {
            let (stream, _) = listener.accept().ok()?;
            Some((Open::Tcp(stream.try_clone().unwrap()), Wire::tcp(stream)))
        };
        Self::start(address, accept, Arc::new(script))
    }

    /// As `serving`, over TLS; its address begins with `https://`. Handshakes that fail are no connections.
    pub(crate) fn secure(
        config: Arc<rustls::ServerConfig>,
        script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move |record: &Record| {
            loop {
                let (stream, _) = listener.accept().ok()?;
                if record.stopping.load(Ordering::SeqCst) {
                    return None;
                }
                let open = Open::Tcp(stream.try_clone().unwrap());
                if let Some(wire) = super::secure::answer(&config, stream) {
                    return Some((open, wire));
                }
            }
        };
        let mut backend = Self::start(address.to_string(), accept, Arc::new(script));
        backend.address = format!("https://{address}");
        backend
    }

    /// As `serving`, on a Unix socket.
    pub(crate) fn unix(
        path: PathBuf,
        script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let accept = move |_: &Record| {
            let (stream, _) = listener.accept().ok()?;
            Some((Open::Unix(stream.try_clone().unwrap()), Wire::unix(stream)))
        };
        Self::start(format!("unix:{}", path.display()), accept, Arc::new(script))
    }

    fn start(
        address: String,
        accept: impl Fn(&Record) -> Option<(Open, Wire)> + Send + 'static,
        script: Arc<Script>,
    ) -> Self {
        let record = Arc::new(Record::default());
        let kept = Arc::clone(&record);
        let accepting = std::thread::spawn(move || {
            for number in 0.. {
                let Some((open, wire)) = accept(&kept) else { return };
                if kept.stopping.load(Ordering::Acquire) {
                    return;
                }
                kept.streams.lock().unwrap().insert(number, open);
                let (record, script) = (Arc::clone(&kept), Arc::clone(&script));
                let serve = move || {
                    let mut conn = Conn { wire, number, record };
                    let _ = script(&mut conn);
                    let record = Arc::clone(&conn.record);
                    record.streams.lock().unwrap().remove(&number);
                    drop(conn);
                    record.closed.fetch_add(1, Ordering::Release);
                };
                kept.running.lock().unwrap().push(std::thread::spawn(serve));
            }
        });
        Self { address, record, accepting: Some(accepting) }
    }

    /// Requests read so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.record.requests().clone()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn request(&self) -> Message {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }

    /// All bytes read so far, of all connections.
    pub(crate) fn received(&self) -> String {
        text(&self.record.bytes())
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.record.running.lock().unwrap().len()
    }

    /// Waits until it has closed all its connections.
    #[track_caller]
    pub(crate) fn wait_until_all_closed(&self) {
        eventually("the backend has closed", || self.record.closed.load(Ordering::Acquire) == self.connections());
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.record.stopping.store(true, Ordering::Release);
        drop(Wire::try_connect(self.address.trim_start_matches("https://")));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.record.cut_all();
        let running = std::mem::take(&mut *self.record.running.lock().unwrap());
        for thread in running {
            let _ = thread.join();
        }
    }
}
