"""POST /files, as files_http.md 2-4, wire.md 3 and the recorded requests J11-J13 and P12-P14 of clients.md say."""
import base64
import concurrent.futures
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

from envd import DEADLINE_S, Envd
from fuse import Fuse
from processes import MIB, ROOT, wait_for

RAW = {"Content-Type": "application/octet-stream"}
B = "boundary0123456789"
FORM = {"Content-Type": f"multipart/form-data; boundary={B}"}
TOKEN = "secret"
OTHER = pwd.getpwnam("nobody")
UPLOADS_MAX = 256  # that read their bodies at once (api/files_upload.h)
THREADS_MAX = 128  # of the pool (loop/job.h)
DRAIN_MAX = 16 * MIB  # of a body that is refused (http/limits.h)

# Sends a head, a thousand pieces, and then nothing for ever. Arguments: port, both in hex.
CLIENT = """import signal, socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(bytes.fromhex(sys.argv[2]))
for _ in range(1000): s.sendall(bytes.fromhex(sys.argv[3]))
signal.pause()"""


def part(filename, data, name="file", more=""):
    if isinstance(data, str):
        data = data.encode()
    disposition = f'form-data; name="{name}"' + (f'; filename="{filename}"' if filename is not None else "") + more
    return f"--{B}\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


def form(*parts):
    return b"".join(parts) + f"--{B}--\r\n".encode()


def head(path, headers=None, length=None, method="POST"):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def read_answer(file):
    """(status, headers, body) of one answer on a connection that is kept."""
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline().strip()):
        name, value = line.decode().split(": ", 1)
        headers[name] = value
    return status, headers, file.read(int(headers.get("Content-Length", 0)))


def message(body):
    return json.loads(body)["message"]


