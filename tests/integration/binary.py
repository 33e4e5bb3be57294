"""The Process service in protobuf over a raw socket: a client that keeps up with gigabytes and thousands of calls."""
import os
import pathlib
import socket
import struct

from envd import DEADLINE_S, Envd, basic
from processes import ME, ProcessTest, wait_for

READ_SIZE = 1 << 18


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    """One field: a varint, text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """(number, value) of each field, a value being an int or a view of bytes."""
    view, at = memoryview(data), 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = view[at]
            value, at, shift = value | (byte & 127) << shift, at + 1, shift + 7
            if byte < 128:
                return value

    while at < len(view):
        key = number()
        value = number()
        if key & 7 == 2:
            value, at = view[at:at + value], at + value
        yield key >> 3, value


def start_request(cmd, *args, cwd=None, terminal=None, tag=None, stdin=False):
    """terminal: (cols, rows)."""
    config = field(1, cmd) + b"".join(field(2, arg) for arg in args) + (field(4, cwd) if cwd else b"")
    pty = field(2, field(1, field(1, terminal[0]) + field(2, terminal[1]))) if terminal else b""
    return field(1, config) + pty + (field(3, tag) if tag else b"") + field(4, int(stdin))


def selector(pid):
    return field(1, field(1, pid))


def envelope_head(length):
    return struct.pack(">BI", 0, length)


def post(method, headers, length=None):
    """A request's head; without a length its body comes in chunks."""
    lines = [f"POST /process.Process/{method} HTTP/1.1", "Host: h", "Content-Type: application/connect+proto",
             "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
             *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def call(method, message, headers):
    """A whole request of one message."""
    return post(method, headers, 5 + len(message)) + envelope_head(len(message)) + message


class Body:
    """A chunked body, read by length."""

    def __init__(self, file):
        self.file, self.left, self.is_over = file, 0, False

    def read(self, length):
        """As many bytes, or less at the end."""
        out = b""
        while len(out) < length and self.begin_chunk():
            piece = self.file.read(min(length - len(out), self.left))
            if not piece:
                raise AssertionError("the connection ended amid a chunk")
            self.left -= len(piece)
            out = out + piece if out else piece
            if self.left == 0:
                self.file.readline()
        return out

    def begin_chunk(self):
        """False behind the last one."""
        if self.left == 0 and not self.is_over:
            self.left = int(self.file.readline() or b"-1", 16)
            if self.left < 0:
                raise AssertionError("the connection ended between two chunks")
            if self.left == 0:
                self.file.readline()
                self.is_over = True
        return not self.is_over


class End:
    """What an end event says."""

    def __init__(self, data):
        said = dict(fields(data))
        code = said.get(1, 0)
        self.code = code >> 1 ^ -(code & 1)  # sint32
        self.status = bytes(said.get(3, b"")).decode()


def frames(file):
    """(flags, message) of one answer, from its head to its end frame."""
    head = file.readline()
    if not head.startswith(b"HTTP/1.1 200 "):
        raise AssertionError(f"the answer begins with {head!r}")
    while file.readline() not in (b"\r\n", b""):
        pass
    body, flags = Body(file), 0
    while not flags & 2:
        flags, length = struct.unpack(">BI", body.read(5))
        yield flags, body.read(length)
    assert body.read(1) == b"", "something follows the end frame"


def events(file):
    """(kind, value) of one answer: ("start", pid), ("stdout" | "stderr" | "pty", bytes), ("end", End),
    ("keepalive", None), ("finish", JSON as bytes)."""
    for flags, message in frames(file):
        yield ("finish", message) if flags & 2 else event(message)


def event(response):
    (_, data), = fields(response)
    (number, value), = fields(data)
    if number == 2:
        (stream, piece), = fields(value)
        return ("stdout", "stderr", "pty")[stream - 1], bytes(piece)
    if number == 1:
        return "start", dict(fields(value))[1]
    return ("end", End(value)) if number == 3 else ("keepalive", None)


class Stream:
    """A server stream on a connection of its own; receive_buffer: bytes that the kernel may keep for it."""

    def __init__(self, port, method, message, headers, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE_S)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(call(method, message, headers))
        self.file = self.socket.makefile("rb", READ_SIZE if not receive_buffer else receive_buffer)
        self.events = events(self.file)
        self.kinds, self.end, self.finish = set(), None, None

    def started(self):
        kind, pid = next(self.events)
        assert kind == "start", (kind, pid)
        return pid

    def output(self):
        """(kind, bytes) of each piece of output, to the end of the stream; then end and finish are set."""
        for kind, value in self.events:
            assert self.end is None or kind == "finish", f"{kind} behind the end"
            self.kinds.add(kind)
            if kind in ("stdout", "stderr", "pty"):
                yield kind, value
            elif kind == "end":
                self.end = value
            elif kind == "finish":
                self.finish = value

    def all(self):
        """Reads to the end; the output of all kinds together."""
        return b"".join(piece for _, piece in self.output())

    def close(self):
        self.file.close()
        self.socket.close()


class InputStream:
    """A StreamInput whose messages are sent without being copied."""

    def __init__(self, port, pid, headers):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.socket.sendall(post("StreamInput", headers))
        self.send(field(1, selector(pid)))

    def send(self, head, data=b""):
        """A message that ends with data."""
        length = len(head) + len(data)
        pieces = [b"%x\r\n" % (5 + length) + envelope_head(length) + head, data, b"\r\n"]
        sent = self.socket.sendmsg(pieces)
        for piece in pieces:
            if sent < len(piece):
                self.socket.sendall(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))

    def data(self, data, channel=1):
        """channel: 1 stdin, 2 pty."""
        inner = varint(channel << 3 | 2) + varint(len(data))
        middle = varint(2 << 3 | 2) + varint(len(inner) + len(data)) + inner
        self.send(varint(2 << 3 | 2) + varint(len(middle) + len(data)) + middle, data)

    def finish(self):
        """Ends the request; its answer as [(flags, message)]."""
        self.socket.sendall(b"0\r\n\r\n")
        with self.socket.makefile("rb") as file:
            return list(frames(file))

    def close(self):
        self.socket.close()


