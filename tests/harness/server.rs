//! A backend of either kind, by its name: a process of nginx, or a raw one in this process.

use std::net::TcpListener;
use std::sync::Arc;

use super::backend::{Backend, Conn};
use super::nginx::Nginx;
use super::patience::eventually_some;
use super::wire::Broken;

type Script = dyn Fn(&mut Conn) -> Result<(), Broken> + Send + Sync;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Raw,
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Raw, Self::Nginx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw backends",
            Self::Nginx => "nginx",
        }
    }
}

/// One that answers with its name, dies and returns on its port.
pub(crate) enum Server {
    Raw(Raw),
    Nginx(Nginx),
}

impl Server {
    /// `None` where nginx is not installed.
    pub(crate) fn start(kind: Kind, name: &str) -> Option<Self> {
        match kind {
            Kind::Raw => Some(Self::Raw(Raw::named(name))),
            Kind::Nginx => Nginx::start(name).map(Self::Nginx),
        }
    }

    pub(crate) fn address(&self) -> String {
        match self {
            Self::Raw(raw) => raw.address.clone(),
            Self::Nginx(nginx) => nginx.address(),
        }
    }

    /// Its port closes and its connections end.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Raw(raw) => raw.stop(),
            Self::Nginx(nginx) => nginx.kill(),
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Raw(raw) => raw.start(),
            Self::Nginx(nginx) => nginx.restart(),
        }
    }
}

/// A raw backend that can stop and start again where it was.
pub(crate) struct Raw {
    pub(crate) address: String,
    script: Arc<Script>,
    running: Option<Backend>,
}

impl Raw {
    /// Answers 200 with this name as the body.
    pub(crate) fn named(name: &str) -> Self {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
        Self::serving(move |conn| {
            loop {
                conn.wire.read_head()?;
                conn.send(&answer);
            }
        })
    }

    /// Follows a script on each connection.
    pub(crate) fn serving(script: impl Fn(&mut Conn) -> Result<(), Broken> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut raw = Self { address, script: Arc::new(script), running: None };
        raw.serve(listener);
        raw
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    pub(crate) fn start(&mut self) {
        let listener = eventually_some("the port is free again", || TcpListener::bind(&self.address).ok());
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let script = Arc::clone(&self.script);
        self.running = Some(Backend::on(listener, move |conn| script(conn)));
    }
}
