"""GET /files as files_http.md 1 and 2 and wire.md 3 say: refusals in their order, codings, ranges, pseudo
files, what is no file, files that change, readers that are slow or leave."""
import base64
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import pty
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import zlib

from envd import DEADLINE_S, Envd, read_all
from http2 import HEADERS
from http2_client import Http2

MIB = 1 << 20
SUNDAY = "Sun, 06 Nov 1994 08:49:37 GMT"
SUNDAY_S = 784111777
RANGES = ("Accept-Ranges", "Last-Modified", "Content-Range")


class DownloadTest(unittest.TestCase):
    flags = ()

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.envd = Envd(*self.flags)
        self.addCleanup(self.envd.finish)

    def file(self, name, content=b""):
        path = os.path.join(self.dir, name)
        pathlib.Path(path).write_bytes(content)
        os.utime(path, (SUNDAY_S, SUNDAY_S))
        return path

    def sparse(self, size, name="sparse"):
        """Zeros, and something that is not at its beginning, its middle and its end."""
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            for at in (0, size // 2, size - 8):
                f.seek(at)
                f.write(b"%08x" % at)
        return path

    def target(self, path=None, **query):
        if path is not None:
            query["path"] = path
        return "/files?" + urllib.parse.urlencode(query)

    def get(self, path=None, headers=None, **query):
        return self.envd.request("GET", self.target(path, **query), headers=headers)

    def refused(self, answer, status, message, vary="Origin, Accept-Encoding"):
        self.assertEqual((answer.status, answer.body),
                         (status, json.dumps({"code": status, "message": message}, separators=(",", ":")).encode() + b"\n"))
        self.assertEqual(answer.one("Content-Type"), "application/json; charset=utf-8")
        self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")
        self.assertEqual(answer.one("Vary"), vary)

    def wait_until(self, is_so, what):
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.01)


class RefusalTest(DownloadTest):
    def test_download_of_what_is_not_there(self):
        file = self.file("file")
        none = self.dir + "/none"
        refused = lambda path, status, message: self.refused(  # noqa: E731
            self.get(path, {"Accept-Encoding": "*;q=0"}), status, message, "Origin")
        refused(none, 404, f"path '{none}' does not exist")
        refused(file + "/x", 500, f"error checking if path exists '{file}/x': stat {file}/x: not a directory")
        refused(self.dir, 400, f"path '{self.dir}' is a directory")
        os.symlink("none", self.dir + "/link")
        refused(self.dir + "/link", 404, f"path '{self.dir}/link' does not exist")
        for answer in (self.get(), self.get("")):
            self.assertEqual(answer.status, 400)
            self.assertRegex(answer.body.decode(), "^{\"code\":400,\"message\":\"path '[^']*' is a directory\"}\n$")

    def test_download_for_users(self):
        file = self.file("file", b"x")
        unknown = "error looking up user '{0}': user: unknown user {0}"
        self.refused(self.get("~x", username="nobody-here"), 401, unknown.format("nobody-here"), "Origin")
        self.refused(self.get(file, username=""), 401, unknown.format(""), "Origin")
        self.refused(self.get("~x", username="root"), 400, "error expanding and resolving path '~x': failed to expand "
                     "path '~x' for user 'root': cannot expand user-specific home dir", "Origin")
        self.assertEqual(self.get(file, username="nobody").body, b"x")
        none = pwd.getpwnam("root").pw_dir + "/none-such-file"
        for path in ("none-such-file", "~/none-such-file"):
            self.refused(self.get(path, username="root"), 404, f"path '{none}' does not exist", "Origin")

    def test_download_parameters_are_bound_first(self):
        answer = self.envd.request("GET", "/files?path=a&path=b&username=nobody-here")
        self.assertEqual((answer.status, answer.body), (400, b"Invalid format for parameter path: multiple values for "
                                                             b"single value parameter 'path'\n"))
        answer = self.envd.request("GET", "/files?path=a&signature_expiration=x")
        self.assertEqual(answer.status, 400)
        self.assertTrue(answer.body.startswith(b"Invalid format for parameter signature_expiration: "))

    def test_download_is_the_only_way_to_read(self):
        answer = self.envd.request("HEAD", "/files")
        self.assertEqual((answer.status, answer.all("Allow")), (405, ["GET", "POST"]))

    def test_download_of_what_is_no_file_waits_for_nobody(self):
        fifo, bound = self.dir + "/fifo", self.dir + "/socket"
        os.mkfifo(fifo)
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(bound)
        writer = subprocess.Popen(["sh", "-c", f"exec 3>{fifo}"])  # waits for a reader, and goes on waiting
        master, slave = pty.openpty()
        paths = [fifo, bound, os.ttyname(slave)]
        if os.geteuid() == 0:
            os.mknod(self.dir + "/block", stat.S_IFBLK | 0o600, os.makedev(7, 0))
            paths.append(self.dir + "/block")
        for path in paths:
            for coding in ("identity", "gzip"):
                self.refused(self.get(path, {"Accept-Encoding": coding}), 400, f"path '{path}' is not a regular file")
        self.assertIsNone(writer.poll())
        writer.kill()
        writer.wait()
        os.close(master)
        os.close(slave)

    def test_download_of_devices_is_empty(self):
        for path in ("/dev/null", "/dev/zero"):
            answer = self.get(path)
            self.assertEqual((answer.status, answer.body, answer.one("Content-Length")), (200, b"", "0"))
            self.assertEqual(gzip.decompress(self.get(path, {"Accept-Encoding": "gzip"}).body), b"")