class Uploads(unittest.TestCase):
    under = ()

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="envd-up-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.envd = Envd(under=self.under)
        self.addCleanup(self.envd.finish)

    def path(self, name):
        return f"{self.folder}/{name}"

    def post(self, query, body=b"", headers=None):
        return self.envd.request("POST", "/files" + query, body, RAW if headers is None else headers)

    def put(self, name, body, headers=None):
        return self.post(f"?path={self.path(name)}", body, headers)

    def entry(self, name):
        return {"name": name.rsplit("/", 1)[-1], "path": self.path(name), "type": "file"}

    def assert_written(self, answer, *names):
        self.assertEqual((answer.status, json.loads(answer.body)), (200, [self.entry(name) for name in names]))

    def assert_file(self, name, data):
        self.assertEqual(pathlib.Path(self.path(name)).read_bytes(), data)

    def assert_error(self, answer, status, text):
        self.assertEqual((answer.status, message(answer.body)), (status, text))
        self.assertEqual(answer.one("Content-Type"), "application/json; charset=utf-8")
        self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")

    def stream(self):
        s = self.envd.connect()
        self.addCleanup(s.close)
        file = s.makefile("rb")
        self.addCleanup(file.close)
        return s, file

    def open_files(self):
        """What of the folder the daemon has open."""
        found = []
        for fd in pathlib.Path(f"/proc/{self.envd.pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except FileNotFoundError:
                continue
            if target.startswith(str(self.folder)):
                found.append(target)
        return found


class RawTest(Uploads):
    def test_file_is_written_and_named_as_json(self):
        answer = self.put("a/b/c.txt", b"hello")
        self.assert_written(answer, "a/b/c.txt")
        self.assertEqual(answer.one("Content-Type"), "application/json")
        self.assertEqual(answer.one("Vary"), "Origin")
        self.assertEqual(answer.body.decode(), f'[{{"name":"c.txt","path":"{self.path("a/b/c.txt")}","type":"file"}}]')
        self.assert_file("a/b/c.txt", b"hello")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("a/b/c.txt")).st_mode), 0o644)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("a/b")).st_mode), 0o755)

    def test_empty_file(self):
        self.assert_written(self.put("empty", b""), "empty")
        self.assert_file("empty", b"")

    def test_names_are_escaped_as_go_does(self):
        answer = self.post(f"?path={self.folder}/%3Ca%26b%3E%22.txt", b"x")
        self.assertIn(b'"name":"\\u003ca\\u0026b\\u003e\\".txt"', answer.body)

    @unittest.skipUnless(ROOT, "changes owners")
    def test_new_files_and_directories_are_the_users(self):
        os.chmod(self.folder, 0o755)
        self.assert_written(self.post(f"?path={self.path('d/e/f')}&username=nobody", b"x"), "d/e/f")
        for name in ("d", "d/e", "d/e/f"):
            st = os.stat(self.path(name))
            self.assertEqual((st.st_uid, st.st_gid), (OTHER.pw_uid, OTHER.pw_gid), name)

    @unittest.skipUnless(ROOT, "changes owners")
    def test_existing_file_keeps_inode_and_mode_and_changes_its_owner(self):
        path = pathlib.Path(self.path("f"))
        path.write_text("something longer")
        path.chmod(0o4711)
        os.link(path, self.path("link"))
        before = path.stat()
        self.assert_written(self.post(f"?path={path}&username=nobody", b"new"), "f")
        after = path.stat()
        self.assertEqual((after.st_ino, stat.S_IMODE(after.st_mode), after.st_uid), (before.st_ino, 0o711, OTHER.pw_uid))
        self.assert_file("link", b"new")

    def test_relative_paths_are_in_the_home(self):
        home = pwd.getpwuid(os.geteuid()).pw_dir
        name = f"envd-test-{os.getpid()}"
        self.addCleanup(shutil.rmtree, f"{home}/{name}", ignore_errors=True)
        for path in (f"{name}/a", f"~/{name}/b", f"x/../{name}/c"):
            answer = self.post(f"?path={path}", b"x")
            self.assertEqual(json.loads(answer.body)[0]["path"], f"{home}/{name}/{path[-1]}")

    def test_links_are_followed(self):
        os.symlink("target", self.path("link"))
        self.assert_written(self.put("link", b"made"), "link")
        self.assert_file("target", b"made")
        self.assertTrue(os.path.islink(self.path("link")))

    def test_links_are_followed_to_their_end(self):
        os.mkdir(self.path("d"))
        os.symlink("d", self.path("to-d"))
        os.symlink("to-d/f", self.path("to-f"))
        self.assert_written(self.put("to-f", b"made"), "to-f")
        self.assert_written(self.put("to-d/new/g", b"below"), "to-d/new/g")
        self.assert_file("d/f", b"made")
        self.assert_file("d/new/g", b"below")
        self.assert_error(self.put("to-d", b"x"), 400, f"path is a directory: {self.path('to-d')}")
        self.assertTrue(os.path.islink(self.path("to-f")) and os.path.islink(self.path("to-d")))

    def test_links_that_lead_nowhere(self):
        os.symlink("loop", self.path("loop"))
        os.symlink("no/such/directory", self.path("lost"))
        self.assert_error(self.put("loop", b"x"), 500,
                          f"error getting file info: stat {self.path('loop')}: too many levels of symbolic links")
        self.assert_error(self.put("lost", b"x"), 500,
                          f"error opening file: open {self.path('lost')}: no such file or directory")
        self.assert_error(self.put("lost/below", b"x"), 500, "error ensuring directories: failed to chown directory: "
                          f"chown {self.path('lost')}: no such file or directory")

    @unittest.skipUnless(ROOT, "changes owners")
    def test_owner_is_changed_through_a_link(self):
        pathlib.Path(self.path("target")).write_text("x")
        os.symlink("target", self.path("link"))
        self.assertEqual(self.post(f"?path={self.path('link')}&username=nobody", b"y").status, 200)
        self.assertEqual(os.stat(self.path("target")).st_uid, OTHER.pw_uid)
        self.assertEqual(os.lstat(self.path("link")).st_uid, 0)

    @unittest.skipUnless(ROOT, "changes owners")
    def test_only_what_is_made_changes_its_owner(self):
        os.mkdir(self.path("old"))
        self.assertEqual(self.post(f"?path={self.path('old/new/f')}&username=nobody", b"x").status, 200)
        self.assertEqual([os.stat(self.path(name)).st_uid for name in (".", "old", "old/new")], [0, 0, OTHER.pw_uid])

    @unittest.skipUnless(ROOT, "changes a setting of the kernel")
    def test_file_of_a_user_in_a_directory_like_tmp_can_be_written(self):
        setting = pathlib.Path("/proc/sys/fs/protected_regular")
        if setting.read_text() == "0\n":
            self.addCleanup(setting.write_text, "0")
            setting.write_text("1")
        os.chmod(self.folder, 0o1777)
        pathlib.Path(self.path("theirs")).write_text("old")
        os.chown(self.path("theirs"), OTHER.pw_uid, OTHER.pw_gid)
        with self.assertRaises(PermissionError):  # the pitfall is there
            os.close(os.open(self.path("theirs"), os.O_WRONLY | os.O_CREAT))
        self.assertEqual(self.post(f"?path={self.path('theirs')}&username=nobody", b"new").status, 200)
        self.assert_file("theirs", b"new")

    def test_what_is_no_file_is_refused(self):
        os.mkdir(self.path("d"))
        os.mkfifo(self.path("fifo"))
        self.assert_error(self.put("d", b"x"), 400, f"path is a directory: {self.path('d')}")
        self.assert_error(self.put("d/", b"x"), 400, f"path is a directory: {self.path('d/')}")
        self.assert_error(self.put("new/", b"x"), 400, f"path is a directory: {self.path('new/')}")
        self.assertFalse(os.path.exists(self.path("new")))
        self.assert_error(self.put("fifo", b"x"), 400, f"path is not a regular file: {self.path('fifo')}")
        self.put("file", b"x")
        self.assert_error(self.put("file/below", b"x"), 500,
                          f"error ensuring directories: path is a file: {self.path('file')}")

    def test_requests_that_name_no_file_are_refused(self):
        self.assert_error(self.post("", b"x"), 400, "path query parameter is required for raw body upload")
        self.assert_error(self.post("?path=~who/x", b"x"), 400,
                          f"error resolving path: failed to expand path '~who/x' for user 'root': "
                          f"cannot expand user-specific home dir")
        self.assert_error(self.post("?path=a%00b", b"x"), 400, "path contains a NUL byte")
        self.assert_error(self.post("?path=x", b"x", {"Content-Type": "text/plain"}), 400,
                          "unsupported content type: text/plain, expected multipart/form-data or application/octet-stream")
        self.assert_error(self.post("?path=x&username=no-such", b"x"), 401,
                          "error looking up user 'no-such': user: unknown user no-such")
        self.assert_error(self.post("?path=x&username=", b"x"), 401, "error looking up user '': user: unknown user ")

    def test_broken_parameters_are_told_in_plain_text(self):
        for query, text in (("?path=a&path=b", "path: multiple values for single value parameter 'path'\n"),
                            ("?signature_expiration=x", "signature_expiration: ")):
            answer = self.post(query, b"x")
            self.assertEqual((answer.status, answer.one("Content-Type")), (400, "text/plain; charset=utf-8"))
            self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")
            self.assertTrue(answer.body.decode().startswith("Invalid format for parameter " + text), answer.body)

    def test_large_body_is_complete_and_the_connection_goes_on(self):
        data = random.Random(1).randbytes(9 * MIB + 17)
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('big')}", RAW, len(data)) + data + head("/health", method="GET"))
        self.assertEqual(read_answer(file)[0], 200)
        self.assertEqual(read_answer(file)[0], 204)
        self.assert_file("big", data)

    def test_large_body_that_comes_in_pieces_of_any_size(self):
        rng = random.Random(2)
        data = rng.randbytes(3 * MIB)
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('big')}", RAW, len(data)))
        at = 0
        while at < len(data):
            n = rng.choice((1, 100, 1460, 65536, 300000))
            s.sendall(data[at:at + n])
            at += n
        self.assertEqual(read_answer(file)[0], 200)
        self.assert_file("big", data)

    def test_chunked_body_without_a_length(self):
        data = random.Random(3).randbytes(2 * MIB)
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('c')}", {**RAW, "Transfer-Encoding": "chunked"}))
        for at in range(0, len(data), 100000):
            s.sendall(chunk(data[at:at + 100000]))
        s.sendall(b"0\r\n\r\n")
        self.assertEqual(read_answer(file)[0], 200)
        self.assert_file("c", data)

    def test_broken_chunks_are_a_write_error(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('c')}", {**RAW, "Transfer-Encoding": "chunked"}) + chunk(b"x") + b"zz\r\n")
        status, _, body = read_answer(file)
        self.assertEqual((status, message(body)), (500, "error writing file: malformed chunked encoding"))

    def test_memory_does_not_grow_with_the_file(self):
        if self.envd.is_sanitized():
            self.skipTest("its allocator keeps what is freed")
        size, piece = 1024 * MIB, b"x" * MIB
        s, file = self.stream()
        before = self.envd.rss_kib()
        s.sendall(head(f"/files?path={self.path('huge')}", RAW, size))
        for _ in range(size // len(piece)):
            s.sendall(piece)
        self.assertEqual(read_answer(file)[0], 200)
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.envd.pid}/status").read_text())[1])
        self.assertLess(peak - before, 2048)
        self.assertEqual(os.stat(self.path("huge")).st_size, size)

    def test_every_byte_but_slash_and_nul_is_a_name(self):
        names = [b"a%c" % byte for byte in range(1, 256) if byte != ord("/")] + [b" ", b"-", b"...", b"n" * 255]
        c = http.client.HTTPConnection("127.0.0.1", self.envd.port, timeout=DEADLINE_S)
        self.addCleanup(c.close)
        for name in names:
            path = os.fsencode(self.folder) + b"/bytes/" + name
            c.request("POST", "/files?path=" + urllib.parse.quote(path, safe=""), name, RAW)
            answer = c.getresponse()
            told = json.loads(answer.read())
            self.assertEqual((answer.status, told[0]["name"]), (200, name.decode(errors="replace")), name)
            self.assertEqual(pathlib.Path(os.fsdecode(path)).read_bytes(), name)
        self.assertEqual(sorted(os.listdir(os.fsencode(self.folder) + b"/bytes")), sorted(names))

    def test_name_that_is_too_long_is_told(self):
        path = self.path("n" * 256)
        self.assert_error(self.post(f"?path={path}", b"x"), 500, f"error getting file info: stat {path}: file name too long")

    def test_http2(self):
        data = random.Random(4).randbytes(5 * MIB)
        source = pathlib.Path(self.path("source"))
        source.write_bytes(data)
        url = f"http://127.0.0.1:{self.envd.port}/files"
        for name, arguments in (("raw", ("-H", "Content-Type: application/octet-stream", "--data-binary", f"@{source}")),
                                ("form", ("-F", f"file=@{source}"))):
            done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}",
                                   *arguments, f"{url}?path={self.path(name)}"],
                                  capture_output=True, text=True, timeout=DEADLINE_S)
            self.assertTrue(done.stdout.endswith("2 200"), (done.stdout, done.stderr))
            self.assert_file(name, data)


