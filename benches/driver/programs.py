"""The programs that are compared: where they are, how each is started, asked and ended.

The two peers are Debian packages; where one is missing, the rows that need it say so and everything else is measured.
"""

import contextlib
import http.client
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import time

import measure

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = "bench-key-of-nobody"
METRICS = "/etcha/v1/system/metrics"
# Seconds that a program may take until it answers; many times what it takes on a busy machine.
PATIENCE = 600


class Programs:
    """Paths of what is compared. `profile` is Cargo's. Journals that are the same each time stay in `directory`, what
    changes is in `scratch`."""

    def __init__(self, profile, directory, scratch):
        built = ROOT / "target" / ("debug" if profile == "dev" else profile)
        self.directory, self.scratch = directory, scratch
        self.exporter = built / "etcha-exporter"
        self.workload = built / "bench-workload"
        self.mtail = shutil.which("mtail")
        self.mtail_program = ROOT / "benches/peers/etcha.mtail"
        self.go = self.build_go()
        for name, there in (("mtail", self.mtail), ("client_golang", self.go)):
            if not there:
                print(f"left out: the rows of {name}, which is not installed (make bench-peers installs it)")

    def build_go(self):
        """The Go peer, against Debian's own copies of its libraries: nothing is downloaded."""
        source, built = ROOT / "benches/peers/counter.go", self.directory / "counter"
        libraries = pathlib.Path("/usr/share/gocode")
        if not shutil.which("go") or not (libraries / "src/github.com/prometheus/client_golang").is_dir():
            return None
        if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
            environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(libraries), "GOFLAGS": ""}
            subprocess.run(["go", "build", "-o", built, source], env=environment, check=True)
        return built

    def journal(self, lines, series, shape="mixed"):
        """A journal that is the same each time; made once."""
        path = self.path_of(lines, series, shape)
        if not path.exists():
            half = path.with_suffix(".half")
            self.generate(half, lines, series, shape)
            half.rename(path)
        return path

    def path_of(self, lines, series, shape="mixed"):
        return self.directory / f"{shape}-{series}-{lines}.jsonl"

    def generate(self, path, lines, series, shape="mixed", part=0):
        subprocess.run([self.workload, "journal", path, str(lines), str(series), shape, str(part)], check=True)

    def each_series(self, series):
        """A journal in which each series is there, and hardly more."""
        return self.journal(2 * series, series)

    def parse(self, journal):
        return [self.workload, "parse", journal]

    def render(self, journal, series=10_000_000):
        return [self.exporter, "render", "--max-series", str(series), journal]

    def one_shot(self, journal):
        # It opens its port even so.
        port = ["-address", "127.0.0.1", "-port", free_port()]
        return [self.mtail, "-one_shot", "-progs", self.mtail_program, "-logs", journal, *port]

    def fresh_exporter(self, journal, name, *flags, before=()):
        """An exporter that remembers nothing."""
        state = self.scratch / name
        shutil.rmtree(state, ignore_errors=True)
        return self.exporter_on(journal, state, *flags, before=before)

    def exporter_on(self, journal, state, *flags, before=()):
        """An exporter that goes on from what is in `state`. Limits are lifted, not switched off. `before` stands before
        its command line."""
        state.mkdir(exist_ok=True)
        key = state / "key"
        key.write_text(KEY)
        key.chmod(0o600)
        port = free_port()
        argv = [*before, self.exporter, "--journal", journal, "--state-dir", state / "state", "--metrics-key-file", key]
        argv += ["--listen-address", f"127.0.0.1:{port}", "--log-level", "warn", "--max-series", "10000000", *flags]
        return Server(argv, port, tls=True, path=METRICS, ready="/-/ready")

    def serve_mtail(self, journal):
        port = free_port()
        argv = [self.mtail, "-progs", self.mtail_program, "-logs", journal, "-address", "127.0.0.1", "-port", port]
        return Server(argv, port, tls=False, path="/metrics", ready="/metrics")

    def serve_go(self, journal):
        port = free_port()
        return Server([self.go, journal, f"127.0.0.1:{port}"], port, tls=True, path="/metrics", ready="/metrics")


class Server:
    """A program that serves metrics, and one connection to it that is kept open."""

    def __init__(self, argv, port, tls, path, ready):
        self.began = time.perf_counter()
        self.argv, self.port, self.tls, self.path, self.ready = argv, port, tls, path, ready
        words = [str(word) for word in argv]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.client = None
        self.usage = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_until_ready(self):
        """Waits until it is ready, and says how long that took since it was started, in seconds."""
        return self.wait_for_status(lambda status: status == 200)

    def wait_until_answering(self):
        """Waits until it answers at all, and says how long that took since it was started, in seconds."""
        return self.wait_for_status(lambda _: True)

    def wait_for_status(self, is_wanted):
        while time.perf_counter() - self.began < PATIENCE:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.argv[0]} ended with {self.process.returncode}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.connect()
                if is_wanted(self.ask(self.ready)[0]):
                    return time.perf_counter() - self.began
            time.sleep(0.001)
        raise RuntimeError(f"{self.argv[0]} does not answer")

    def wait_until_idle(self):
        """Waits until it takes less than a twentieth of a processor over a second."""
        for _ in range(PATIENCE):
            before = self.cpu()
            time.sleep(1)
            if self.cpu() - before < 0.05:
                return
        raise RuntimeError(f"{self.argv[0]} does not come to rest")

    def connect(self):
        if self.tls:
            # Without the authorities of this host: reading them takes longer than what is measured.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.client = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=PATIENCE)
        else:
            self.client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.client.connect()
        self.client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, encoding="identity"):
        headers = {"Authorization": f"Bearer {KEY}", "Accept": "text/plain", "Accept-Encoding": encoding}
        self.client.request("GET", path, headers=headers)
        answer = self.client.getresponse()
        return answer.status, answer.read()

    def scrape(self, encoding="identity"):
        status, body = self.ask(self.path, encoding)
        if status != 200:
            raise RuntimeError(f"{self.argv[0]} answers {status}")
        return body

    def quick_scrape(self):
        """The body of a scrape in as little time as Python takes: for waiting until something shows. It takes for
        granted that the answer tells its length, as the exporter's does."""
        sock = self.client.sock
        sock.sendall(f"GET {self.path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += sock.recv(1 << 20)
        begin = answer.lower().index(b"content-length:") + len(b"content-length:")
        length = int(answer[begin : answer.index(b"\r\n", begin)])
        body = answer[end + 4 :]
        while len(body) < length:
            body += sock.recv(1 << 20)
        return body

    def cpu(self):
        return measure.cpu_clock(self.pid)

    def stop(self):
        """Ends it in good order, and says all the processor time that it had, in seconds."""
        if self.usage is None:
            self.process.terminate()
            _, status, self.usage = os.wait4(self.pid, 0)
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return measure.seconds_of(self.usage)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
