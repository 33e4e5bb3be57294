"""Bare HTTP/2 for tests of a server: frames out, frames in, nothing checked."""
import socket
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
NO_ERROR, PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 0, 1, 11
INITIAL_WINDOW_SIZE = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TIMEOUT_S = 30


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, prefix_bits, first=0):
    """RFC 7541 5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([first | value])
    out = [first | most]
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def text(value):
    return integer(len(value), 7) + value


def literal(name, value):
    """A field that is not indexed."""
    return b"\0" + text(name) + text(value)


def get(path=b"/health", post=False):
    """The header block of a request."""
    return (b"\x83" if post else b"\x82") + b"\x86\x01" + text(b"h") + b"\x04" + text(path)


def parse(data):
    """(frames, what is left of an unfinished one); a frame is (kind, flags, stream, payload)."""
    frames, at = [], 0
    while len(data) - at >= 9:
        length = int.from_bytes(data[at:at + 3], "big")
        if len(data) - at < 9 + length:
            break
        kind, flags, stream = struct.unpack(">BBI", data[at + 3:at + 9])
        frames.append((kind, flags, stream & 0x7fffffff, data[at + 9:at + 9 + length]))
        at += 9 + length
    return frames, data[at:]


class Connection:
    def __init__(self, port, settings=b""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self.left = b""
        self.frames = []
        self.open = True
        self.send(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, ACK))

    def send(self, data):
        """False once the server has hung up; what it said before can still be read."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            return False
        return self.open

    def flood(self, data, times, per_write=200):
        """Sends data so often, and reads now and then, until the server hangs up."""
        block = data * per_write
        for _ in range(times // per_write):
            if not self.send(block) or not self.take():
                break
        return self

    def take(self, wait=False):
        """Reads what is there; with wait, all until the end. False at the end."""
        while self.open:
            self.socket.settimeout(TIMEOUT_S if wait else 0)
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                return True
            except ConnectionError:
                data = b""
            finally:
                self.socket.settimeout(TIMEOUT_S)
            if not data:
                self.open = False
                break
            frames, self.left = parse(self.left + data)
            self.frames += frames
        return False

    def until(self, condition):
        """Reads until a frame is as wanted, which is returned; None at the end."""
        seen = 0
        while True:
            for one in self.frames[seen:]:
                if condition(one):
                    return one
            seen = len(self.frames)
            if not self.open:
                return None
            data = self.socket.recv(65536)
            if not data:
                self.open = False
            frames, self.left = parse(self.left + data)
            self.frames += frames

    def goaway(self):
        """Reads to the end; the error code of the last GOAWAY, None without one."""
        self.take(wait=True)
        codes = [struct.unpack(">II", payload[:8])[1] for kind, _, _, payload in self.frames if kind == GOAWAY]
        return codes[-1] if codes else None

    def close(self):
        self.socket.close()
