//! One connection, byte for byte: the raw client's and the raw backend's end alike.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::message::{Message, text};
use super::patience::PATIENCE;

/// A request's method, as far as it decides how its answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Other,
}

/// Why no whole message could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The stream ended before the first byte.
    Closed,
    /// The stream ended in the middle; what came so far of the body.
    Early(Vec<u8>),
    /// The other side reset the connection.
    Reset,
    /// Nothing came in time.
    Silent,
    /// It is no HTTP.
    Malformed(String),
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// With the socket below it.
    Tls(Box<dyn TlsEnd>, TcpStream),
}

/// Either side of TLS.
pub(crate) trait TlsEnd: Read + Write + Send {
    /// Says the end of our direction.
    fn say_end(&mut self);
    /// Whether an earlier session was taken up.
    fn is_resumed(&self) -> bool;
    /// Goes on with other keys, and wants the same of the other side.
    fn renew_keys(&mut self);
}

/// A connection with what was read from it and not yet used.
pub(crate) struct Wire {
    socket: Socket,
    unread: Vec<u8>,
    /// All that was ever read.
    pub(crate) seen: Vec<u8>,
    room: Vec<u8>,
}

impl Wire {
    /// Connects to `127.0.0.1:80` or `unix:/path`.
    #[track_caller]
    pub(crate) fn connect(address: &str) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    pub(crate) fn try_connect(address: &str) -> io::Result<Self> {
        match address.strip_prefix("unix:") {
            Some(path) => UnixStream::connect(path).map(Self::unix),
            None => TcpStream::connect(address).map(Self::tcp),
        }
    }

    pub(crate) fn tcp(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(Socket::Tcp(stream))
    }

    pub(crate) fn unix(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(Socket::Unix(stream))
    }

    pub(crate) fn tls(end: Box<dyn TlsEnd>, socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(Socket::Tls(end, socket))
    }

    fn new(socket: Socket) -> Self {
        Self { socket, unread: Vec::new(), seen: Vec::new(), room: vec![0; 64 * 1024] }
    }

    /// The socket, where it is TCP.
    pub(crate) fn stream(&self) -> &TcpStream {
        match &self.socket {
            Socket::Tcp(stream) | Socket::Tls(_, stream) => stream,
            Socket::Unix(_) => panic!("not a TCP socket"),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the other side should take what is sent");
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.socket {
            Socket::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Socket::Unix(stream) => stream.write_all(bytes.as_ref()),
            Socket::Tls(end, _) => end.write_all(bytes.as_ref()).and_then(|()| end.flush()),
        }
    }

    /// Whether a plain request is answered with 200.
    pub(crate) fn is_served(&mut self) -> bool {
        self.try_send(super::GET).is_ok() && self.read_answer(Method::Other).is_ok_and(|answer| answer.status() == 200)
    }

    /// How long a read may wait.
    pub(crate) fn set_patience(&self, patience: Duration) {
        match &self.socket {
            Socket::Tcp(stream) | Socket::Tls(_, stream) => stream.set_read_timeout(Some(patience)),
            Socket::Unix(stream) => stream.set_read_timeout(Some(patience)),
        }
        .unwrap();
    }

    /// Ends our direction.
    pub(crate) fn finish(&self) {
        let _ = match &self.socket {
            Socket::Tcp(stream) | Socket::Tls(_, stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Reads no more.
    pub(crate) fn stop_reading(&self) {
        let _ = match &self.socket {
            Socket::Tcp(stream) | Socket::Tls(_, stream) => stream.shutdown(Shutdown::Read),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Read),
        };
    }

    /// Says the end of TLS, and leaves the socket open.
    pub(crate) fn say_end(&mut self) {
        if let Socket::Tls(end, _) = &mut self.socket {
            end.say_end();
        }
    }

    /// Has both sides of TLS go on with other keys.
    pub(crate) fn renew_keys(&mut self) {
        if let Socket::Tls(end, _) = &mut self.socket {
            end.renew_keys();
        }
    }

    /// Whether an earlier session of TLS was taken up.
    pub(crate) fn is_resumed(&self) -> bool {
        matches!(&self.socket, Socket::Tls(end, _) if end.is_resumed())
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads once; 0 is the end of the stream.
    pub(crate) fn read_more(&mut self) -> Result<usize, Broken> {
        let read = loop {
            let read = match &mut self.socket {
                Socket::Tcp(stream) => stream.read(&mut self.room),
                Socket::Unix(stream) => stream.read(&mut self.room),
                Socket::Tls(end, _) => end.read(&mut self.room),
            };
            if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::Interrupted) {
                break read;
            }
        };
        match read {
            Ok(n) => {
                self.unread.extend_from_slice(&self.room[..n]);
                // Tests with big bodies look at the messages, not at this record of all bytes.
                if self.seen.len() < 1024 * 1024 {
                    self.seen.extend_from_slice(&self.room[..n]);
                }
                Ok(n)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(Broken::Silent)
            }
            Err(_) => Err(Broken::Reset),
        }
    }

    /// Reads up to the empty line after a head.
    pub(crate) fn read_head(&mut self) -> Result<Message, Broken> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at;
            }
            if self.read_more()? == 0 {
                return Err(if self.unread.is_empty() { Broken::Closed } else { Broken::Early(self.unread.clone()) });
            }
        };
        let head = text(&self.unread[..end]);
        self.unread.drain(..end + 4);
        Ok(Message::new(head))
    }

