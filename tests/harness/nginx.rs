//! Real backends: Debian's nginx, each in a folder and on a port of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::address::free_port;
use super::patience::eventually;
use super::process::{Signal, find_program, send_signal};
use super::wire::Wire;

/// A running nginx: one process, so that a signal reaches all of it.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    program: PathBuf,
    folder: TempDir,
    child: Child,
}

impl Nginx {
    /// Starts one that answers every GET with its name; `None` where nginx is not installed.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let program = find_program("nginx")?;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        std::fs::write(folder.path().join("nginx.conf"), configuration(name, port)).unwrap();
        let child = spawn(&program, &folder);
        let nginx = Self { port, program, folder, child };
        nginx.wait_until_up();
        Some(nginx)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder);
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

fn spawn(program: &PathBuf, folder: &TempDir) -> Child {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn configuration(name: &str, port: u16) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_timeout 60s;\n  client_body_temp_path t1; proxy_temp_path t2; \
         fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n  server {{\n    listen 127.0.0.1:{port};\n    \
         location / {{ return 200 \"{name}\"; }}\n  }}\n}}\n"
    )
}