class PseudoFileTest(Uploads):
    @unittest.skipUnless(ROOT, "writes to the daemon's own files")
    def test_command_for_the_kernel_in_many_pieces_is_one_write(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path=/proc/{self.envd.pid}/comm", {**RAW, "Transfer-Encoding": "chunked"}))
        for piece in (b"na", b"m", b"ed"):
            s.sendall(chunk(piece))
            time.sleep(0.02)
        s.sendall(b"0\r\n\r\n")
        self.assertEqual(read_answer(file)[0], 200)
        self.assertEqual(pathlib.Path(f"/proc/{self.envd.pid}/comm").read_text(), "named\n")

    @unittest.skipUnless(ROOT, "writes to the kernel's own files")
    def test_sysctl_can_be_written(self):
        path = pathlib.Path("/proc/sys/kernel/core_pattern")
        before = path.read_bytes()
        self.assertEqual(self.post(f"?path={path}", before).status, 200)
        self.assertEqual(path.read_bytes(), before)

    def test_dev_null_takes_all_and_keeps_its_owner(self):
        self.assertEqual(self.post("?path=/dev/null&username=nobody", b"x" * 100000).status, 200)
        self.assertEqual(os.stat("/dev/null").st_uid, 0)

    def test_dev_full_is_a_full_disk(self):
        self.assert_error(self.post("?path=/dev/full", b"x" * 10), 507,
                          "attempted to write 10 bytes: not enough disk space available")
        s, file = self.stream()
        s.sendall(head("/files?path=/dev/full", {**RAW, "Transfer-Encoding": "chunked"}) + chunk(b"x" * 5000) + b"0\r\n\r\n")
        status, _, body = read_answer(file)
        self.assertEqual((status, message(body)), (507, "not enough disk space available"))


class FormTest(Uploads):
    def form(self, *parts, query="", headers=None):
        return self.post(query, form(*parts), headers or FORM)

    def test_files_go_to_the_names_of_their_parts_with_directories(self):
        answer = self.form(part(self.path("a/one"), "1"), part(None, "skipped", name="other"),
                           part(self.path("b/two"), b"\r\n--boundary\r\n\0\xff"))
        self.assert_written(answer, "a/one", "b/two")
        self.assert_file("a/one", b"1")
        self.assert_file("b/two", b"\r\n--boundary\r\n\0\xff")

    def test_query_path_goes_before_the_name(self):
        self.assert_written(self.form(part("ignored", "x"), query=f"?path={self.path('q')}"), "q")

    def test_names_in_every_form(self):
        names = [("plain", "plain"), ('a\\"b', 'a"b'), ("a\\b", "a\\b"), ("%22", "%22"), ("ä €", "ä €")]
        answer = self.form(*(part(self.path(sent), "x") for sent, _ in names),
                           part(None, "x", more=f"; filename*=\"utf-8''{self.folder}/%e2%82%ac\""),
                           part(None, "x", more=f"; filename=lost; filename*=UTF-8'en'{urllib.parse.quote(self.path('5987 ü'), safe='')}"),
                           part(None, "x", more=f"; filename*0=\"{self.folder}/con\"; filename*1*=tin%75ed"))
        self.assert_written(answer, *(name for _, name in names), "€", "5987 ü", "continued")

    def test_without_files_the_list_is_empty(self):
        answer = self.form(part("x", "y", name="other"))
        self.assertEqual((answer.status, answer.body), (200, b"[]"))

    def test_any_number_of_files(self):
        names = [f"many/{i}" for i in range(3000)]
        answer = self.form(*(part(self.path(name), name) for name in names))
        self.assert_written(answer, *names)
        self.assert_file(names[-1], names[-1].encode())

    def test_refusals_end_it_and_what_was_written_stays(self):
        again = (f"you cannot upload multiple files to the same path '{self.path('a')}' in one upload request, "
                 f"only the first specified file was uploaded")
        self.assert_error(self.form(part(self.path("a"), "1"), part(self.path("a"), "2")), 400, again)
        self.assert_file("a", b"1")
        self.assert_error(self.form(*(part(self.path(name), name) for name in "abca")), 400,
                          again + f", also the following files were uploaded: {self.path('b')}, {self.path('c')}")
        self.assert_error(self.form(part(None, "x")), 400, "error getting multipart custom part file name: "
                          "filename not found in Content-Disposition header")
        self.assert_error(self.form(part("x", "x", more='; name="other"')), 400,
                          "error getting multipart custom part file name: mime: duplicate parameter name")

    def test_broken_forms_are_told(self):
        self.assert_error(self.post("", form(part("x", "x")), {"Content-Type": "multipart/form-data"}), 500,
                          "error parsing multipart form: no multipart boundary param in Content-Type")
        self.assert_error(self.post("", b"x", {"Content-Type": "multipart/related; boundary=x"}), 500,
                          "error parsing multipart form: request Content-Type isn't multipart/form-data")
        self.assert_error(self.post("", b"no boundary here", FORM), 500, "error reading form: multipart: NextPart: EOF")
        whole = form(part(self.path("cut"), "0123456789"))
        self.assert_error(self.post("", whole[:40], FORM), 400, "error reading form: unexpected EOF")
        self.assertFalse(os.path.exists(self.path("cut")))
        self.assert_error(self.post("", whole[:-len(B) - 10], FORM), 500, "error writing file: unexpected EOF")
        self.assertTrue(os.path.exists(self.path("cut")))
        self.assert_error(self.post("", whole[:-4] + b" --\r\n", FORM), 500,
                          f'error reading form: multipart: expecting a new Part; got line "--{B} --\\r\\n"')

    def test_large_file_in_a_form(self):
        data = random.Random(5).randbytes(6 * MIB)
        self.assert_written(self.form(part(self.path("big"), data), part(self.path("small"), "x")), "big", "small")
        self.assert_file("big", data)


class ClientsTest(Uploads):
    """What the SDKs send, byte for byte but for the paths."""

    def exchange(self, name, headers, pieces):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path(name)}", {"connection": "keep-alive", "e2b-sandbox-port": "49983", **headers}))
        for piece in pieces:
            s.sendall(piece)
        status, answer, body = read_answer(file)
        self.assertEqual((status, answer["Vary"]), (200, "Origin"))
        return body.decode()

    def test_js_form_with_metadata(self):
        boundary = "----formdata-undici-029558005094"
        pieces = [f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="m.txt"\r\n'
                  f"Content-Type: application/octet-stream\r\n\r\n".encode(), b"meta", b"\r\n", f"--{boundary}--\r\n".encode()]
        body = self.exchange("m.txt", {"content-type": f"multipart/form-data; boundary={boundary}", "x-metadata-k2": "v2",
                                       "x-metadata-owner": "me", "transfer-encoding": "chunked"},
                             [*map(chunk, pieces), b"0\r\n\r\n"])
        self.assertEqual(body, f'[{{"metadata":{{"k2":"v2","owner":"me"}},"name":"m.txt","path":"{self.path("m.txt")}","type":"file"}}]')
        self.assert_file("m.txt", b"meta")

    def test_js_stream(self):
        body = self.exchange("d.txt", {"content-type": "application/octet-stream", "transfer-encoding": "chunked"},
                             [chunk(b"st"), chunk(b"ream"), b"0\r\n\r\n"])
        self.assertEqual(body, f'[{{"name":"d.txt","path":"{self.path("d.txt")}","type":"file"}}]')
        self.assert_file("d.txt", b"stream")

    def test_js_gzip(self):
        packed = gzip.compress(b"gzip" * 1000)
        self.exchange("g.txt", {"content-encoding": "gzip", "content-type": "application/octet-stream",
                                "transfer-encoding": "chunked"}, [chunk(packed[:10]), chunk(packed[10:]), b"0\r\n\r\n"])
        self.assert_file("g.txt", b"gzip" * 1000)

    def test_python_form_with_metadata(self):
        boundary = "071843419e539483d55c468acd6a9a19"
        data = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="m.txt"\r\nContent-Type: text/plain'
                f"\r\n\r\nmeta\r\n--{boundary}--\r\n").encode()
        body = self.exchange("m.txt", {"x-metadata-owner": "me", "x-metadata-k2": "v2", "content-length": len(data),
                                       "content-type": f"multipart/form-data; boundary={boundary}"}, [data])
        self.assertEqual(body, f'[{{"metadata":{{"k2":"v2","owner":"me"}},"name":"m.txt","path":"{self.path("m.txt")}","type":"file"}}]')