    /// Reads one request.
    pub(crate) fn read_request(&mut self) -> Result<Message, Broken> {
        let mut request = self.read_head()?;
        self.read_body_of_request(&mut request)?;
        Ok(request)
    }

    pub(crate) fn read_body_of_request(&mut self, request: &mut Message) -> Result<(), Broken> {
        if request.lists("Transfer-Encoding", "chunked") {
            self.read_chunks(request)
        } else {
            let length = length_of(request)?.unwrap_or(0);
            self.read_length(request, length)
        }
    }

    /// Reads one final answer; interim ones are passed over.
    pub(crate) fn read_answer(&mut self, method: Method) -> Result<Message, Broken> {
        let mut answer = loop {
            let answer = self.read_head()?;
            if !(100..200).contains(&answer.status()) || answer.status() == 101 {
                break answer;
            }
        };
        self.read_body_of_answer(&mut answer, method)?;
        Ok(answer)
    }

    pub(crate) fn read_body_of_answer(&mut self, answer: &mut Message, method: Method) -> Result<(), Broken> {
        if method == Method::Head || matches!(answer.status(), 100..200 | 204 | 304) {
            return Ok(());
        }
        if answer.lists("Transfer-Encoding", "chunked") {
            return self.read_chunks(answer);
        }
        match length_of(answer)? {
            Some(length) => self.read_length(answer, length),
            None => {
                while self.read_more()? > 0 {}
                answer.body = std::mem::take(&mut self.unread);
                Ok(())
            }
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) fn read_exactly(&mut self, length: usize) -> Result<Vec<u8>, Broken> {
        while self.unread.len() < length {
            if self.read_more()? == 0 {
                return Err(Broken::Early(std::mem::take(&mut self.unread)));
            }
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Reads to the end of the stream.
    pub(crate) fn read_to_end(&mut self) -> Result<Vec<u8>, Broken> {
        while self.read_more()? > 0 {}
        Ok(std::mem::take(&mut self.unread))
    }

    /// Sends a request and reads its answer, which must be whole.
    #[track_caller]
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        let method = if request.as_ref().starts_with(b"HEAD ") { Method::Head } else { Method::Other };
        self.send(request);
        self.answer(method)
    }

    /// Reads an answer, which must be whole.
    #[track_caller]
    pub(crate) fn answer(&mut self, method: Method) -> Message {
        self.read_answer(method).unwrap_or_else(|broken| panic!("no whole answer: {broken:?}"))
    }

    /// Waits for the end of the stream, before which nothing may come.
    #[track_caller]
    pub(crate) fn expect_close(&mut self) {
        match self.read_to_end() {
            Ok(rest) => assert_eq!(text(&rest), "", "nothing should come before the close"),
            Err(Broken::Reset) => {}
            Err(broken) => panic!("the connection should be closed: {broken:?}"),
        }
    }

    fn read_length(&mut self, message: &mut Message, length: usize) -> Result<(), Broken> {
        message.body = self.read_exactly(length)?;
        Ok(())
    }

    fn read_chunks(&mut self, message: &mut Message) -> Result<(), Broken> {
        loop {
            let line = self.read_line(message)?;
            let digits = line.split(';').next().unwrap_or_default();
            let size =
                usize::from_str_radix(digits, 16).map_err(|_| Broken::Malformed(format!("chunk size {line:?}")))?;
            if size == 0 {
                break;
            }
            let chunk = self.read_exactly(size).map_err(|broken| with_body(broken, message))?;
            message.body.extend_from_slice(&chunk);
            if self.read_exactly(2).map_err(|broken| with_body(broken, message))? != b"\r\n" {
                return Err(Broken::Malformed("chunk without its line end".to_owned()));
            }
        }
        loop {
            let line = self.read_line(message)?;
            if line.is_empty() {
                return Ok(());
            }
            message.trailers.push(line);
        }
    }

    fn read_line(&mut self, message: &Message) -> Result<String, Broken> {
        loop {
            if let Some(at) = find(&self.unread, b"\r\n") {
                let line = text(&self.unread[..at]);
                self.unread.drain(..at + 2);
                return Ok(line);
            }
            if self.read_more()? == 0 {
                return Err(Broken::Early(message.body.clone()));
            }
        }
    }
}

fn with_body(broken: Broken, message: &Message) -> Broken {
    match broken {
        Broken::Early(rest) => Broken::Early([message.body.as_slice(), &rest].concat()),
        other => other,
    }
}

fn length_of(message: &Message) -> Result<Option<usize>, Broken> {
    match message.values("Content-Length")[..] {
        [] => Ok(None),
        [one] => one.parse().map(Some).map_err(|_| Broken::Malformed(format!("Content-Length {one:?}"))),
        _ => Err(Broken::Malformed("more than one Content-Length".to_owned())),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
