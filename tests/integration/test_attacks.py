"""Bad input, bad surroundings and peers that misbehave: each gets its answer, and nobody else notices."""
import base64
import gzip
import json
import os
import pathlib
import pwd
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import http2
from envd import Envd, basic, envelope, read_all

ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name
START, LIST, SIGNAL = "/process.Process/Start", "/process.Process/List", "/process.Process/SendSignal"
HEALTH = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n"
POOL_THREADS = 4
BAD, NO_CODING = (400, b"400 Bad Request"), (501, b"Unsupported transfer encoding")
TOO_MUCH, OLD = (431, b"431 Request Header Fields Too Large"), \
    (505, b"505 HTTP Version Not Supported: unsupported protocol version")


def head(line, *fields):
    return "\r\n".join((line, "Host: h", *fields, "", "")).encode("latin1")


def post(path, body, content_type="application/json", *fields):
    return head(f"POST {path} HTTP/1.1", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *fields) + body


def start(body, *fields, content_type="application/connect+json"):
    return post(START, envelope(body) if isinstance(body, dict) else body, content_type, *fields)


def chunked(body):
    return head(f"POST {LIST} HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked") + body


def field(number, data):
    """Protobuf: a field of bytes."""
    size, length = len(data), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def with_name(name):
    return "Authorization: Basic " + base64.b64encode(name + b":hush-password").decode()


def cpu_ticks(pid):
    return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


class Healthy(threading.Thread):
    """The other client: a request now and then on one connection, until the end of the block."""

    def __init__(self, envd):
        super().__init__()
        self.socket, self.is_over, self.problem, self.longest_s = envd.connect(), False, None, 0

    def run(self):
        try:
            while not self.is_over:
                began = time.monotonic()
                self.socket.sendall(HEALTH)
                answer = self.socket.recv(4096)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                assert answer.startswith(b"HTTP/1.1 204 "), answer
                time.sleep(0.01)
        except (OSError, AssertionError) as problem:
            self.problem = problem

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.is_over = True
        self.join()
        self.socket.close()
        assert self.problem is None and self.longest_s < 2, (self.problem, self.longest_s)