class CodingTest(Uploads):
    GZIP = {**RAW, "Content-Encoding": "gzip"}

    def test_gzip_of_several_members(self):
        self.assert_written(self.put("g", gzip.compress(b"one") + gzip.compress(b"two"), self.GZIP), "g")
        self.assert_file("g", b"onetwo")

    def test_gzip_of_a_large_file_and_of_a_form(self):
        data = bytes(random.Random(6).choices(range(32, 127), k=3 * MIB))
        self.put("g", gzip.compress(data, 1), self.GZIP)
        self.assert_file("g", data)
        self.assert_written(self.post("", gzip.compress(form(part(self.path("f"), data)), 1),
                                      {**FORM, "Content-Encoding": "GZIP;q=1"}), "f")
        self.assert_file("f", data)

    def test_bomb_is_written_without_growing(self):
        if self.envd.is_sanitized():
            self.skipTest("its allocator keeps what is freed")
        before = self.envd.rss_kib()
        packed = gzip.compress(bytes(200 * MIB))
        self.assert_written(self.put("zeros", packed, self.GZIP), "zeros")
        self.assertEqual(os.stat(self.path("zeros")).st_size, 200 * MIB)
        self.assertLess(self.envd.rss_kib() - before, 2048)

    def test_what_cannot_be_inflated(self):
        reader = "error decompressing request body: failed to create gzip reader: "
        self.assert_error(self.put("g", b"plain text", self.GZIP), 400, reader + "gzip: invalid header")
        self.assert_error(self.put("g", b"", self.GZIP), 400, reader + "EOF")
        packed = bytearray(gzip.compress(b"hello"))
        self.assert_error(self.put("g", bytes(packed[:-3]), self.GZIP), 500, "error writing file: unexpected EOF")
        packed[-8] ^= 1
        self.assert_error(self.put("g", bytes(packed), self.GZIP), 500, "error writing file: gzip: invalid checksum")
        for coding in ("br", "gzip, gzip", "deflate"):
            self.assert_error(self.put("g", b"x", {**RAW, "Content-Encoding": coding}), 400,
                              f"error decompressing request body: unsupported Content-Encoding: {coding}, supported: [gzip]")
        self.assert_written(self.put("i", b"x", {**RAW, "Content-Encoding": "identity"}), "i")


