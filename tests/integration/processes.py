"""What tests of the Process service share: requests, events sorted out, and a stream of input."""
import base64
import fcntl
import http.client
import json
import os
import pathlib
import pwd
import struct
import termios
import time
import unittest

from envd import DEADLINE_S, Envd, Stream, basic, envelope

ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name
MIB = 1024 * 1024


def sh(script, **fields):
    """A StartRequest without stdin; fields beside `process` go to the request."""
    config = {"cmd": "/bin/sh", "args": ["-c", script], **fields.pop("config", {})}
    return {"process": config, "stdin": False, **fields}


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the open, or between it and the read
        return False


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.005)


def input_of(data, channel="stdin"):
    return {channel: base64.b64encode(data).decode()}


def unread_input(pid):
    """Bytes that wait in the pipe which is a process's standard input."""
    return unread_bytes(f"/proc/{pid}/fd/0")


def unread_bytes(path):
    """Bytes that wait in a pipe that is somebody's descriptor."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"))[0]
    finally:
        os.close(fd)


def output_until(stream, text, kind="stdout"):
    """Reads events until their output holds text; returns all of it."""
    out = b""
    while text not in out:
        message = stream.next()
        if message is None:
            raise AssertionError(f"the stream ended, without {text!r}: {out!r} {stream.end}")
        out += base64.b64decode(message["event"].get("data", {}).get(kind, ""))
    return out


class InputStream:
    """A StreamInput over HTTP/1.1, one chunk a message; length: of all frames, instead of chunks."""

    def __init__(self, port, headers=None, length=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        self.is_chunked = length is None
        self.begin(headers, length)

    def begin(self, headers=None, length=None):
        c = self.connection
        c.putrequest("POST", "/process.Process/StreamInput")
        for name, value in {"Content-Type": "application/connect+json", **(headers or {})}.items():
            c.putheader(name, value)
        c.putheader(*(("Content-Length", length) if length else ("Transfer-Encoding", "chunked")))
        c.endheaders()

    def send_bytes(self, data):
        self.connection.send(b"%x\r\n%b\r\n" % (len(data), data) if self.is_chunked else data)

    def send(self, *messages):
        self.send_bytes(b"".join(map(envelope, messages)))

    def start(self, **selector):
        self.send({"start": {"process": selector}})

    def data(self, data, channel="stdin"):
        self.send({"data": {"input": input_of(data, channel)}})

    def keepalive(self):
        self.send({"keepalive": {}})

    def end(self):
        """Ends the request; the answer."""
        self.connection.send(b"0\r\n\r\n" if self.is_chunked else b"")
        return self.answer()

    def answer(self):
        """(messages, content of the end frame), as soon as it comes."""
        answer = self.connection.getresponse()
        assert answer.status == 200, answer.status
        assert answer.getheader("Content-Type") == "application/connect+json"
        data, messages = answer.read(), []
        while data:
            flags, length = struct.unpack(">BI", data[:5])
            message, data = json.loads(data[5:5 + length]), data[5 + length:]
            if flags & 2:
                assert not data, f"behind the end frame: {data!r}"
                return messages, message
            messages.append(message)
        raise AssertionError("the answer has no end frame")

    def error(self):
        """(code, text) of an answer without messages."""
        messages, end = self.answer()
        assert messages == [], messages
        return end["error"]["code"], end["error"]["message"]

    def close(self):
        self.connection.close()


class Run:
    """All events of one Start, sorted out."""

    def __init__(self, stream):
        self.events = [message["event"] for message in stream]
        self.finish = stream.end
        self.error = stream.end.get("error")
        self.kinds = [next(iter(e)) for e in self.events]
        self.out, self.err = self.output("stdout"), self.output("stderr")
        self.end = self.events[-1].get("end") if self.events else None
        self.code = self.end.get("exitCode", 0) if self.end else None

    def output(self, stream):
        return b"".join(base64.b64decode(e["data"][stream]) for e in self.events if stream in e.get("data", {}))


class ProcessTest(unittest.TestCase):
    def setUp(self):
        self.envd = Envd()
        self.addCleanup(self.envd.finish)
        self.user = basic(ME)

    def run_request(self, message, **headers):
        return Run(self.envd.start(message, {**self.user, **headers}))

    def run_sh(self, script, **fields):
        return self.run_request(sh(script, **fields))

    def started(self, message, **headers):
        """A stream whose start event has come, and the pid."""
        stream = self.envd.start(message, {**self.user, **headers})
        return stream, stream.next()["event"]["start"]["pid"]

    def list(self):
        status, body = self.envd.rpc("/process.Process/List", {})
        self.assertEqual(status, 200)
        return body.get("processes", [])

    def signal(self, process, name="SIGNAL_SIGKILL", **more):
        return self.envd.rpc("/process.Process/SendSignal", {"process": process, "signal": name, **more})

    def send(self, process, data, channel="stdin", **headers):
        """SendInput: (status, body)."""
        return self.envd.rpc("/process.Process/SendInput", {"process": process, "input": input_of(data, channel)}, headers)

    def close_stdin(self, process):
        return self.envd.rpc("/process.Process/CloseStdin", {"process": process})

    def connect(self, process, **headers):
        return Stream(self.envd.port, "/process.Process/Connect", {"process": process}, headers)

    def input_stream(self, **headers):
        stream = InputStream(self.envd.port, headers)
        self.addCleanup(stream.close)
        return stream

    def assert_refused(self, message, code, text, **headers):
        stream = self.envd.start(message, {**self.user, **headers})
        self.assertEqual((stream.status, stream.next()), (200, None))
        self.assertEqual(stream.end, {"error": {"code": code, "message": text}})