class Attack(unittest.TestCase):
    options = {}

    def setUp(self):
        self.envd = Envd(**self.options)
        self.addCleanup(self.end)
        self.user = basic(ME)

    def end(self):
        self.envd.finish()

    def children(self):
        return pathlib.Path(f"/proc/{self.envd.pid}/task/{self.envd.pid}/children").read_text().split()

    def kill_children(self):
        for pid in self.children():
            os.kill(int(pid), signal.SIGKILL)

    def assert_idle(self, fds):
        wait_for(lambda: not self.children() and self.envd.fds() <= fds, "children to be reaped, descriptors to close")

    def run_true(self):
        stream = self.envd.start({"process": {"cmd": "true"}, "stdin": False}, self.user)
        self.assertIsNone(stream.error_code())
        stream.close()

    def answers(self, data, **how):
        """[(status, body)] of what comes back until the daemon closes; bodies have a length or run to the end."""
        left, found = self.envd.raw(data, **how), []
        while left:
            first, _, left = left.partition(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: (\d+)", first)
            status = int(first.split()[1])
            size = int(length[1]) if length else 0 if status in (100, 101, 204) else len(left)
            found.append((status, left[:size]))
            left = left[size:]
        return found


class HttpTest(Attack):
    def test_broken_http1_is_refused_and_the_connection_ends(self):
        """The daemon closes by itself: the request behind is never answered."""
        get, init = "GET /health HTTP/1.1", "POST /init HTTP/1.1"
        table = {
            "a TLS hello": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"x" * 500, BAD),
            "NULs": (b"\0" * 1000, BAD),
            "no version": (b"GET /\r\n\r\n", BAD),
            "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", OLD),
            "HTTP/0.8": (b"GET / HTTP/0.8\r\n\r\n", OLD),
            "no Host": (b"GET /health HTTP/1.1\r\n\r\n", (400, b"400 Bad Request: missing required Host header")),
            "a Host with a space": (b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",
                                    (400, b"400 Bad Request: malformed Host header")),
            "two Hosts": (head(get, "Host: i"), BAD),
            "a space before a colon": (head(get, "Foo : x"), (400, b"400 Bad Request: invalid header name")),
            "a folded field": (head(get, "Foo: x", " y"), BAD),
            "a NUL in a value": (head(get, "Foo: x\0y"), BAD),
            "a bare CR in a value": (head(get, "Foo: x\ry"), BAD),
            "bare LFs": (b"GET /health HTTP/1.1\nHost: h\n\n", BAD),
            "a field without a colon": (head(get, "Foo"), BAD),
            "a space in the path": (head("GET /he alth HTTP/1.1"), BAD),
            "a NUL in the path": (head("GET /he\0alth HTTP/1.1"), BAD),
            "a broken escape": (head("GET /health%zz HTTP/1.1"), BAD),
            "an odd method": (head("G(T /health HTTP/1.1"), BAD),
            "an authority as path": (head("GET h:80 HTTP/1.1"), BAD),
            "2 MB of a field": (head(get, "X: " + "a" * 2_000_000), TOO_MUCH),
            "too many fields": (head(get, *["X: a"] * 1000), TOO_MUCH),
            "too many empty lines": (b"\r\n\r\n\r\n" + HEALTH, BAD),
            "length and chunks": (head(init, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", BAD),
            "two lengths": (head(init, "Content-Length: 2", "Content-Length: 2") + b"{}", BAD),
            "gzip as transfer coding": (head(init, "Transfer-Encoding: gzip"), NO_CODING),
            "two transfer codings": (head(init, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", NO_CODING),
            "chunked twice": (head(init, *["Transfer-Encoding: chunked"] * 2) + b"0\r\n\r\n", NO_CODING),
            "chunks in HTTP/1.0": (b"POST /init HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
            **{f"a length of {n!r}": (head(init, f"Content-Length: {n}") + b"{}", BAD)
               for n in ("-1", "+1", "0x1", "1,1", "", "9223372036854775808", "18446744073709551616")},
        }
        for name, (data, answer) in table.items():
            with self.subTest(name):
                self.assertEqual(self.answers(data + HEALTH), [answer])

    def test_odd_http1_is_served_and_the_connection_goes_on(self):
        init, none = "POST /init HTTP/1.1", (204, b"")
        nowhere = (404, b"404 page not found\n")
        table = {
            "an absolute path": (head("GET http://h:1/health HTTP/1.1"), none),
            "a query with a broken escape": (head("GET /health?x=%zz HTTP/1.1"), none),
            "two empty lines": (b"\r\n\r\n" + HEALTH, none),
            "bytes over 127 in a value": (head("GET /health HTTP/1.1", "Foo: \xc3\xb6"), none),
            "bytes over 127 in the path": (head("GET /\xff\xfe HTTP/1.1"), nowhere),
            "a long path": (head("GET /" + "a" * 900_000 + " HTTP/1.1"), nowhere),
            "a long method": (head("A" * 5000 + " / HTTP/1.1"), (405, b"")),
            "Chunked in another case": (head(init, "Transfer-Encoding: CHUNKED") + b"2\r\n{}\r\n0\r\nFoo: bar\r\n\r\n", none),
            "an upgrade to something else": (head("GET /health HTTP/1.1", "Connection: Upgrade", "Upgrade: tls"), none),
            "an upgrade with broken settings": (head("GET /health HTTP/1.1", "Connection: Upgrade, HTTP2-Settings",
                                                     "Upgrade: h2c", "HTTP2-Settings: !"), none),
            "an upgrade with a body": (head(init, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                            "HTTP2-Settings: AAMAAABk", "Content-Length: 2") + b"{}", none),
            "a body where none belongs": (head("GET /health HTTP/1.1", "Content-Length: 3") + b"abc", none),
        }
        for name, (data, answer) in table.items():
            with self.subTest(name):
                self.assertEqual(self.answers(data + HEALTH, half_close=True), [answer, none])

    def test_expectations_get_a_100_a_417_or_the_answer_at_once(self):
        expect = "Expect: 100-continue"
        table = {
            "a body that is read": (post("/init", b"{}", "text/plain", expect), [(100, b""), (204, b""), (204, b"")]),
            "in another case": (post("/init", b"{}", "text/plain", "eXpect: 100-Continue"),
                                [(100, b""), (204, b""), (204, b"")]),
            "no body": (post("/init", b"", "text/plain", expect), [(204, b""), (204, b"")]),
            "HTTP/1.0": (b"POST /init HTTP/1.0\r\nContent-Length: 2\r\n" + expect.encode() + b"\r\n\r\n{}", [(204, b"")]),
            "another one": (post("/init", b"{}", "text/plain", "Expect: 200-ok"), [(417, b"")]),
            "a body nobody wants": (post("/nowhere", b"{}", "text/plain", expect), [(404, b"404 page not found\n")]),
            "a wrong type": (post(LIST, b"{}", "text/plain", expect), [(415, b"")]),
        }
        for name, (data, answers) in table.items():
            with self.subTest(name):
                self.assertEqual(self.answers(data + HEALTH, half_close=True), answers)

    def test_malformed_chunks_are_an_unknown_error_and_the_connection_ends(self):
        for body in (b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"f" * 16 + b"\r\n{}", b"1" + b"0" * 16 + b"\r\n{}",
                     b"1\r\n{}\r\n0\r\n\r\n", b"3\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n", b"2;\"\r\n\"\r\n{}\r\n0\r\n\r\n",
                     b"2;" + b"a" * 5000 + b"\r\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\r{}\r0\r\r",
                     b"2\r\n{}\r\n0\r\nFoo bar\r\n\r\n", b"2\r\n{}\r\n0\r\n" + b"Foo: bar\r\n" * 5000 + b"\r\n"):
            with self.subTest(body[:20]):
                self.assertEqual(self.answers(chunked(body) + HEALTH),
                                 [(500, b'{"code":"unknown","message":"read message: malformed body"}')])

    def test_pipeline_is_answered_up_to_its_first_broken_request(self):
        self.assertEqual(
            self.answers(HEALTH + post("/health", b"abc") + head("GET /nowhere HTTP/1.1") + b"FOO\r\n\r\n" + HEALTH),
            [(204, b""), (405, b""), (404, b"404 page not found\n"), BAD])

    def test_http10_goes_on_only_when_asked_to(self):
        kept, last = b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"GET /health HTTP/1.0\r\n\r\n"
        self.assertEqual(self.answers(kept + kept + last + HEALTH), [(204, b"")] * 3)


class RpcTest(Attack):
    def test_broken_unary_requests_have_their_error(self):
        no_json = "unmarshal message: proto: syntax error (line 1:{}): {}"
        deep = b"[" * 10001 + b"]" * 10001
        gz = "Content-Encoding: gzip"
        invalid, unimplemented, limit = ("invalid_argument", 400), ("unimplemented", 501), ("resource_exhausted", 429)
        table = [
            (b"", invalid, "unmarshal message: zero-length payload is not a valid JSON object"),
            (b"{", invalid, no_json.format(2, "unexpected end of data")),
            (b"[]", invalid, "unmarshal message: proto: unexpected token ["),
            (b"null", invalid, "unmarshal message: proto: unexpected token null"),
            (b"{} x", invalid, no_json.format(4, "unexpected content after document")),
            (b'{"x":"\xff"}', invalid, no_json.format(7, "invalid UTF-8 encoding in string")),
            (b'{"\xc0\x80":1}', invalid, no_json.format(3, "invalid UTF-8 encoding in string")),
            (b'{"x":"\\ud800"}', invalid, None),
            (b'{"x":' + deep + b"}", invalid, no_json.format(1, "exceeded max recursion depth")),
            (b'{"x":' * 1_000_000, invalid, no_json.format(1, "exceeded max recursion depth")),
            (b"{}", invalid, 'Connect-Protocol-Version must be "1": got "2"', "Connect-Protocol-Version: 2"),
            (b"{}", invalid, 'parse timeout: strconv.ParseInt: parsing "x": invalid syntax', "Connect-Timeout-Ms: x"),
            (b"{}", invalid, 'parse timeout: "12345678901" has >10 digits', "Connect-Timeout-Ms: 12345678901"),
            (b"{}", ("deadline_exceeded", 504), "context deadline exceeded", "Connect-Timeout-Ms: -1"),
            (b"{}", unimplemented, 'unknown compression "GZIP": supported encodings are gzip', "Content-Encoding: GZIP"),
            (b"{}", invalid, None, gz),
            (gzip.compress(b"{}")[:-3], invalid, None, gz),
            (gzip.compress(b"{}")[:-8] + b"\0" * 8, invalid, None, gz),
            (gzip.compress(b"{}") + b"x", invalid, None, gz),
            (gzip.compress(b" " * (65 << 20)), limit, "message is larger than configured max 67108864", gz),
        ]
        for body, (code, status), message, *fields in table:
            with self.subTest(f"{body[:20]} {fields}"):
                data = post(LIST, body, "application/json", *fields)
                (found, answer), after = self.answers(data + HEALTH, half_close=True)
                self.assertEqual((found, after), (status, (204, b"")))
                text = json.loads(answer)
                self.assertEqual(text.get("code"), code)
                if message:
                    self.assertEqual(text.get("message"), message)

    def test_broken_selectors_and_signals_have_their_error(self):
        invalid, missing = ("invalid_argument", 400), ("not_found", 404)
        proto = "unmarshal message: proto: "
        table = [
            (b'{"signal":9}', ("unimplemented", 501), "invalid input type *process.ProcessSelector"),
            (b'{"process":{},"signal":9}', ("unimplemented", 501), "invalid input type *process.ProcessSelector"),
            (b'{"signal":9,"signal":9}', invalid, proto + 'duplicate field "signal"'),
            (b'{"process":{"pid":1,"tag":"x"}}', invalid, proto + 'error parsing "tag", oneof is already set'),
            (b'{"process":{"pid":-1},"signal":9}', invalid, proto + "invalid value for uint32 field pid: -1"),
            (b'{"process":{"pid":4294967296},"signal":9}', invalid, None),
            (b'{"process":{"pid":1.5},"signal":9}', invalid, proto + "invalid value for uint32 field pid: 1.5"),
            (b'{"process":{"tag":"a\\u0000b"},"signal":9}', invalid, None),
            (b'{"process":{"pid":1},"signal":9}', missing, "process with pid 1 not found"),
            (b'{"process":{"pid":"4294967295"},"signal":9.0}', missing, "process with pid 4294967295 not found"),
            (b'{"process":{"pid":0},"signal":9}', missing, "process with pid 0 not found"),
        ]
        for body, (code, status), message in table:
            with self.subTest(body):
                found, answer = self.answers(post(SIGNAL, body), half_close=True)[0]
                self.assertEqual((found, json.loads(answer).get("code")), (status, code))
                if message:
                    self.assertEqual(json.loads(answer)["message"], message)

    def test_broken_protobuf_is_invalid(self):
        for body in (b"\xff\xff\xff", b"\x0b" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\x12\x01\xff\x10\x09",
                     b"\x0a\x05\x12\x03a\0b\x10\x09", b"\0\0", b"\x0a" * 50):
            with self.subTest(body[:10]):
                status, answer = self.answers(post(SIGNAL, body, "application/proto"), half_close=True)[0]
                self.assertEqual((status, json.loads(answer)["code"]), (400, "invalid_argument"))

    def test_broken_streams_end_with_their_error_and_start_nothing(self):
        true = {"process": {"cmd": "true"}}
        invalid, internal, unimplemented = "invalid_argument", "internal", "unimplemented"
        table = [
            (b"", unimplemented, "unary request has zero messages"),
            (envelope(true) * 2, unimplemented, "unary request has multiple messages"),
            (envelope(b"{}", 2), unimplemented, "unary request has zero messages"),
            (b"\0\0\0\0\5{}", invalid, "protocol error: promised 5 bytes in enveloped message, got 2 bytes"),
            (b"\0\0", invalid, "protocol error: incomplete envelope: unexpected EOF"),
            (b"\0\xff\xff\xff\xff", "resource_exhausted", "message size 4294967295 is larger than configured max 67108864"),
            (envelope(true, 4), internal, "protocol error: invalid envelope flags 4"),
            (envelope(true, 1), internal, "protocol error: sent compressed message without compression support"),
            (envelope(true) + envelope(b"{", 2), internal, None),
            (envelope(true) + envelope(b"{}", 2) + b"xxx", internal,
             "corrupt response: 3 extra bytes after end of stream"),
            (envelope(true), unimplemented, 'unknown compression "br": supported encodings are gzip',
             "Connect-Content-Encoding: br"),
            (envelope(true), "deadline_exceeded", "context deadline exceeded", "Connect-Timeout-Ms: 0"),
            (envelope(b'{"process":{"cmd":"true","args":["a\\u0000b"]}}'), invalid, None),
            (envelope(b'{"process":{"cmd":"true","cwd":"/tmp\\u0000"}}'), invalid, None),
            (envelope(b'{"process":{"cmd":"true","envs":{"A":"\\u0000"}}}'), invalid, None),
        ]
        for body, code, message, *fields in table:
            with self.subTest(f"{body[:20]} {fields}"):
                status, answer = self.answers(start(body, *fields, "Connection: close"))[0]
                error = json.loads(re.search(rb"\x02\x00\x00..(\{.*\})\r\n0\r\n\r\n$", answer, re.S)[1])["error"]
                self.assertEqual((status, error["code"]), (200, code))
                if message:
                    self.assertEqual(error["message"], message)
        self.assertEqual(self.children(), [])

    def test_user_name_with_a_nul_is_no_other_name(self):
        status, answer = self.answers(head("GET /health HTTP/1.1", with_name(ME.encode() + b"\0x")), half_close=True)[0]
        self.assertEqual((status, json.loads(answer)["code"]), (401, "unauthenticated"))

    def test_user_name_of_any_bytes_is_quoted_safely(self):
        for name in (b"\xff\xfe\r\n\"<", b"a" * 500_000, b"x\r\nGrpc-Status%20"):
            status, answer = self.answers(head("GET /health HTTP/1.1", with_name(name)), half_close=True)[0]
            self.assertEqual((status, json.loads(answer)["code"]), (401, "unauthenticated"))
            answer = self.envd.raw(start(b"", with_name(name), "Connection: close",
                                         content_type="application/grpc-web+proto"))
            self.assertEqual(len(re.findall(rb"(?im)^grpc-status: ", answer)), 1)


class CaptureTest(Attack):
    """Requests of the newest SDKs, byte by byte (clients.md), and what the reference answered."""
    JS = ("connection: keep-alive", "e2b-sandbox-id: debug_sandbox_id", "e2b-sandbox-port: 49983",
          "user-agent: e2b-js-sdk/2.51.0", "accept: */*", "accept-language: *", "sec-fetch-mode: cors",
          "accept-encoding: gzip, deflate")
    PYTHON = ("user-agent: connectrpc/0.12.1", "connect-protocol-version: 1", "accept-encoding: identity",
              "content-encoding: identity", "content-type: application/json", "connect-timeout-ms: 60000", "accept: */*")
    NOT_FOUND = b'{"code":"not_found","message":"process with pid 999999 not found"}'

    def exchange(self, line, fields, body=b""):
        data = "\r\n".join((line, "host: localhost:49983", *fields, "", "")).encode() + body
        first, _, answer = self.envd.raw(data, half_close=True).partition(b"\r\n\r\n")
        status, *lines = first.decode().split("\r\n")
        return status, {k: v for k, v in (line.split(": ", 1) for line in lines) if k != "Date"}, answer

    def test_health(self):
        self.assertEqual(self.exchange("GET /health HTTP/1.1", self.JS),
                         ("HTTP/1.1 204 No Content", {"Cache-Control": "no-store", "Vary": "Origin"}, b""))

    def test_unary_error_of_both_sdks(self):
        body = b'{"process":{"pid":999999},"signal":"SIGNAL_SIGKILL"}'
        for fields in ((*self.JS, "connect-protocol-version: 1", "content-type: application/json"), self.PYTHON):
            self.assertEqual(self.exchange(f"POST {SIGNAL} HTTP/1.1", (*fields, "content-length: 52"), body),
                             ("HTTP/1.1 404 Not Found", {"Accept-Encoding": "gzip", "Content-Type": "application/json",
                                                         "Vary": "Origin", "Content-Length": "66"}, self.NOT_FOUND))

    def test_list_with_gzip_and_without(self):
        stream = self.envd.start({"process": {"cmd": "cat", "args": ["-u"]}}, self.user)
        pid = stream.next()["event"]["start"]["pid"]
        expected = b'{"processes":[{"config":{"cmd":"cat","args":["-u"]},"pid":%d}]}' % pid
        js = (*self.JS, "connect-protocol-version: 1", "content-type: application/json", "content-length: 2")
        _, fields, answer = self.exchange(f"POST {LIST} HTTP/1.1", js, b"{}")
        self.assertEqual((fields.pop("Content-Length"), gzip.decompress(answer)), (str(len(answer)), expected))
        fields.pop("Connection", None)  # exchange has ended its side; the answer may be later or earlier than that
        self.assertEqual(fields, {"Accept-Encoding": "gzip", "Content-Encoding": "gzip", "Vary": "Origin",
                                  "Content-Type": "application/json"})
        _, fields, answer = self.exchange(f"POST {LIST} HTTP/1.1", (*self.PYTHON, "content-length: 2"), b"{}")
        self.assertEqual((answer, fields.get("Content-Encoding")), (expected, None))
        self.kill_children()
        self.assertIsNone(stream.error_code())
        stream.close()

    def test_command_in_three_segments(self):
        fields = ("authorization: Basic " + base64.b64encode(ME.encode() + b":").decode(), "keepalive-ping-interval: 50",
                  "user-agent: connectrpc/0.12.1", "connect-protocol-version: 1", "connect-accept-encoding: identity",
                  "connect-content-encoding: identity", "content-type: application/connect+json",
                  "connect-timeout-ms: 60000", "accept: */*", "accept-encoding: zstd,gzip,br", "transfer-encoding: chunked")
        body = envelope(b'{"process":{"cmd":"/bin/sh","args":["-c","echo $FOO; pwd"],"envs":{"FOO":"bar"},"cwd":"/tmp"},'
                        b'"stdin":false}')
        with self.envd.connect() as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall("\r\n".join((f"POST {START} HTTP/1.1", "host: localhost:49983", *fields, "", "")).encode())
            s.sendall(b"%x\r\n" % len(body) + body + b"\r\n")
            s.sendall(b"0\r\n\r\n")
            data = b""
            while not data.endswith(b"\r\n0\r\n\r\n"):
                data += s.recv(65536)
            first, _, answer = data.partition(b"\r\n\r\n")
        status, *lines = first.decode().split("\r\n")
        self.assertEqual(status, "HTTP/1.1 200 OK")
        self.assertEqual(sorted(line for line in lines if not line.startswith("Date: ")),
                         ["Connect-Accept-Encoding: gzip", "Content-Type: application/connect+json",
                          "Transfer-Encoding: chunked", "Vary: Origin", "X-Accel-Buffering: no"])
        self.assertRegex(answer, rb'^[0-9a-f]+\r\n\0\0\0\0.\{"event":\{"start":\{"pid":\d+\}\}\}\r\n')
        self.assertTrue(answer.endswith(b'3f\r\n\0\0\0\0:{"event":{"end":{"exited":true,"status":"exit status 0"}}}\r\n'
                                        b'7\r\n\2\0\0\0\2{}\r\n0\r\n\r\n'), answer)


class PeerTest(Attack):
    def test_conversation_cut_at_any_byte_leaves_nothing(self):
        self.run_true()
        fds = self.envd.fds()
        body = envelope({"process": {"cmd": "/bin/sh", "args": ["-c", "echo a; sleep 0.02; echo b"]}, "stdin": False})
        whole = start(body, self.authorization())
        pieces = head(f"POST {START} HTTP/1.1", "Content-Type: application/connect+json", self.authorization(),
                      "Transfer-Encoding: chunked") + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        with Healthy(self.envd):
            for message in (whole, pieces):
                for at in range(len(message) + 1):
                    self.cut(message[:at], is_reset=at % 2 == 0)
        self.assert_idle(fds)
        self.run_true()

    def authorization(self):
        return "Authorization: " + self.user["Authorization"]

    def cut(self, data, is_reset):
        with self.envd.connect() as s:
            if is_reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sendall(data)

    def test_readers_that_stopped_cost_no_memory_and_nobody_else(self):
        self.run_true()
        fds, before = self.envd.fds(), self.envd.rss_kib()
        data = start({"process": {"cmd": "yes"}, "stdin": False}, self.authorization())
        stalled = []
        with Healthy(self.envd):
            for _ in range(20):
                s = self.envd.connect()
                s.sendall(data)
                stalled.append(s)
            wait_for(lambda: len(self.children()) == 20, "the processes")
            self.wait_until_quiet()
            self.run_true()
        self.assertLess(self.envd.rss_kib() - before, 20 * 1024)
        for s in stalled:
            s.close()
        self.kill_children()
        self.assert_idle(fds)

    def test_burst_of_starts_does_not_hold_the_loop(self):
        """Forks alternate with everything else: few of the commands wait to be reaped at any time."""
        self.run_true()
        fds, n, most = self.envd.fds(), 1500, 0
        message = envelope({"process": {"cmd": "true"}, "stdin": False})
        block = http2.get(START.encode(), post=True) + http2.literal(b"content-type", b"application/connect+json") + \
            http2.literal(b"authorization", self.user["Authorization"].encode())
        connections = [http2.Connection(self.envd.port) for _ in range(n // 500)]
        with Healthy(self.envd):
            for c in connections:
                c.send(b"".join(http2.frame(http2.HEADERS, http2.END_HEADERS, 2 * i + 1, block) +
                                http2.frame(http2.DATA, http2.END_STREAM, 2 * i + 1, message) for i in range(500)))
            for c in connections:
                while sum(flags & http2.END_STREAM and kind == http2.DATA for kind, flags, _, _ in c.frames) < 500:
                    most = max(most, len(self.children()))
                    self.assertTrue(c.take())
                c.close()
        self.assertLess(most, 100)
        self.assert_idle(fds)

    def test_large_messages_do_not_hold_the_loop(self):
        """They are decoded on the pool: 60 MiB as they come, and gzip of 60 KiB that becomes as much."""
        large = b'{"unknown":"' + b"x" * (60 << 20) + b'"}'
        plain, bomb = post(LIST, large), post(LIST, gzip.compress(large, 9), "application/json", "Content-Encoding: gzip")
        self.assertLess(len(bomb), 70_000)
        with Healthy(self.envd) as healthy:
            for requests in [plain], [bomb] * 10:
                connections = [self.envd.connect() for _ in requests]
                for s, data in zip(connections, requests):
                    s.sendall(data)
                for s in connections:
                    self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 "))
                    s.close()
        if not self.envd.is_sanitized():
            self.assertLess(healthy.longest_s, 0.5)

    def test_large_request_is_not_kept_for_the_life_of_its_stream(self):
        """A field given again and again: the last one counts, the message holds them all."""
        self.run_true()
        before, streams = self.envd.rss_kib(), []
        config = field(1, b"x" * 100_000) * 200 + field(1, b"sleep") + field(2, b"60")
        for _ in range(4):
            s = self.envd.connect()
            s.sendall(start(envelope(field(1, config)), self.authorization(), content_type="application/connect+proto"))
            self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 "))
            streams.append(s)
        wait_for(lambda: len(self.children()) == 4, "the processes")
        if not self.envd.is_sanitized():  # whose allocator keeps what is freed
            wait_for(lambda: self.envd.rss_kib() - before < 20 * 1024, "the requests to be given back")
        self.kill_children()
        for s in streams:
            s.close()

    def wait_until_quiet(self):
        ticks = [-1]

        def is_quiet():
            ticks.append(cpu_ticks(self.envd.pid))
            time.sleep(0.2)
            return ticks[-1] == ticks[-2]
        wait_for(is_quiet, "the pipes to fill")

    def test_kill_at_any_moment_of_a_start_ends_it_once(self):
        self.run_true()
        fds, streams = self.envd.fds(), []
        for i in range(50):
            s = self.envd.connect()
            s.sendall(start({"process": {"cmd": "sleep", "args": ["60"]}, "tag": "t", "stdin": False},
                            self.authorization(), "Connection: close"))
            streams.append(s)
            status, _ = self.envd.rpc(SIGNAL, {"process": {"tag": "t"}, "signal": "SIGNAL_SIGKILL"})
            self.assertIn(status, (200, 404))
        wait_for(lambda: self.envd.rpc(SIGNAL, {"process": {"tag": "t"}, "signal": "SIGNAL_SIGKILL"})[0] == 404,
                 "all to be killed")
        for s in streams:
            answer = read_all(s)
            self.assertEqual(answer.count(b'"start"'), 1, answer)
            self.assertEqual(answer.count(b'"status":"signal: killed"'), 1, answer)
            s.close()
        self.assert_idle(fds)

    def test_sigterm_amid_everything_ends_well_and_tells_no_secret(self):
        self.assertEqual(self.envd.request("POST", "/init", b'{"accessToken":"hush-token","envVars":{"S":"hush-env"}}')
                         .status, 204)
        token = "X-Access-Token: hush-token"
        noisy = {"process": {"cmd": "yes", "args": ["hush-argument"], "envs": {"X": "hush-env"}}, "stdin": False}
        open_ones = []
        for data in [HEALTH[:9], start(noisy, token, with_name(ME.encode())), start(noisy, token, with_name(b"nobody-x")),
                     start({"process": {"cmd": "sleep", "args": ["0.2"]}}, token, self.authorization())[:-3]] * 10:
            s = self.envd.connect()
            s.sendall(data)
            open_ones.append(s)
        wait_for(lambda: len(self.children()) == 10, "the processes")
        children = self.children()
        os.kill(self.envd.pid, signal.SIGTERM)
        status, log, err = self.envd.end(signal.SIGINT)
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)
        for s in open_ones:
            s.close()
        self.assertEqual((status, err), (0, b""))
        self.assertNotIn("hush", str(self.envd.log) + str(log))


class FewDescriptorsTest(Attack):
    MAX = 48
    options = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FewDescriptorsTest.MAX,) * 2)}

    def test_without_descriptors_starts_are_refused_and_all_goes_on_after(self):
        self.run_true()
        fds, streams, codes = self.envd.fds(), [], []
        for _ in range(self.MAX // 4):
            stream = self.envd.start({"process": {"cmd": "sleep", "args": ["60"]}}, self.user)
            streams.append(stream)
            if stream.next() is None:
                codes.append(stream.end["error"]["code"])
        self.assertEqual(set(codes), {"resource_exhausted"})
        waiting = [self.envd.connect() for _ in range(self.MAX)]
        ticks = cpu_ticks(self.envd.pid)
        time.sleep(0.5)
        self.assertLess(cpu_ticks(self.envd.pid) - ticks, 10, "it spins")
        for s in (*waiting, *streams):
            s.close()
        self.assertEqual(self.envd.request("GET", "/health").status, 204)
        self.kill_children()
        self.assert_idle(fds)
        self.run_true()


class NoThreadsTest(Attack):
    """What a fork bomb leaves to a daemon that runs already: no thread, no process."""
    NOBODY = {"user": 65534, "group": 65534, "extra_groups": []} if ROOT else {}  # root has no such limit
    options = NOBODY

    def test_without_threads_and_processes_starts_are_refused(self):
        name = pwd.getpwuid(65534 if ROOT else os.geteuid()).pw_name
        tasks = pathlib.Path(f"/proc/{self.envd.pid}/task")
        wait_for(lambda: len(list(tasks.iterdir())) == 1 + POOL_THREADS, "the thread pool")
        subprocess.run(["prlimit", "--pid", str(self.envd.pid), "--nproc=1:1"], check=True, **self.NOBODY)
        message = {"process": {"cmd": "true", "cwd": "/"}, "stdin": False}
        self.assertEqual(self.envd.start(message, basic(name)).error_code(), "resource_exhausted")
        self.assertEqual(self.envd.request("GET", "/health", headers=basic(name)).status, 204)

    def end(self):
        self.envd.end()  # not in silence: it may not write to /run


class SurroundingsTest(unittest.TestCase):
    def daemon(self, script, **options):
        return Envd(under=("/bin/sh", "-c", script + '; exec "$@"', "sh"), **options)

    def output(self, envd, user=ME):
        stream = envd.start({"process": {"cmd": "/bin/sh", "args": ["-c", "echo out; echo err >&2"]}, "stdin": False},
                            basic(user))
        out = [m["event"]["data"] for m in stream if "data" in m["event"]]
        return sorted(base64.b64decode(v) for data in out for v in data.values())

    def test_closed_standard_descriptors_stay_out_of_use(self):
        envd = self.daemon("exec <&- 2>&-")
        self.addCleanup(envd.end)
        self.assertEqual([os.readlink(f"/proc/{envd.pid}/fd/{fd}") for fd in (0, 2)], ["/dev/null"] * 2)
        self.assertEqual(self.output(envd), [b"err\n", b"out\n"])
        self.assertEqual(envd.end()[0], 0)

    def test_without_path_commands_with_a_slash_still_run(self):
        for environment in ({}, {"PATH": ""}):
            envd = Envd(env=environment)
            self.addCleanup(envd.finish)
            self.assertEqual(self.output(envd), [b"err\n", b"out\n"])

    @unittest.skipUnless(ROOT and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0,
                         "needs a mount namespace")
    def test_user_database_that_is_none_refuses_and_blocks_nothing(self):
        for put in ("true", "mkdir /mnt/passwd /mnt/group", "mkfifo /mnt/passwd /mnt/group",
                    "ln -s passwd /mnt/passwd", "head -c 3000000 /dev/urandom >/mnt/passwd"):
            with self.subTest(put):
                envd = Envd(under=("unshare", "-m", "/bin/sh", "-c",
                                   f'mount -t tmpfs t /mnt; {put}; mount --bind /mnt /etc; exec "$@"', "sh"))
                try:
                    self.assertEqual(envd.request("GET", "/health", headers=basic("root")).status, 401)
                    self.assertEqual(envd.request("GET", "/health").status, 204)
                    self.assertIn(envd.start({"process": {"cmd": "true"}}).error_code(), ("internal", "unauthenticated"))
                finally:
                    envd.finish()


del Attack
if __name__ == "__main__":
    unittest.main()