class MetadataTest(Uploads):
    def test_metadata_is_replaced_by_each_upload(self):
        answer = self.put("m", b"x", {**RAW, "X-Metadata-Owner": "me", "x-metadata-b": "", "X-METADATA-A": "<1>"})
        self.assertEqual(json.loads(answer.body)[0]["metadata"], {"a": "<1>", "b": "", "owner": "me"})
        self.assertIn(b'"metadata":{"a":"\\u003c1\\u003e","b":"","owner":"me"}', answer.body)
        os.setxattr(self.path("m"), "user.other", b"stays")
        self.assertEqual(os.getxattr(self.path("m"), "user.e2b.owner"), b"me")
        self.assert_written(self.put("m", b"x"), "m")
        self.assertEqual(os.listxattr(self.path("m")), ["user.other"])

    def test_wrong_metadata_is_refused_before_anything_is_written(self):
        for headers, text in (({"X-Metadata-" + "k" * 247: "v"}, f'metadata key "{"k" * 247}" exceeds 246 bytes'),
                              ({"X-Metadata-K": "\xe4"}, 'metadata value for key "k" contains non-printable-ASCII byte 0xe4 at offset 0'),
                              ({"X-Metadata-K": "v" * 4096}, "total metadata size 4106 exceeds 4096 bytes")):
            self.assert_error(self.put("m", b"x", {**RAW, **headers}), 400, "invalid metadata: " + text)
        self.assertFalse(os.path.exists(self.path("m")))

    def test_metadata_at_its_limits_is_kept(self):
        sets = {"k" * 246: "v"}, {"k": "v" * (4096 - 9 - 1)}, {"edges": "~ ~"}
        for metadata in sets:
            answer = self.put("m", b"x", {**RAW, **{f"X-Metadata-{key}": value for key, value in metadata.items()}})
            if answer.status == 507:  # ext4 has a block for all attributes of a file
                self.assert_error(answer, 507, "not enough space for file metadata: no space left on device")
            else:
                self.assertEqual(json.loads(answer.body)[0]["metadata"], metadata)

    def test_every_file_of_a_form_gets_all_metadata(self):
        answer = self.post("", form(part(self.path("one"), "1"), part(self.path("two"), "2")), {**FORM, "X-Metadata-K": "v"})
        self.assertEqual([entry["metadata"] for entry in json.loads(answer.body)], [{"k": "v"}] * 2)
        self.assertEqual([os.getxattr(self.path(name), "user.e2b.k") for name in ("one", "two")], [b"v"] * 2)

    def test_the_first_of_a_repeated_name_counts(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('m')}", {**RAW, "X-Metadata-K": "first", "x-metadata-k": "second"}, 0))
        self.assertEqual(json.loads(read_answer(file)[2])[0]["metadata"], {"k": "first"})


