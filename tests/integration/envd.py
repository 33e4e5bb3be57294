"""A daemon of one's own, and a client that hides nothing: what the integration tests stand on."""
import base64
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess

DEADLINE_S = 20


class Envd:
    """Starts the binary on a port that the kernel chooses; ends it by pid. under: a command that execs it;
    options are Popen's. Without cgroups: what it makes there would stay in the machine's tree."""

    def __init__(self, *flags, under=(), **options):
        self.log = []
        self.process = subprocess.Popen(
            [*under, os.environ["ENVD_BINARY"], "-isnotfc", "-no-cgroups", "-verbose", "-listen", "tcp:127.0.0.1:0", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        for line in self.process.stdout:
            entry = json.loads(line)
            self.log.append(entry)
            if entry["message"] == "listening":
                self.port = entry["port"]
                break
        else:
            raise AssertionError(f"the daemon did not start: {self.process.stderr.read()!r}")

    @property
    def pid(self):
        return self.process.pid

    def end(self, sig=signal.SIGTERM):
        """Ends it and returns (exit status, the rest of its log, stderr)."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err

    def finish(self):
        """The end of a test: the daemon leaves quietly, and a sanitizer in it has found nothing."""
        status, _, err = self.end()
        assert (status, err) == (0, b""), f"ended with {status}: {err.decode(errors='replace')}"

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+) kB", text, re.M)[1])

    def is_sanitized(self):
        """Its allocator keeps what is freed, then."""
        return b"__asan_init" in pathlib.Path(f"/proc/{self.pid}/exe").read_bytes()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)

    def request(self, method, path, body=None, headers=None):
        return request(self.port, method, path, body, headers)

    def raw(self, data, half_close=False):
        """Sends bytes and returns all that comes back until the daemon closes."""
        with self.connect() as s:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def rpc(self, method, message, headers=None):
        """A unary Connect call: (status, decoded body)."""
        answer = self.request("POST", method, json.dumps(message).encode(),
                              {"Content-Type": "application/json", **(headers or {})})
        return answer.status, json.loads(answer.body)

    def start(self, message, headers=None):
        return Stream(self.port, "/process.Process/Start", message, headers)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None


def request(port, method, path, body=None, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return Answer(r.status, r.getheaders(), r.read())
    finally:
        c.close()


def read_all(s):
    out = b""
    while True:
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return out
        if not piece:
            return out
        out += piece


def envelope(message, flags=0):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", flags, len(data)) + data


def basic(user):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


class Stream:
    """A server stream in Connect JSON."""

    def __init__(self, port, method, message, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        self.connection.request("POST", method, body=envelope(message),
                                headers={"Content-Type": "application/connect+json", **(headers or {})})
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.end = None

    def next(self):
        """The next message, or None after the end frame, which is then in self.end."""
        head = self.answer.read(5)
        if len(head) < 5:
            raise AssertionError(f"the stream broke off after {head!r}")
        flags, length = struct.unpack(">BI", head)
        data = self.answer.read(length)
        if flags & 2:
            self.end = json.loads(data)
            return None
        return json.loads(data)

    def __iter__(self):
        while (message := self.next()) is not None:
            yield message

    def error_code(self):
        """Reads on to the end; the code of the error it ends with, None without one."""
        for _ in self:
            pass
        return self.end.get("error", {}).get("code")

    def close(self):
        self.connection.close()
