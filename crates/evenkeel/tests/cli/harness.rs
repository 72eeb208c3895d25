//! Calling the binary in an empty folder, asking what it serves, waiting for what must come.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Whatever must happen has happened by then, on a busy machine too.
const DEADLINE: Duration = Duration::from_secs(30);

/// A folder to call the binary in.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Desk {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With this `evenkeel.toml`.
    pub(crate) fn with(text: &str) -> Self {
        let desk = Self::empty();
        desk.write("evenkeel.toml", text);
        desk
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The binary, of which no environment of ours changes the behaviour.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        for name in ["EVENKEEL_ADMIN", "EVENKEEL_LOG", "EVENKEEL_TOKEN_FILE", "NO_COLOR"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn call(&self, args: &[&str]) -> Call {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Call { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, out_reader) = collect(child.stdout.take().unwrap());
        let (err, err_reader) = collect(child.stderr.take().unwrap());
        Running { child, out, err, readers: vec![out_reader, err_reader] }
    }
}

/// A running binary; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

fn collect(source: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let written = Arc::clone(&text);
    let reader = std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = String::new();
        while source.read_line(&mut line).is_ok_and(|n| n > 0) {
            written.lock().unwrap().push_str(&line);
            line.clear();
        }
    });
    (text, reader)
}

impl Running {
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    /// What stands between `before` and the next white space or slash in its output or log, once it is there.
    #[track_caller]
    pub(crate) fn word_after(&self, before: &str) -> String {
        eventually(before, || {
            let text = format!("{}\n{}", self.out(), self.err());
            let word = text.split_once(before).and_then(|(_, rest)| {
                let end = rest.find(|letter: char| letter.is_whitespace() || letter == '/')?;
                Some(rest[..end].to_owned())
            });
            assert!(word.is_some() || !self.has_ended(), "it has ended: {text}");
            word
        })
    }

    fn has_ended(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Waits until its output has this.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(text, || self.out().contains(text).then_some(()));
    }

    /// Waits until its log has this.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, text: &str) {
        eventually(text, || self.err().contains(text).then_some(()));
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn stop(mut self, signal: Signal) -> (ExitStatus, String, String) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let status = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status, self.out(), self.err())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is something, and fails when there is nothing in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `GET path` on a connection of its own: status and body; `None` when there is no whole answer.
pub(crate) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}

/// An HTTP server that answers everything with its name; ends with the test process.
pub(crate) fn server(name: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream, name));
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let body = if head.starts_with(b"HEAD ") { "" } else { name };
    let length = name.len();
    // The other side may have gone: that is its business.
    let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
}

/// A terminal as programs see it.
pub(crate) struct Terminal {
    near: std::fs::File,
    far: std::path::PathBuf,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = ptsname(&near, Vec::new()).unwrap().into_string().unwrap().into();
        Self { near: near.into(), far }
    }

    /// What a program gets as its standard input or output.
    pub(crate) fn far_end(&self) -> std::fs::File {
        std::fs::OpenOptions::new().read(true).write(true).open(&self.far).unwrap()
    }

    /// Reads what is written to it until it has this.
    #[track_caller]
    pub(crate) fn read_until(&self, text: &str) -> String {
        let (read, _reader) = collect(self.near.try_clone().unwrap());
        eventually(text, || Some(read.lock().unwrap().clone()).filter(|read| read.contains(text)))
    }
}

/// An address that nobody listens on for as long as it is held.
pub(crate) struct Closed {
    socket: socket2::Socket,
}

impl Closed {
    pub(crate) fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self { socket }
    }

    pub(crate) fn address(&self) -> String {
        self.socket.local_addr().unwrap().as_socket().unwrap().to_string()
    }
}