class RightTest(Uploads):
    def setUp(self):
        super().setUp()
        self.envd.request("POST", "/init", json.dumps({"accessToken": TOKEN}).encode())

    def signed(self, path, operation="write", username=None, expires=None):
        text = f"{path or ''}:{operation}:{username or ''}:{TOKEN}" + (f":{expires}" if expires is not None else "")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        return "v1_" + digest

    def signed_query(self, path, **how):
        sign = how.pop("sign", path)
        query = {"path": path, "username": how.get("username"), "signature": self.signed(sign, **how),
                 "signature_expiration": how.get("expires")}
        return "?" + urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})

    def assert_401(self, answer, text):
        self.assertEqual((answer.status, answer.body), (401, f'{{"code":401,"message":"{text}"}}\n'.encode()))
        self.assertEqual(answer.one("Content-Type"), "application/json; charset=utf-8")

    def test_signed_urls(self):
        path = self.path("s t+%.txt")
        now = int(time.time())
        for how in ({}, {"username": "nobody"}, {"expires": now + 60}):
            self.assertEqual(self.post(self.signed_query(path, **how), b"x").status, 200, how)
        self.assert_401(self.post(f"?path={self.path('x')}", b"x"), "missing signature query parameter")
        self.assert_401(self.post(f"?path={self.path('x')}&signature=", b"x"), "invalid signature")
        self.assert_401(self.post(self.signed_query(path, sign=path + "x"), b"x"), "invalid signature")
        self.assert_401(self.post(self.signed_query(path, operation="read"), b"x"), "invalid signature")
        self.assert_401(self.post(self.signed_query(path, expires=now - 2), b"x"), "signature is already expired")

    def test_form_is_signed_over_the_empty_path(self):
        answer = self.post(self.signed_query(None), form(part(self.path("f"), "x")), FORM)
        self.assert_written(answer, "f")

    def test_token_in_the_header_decides_alone(self):
        query = f"?path={self.path('h')}"
        self.assert_written(self.post(query, b"x", {**RAW, "X-Access-Token": TOKEN}), "h")
        self.assert_401(self.post(self.signed_query(self.path("h")), b"x", {**RAW, "X-Access-Token": "wrong"}),
                        "access token present in header but does not match")

    def test_unauthorised_body_is_never_asked_for(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('x')}", {**RAW, "Expect": "100-continue"}, 10 ** 9))
        status, headers, _ = read_answer(file)
        self.assertEqual((status, headers["Connection"]), (401, "close"))
        self.assertEqual(file.read(), b"")


