"""The stage of the benchmarks: backends, balancers in front of them, load, and what the system counted meanwhile.
Everything runs on free ports of loopback, in a scratch folder, and ends with its `Place`, by process id."""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 20


def find(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def need(*programs):
    missing = [name for name in programs if not find(name)]
    if missing:
        sys.exit(f"These programs are missing: {', '.join(missing)}. bench/README.md names the packages.")


def evenkeel_binary():
    built = os.path.join(os.path.dirname(HERE), "target", "release", "evenkeel")
    program = os.environ.get("EVENKEEL_BIN", built)
    if not os.path.exists(program):
        sys.exit(f"{program} is not there: build it (cargo build --release) or set EVENKEEL_BIN.")
    return program


def free_port():
    return free_ports(1)[0]


def free_ports(count):
    """So many different ones: all are taken before any is given back."""
    with contextlib.ExitStack() as probes:
        taken = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in taken:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in taken]


def children(pid):
    """A process and all that descend from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                status = open(f"/proc/{name}/stat").read()
                parents.setdefault(int(status[status.rindex(")") + 2 :].split()[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def cpu_s(pids):
    """CPU seconds of processes, user and system, as the kernel's process clocks tell."""
    spent = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            spent += time.clock_gettime_ns(((~pid) << 3) | 2)
    return spent / 1e9


class Running:
    """A started process that listens on a port."""

    def __init__(self, command, port, log, core=None):
        pin = ["taskset", "-c", core] if core and find("taskset") else []
        self.port, self.log = port, log
        with open(log, "w") as output:
            self.process = subprocess.Popen(pin + command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.wait_until_up()

    def wait_until_up(self):
        until = time.time() + PATIENCE_S
        while time.time() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/1k", timeout=5) as answer:
                    if answer.status == 200 and len(answer.read()) == 1024:
                        return
            time.sleep(0.05)
        self.stop()
        sys.exit(f"{self.process.args} does not answer:\n{open(self.log).read()[-2000:]}")

    @property
    def pids(self):
        return children(self.process.pid)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                for pid in self.pids:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
                self.process.wait()


class Place:
    """A scratch folder with what runs in it."""

    def __init__(self, folder, workers=1, front_core=None, other_cores=None):
        self.folder, self.workers = folder, workers
        self.front_core, self.other_cores = front_core, other_cores
        self.running, self.backend_ports = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for running in reversed(self.running):
            running.stop()

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(self, command, port, name, core=None):
        running = Running(command, port, os.path.join(self.folder, name + ".log"), core)
        self.running.append(running)
        return running

    def backends(self, count):
        """So many servers, in a few nginx, that answer /1k with 1 KiB."""
        ports = free_ports(count)
        processes = min(count, 2)
        for number in range(processes):
            name, own = f"backend{number}", ports[number::processes]
            body = "x" * 1024
            listens = "".join(f"listen 127.0.0.1:{port} backlog=4096; " for port in own)
            top = f"""daemon off; master_process off; pid {self.folder}/{name}.pid; error_log {self.folder}/{name}.err;
worker_rlimit_nofile 16384; events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; {temporary(self.folder, name)}
server {{ {listens}location / {{ return 200 "{body}"; }} }} }}
"""
            conf = self.write(name + ".conf", top)
            self.start([find("nginx"), "-e", f"{self.folder}/{name}.err", "-c", conf], own[0], name, self.other_cores)
        self.backend_ports += ports

    def evenkeel(self, under=(), pool=""):
        """Evenkeel in front of the backends, perhaps under a tool and with more lines for the pool."""
        port = free_port()
        backends = ", ".join(f'"127.0.0.1:{p}"' for p in self.backend_ports)
        conf = self.write("evenkeel.toml", f"""[runtime]
workers = {self.workers}
[admin]
bind = []
socket = "off"
[access_log]
to = "{self.folder}/access.log"
[listener.web]
bind = "127.0.0.1:{port}"
pool = "app"
[pool.app]
backends = [{backends}]
{pool}
""")
        return self.start([*under, evenkeel_binary(), "run", "-c", conf], port, "evenkeel", self.front_core)

    def nginx(self):
        port = free_port()
        servers = "".join(f"server 127.0.0.1:{p}; " for p in self.backend_ports)
        conf = self.write("nginx.conf", f"""daemon off; worker_processes {self.workers}; pid {self.folder}/nginx.pid;
error_log {self.folder}/nginx.err; events {{ worker_connections 8192; }}
http {{ access_log off; tcp_nodelay on; keepalive_requests 1000000000; {temporary(self.folder, "nginx")}
upstream app {{ {servers} keepalive 1024; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://app; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_set_header Host $host; }} }} }}
""")
        command = [find("nginx"), "-e", f"{self.folder}/nginx.err", "-c", conf]
        return self.start(command, port, "nginx", self.front_core)

    def haproxy(self):
        port = free_port()
        servers = "".join(f"  server s{i} 127.0.0.1:{p} check\n" for i, p in enumerate(self.backend_ports))
        conf = self.write("haproxy.cfg", f"""global
  nbthread {self.workers}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  balance roundrobin
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  default_backend b
backend b
{servers}""")
        return self.start([find("haproxy"), "-db", "-q", "-f", conf], port, "haproxy", self.front_core)


def temporary(folder, name):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)


def load(port, requests, connections):
    """Sends so many requests over so many kept-alive connections with h2load; all must be answered."""
    command = ["h2load", "--h1", "-n", str(requests), "-c", str(connections), f"http://127.0.0.1:{port}/1k"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    if f"status codes: {requests} 2xx" not in said:
        sys.exit(f"not all of {requests} requests were answered:\n{said}")
    return float(re.search(r"finished in .*?, ([\d.]+) req/s", said).group(1))
