"""As much of an HTTP/2 client as it takes to transfer files: one request, its windows under control."""
import socket
import struct

from envd import DEADLINE_S
from http2 import (ACK, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM, SETTINGS,
                   WINDOW_UPDATE, frame, get, literal)

WINDOW_MAX = 2**31 - 1
STATUS_200 = 0x88  # in the static table of HPACK


class Http2:
    """window: bytes that a stream may send before open_window."""

    def __init__(self, port, window=WINDOW_MAX):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.kept = b""
        self.socket.sendall(PREFACE + frame(SETTINGS, payload=struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))
        self.open_window(0, WINDOW_MAX - 65535)

    def open_window(self, stream, size):
        self.socket.sendall(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def get(self, path, headers=(), stream=1):
        block = get(path.encode()) + b"".join(literal(name.encode(), value.encode()) for name, value in headers)
        self.socket.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))

    def post(self, path, body, stream=1):
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, get(path.encode(), post=True)) +
                            frame(DATA, END_STREAM, stream, body))

    def take(self, size):
        while len(self.kept) < size:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise AssertionError("the connection has ended")
            self.kept += piece
        out, self.kept = self.kept[:size], self.kept[size:]
        return out

    def frames(self):
        """(kind, flags, stream, payload) as they come; settings are acknowledged."""
        while True:
            head = self.take(9)
            kind, flags, stream = struct.unpack(">BBI", head[3:])
            payload = self.take(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            else:
                yield kind, flags, stream, payload

    def body(self, on_data, stream=1):
        """Gives the body of a 200 to on_data, piece by piece; returns whether it came to its end."""
        for kind, flags, of, payload in self.frames():
            if of != stream:
                continue
            if kind == HEADERS and payload[0] != STATUS_200:
                raise AssertionError(f"another status: {payload!r}")
            if kind == DATA:
                on_data(payload)
            if kind == RST_STREAM:
                return False
            if flags & END_STREAM and kind in (DATA, HEADERS):
                return True

    def close(self):
        self.socket.close()