class WaitingTest(Uploads):
    def test_leave_to_send_comes_when_the_file_is_open(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('x')}", {**RAW, "Expect": "100-continue"}, 5))
        self.assertEqual(file.readline(), b"HTTP/1.1 100 Continue\r\n")
        self.assertEqual(file.readline(), b"\r\n")
        self.assertTrue(os.path.exists(self.path("x")))
        s.sendall(b"hello")
        self.assertEqual(read_answer(file)[0], 200)
        self.assert_file("x", b"hello")

    def test_doomed_upload_is_refused_before_its_body(self):
        os.mkdir(self.path("d"))
        for query, headers, status in ((f"path={self.path('d')}", RAW, 400), ("path=x&username=no-such", RAW, 401),
                                       ("path=x", {"Content-Type": "text/plain"}, 400), ("", RAW, 400),
                                       ("path=x", {**RAW, "X-Metadata-K": "v" * 5000}, 400)):
            for expect in ({"Expect": "100-continue"}, {}):
                s, file = self.stream()
                s.sendall(head(f"/files?{query}", {**headers, **expect}, 1000))
                self.assertEqual(read_answer(file)[0], status, query)

    def test_slow_upload_grows_as_it_comes(self):
        s, file = self.stream()
        s.sendall(head(f"/files?path={self.path('slow')}", RAW, 50000))
        for i in range(10):
            s.sendall(b"x" * 5000)
            wait_for(lambda: os.path.exists(self.path("slow")) and os.stat(self.path("slow")).st_size == 5000 * (i + 1),
                     "the piece to be written")
        self.assertEqual(read_answer(file)[0], 200)

    def test_body_that_ends_early_is_told_and_stays(self):
        for length in (100000, 10 * MIB):
            s, file = self.stream()
            s.sendall(head(f"/files?path={self.path('cut')}", RAW, length) + b"x" * 60000)
            s.shutdown(socket.SHUT_WR)
            status, headers, body = read_answer(file)
            self.assertEqual((status, message(body)), (500, "error writing file: unexpected EOF"))
            self.assertEqual(headers["Connection"], "close")
            self.assertEqual(os.stat(self.path("cut")).st_size, 60000)

    def test_client_that_is_killed_leaves_a_part_and_nothing_open(self):
        piece = b"x" * 20000
        framings = ({"Content-Length": 10 ** 11}, piece), ({"Transfer-Encoding": "chunked"}, chunk(piece))
        self.put("warm", b"x")
        fds, rss = self.envd.fds(), self.envd.rss_kib()
        for framing, sent in framings * 5:
            begin = head("/files?path=" + self.path("part"), {**RAW, **framing})
            client = subprocess.Popen([sys.executable, "-c", CLIENT, str(self.envd.port), begin.hex(), sent.hex()],
                                      stderr=subprocess.DEVNULL)
            try:
                wait_for(lambda: os.path.exists(self.path("part")) and os.stat(self.path("part")).st_size > MIB, "a part")
            finally:
                client.send_signal(signal.SIGKILL)
                client.wait()
            wait_for(lambda: self.open_files() == [] and self.envd.fds() <= fds, "its descriptors to be closed")
            data = pathlib.Path(self.path("part")).read_bytes()
            self.assertGreater(len(data), MIB)
            self.assertEqual(data.count(b"x"), len(data))
            os.unlink(self.path("part"))
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - rss, 1024)
        self.assertEqual(self.put("after", b"x").status, 200)

    def test_stalled_clients_hold_up_nobody_and_no_thread(self):
        stalled = []
        for i in range(THREADS_MAX + 20):
            s = self.envd.connect()
            self.addCleanup(s.close)
            s.sendall(head(f"/files?path={self.path(f'stalled/{i}')}", RAW, 10 * MIB) + b"x" * 1000)
            stalled.append(s)
        wait_for(lambda: os.path.isdir(self.path("stalled")) and
                 sum(entry.stat().st_size for entry in os.scandir(self.path("stalled"))) == 1000 * len(stalled), "their bytes")
        for s in stalled:  # now that jobs read
            s.sendall(b"y" * 500)
        wait_for(lambda: sum(entry.stat().st_size for entry in os.scandir(self.path("stalled"))) == 1500 * len(stalled),
                 "more of their bytes")
        began = time.monotonic()
        self.assert_written(self.put("other", b"x" * MIB), "other")
        self.assertLess(time.monotonic() - began, 5)
        self.assertLess(len(os.listdir(f"/proc/{self.envd.pid}/task")), 20)
        for s in stalled:
            s.close()
        wait_for(lambda: self.open_files() == [], "their files to be closed")

    def test_file_system_that_is_stuck_holds_up_its_own_uploads_only(self):
        os.mkdir(self.path("mount"))
        try:
            fuse = Fuse(self.path("mount"))
        except OSError as error:
            self.skipTest(f"no FUSE: {error}")
        self.addCleanup(fuse.close)
        fuse.stick()
        for i in range(40):
            s = self.envd.connect()
            self.addCleanup(s.close)
            s.sendall(head(f"/files?path={self.path(f'mount/{i}')}", RAW, 10 * MIB) + b"x" * MIB)
        began = time.monotonic()
        self.assertEqual(self.envd.request("GET", "/health").status, 204)
        self.assertEqual(self.envd.request("POST", "/init", b"{}").status, 204)
        self.assertLess(time.monotonic() - began, 1)
        for size in (1, MIB):
            self.assert_written(self.put("other", b"x" * size), "other")
        self.assertLess(time.monotonic() - began, 5)

    def test_end_of_the_daemon_does_not_wait_for_a_stalled_client(self):
        s, _ = self.stream()
        s.sendall(head(f"/files?path={self.path('part')}", RAW, 10 * MIB) + b"x" * 1000)
        wait_for(lambda: os.path.exists(self.path("part")) and os.stat(self.path("part")).st_size == 1000, "its bytes")
        status, _, err = self.envd.end()
        self.assertEqual((status, err), (0, b""))
        self.assert_file("part", b"x" * 1000)

    def test_early_answer_to_a_large_upload_can_be_read(self):
        s, file = self.stream()
        s.sendall(head("/files?path=/dev/full", RAW, 8 * MIB))
        s.sendall(bytes(8 * MIB))
        self.assertEqual(read_answer(file)[0], 507)
        s.sendall(head("/health", method="GET"))  # the rest was dropped
        self.assertEqual(read_answer(file)[0], 204)

    def test_early_answer_to_a_body_that_is_too_long_to_drop_ends_the_connection(self):
        size = 2 * DRAIN_MAX
        s, file = self.stream()
        s.sendall(head("/files?path=/dev/full", RAW, size) + bytes(size))
        status, headers, body = read_answer(file)
        self.assertEqual((status, message(body)), (507, f"attempted to write {size} bytes: not enough disk space available"))
        self.assertEqual(headers["Connection"], "close")
        self.assertEqual(file.read(), b"")

    def test_more_uploads_than_may_read_take_turns(self):
        waiting = []
        for i in range(UPLOADS_MAX + 20):
            s, file = self.stream()
            s.sendall(head(f"/files?path={self.path(f'turn/{i}')}", {**RAW, "Expect": "100-continue"}, 1))
            waiting.append((s, file))
        for s, file in waiting:
            self.assertEqual(file.readline(), b"HTTP/1.1 100 Continue\r\n")
            file.readline()
            s.sendall(b"x")
            self.assertEqual(read_answer(file)[0], 200)
        self.assertEqual(len(os.listdir(self.path("turn"))), len(waiting))
        self.assertEqual(self.envd.request("GET", "/health").status, 204)