class AnswerTest(DownloadTest):
    def test_download_says_what_it_is(self):
        answer = self.get(self.file("test.txt", b"hello"))
        self.assertEqual(answer.body, b"hello")
        self.assertEqual({k: v for k, v in answer.headers if k != "Date"}, {
            "Content-Disposition": "inline; filename=test.txt", "Content-Type": "text/plain; charset=utf-8",
            "Accept-Ranges": "bytes", "Last-Modified": SUNDAY, "Content-Length": "5",
            "Vary": "Origin, Accept-Encoding"})
        with_origin = self.get(self.file("test.txt"), {"Origin": "https://a"})
        self.assertEqual(with_origin.one("Vary"), "Origin, Accept-Encoding")
        self.assertEqual(with_origin.one("Access-Control-Allow-Origin"), "*")

    def test_download_of_an_empty_file_says_so(self):
        for name in ("empty", "empty.txt"):
            answer = self.get(self.file(name))
            self.assertEqual((answer.status, answer.body, answer.one("Content-Length")), (200, b"", "0"))

    def test_download_dispositions(self):
        for name, value in {
            "test.txt": "test.txt", ".env": ".env", "my document.pdf": '"my document.pdf"',
            'file"name.txt': '"file\\"name.txt"', "file\\name.txt": '"file\\\\name.txt"',
            "文档.pdf": None,
        }.items():
            expected = f"filename={value}" if value else "filename*=utf-8''%E6%96%87%E6%A1%A3.pdf"
            self.assertEqual(self.get(self.file(name)).one("Content-Disposition"), f"inline; {expected}")
        long = "ä" * 127
        self.assertEqual(self.get(self.file(long)).one("Content-Disposition"), "inline; filename*=utf-8''" + "%C3%A4" * 127)

    def test_download_of_names_with_every_byte(self):
        for byte in set(range(1, 256)) - {ord("/")}:
            name = b"a" + bytes([byte]) + b".txt"
            path = os.path.join(os.fsencode(self.dir), name)
            pathlib.Path(os.fsdecode(path)).write_bytes(name)
            answer = self.get(path)
            self.assertEqual((answer.status, answer.body), (200, name))
            kind, value = re.fullmatch(r"inline; filename(\*?)=(.*)", answer.one("Content-Disposition")).groups()
            if kind:
                got = urllib.parse.unquote_to_bytes(value.removeprefix("utf-8''"))
                self.assertRegex(value, r"^utf-8''[!-~]+$")
            else:
                got = re.sub(r"\\(.)", r"\1", value[1:-1] if value[0] == '"' else value).encode()
            is_plain = 0x20 <= byte < 0x7f or byte == 9  # Go leaves tabs as they are
            self.assertEqual((got, kind != "*"), (name, is_plain))

    def test_download_types(self):
        for name, content, kind in (
            ("a.txt", b"\0", "text/plain; charset=utf-8"), ("a.TXT", b"", "text/plain; charset=utf-8"),
            ("a.html", b"", "text/html; charset=utf-8"), ("a.json", b"", "application/json"), ("a.svg", b"", "image/svg+xml"),
            ("a", b"\x89PNG\r\n\x1a\n", "image/png"), ("b", b"text", "text/plain; charset=utf-8"),
            ("c", b"\x7fELF\0", "application/octet-stream"),
            ("d", b"x" * 100000 + b"\0", "text/plain; charset=utf-8"),
        ):
            path = self.file(name, content)
            self.assertEqual(self.get(path).one("Content-Type"), kind)
            by_name = kind if "." in name else "application/octet-stream"
            self.assertEqual(self.get(path, {"Accept-Encoding": "gzip"}).one("Content-Type"), by_name)

    def test_download_of_all_sizes_comes_whole(self):
        noise = os.urandom(3 * MIB)
        for size in (1, 4095, 65535, 65536, 65537, MIB, 3 * MIB):
            path = self.file("noise", noise[:size])
            answer = self.get(path)
            self.assertEqual(answer.one("Content-Length"), str(size))
            self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(noise[:size]).digest())
            self.assertEqual(gzip.decompress(self.get(path, {"Accept-Encoding": "gzip"}).body), noise[:size])

    def test_download_over_one_connection_goes_on(self):
        small, large = self.file("small", b"x" * 10), self.file("large", os.urandom(MIB))
        with self.envd.connect() as s:
            for path in (small, large) * 3:
                s.sendall(f"GET {self.target(path)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            s.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            data = read_all(s)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 6)
        self.assertEqual(data.count(pathlib.Path(large).read_bytes()), 3)
        self.assertIn(b"HTTP/1.1 204", data)

    def test_download_with_http_1_0(self):
        path = self.file("large", os.urandom(MIB))
        for extra in ("", "Accept-Encoding: gzip\r\n"):
            head, body = self.envd.raw(f"GET {self.target(path)} HTTP/1.0\r\n{extra}\r\n".encode()).split(b"\r\n\r\n", 1)
            self.assertIn(b"200 OK", head)
            self.assertEqual(gzip.decompress(body) if extra else body, pathlib.Path(path).read_bytes())


class CodingTest(DownloadTest):
    """The test vectors of files_http.md 2."""

    def test_download_coding_is_chosen_as_the_reference_does(self):
        path = self.file("file.txt", b"hello" * 100)
        for accepted, coding in {
            "deflate, gzip, br": "gzip", "*": None, "br": None, "": None, "br;q=0.5, gzip;q=1.0, deflate;q=0.8": "gzip",
            "br;q=1.0, gzip;q=0.5": "gzip", "gzip;q=0.5, identity;q=1.0": None, "gzip;q=0, identity": None,
            "gzip;q=0, br": None, "*, identity;q=0": "gzip", "*;q=0, identity": None, "*;q=0, gzip": "gzip", "GZip": "gzip",
        }.items():
            answer = self.get(path, {"Accept-Encoding": accepted})
            self.assertEqual((answer.status, answer.one("Content-Encoding")), (200, coding), accepted)
            if coding:
                self.assertEqual(gzip.decompress(answer.body), b"hello" * 100)
                self.assertEqual([answer.one(name) for name in RANGES], [None] * 3)
        for accepted in ("br, identity;q=0", "*;q=0"):
            self.refused(self.get(path, {"Accept-Encoding": accepted}), 406, "error parsing Accept-Encoding: no acceptable "
                         "encoding found, supported: [gzip]", "Origin")

    def test_download_with_ranges_or_conditions_is_identity(self):
        path = self.file("file.txt", b"hello")
        for name, value in {"Range": "bytes=0-1", "If-Modified-Since": "x", "If-None-Match": '"x"', "If-Range": "x"}.items():
            answer = self.get(path, {"Accept-Encoding": "gzip", name: value})
            self.assertEqual((answer.status, answer.one("Content-Encoding")), (206 if name == "Range" else 200, None))
            self.refused(self.get(path, {"Accept-Encoding": "gzip; q=1,*; q=0", name: value}), 406,
                         "identity encoding not acceptable for Range or conditional request")
            self.assertEqual(self.get(path, {"Accept-Encoding": "gzip", name: ""}).one("Content-Encoding"), "gzip")

    def test_download_that_is_compressed_on_the_way_is_exact(self):
        path = self.sparse(64 * MIB)
        with self.envd.connect() as s:
            s.sendall(f"GET {self.target(path)} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            answer = http.client.HTTPResponse(s)
            answer.begin()
            inflate, plain = zlib.decompressobj(31), hashlib.sha256()
            while piece := answer.read(MIB):
                plain.update(inflate.decompress(piece))
        self.assertTrue(inflate.eof)
        self.assertEqual(plain.digest(), hashlib.sha256(pathlib.Path(path).read_bytes()).digest())


class RangeTest(DownloadTest):
    def test_download_of_one_range(self):
        content = os.urandom(200000)
        for path in (self.file("large", content), self.file("small", content[:12])):
            size = os.path.getsize(path)
            for field, start, end in (("0-4", 0, 5), ("7-", 7, size), ("-5", size - 5, size), ("-999999", 0, size),
                                      ("5-999999", 5, size), ("11-11", 11, 12)):
                answer = self.get(path, {"Range": f"bytes={field}"})
                self.assertEqual((answer.status, answer.body), (206, content[start:end]), field)
                self.assertEqual(answer.one("Content-Range"), f"bytes {start}-{end - 1}/{size}")
                self.assertEqual(answer.one("Content-Length"), str(end - start))

    def test_download_of_several_ranges(self):
        content = b"\0" + os.urandom(199999)  # twenty bytes of noise may pass for text
        for path in (self.file("large", content), self.file("small", content[:20])):
            size = os.path.getsize(path)
            answer = self.get(path, {"Range": "bytes=0-3, 10-12,-2"})
            self.assertEqual(answer.status, 206)
            boundary = re.fullmatch("multipart/byteranges; boundary=([0-9a-f]{60})", answer.one("Content-Type"))[1]
            kind = "application/octet-stream"
            expected = b""
            for i, (start, end) in enumerate(((0, 4), (10, 13), (size - 2, size))):
                expected += ("\r\n" * bool(i) + f"--{boundary}\r\nContent-Range: bytes {start}-{end - 1}/{size}\r\n"
                             f"Content-Type: {kind}\r\n\r\n").encode() + content[start:end]
            self.assertEqual(answer.body, expected + f"\r\n--{boundary}--\r\n".encode())
            self.assertEqual(answer.one("Content-Length"), str(len(answer.body)))
            again = self.get(path, {"Range": "bytes=0-3, 10-12,-2"})
            self.assertNotEqual(again.one("Content-Type"), answer.one("Content-Type"))

    def test_download_of_ranges_that_cannot_be(self):
        path, empty = self.file("twelve.txt", b"hello, world"), self.file("empty")
        for field, content_range, file in (("bytes=12-", "bytes */12", path), ("bytes=-0", "bytes */12", path),
                                           ("bytes=-5", "bytes */0", empty), ("bytes=x", None, path), ("lines=1", None, path)):
            answer = self.get(file, {"Range": field})
            self.assertEqual(answer.status, 416)
            self.assertEqual(answer.body, b"invalid range: failed to overlap\n" if content_range else b"invalid range\n")
            self.assertEqual([answer.one(name) for name in RANGES], [None, None, content_range])
            self.assertEqual(answer.one("Content-Type"), "text/plain; charset=utf-8")
            self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")

    def test_download_of_ranges_that_are_ignored(self):
        path, empty = self.file("twelve.txt", b"hello, world"), self.file("empty")
        for field, file in (("bytes=", path), ("bytes=0-11,0-11", path), ("bytes=0-5", empty)):
            answer = self.get(file, {"Range": field})
            self.assertEqual((answer.status, answer.body), (200, pathlib.Path(file).read_bytes()))

    def test_download_conditions(self):
        path = self.file("twelve.txt", b"hello, world")
        for headers, status in (
            ({"If-Modified-Since": SUNDAY}, 304), ({"If-Modified-Since": "Sat, 05 Nov 1994 08:49:37 GMT"}, 200),
            ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"x"', "If-Modified-Since": SUNDAY}, 200),
            ({"If-Unmodified-Since": "Sat, 05 Nov 1994 08:49:37 GMT"}, 412), ({"If-Match": '"x"'}, 412), ({"If-Match": "*"}, 200),
            ({"If-Range": SUNDAY, "Range": "bytes=0-1"}, 206), ({"If-Range": '"x"', "Range": "bytes=0-1"}, 200),
        ):
            answer = self.get(path, headers)
            self.assertEqual(answer.status, status, headers)
            if status in (304, 412):
                self.assertEqual((answer.body, answer.one("Content-Type"), answer.one("Last-Modified")), (b"", None, SUNDAY))
            if status == 304:
                self.assertIsNone(answer.one("Content-Length"))

    def test_download_of_a_file_without_a_time(self):
        path = self.file("file", b"x")
        os.utime(path, (0, 0))
        answer = self.get(path, {"If-Modified-Since": SUNDAY})
        self.assertEqual((answer.status, answer.one("Last-Modified")), (200, None))


class PseudoTest(DownloadTest):
    def test_download_of_pseudo_files_has_their_content(self):
        for path in ("/proc/version", "/proc/cpuinfo", "/proc/self/mounts", "/proc/sys/kernel/ostype", "/sys/kernel/mm/ksm/run",
                     "/sys/kernel/mm/transparent_hugepage/enabled"):
            if not os.path.exists(path):
                continue
            answer = self.get(path)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.one("Content-Length"), str(len(answer.body)))
            self.assertGreater(len(answer.body), 0)
            if path in ("/proc/version", "/proc/sys/kernel/ostype"):
                self.assertEqual(answer.body, pathlib.Path(path).read_bytes())
                ranged = self.get(path, {"Range": "bytes=2-4"})
                self.assertEqual((ranged.status, ranged.body), (206, answer.body[2:5]))
            self.assertGreater(len(gzip.decompress(self.get(path, {"Accept-Encoding": "gzip"}).body)), 0)
        cmdline = self.get(f"/proc/{os.getpid()}/cmdline")
        self.assertEqual(cmdline.body, pathlib.Path("/proc/self/cmdline").read_bytes())

    def test_download_of_a_large_pseudo_file_is_whole(self):
        content = pathlib.Path("/proc/kallsyms").read_bytes()
        answer = self.get("/proc/kallsyms", {"Range": "bytes=0-1"})
        self.assertEqual((answer.status, answer.one("Content-Length"), answer.one("Accept-Ranges")), (200, None, None))
        self.assertEqual(answer.body, content)
        self.assertEqual(gzip.decompress(self.get("/proc/kallsyms", {"Accept-Encoding": "gzip"}).body), content)

    def test_download_of_a_pseudo_file_that_cannot_be_read(self):
        path = f"/proc/{os.getpid()}/mem"
        self.refused(self.get(path), 500, f"error reading file '{path}': read {path}: input/output error")


class ChangeTest(DownloadTest):
    def begin(self, path, headers="", window=None):
        """A request whose answer nobody reads yet, to a socket that takes little."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(DEADLINE_S)
        s.connect(("127.0.0.1", self.envd.port))
        s.sendall(f"GET {self.target(path)} HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        self.addCleanup(s.close)
        self.assertEqual(s.recv(12, socket.MSG_WAITALL), b"HTTP/1.1 200")
        return s

    def test_download_of_a_file_that_shrinks_is_cut(self):
        for headers in ("", "Accept-Encoding: gzip\r\n"):
            path = self.file("noise", os.urandom(16 * MIB))
            s = self.begin(path, headers)
            os.truncate(path, 1000)
            body = read_all(s)
            self.assertLess(len(body), 16 * MIB)
            self.assertFalse(body.endswith(b"\r\n0\r\n\r\n"))
        _, log, _ = self.envd.end()
        self.assertEqual(sum(line["message"] == "a download was broken off" for line in log), 2)

    def test_download_of_a_file_that_shrinks_is_reset_over_http2(self):
        for headers in ((), [("accept-encoding", "gzip")]):
            path = self.file("noise", os.urandom(16 * MIB))
            client = Http2(self.envd.port, window=100000)
            client.get(self.target(path), headers)
            self.assertEqual(next(kind for kind, _, stream, _ in client.frames() if stream), HEADERS)
            os.truncate(path, 1000)
            client.open_window(1, 32 * MIB)
            self.assertFalse(client.body(lambda _: None))
            client.get(self.target(path), stream=3)  # the connection is as good as before
            got = []
            self.assertTrue(client.body(got.append, stream=3))
            self.assertEqual(b"".join(got), pathlib.Path(path).read_bytes())
            client.close()

    def test_download_over_http2_is_compressed_on_the_way(self):
        path = self.file("noise", os.urandom(4 * MIB) + bytes(4 * MIB))
        client, got = Http2(self.envd.port), []
        client.get(self.target(path), [("accept-encoding", "gzip")])
        self.assertTrue(client.body(got.append))
        client.close()
        self.assertEqual(gzip.decompress(b"".join(got)), pathlib.Path(path).read_bytes())

    def test_download_of_a_file_that_grows_has_the_length_it_had(self):
        path = self.file("noise", os.urandom(16 * MIB))
        content = pathlib.Path(path).read_bytes()
        s = self.begin(path, "Connection: close\r\n")
        with open(path, "ab") as f:
            f.write(b"more")
        self.assertEqual(read_all(s).split(b"\r\n\r\n", 1)[1], content)

    def test_download_of_a_file_that_is_removed_goes_on(self):
        path = self.file("noise", os.urandom(16 * MIB))
        content = pathlib.Path(path).read_bytes()
        s = self.begin(path, "Connection: close\r\n")
        os.unlink(path)
        self.assertEqual(read_all(s).split(b"\r\n\r\n", 1)[1], content)

    def test_download_whose_reader_leaves_leaves_nothing(self):
        path = self.sparse(256 * MIB)
        self.get(path, {"Range": "bytes=0-0"})
        fds = self.envd.fds()
        for headers in ("", "Accept-Encoding: gzip\r\n", "Range: bytes=0-\r\nIf-Range: x\r\n"):
            readers = [self.begin(path, headers) for _ in range(8)]
            self.assertGreater(self.envd.fds(), fds)
            for s in readers:
                s.close()
        self.wait_until(lambda: self.envd.fds() <= fds, "its descriptors are closed")
        readers = [Http2(self.envd.port, window=1000) for _ in range(8)]
        for reader in readers:
            reader.get(self.target(path))
            next(payload for kind, _, stream, payload in reader.frames() if kind == 0)
            reader.close()
        self.wait_until(lambda: self.envd.fds() <= fds, "its descriptors are closed")

    def test_download_with_readers_that_stop_ends_with_the_daemon(self):
        path = self.sparse(256 * MIB)
        readers = [self.begin(path) for _ in range(4)]
        self.envd.process.send_signal(signal.SIGTERM)
        self.envd.process.send_signal(signal.SIGTERM)
        self.envd.process.wait(DEADLINE_S)
        for s in readers:
            self.assertLess(len(read_all(s)), 256 * MIB)

    def test_download_with_slow_readers_costs_no_memory(self):
        path = self.sparse(1024 * MIB)
        self.get(path, {"Range": "bytes=0-99999"})
        before = self.envd.rss_kib()
        readers = [self.begin(path) for _ in range(50)]
        stalled = [Http2(self.envd.port, window=100000) for _ in range(50)]
        for reader in stalled:
            reader.get(self.target(path))
        got = 0
        for reader in stalled:
            n = 0
            for kind, _, _, payload in reader.frames():
                n += len(payload) if kind == 0 else 0
                if n == 100000:
                    break
            got += n
        self.assertEqual(got, 50 * 100000)
        self.assertEqual(self.get("/proc/version").status, 200)
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - before, 8192)
        for reader in readers + stalled:
            reader.close()


class LargeTest(DownloadTest):
    def test_download_of_a_gibibyte_is_exact_over_both_protocols(self):
        size = 1024 * MIB
        path = self.sparse(size)
        expected = hashlib.sha1()
        with open(path, "rb") as f:
            while piece := f.read(MIB):
                expected.update(piece)
        got = hashlib.sha1()
        with self.envd.connect() as s:
            s.sendall(f"GET {self.target(path)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = http.client.HTTPResponse(s)
            answer.begin()
            self.assertEqual(answer.length, size)
            buffer = bytearray(MIB)
            while n := answer.readinto(buffer):
                got.update(memoryview(buffer)[:n])
        self.assertEqual(got.digest(), expected.digest())
        got = hashlib.sha1()
        client = Http2(self.envd.port)
        client.get(self.target(path))
        self.assertTrue(client.body(got.update))
        client.close()
        self.assertEqual(got.digest(), expected.digest())
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib(), 3 * 1024)

    def test_downloads_beside_each_other_are_exact(self):
        content = os.urandom(4 * MIB)
        path = self.file("noise", content)
        connections = []
        for i in range(60):
            s = self.envd.connect()
            extra = "Accept-Encoding: gzip\r\n" if i % 3 == 0 else ""
            s.sendall(f"GET {self.target(path)} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{extra}\r\n".encode())
            connections.append(s)
        for i, s in enumerate(connections):
            answer = http.client.HTTPResponse(s)
            answer.begin()
            body = answer.read()
            self.assertEqual(gzip.decompress(body) if i % 3 == 0 else body, content)
            s.close()


class SignatureTest(DownloadTest):
    TOKEN = "secret token"

    def setUp(self):
        super().setUp()
        answer = self.envd.request("POST", "/init", json.dumps({"accessToken": self.TOKEN}).encode())
        self.assertEqual(answer.status, 204)
        self.path = self.file("a b.txt", b"signed")

    def sign(self, path, operation="read", user="", expires=None):
        parts = [path, operation, user, self.TOKEN] + ([str(expires)] if expires is not None else [])
        return "v1_" + base64.b64encode(hashlib.sha256(":".join(parts).encode()).digest()).decode().rstrip("=")

    def refused_401(self, message, path=None, headers=None, **query):
        self.refused(self.get(path if path is not None else self.path, headers, **query), 401, message, "Origin")

    def test_download_with_the_token(self):
        self.assertEqual(self.get(self.path, {"X-Access-Token": self.TOKEN}).body, b"signed")
        self.refused_401("access token present in header but does not match", headers={"X-Access-Token": "x"},
                         signature=self.sign(self.path))
        self.refused_401("missing signature query parameter")
        self.refused_401("missing signature query parameter", headers={"X-Access-Token": ""}, path="/none", username="x")

    def test_download_with_a_signature(self):
        now = int(time.time())
        for query in ({"signature": self.sign(self.path)},
                      {"signature": self.sign(self.path, user="root"), "username": "root"},
                      {"signature": self.sign(self.path, expires=now + 60), "signature_expiration": now + 60}):
            self.assertEqual(self.get(self.path, **query).body, b"signed", query)
        self.assertEqual(self.get("/none", signature=self.sign("/none")).status, 404)

    def test_download_with_a_wrong_signature(self):
        now = int(time.time())
        for query in ({"signature": ""}, {"signature": "v1_x"}, {"signature": self.sign(self.path, "write")},
                      {"signature": self.sign(self.path), "username": "root"}, {"signature": self.sign("/other")},
                      {"signature": self.sign(self.path), "signature_expiration": now + 60},
                      {"signature": self.sign(self.path, expires=now + 60)},
                      {"signature": "v1_x", "signature_expiration": 1}):
            self.refused_401("invalid signature", **query)
        for past in (now - 5, 0, -1):
            self.refused_401("signature is already expired", signature=self.sign(self.path, expires=past),
                             signature_expiration=past)
