//! The balancer: the real binary with a configuration of its own in a folder of its own.

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use super::backend::Backend;
use super::patience::{eventually, eventually_some};
use super::process::{Signal, send_signal};
use super::wire::{Method, Wire};

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_evenkeel"))
}

/// A configuration in the making: listener `web` on a free port of loopback before pool `app`, without health checks
/// unless told, so that backends see nothing but what clients sent.
pub(crate) struct Setup {
    workers: usize,
    backends: Vec<String>,
    listener: String,
    bind: String,
    pool: String,
    access_log: Option<String>,
    more: String,
}

impl Setup {
    pub(crate) fn new(backend: &Backend) -> Self {
        Self::over([backend.address.as_str()])
    }

    /// Before backends as they stand in the configuration, without their quotes.
    pub(crate) fn over<A: Into<String>>(backends: impl IntoIterator<Item = A>) -> Self {
        Self {
            workers: 1,
            backends: backends.into_iter().map(|address| format!("{:?}", address.into())).collect(),
            listener: String::new(),
            bind: "127.0.0.1:0".to_owned(),
            pool: "health = \"off\"\n".to_owned(),
            access_log: None,
            more: String::new(),
        }
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Where `web` listens.
    pub(crate) fn bind(mut self, bind: impl Into<String>) -> Self {
        self.bind = bind.into();
        self
    }

    /// Lines for `[listener.web]`.
    pub(crate) fn listener(mut self, lines: &str) -> Self {
        self.listener += lines;
        self.listener.push('\n');
        self
    }

    /// Lines for `[pool.app]`.
    pub(crate) fn pool(mut self, lines: &str) -> Self {
        self.pool += lines;
        self.pool.push('\n');
        self
    }

    /// Health checks of `[pool.app]`, in the words of its table.
    pub(crate) fn health(mut self, table: &str) -> Self {
        self.pool = self.pool.replacen("health = \"off\"\n", "", 1);
        self.pool(&format!("health = {table}"))
    }

    /// Lines of `[access_log]` in place of errors to a file beside the configuration.
    pub(crate) fn access_log(mut self, lines: &str) -> Self {
        self.access_log = Some(lines.to_owned());
        self
    }

    /// Tables: routes, pools, listeners, limits.
    pub(crate) fn more(mut self, tables: &str) -> Self {
        self.more += tables;
        self.more.push('\n');
        self
    }

    /// A pool without health checks.
    pub(crate) fn more_pool(self, name: &str, backend: &Backend) -> Self {
        let address = &backend.address;
        self.more(&format!("[pool.{name}]\nbackends = [\"{address}\"]\nhealth = \"off\""))
    }

    /// The text of the configuration.
    fn text(&self, folder: &Path) -> String {
        let mut text = String::new();
        let folder = folder.display();
        let (workers, bind, backends) = (self.workers, &self.bind, self.backends.join(", "));
        // Tests that run side by side keep each other waiting, which is not what they are about.
        let overload = if self.more.contains("[overload]") { "" } else { "[overload]\nlag = \"off\"\n" };
        let access_log = self.access_log.clone().unwrap_or(format!("to = \"{folder}/access.log\""));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "[runtime]\nworkers = {workers}\n\
             [admin]\nbind = []\nsocket = \"unix:{folder}/admin.sock\"\n\
             {overload}[check]\nallow = [\"one-backend\", \"health-off\", \"unused-pool\"]\n\
             [access_log]\n{access_log}\n\
             [listener.web]\nbind = \"{bind}\"\npool = \"app\"\n{}\
             [pool.app]\nbackends = [{backends}]\n{}{}",
            self.listener, self.pool, self.more
        );
        text
    }

    /// Starts it and waits until it takes requests and has probed all backends once.
    #[track_caller]
    pub(crate) fn start(self) -> Evenkeel {
        self.start_with(Command::new(binary()))
    }

    /// As `start`, by another command, to which the arguments are added.
    #[track_caller]
    pub(crate) fn start_with(self, command: Command) -> Evenkeel {
        let folder = tempfile::tempdir().unwrap();
        let text = self.text(folder.path());
        let mut evenkeel = Evenkeel::spawn(folder, &text, command);
        evenkeel.wait_until_ready();
        evenkeel
    }

    /// Runs it, when it is not going to start: its exit status and what it said.
    pub(crate) fn run_to_end(self, command: Command) -> (ExitStatus, String) {
        let folder = tempfile::tempdir().unwrap();
        // Another user may have to read it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let text = self.text(folder.path());
        let mut evenkeel = Evenkeel::spawn(folder, &text, command);
        let status = evenkeel.wait_for_end();
        let log = evenkeel.log();
        (status, log)
    }
}

/// A running balancer; killed when dropped.
pub(crate) struct Evenkeel {
    child: Child,
    folder: TempDir,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    /// Name and address of each listener.
    listeners: Vec<(String, String)>,
    /// How it ended.
    pub(crate) ended: Option<ExitStatus>,
}

