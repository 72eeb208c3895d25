from _common import *
import os
MODES = {"http", "lc"}
# No HTTP/2 and no TCP yet.
ONLY = {"S1", "S2", "S3", "S4a", "S4b", "S5", "S6", "S7", "S10", "S10t", "S11", "S12"}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
def binary(): return which("EVENKEEL_BIN", os.path.join(ROOT, "target", "release", "evenkeel"))
def version(b): return first_line(b, "--version")
def start(e, mode):
    backends = ", ".join(f'"127.0.0.1:{p}"' for p in e.backends)
    conf = write(e, "evenkeel.toml", f"""[runtime]
workers = 1
[admin]
bind = []
socket = "off"
[access_log]
write = "errors"
to = "{e.dir}/access.log"
[listener.web]
bind = "127.0.0.1:{e.port}"
pool = "app"
timeouts = {{ keep_alive = "300s" }}
[listener.secure]
bind = "127.0.0.1:{e.tls_port}"
pool = "app"
tls = {{ cert = "{e.cert}", key = "{e.key}" }}
timeouts = {{ keep_alive = "300s" }}
[pool.app]
backends = [{backends}]
policy = "{'least-requests' if mode == 'lc' else 'round-robin'}"
idle_connections = 4096
timeouts = {{ keep_alive = "300s" }}
""")
    return [e.bin, "run", "-c", conf], None