class ManyTest(Uploads):
    def test_uploads_into_one_missing_tree_at_once(self):
        os.chmod(self.folder, 0o755)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for i in range(25):
                names = [f"tree{i}/a/b/c/d/{j}" for j in range(4)]
                answers = pool.map(lambda name: self.post(f"?path={self.path(name)}&username=nobody", b"x"), names)
                self.assertEqual([answer.status for answer in answers], [200] * 4)
                if ROOT:
                    for name in (f"tree{i}", f"tree{i}/a/b/c/d", *names):
                        self.assertEqual(os.stat(self.path(name)).st_uid, OTHER.pw_uid)

    def test_large_uploads_at_once(self):
        datas = [random.Random(i).randbytes(4 * MIB + i) for i in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: self.put(f"big{i}", datas[i]), range(8)))
        self.assertEqual([answer.status for answer in answers], [200] * 8)
        for i, data in enumerate(datas):
            self.assert_file(f"big{i}", data)


@unittest.skipUnless(ROOT and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0,
                     "mounts in a namespace of its own")
class FullDiskTest(Uploads):
    """The daemon sees file systems that nobody else sees: /mnt is in its own mount namespace."""
    MOUNT = "mount -t tmpfs -o size=1m,nr_inodes=20 tmpfs /mnt"

    def setUp(self):
        self.under = ("unshare", "-m", "sh", "-c", f'{self.MOUNT} && exec "$@"', "sh")
        super().setUp()
        self.mnt = pathlib.Path("/proc", str(self.envd.pid), "root", "mnt")

    def test_file_that_does_not_fit_is_507_and_its_part_stays(self):
        self.assert_error(self.post("?path=/mnt/big", b"x" * (2 * MIB)), 507,
                          f"attempted to write {2 * MIB} bytes: not enough disk space available")
        self.assertGreater((self.mnt / "big").stat().st_size, MIB // 2)
        s, file = self.stream()
        s.sendall(head("/files?path=/mnt/other", {**RAW, "Transfer-Encoding": "chunked"}) + chunk(b"x" * 100000) + b"0\r\n\r\n")
        status, _, body = read_answer(file)
        self.assertEqual((status, message(body)), (507, "not enough disk space available"))

    def test_smaller_content_over_a_file_on_a_full_disk_fits(self):
        self.post("?path=/mnt/big", b"x" * (2 * MIB))
        self.assertEqual(self.post("?path=/mnt/big&username=nobody", b"y" * (MIB // 2)).status, 200)
        self.assertEqual((self.mnt / "big").read_bytes(), b"y" * (MIB // 2))
        self.assertEqual((self.mnt / "big").stat().st_uid, OTHER.pw_uid)

    def test_without_inodes_is_507(self):
        for i in range(30):
            answer = self.post(f"?path=/mnt/{i}", b"")
            if answer.status != 200:
                break
        self.assert_error(answer, 507, f"not enough inodes available: open /mnt/{i}: no space left on device")
        self.assertEqual(self.post("?path=/mnt/0", b"still").status, 200)

    def test_form_stops_where_the_disk_is_full(self):
        answer = self.post("", form(part("/mnt/one", "1"), part("/mnt/two", b"x" * (2 * MIB)), part("/mnt/three", "3")), FORM)
        self.assertEqual(answer.status, 507)
        self.assertEqual((self.mnt / "one").read_bytes(), b"1")
        self.assertFalse((self.mnt / "three").exists())


class FullExt4Test(FullDiskTest):
    """The same on a file system that keeps room for names and attributes apart."""
    @property
    def MOUNT(self):
        return f"mount -o loop {self.image} /mnt"

    def setUp(self):
        self.image = tempfile.NamedTemporaryFile(prefix="envd-ext4-")
        self.addCleanup(self.image.close)
        self.image.truncate(2 * MIB)
        self.image = self.image.name
        if subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "32", "-m", "0", "-O", "^has_journal", self.image],
                          capture_output=True).returncode:
            self.skipTest("there is no mkfs.ext4")
        probe = subprocess.run(["unshare", "-m", "sh", "-c", self.MOUNT], capture_output=True)
        if probe.returncode:
            self.skipTest(f"no loop device: {probe.stderr.decode().strip()}")
        super().setUp()

    def test_attributes_that_do_not_fit_are_507(self):
        self.post("?path=/mnt/m", b"x")
        self.post("?path=/mnt/big", b"x" * (3 * MIB))
        answer = self.post("?path=/mnt/m", b"y", {**RAW, "X-Metadata-K": "v" * 3000})
        self.assert_error(answer, 507, "not enough space for file metadata: no space left on device")
        self.assertEqual((self.mnt / "m").read_bytes(), b"y")
