"""As much of an HTTP/2 client as it takes to download: one request, its windows under control."""
import socket
import struct

from envd import DEADLINE_S

DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4
WINDOW_MAX = 2**31 - 1
STATUS_200 = 0x88  # in the static table of HPACK


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Http2:
    """window: bytes that a stream may send before open_window."""

    def __init__(self, port, window=WINDOW_MAX):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
        self.kept = b""
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                            frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))
        self.open_window(0, WINDOW_MAX - 65535)

    def open_window(self, stream, size):
        self.socket.sendall(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def get(self, path, headers=(), stream=1):
        block = b"\x82\x86" + literal(":path", path) + literal(":authority", "a")  # GET, http
        for name, value in headers:
            block += literal(name, value)
        self.socket.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))

    def post(self, path, body, stream=1):
        block = b"\x83\x86" + literal(":path", path) + literal(":authority", "a")  # POST, http
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body))

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