impl Evenkeel {
    fn spawn(folder: TempDir, config: &str, mut command: Command) -> Self {
        let file = folder.path().join("evenkeel.toml");
        std::fs::write(&file, config).unwrap();
        command.args(["run", "-c"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EVENKEEL_")) {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = vec![keep(output, &log), keep(errors, &log)];
        Self { child, folder, log, readers, listeners: Vec::new(), ended: None }
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        eventually("evenkeel is ready", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "evenkeel ended ({ended:?}):\n{}", self.log());
            self.is_ready()
        });
        self.listeners = self.status()["listeners"].as_array().unwrap().iter().flat_map(addresses).collect();
    }

    fn is_ready(&self) -> bool {
        let ready = self.ask("/readyz");
        ready.is_some_and(|(status, _)| status == 200)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where `web` listens.
    #[track_caller]
    pub(crate) fn address(&self) -> &str {
        self.address_of("web")
    }

    /// Where a listener listens (the first address).
    #[track_caller]
    pub(crate) fn address_of(&self, listener: &str) -> &str {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        &found.unwrap_or_else(|| panic!("no listener {listener}: {:?}", self.listeners)).1
    }

    pub(crate) fn port(&self) -> u16 {
        self.address().parse::<SocketAddr>().unwrap().port()
    }

    /// A connection to `web`.
    #[track_caller]
    pub(crate) fn client(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// A connection to `web` from another address of this machine.
    #[track_caller]
    pub(crate) fn client_from(&self, source: &str) -> Wire {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.address().parse::<SocketAddr>().unwrap().into()).unwrap();
        Wire::tcp(socket.into())
    }

    /// Whether a fresh connection from there is served.
    pub(crate) fn serves(&self, source: &str) -> bool {
        self.client_from(source).is_served()
    }

    /// One exchange on a connection of its own.
    #[track_caller]
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> super::Message {
        self.client().exchange(request)
    }

    /// What it wrote to standard output and standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Asks the admin socket: status and body.
    fn ask(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        let socket = format!("unix:{}", self.folder.path().join("admin.sock").display());
        let mut wire = Wire::try_connect(&socket).ok()?;
        wire.try_send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).ok()?;
        let answer = wire.read_answer(Method::Other).ok()?;
        Some((answer.status(), answer.body))
    }

    #[track_caller]
    fn ask_json(&self, path: &str) -> Value {
        let (status, body) = eventually_some("the admin socket answers", || self.ask(path));
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }

    /// Runs a command that talks to it: exit status, standard output, standard error.
    pub(crate) fn command(&self, args: &[&str]) -> (i32, String, String) {
        let socket = format!("unix:{}", self.folder.path().join("admin.sock").display());
        let output = Command::new(binary()).args(args).args(["--admin", &socket]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// `/api/v1/status`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.ask_json("/api/v1/status")
    }

    /// `/api/v1/errors`.
    #[track_caller]
    pub(crate) fn failures(&self) -> Vec<Value> {
        self.ask_json("/api/v1/errors").as_array().unwrap().clone()
    }

    /// Waits for the first failure on record and returns it.
    #[track_caller]
    pub(crate) fn failure(&self) -> Value {
        eventually_some("a failure is on record", || self.failures().into_iter().next())
    }

    /// A counter of listener `web`.
    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.status()["listeners"][0][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Waits until a counter of listener `web` has this value: exchanges are counted after their answers went out.
    #[track_caller]
    pub(crate) fn wait_for_counter(&self, name: &str, value: u64) {
        eventually(&format!("{name} is {value}"), || self.counter(name) == value);
    }

    /// A field of each backend of pool `app`.
    #[track_caller]
    pub(crate) fn backends(&self, field: &str) -> Vec<Value> {
        let status = self.status();
        let pool = status["pools"].as_array().unwrap().iter().find(|pool| pool["name"] == "app").unwrap().clone();
        pool["backends"].as_array().unwrap().iter().map(|backend| backend[field].clone()).collect()
    }

    /// A counter, summed over the backends of pool `app`.
    #[track_caller]
    pub(crate) fn sum(&self, counter: &str) -> u64 {
        self.backends(counter).iter().map(|count| count.as_u64().unwrap()).sum()
    }

    /// A figure of the queue of pool `app`.
    #[track_caller]
    pub(crate) fn queue(&self, figure: &str) -> u64 {
        self.status()["pools"][0]["queue"][figure].as_u64().unwrap()
    }

    /// Waits until the backends of `app` are in these states.
    #[track_caller]
    pub(crate) fn wait_for_states(&self, states: &[&str]) {
        eventually(&format!("backends are {states:?}"), || self.backends("state") == states);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let status = eventually_some("evenkeel ends", || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        self.ended = Some(status);
        status
    }

    /// SIGTERM, and its exit status.
    #[track_caller]
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }
}

impl Drop for Evenkeel {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            for reader in self.readers.drain(..) {
                let _ = reader.join();
            }
        }
        if std::thread::panicking() {
            println!("evenkeel said:\n{}", self.log());
        } else {
            assert!(!self.log().contains("panicked at"), "evenkeel panicked:\n{}", self.log());
        }
    }
}

fn addresses(listener: &Value) -> Vec<(String, String)> {
    let name = listener["name"].as_str().unwrap();
    let all = listener["addresses"].as_array().unwrap().iter();
    all.map(|address| (name.to_owned(), address.as_str().unwrap().to_owned())).collect()
}

fn keep(output: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}