class BinaryTest(ProcessTest):
    """Tests after which nothing is left: what there was before is counted before the first call."""

    # glibc gives back what is freed, as the product's musl does: what is resident is what the daemon keeps.
    ENVIRONMENT = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=65536:"
                                                   "glibc.malloc.trim_threshold=65536"}

    MEMORY_KIB = 3072  # that may come on top, at any time, of what there was before

    def make_envd(self):
        return Envd(env=self.ENVIRONMENT)

    def setUp(self):
        self.envd = self.make_envd()
        self.addCleanup(self.envd.finish)
        self.user = basic(ME)
        self.fds = self.envd.fds()
        self.run_sh("true")
        self.rss_kib = self.envd.rss_kib()
        self.streams = []

    def stream(self, message, method="Start", receive_buffer=None, **headers):
        """A stream whose start event has come, and the pid."""
        stream = Stream(self.envd.port, method, message, {**self.user, **headers}, receive_buffer)
        self.addCleanup(stream.close)
        self.streams.append(stream)
        return stream, stream.started()

    def assert_ended(self, stream, code=0):
        self.assertEqual((stream.end.code, stream.finish), (code, b"{}"))

    def assert_little_memory(self):
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - self.rss_kib, self.MEMORY_KIB)

    def children(self):
        return pathlib.Path(f"/proc/{self.envd.pid}/task/{self.envd.pid}/children").read_text().split()

    def assert_nothing_left(self):
        for stream in self.streams:
            stream.close()
        wait_for(lambda: not self.children() and not self.list(), "all processes to end")
        wait_for(lambda: self.envd.fds() <= self.fds, "as many descriptors as before")
        self.assert_little_memory()
