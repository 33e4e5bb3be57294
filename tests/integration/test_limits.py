"""Limits: of processes, of input that nobody reads, of arguments; and commands and users that are hardly any."""
import json
import pathlib
import pwd
import resource
import subprocess
import tempfile
import time
import unittest

from binary import BinaryTest, Stream, field, selector, start_request, varint
from envd import Envd, basic, read_all
from processes import MIB, ROOT, ProcessTest, wait_for

PIPE = 65536  # bytes that a pipe takes before it is full


class UnreadInputTest(BinaryTest):
    """A process that never reads: what waits for it is bounded and ends at its deadline, and nobody else waits."""
    WRITES_MAX = 256  # of one process
    BYTES_MAX = 128 * MIB  # of all processes

    def sender(self, pid, size, deadline_ms):
        """A SendInput whose answer nobody has read: its socket."""
        head = varint(1 << 3 | 2) + varint(size)
        length = len(head) + size
        message = selector(pid) + varint(2 << 3 | 2) + varint(length) + head
        s = self.envd.connect()
        self.addCleanup(s.close)
        s.sendall(f"POST /process.Process/SendInput HTTP/1.1\r\nHost: h\r\nContent-Type: application/proto\r\n"
                  f"Connection: close\r\nConnect-Timeout-Ms: {deadline_ms}\r\n"
                  f"Content-Length: {len(message) + size}\r\n\r\n".encode() + message)
        s.sendall(bytes(size))
        return s

    def answers(self, sockets):
        """How many were refused and how many waited in vain."""
        answers = []
        for s in sockets:
            answers.append(read_all(s))
            s.close()
        return tuple(sum(code in answer for answer in answers) for code in (b"resource_exhausted", b"deadline_exceeded"))

    def check(self, count, size, n_waiting, deadline_ms):
        stream, pid = self.stream(start_request("sleep", "60", stdin=True))
        other, other_pid = self.stream(start_request("cat", stdin=True))
        self.assertEqual(self.send({"pid": pid}, bytes(PIPE)), (200, {}))
        begin = time.monotonic()
        sockets = [self.sender(pid, size, deadline_ms) for _ in range(count)]
        self.assertEqual(self.send({"pid": other_pid}, b"keystroke\n"), (200, {}))
        self.assertEqual(next(other.events), ("stdout", b"keystroke\n"))
        self.assertEqual(self.run_sh("echo others").out, b"others\n")
        if not self.envd.is_sanitized():  # besides: two messages in the pool, two that arrive or are refused just now
            self.assertLess(self.envd.rss_kib() - self.rss_kib, (n_waiting + 4) * size // 1024 + 2 * self.MEMORY_KIB)
        self.assertEqual(self.answers(sockets), (count - n_waiting, n_waiting))
        self.assertLess(time.monotonic() - begin, deadline_ms / 1000 + 5)
        for one in (pid, other_pid):
            self.assertEqual(self.signal({"pid": one}), (200, {}))
        self.assert_nothing_left()

    def test_writers_are_limited_in_number(self):
        self.check(self.WRITES_MAX + 44, 1000, self.WRITES_MAX, deadline_ms=2000)

    def test_writers_are_limited_in_bytes(self):
        size = 16 * MIB
        self.check(16, size, self.BYTES_MAX // size, deadline_ms=5000)


class ProcessLimitTest(ProcessTest):
    MAX = 20

    @staticmethod
    def idle_user():
        """An account of which nothing runs."""
        busy = {path.stat().st_uid for path in pathlib.Path("/proc").glob("[0-9]*") if path.exists()}
        return next((user for user in pwd.getpwall() if user.pw_uid not in busy), None)

    def setUp(self):
        self.envd = Envd(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (self.MAX, self.MAX)))
        self.addCleanup(self.envd.finish)

    @unittest.skipUnless(ROOT and idle_user(), "needs root, whom the limit leaves alone, and a user without processes")
    def test_user_at_the_limit_of_processes_is_refused_until_one_has_ended(self):
        self.user = basic(self.idle_user().pw_name)
        sleep = {"process": {"cmd": "sleep", "args": ["60"], "cwd": "/"}, "stdin": False}
        running = []
        while len(running) < self.MAX + 5 and (stream := self.envd.start(sleep, self.user)) and (first := stream.next()):
            running.append((stream, first["event"]["start"]["pid"]))
        self.assertTrue(self.MAX <= len(running) < self.MAX + 5, len(running))
        fds = self.envd.fds()
        for _ in range(10):
            self.assert_refused(sleep, "resource_exhausted", "error starting process 'sleep 60': "
                                "fork/exec /bin/sh: resource temporarily unavailable")
        wait_for(lambda: self.envd.fds() <= fds, "as many descriptors as before")
        (stream, pid), *others = running
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        self.assertIsNone(stream.error_code())
        for _, pid in [*others, self.started(sleep)]:
            self.assertEqual(self.signal({"pid": pid}), (200, {}))
        wait_for(lambda: not self.list(), "all to end")


class ArgumentTest(BinaryTest):
    LARGEST = 131071  # bytes of one argument (MAX_ARG_STRLEN, with its end)
    TOO_LONG = "fork/exec /bin/sh: argument list too long"

    def test_mebibyte_of_arguments_arrives_byte_for_byte(self):
        args = [chr(ord("a") + i) * (self.LARGEST - i) for i in range(8)]
        stream, _ = self.stream(start_request("sh", "-c", 'printf %s "$@"', "sh", *args))
        self.assertTrue(stream.all() == "".join(args).encode())
        self.assert_ended(stream)
        self.assert_nothing_left()

    def test_more_than_the_kernel_takes_is_invalid_and_starts_nothing(self):
        whole = "x" * self.LARGEST  # all together have a quarter of the stack's limit, and 6 MiB at most
        configs = ({"args": [whole + "x"]}, {"args": [whole] * 30}, {"args": [whole] * 60}, {"envs": {"A": whole}},
                   {"envs": {str(i): whole[:-10] for i in range(30)}})
        for config in configs:
            stream = self.envd.start({"process": {"cmd": "true", **config}, "stdin": False}, self.user)
            self.assertIsNone(stream.next())
            error = stream.end["error"]
            self.assertEqual((error["code"], error["message"][-len(self.TOO_LONG):]), ("invalid_argument", self.TOO_LONG))
            stream.close()
        self.assert_nothing_left()

    def test_text_that_is_no_text_is_invalid_in_every_field(self):
        wrong = b"\xff"
        for config in (field(1, wrong), field(2, wrong), field(3, field(1, wrong)), field(3, field(2, wrong)),
                       field(4, wrong)):
            self.assert_invalid(field(1, config))
        self.assert_invalid(field(1, field(1, "true")) + field(3, wrong))
        self.assert_nothing_left()

    def assert_invalid(self, message):
        stream = Stream(self.envd.port, "Start", message, self.user)
        (kind, end), = stream.events
        self.assertEqual((kind, json.loads(end)["error"]["code"]), ("finish", "invalid_argument"))
        stream.close()


class OddCommandTest(BinaryTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def made(self, name, content, mode=0o755):
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def test_files_that_are_hardly_commands_end_as_in_a_shell(self):
        (self.folder / "loop").symlink_to("loop")
        for cmd, code, out, err in (
                (self.made("script", b'echo "$0" "$@"; exit 3\n'), 3, f"{self.folder}/script a\n", ""),
                (self.made("empty", b""), 0, "", ""),
                (self.made("lost", b"#!/no/such/interpreter\n"), 127, "", f"exec: {self.folder}/lost: not found\n"),
                (self.made("plain", b"#!/bin/sh\n", 0o644), 126, "", f"exec: {self.folder}/plain: permission denied\n"),
                (str(self.folder), 126, "", f"exec: {self.folder}: permission denied\n"),
                (str(self.folder / "loop"), 126, "", f"exec: {self.folder}/loop: too many levels of symbolic links\n"),
                (str(self.folder / "script" / "x"), 127, "", f"exec: {self.folder}/script/x: not found\n"),
                ("", 127, "", "exec: : not found\n"), ("-x", 127, "", "exec: -x: not found\n")):
            with self.subTest(cmd=cmd):
                run = self.run_request({"process": {"cmd": cmd, "args": ["a"]}, "stdin": False})
                self.assertEqual((run.code, run.out.decode(), run.err.decode(), run.finish), (code, out, err, {}))
        self.assert_nothing_left()

    def test_command_that_is_being_written_is_126(self):
        path = self.made("busy", pathlib.Path("/bin/true").read_bytes())
        with open(path, "r+b"):
            run = self.run_request({"process": {"cmd": path}})
            self.assertEqual((run.code, run.err), (126, f"exec: {path}: text file busy\n".encode()))
        self.assertEqual(self.run_request({"process": {"cmd": path}}).code, 0)


@unittest.skipUnless(ROOT and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0,
                     "needs a mount namespace")
class OddUserTest(ProcessTest):
    USERS = ("root:x:0:0::/root:/bin/sh", "bare:x:4242:4242:::", "near:x:4243:4243::near:/no/such/shell",
             "gone:x:4244:4244::/no/such/home:/bin/false", "number:x:many:4245::/:/bin/sh", "short:x:4246:4246")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        passwd = pathlib.Path(folder.name, "passwd")
        passwd.write_text("\n".join(self.USERS) + "\n")
        mount = 'mount --bind "$0" /etc/passwd && exec "$@"'
        self.envd = Envd(under=("unshare", "-m", "/bin/sh", "-c", mount, str(passwd)), cwd="/")
        self.addCleanup(self.envd.finish)

    def seen(self, user, **config):
        self.user = basic(user)
        run = self.run_sh('id -u; pwd; echo "<$HOME>$USER"', config=config)
        self.assertEqual((run.code, run.err), (0, b""))
        return run.out.decode().splitlines()

    def test_user_without_home_and_shell_runs_at_the_root(self):
        self.assertEqual(self.seen("bare"), ["4242", "/", "<>bare"])
        self.assertEqual(self.seen("bare", cwd="tmp"), ["4242", "/tmp", "<>bare"])
        self.assertEqual(self.seen("bare", cwd="~/tmp"), ["4242", "/tmp", "<>bare"])

    def test_user_whose_home_is_missing_runs_where_it_is_told(self):
        for user, home in (("gone", "/no/such/home"), ("near", "/near")):
            self.user = basic(user)
            self.assert_refused({"process": {"cmd": "true"}}, "invalid_argument", f"cwd '{home}' does not exist")
        self.assertEqual(self.seen("gone", cwd="/"), ["4244", "/", "</no/such/home>gone"])
        self.assertEqual(self.seen("near", cwd="/"), ["4243", "/", "<near>near"])

    def test_user_whose_line_is_malformed_is_none(self):
        for user in ("number", "short", "nobody", ""):
            self.assertEqual(self.envd.start({"process": {"cmd": "true", "cwd": "/"}}, basic(user)).error_code(),
                             "unauthenticated", user)


if __name__ == "__main__":
    unittest.main()
