//! Real backends: Debian's nginx, each in a folder and on a port of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::address::free_port;
use super::namespace::Namespace;
use super::patience::eventually;
use super::process::{Signal, find_program, send_signal};
use super::wire::Wire;

/// A running nginx: one process, so that a signal reaches all of it.
pub(crate) struct Nginx {
    address: String,
    program: PathBuf,
    folder: TempDir,
    child: Child,
}

impl Nginx {
    /// Starts one that answers every GET with its name; `None` where nginx is not installed.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let address = format!("127.0.0.1:{}", free_port());
        Self::at(name, address, |program| Command::new(program))
    }

    /// As `start`, in a network of its own.
    pub(crate) fn start_in(namespace: &Namespace, name: &str) -> Option<Self> {
        Self::at(name, format!("{}:8080", namespace.far), |program| namespace.command(program))
    }

    fn at(name: &str, address: String, command: impl Fn(&Path) -> Command) -> Option<Self> {
        let program = find_program("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("nginx.conf"), configuration(name, &address)).unwrap();
        let child = spawn(command(&program), &folder);
        let nginx = Self { address, program, folder, child };
        nginx.wait_until_up();
        Some(nginx)
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Starts it again on its port.
    pub(crate) fn restart(&mut self) {
        self.child.wait().unwrap();
        self.child = spawn(Command::new(&self.program), &self.folder);
        self.wait_until_up();
    }

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        send_signal(self.child.id(), Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        send_signal(self.child.id(), Signal::CONT);
    }

    fn wait_until_up(&self) {
        eventually("nginx listens", || Wire::try_connect(&self.address()).is_ok());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(mut command: Command, folder: &TempDir) -> Child {
    command.arg("-p").arg(folder.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn configuration(name: &str, address: &str) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 60s;\n  client_body_temp_path t1; proxy_temp_path t2; \
         fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n  server {{\n    listen {address};\n    \
         location / {{ return 200 \"{name}\"; }}\n  }}\n}}\n"
    )
}
