"""Watching directories, by a stream and by asking from time to time, as filesystem.md 4 and wire.md 8 say."""
import collections
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from envd import DEADLINE_S, Envd, Stream, basic, envelope
from fuse import Fuse
from processes import ME, wait_for

SERVICE = "/filesystem.Filesystem/"
LEGACY = {"User-Agent": "connect-python"}
QUEUE = int(pathlib.Path("/proc/sys/fs/inotify/max_queued_events").read_text())
OVERFLOW = "watcher error: fsnotify: queue or buffer overflow"
EVENTS_MAX = 65536  # WATCHER_EVENTS_MAX in fs/watch.h
FULL = "no space left on device"
MARK = "mark-of-the-end"


def kind(event):
    return event["type"].removeprefix("EVENT_TYPE_")


def short(event):
    return kind(event), event["name"]


def write(path, text=b""):
    with open(path, "ab") as file:
        file.write(text)


def count_watches(pid):
    """Watches that the kernel has for a process."""
    n = 0
    for info in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            n += len(re.findall(r"^inotify ", info.read_text(), re.M))
    return n


class Streamed:
    """A WatchDir."""

    def __init__(self, envd, folder, message, headers=None):
        self.folder = folder
        self.n_marks = 0
        self.stream = Stream(envd.port, SERVICE + "WatchDir", message, headers)
        first = self.stream.next()
        if first != {"start": {}}:
            raise AssertionError(first or self.stream.end)

    def one(self):
        """The next event."""
        while True:
            message = self.stream.next()
            if message is None:
                raise AssertionError(self.stream.end)
            if "keepalive" not in message:
                return message["filesystem"]

    def events(self):
        """What was told of all until now: what comes before a file that is made now, and its removal."""
        mark = os.path.join(self.folder, MARK)
        self.n_marks += 1
        os.close(os.open(mark, os.O_CREAT))
        os.unlink(mark)
        found = []
        while short(event := self.one()) != ("REMOVE", MARK):
            if event["name"] != MARK:
                found.append(event)
        return found

    def refusal(self):
        for _ in self.stream:
            pass
        return self.stream.end["error"]["code"], self.stream.end["error"].get("message")

    def close(self):
        self.stream.close()


class Polled:
    """A CreateWatcher."""

    def __init__(self, envd, folder, message, headers=None):
        self.envd = envd
        status, body = envd.rpc(SERVICE + "CreateWatcher", message, headers)
        if status != 200:
            raise AssertionError({"error": body})
        self.id = body["watcherId"]

    def events(self):
        status, body = self.envd.rpc(SERVICE + "GetWatcherEvents", {"watcherId": self.id})
        if status != 200:
            raise AssertionError({"error": body})
        return body.get("events", [])

    def refusal(self):
        _, body = self.envd.rpc(SERVICE + "GetWatcherEvents", {"watcherId": self.id})
        return body["code"], body.get("message")

    def close(self):
        status, body = self.envd.rpc(SERVICE + "RemoveWatcher", {"watcherId": self.id})
        if (status, body) != (200, {}):
            raise AssertionError(body)


class WatchTest(unittest.TestCase):
    def setUp(self):
        self.envd = Envd()
        self.addCleanup(self.envd.finish)
        self.top = tempfile.mkdtemp(prefix="envd-watch-")
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)
        self.folder = self.path("watched")
        os.mkdir(self.folder)

    def path(self, name):
        """Beside the watched directory."""
        return os.path.join(self.top, name)

    def at(self, name):
        """In it."""
        return os.path.join(self.folder, name)

    def refused(self, make, code, text):
        with self.assertRaises(AssertionError) as caught:
            make()
        error = caught.exception.args[0]["error"]
        self.assertEqual((error["code"], error["message"]), (code, text))

    def start(self, form, envd=None, path=None, headers=None, **options):
        return form(envd or self.envd, self.folder, {"path": path or self.folder, **options}, headers)


class Both:
    """What holds for both forms."""

    form = None

    @contextlib.contextmanager
    def watching(self, path=None, headers=None, **options):
        watcher = self.start(self.form, None, path, headers, **options)
        try:
            yield watcher
        finally:
            watcher.close()
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")

    def told(self, watcher):
        return [short(event) for event in watcher.events()]

    def test_each_kind_of_change_is_told_in_order(self):
        os.mkdir(self.at("below"))
        with self.watching() as watcher:
            write(self.at("a"), b"text")
            os.chmod(self.at("a"), 0o600)
            os.rename(self.at("a"), self.at("b"))
            os.utime(self.at("b"))
            os.unlink(self.at("b"))
            os.mkdir(self.at("d"))
            write(self.at("d/x"))
            write(self.at("below/x"))
            os.unlink(self.at("d/x"))
            os.rmdir(self.at("d"))
            self.assertEqual(self.told(watcher), [
                ("CREATE", "a"), ("WRITE", "a"), ("CHMOD", "a"), ("RENAME", "a"), ("CREATE", "b"), ("CHMOD", "b"),
                ("REMOVE", "b"), ("CREATE", "d"), ("REMOVE", "d")])

    def test_what_has_been_told_is_not_told_again(self):
        with self.watching() as watcher:
            self.assertEqual(self.told(watcher), [])
            write(self.at("a"))
            self.assertEqual(self.told(watcher), [("CREATE", "a")])
            self.assertEqual(self.told(watcher), [])

    def test_a_tree_is_told_of_by_relative_names(self):
        os.makedirs(self.at("a/b"))
        with self.watching(recursive=True) as watcher:
            write(self.at("a/b/file"), b"1")
            os.mkdir(self.at("a/b/c"))
            os.chmod(self.at("a/b"), 0o700)
            os.rename(self.at("a/b/file"), self.at("a/moved"))
            os.rmdir(self.at("a/b/c"))
            self.assertEqual(self.told(watcher), [
                ("CREATE", "a/b/file"), ("WRITE", "a/b/file"), ("CREATE", "a/b/c"), ("CHMOD", "a/b"), ("CHMOD", "a/b"),
                ("RENAME", "a/b/file"), ("CREATE", "a/moved"), ("REMOVE", "a/b/c")])

    def test_directories_made_at_once_are_watched_to_the_bottom(self):
        names = ["/".join("abcdefgh"[:i + 1]) for i in range(8)]
        with self.watching(recursive=True) as watcher:
            for turn in range(20):
                os.makedirs(self.at(f"{turn}/{names[-1]}"))
                write(self.at(f"{turn}/{names[-1]}/first"))
            first = self.told(watcher)
            for turn in range(20):
                write(self.at(f"{turn}/{names[-1]}/second"))
            second = self.told(watcher)
        for turn in range(20):
            wanted = [("CREATE", f"{turn}/{name}") for name in names + [names[-1] + "/first"]]
            places = [first.index(event) for event in wanted]
            self.assertEqual(places, sorted(places))
            self.assertIn(("CREATE", f"{turn}/{names[-1]}/second"), second)

    def test_a_renamed_directory_takes_all_below_along_and_no_sibling(self):
        for name in ("foo/deep", "foo2", "foobar"):
            os.makedirs(self.at(name))
        with self.watching(recursive=True) as watcher:
            os.rename(self.at("foo"), self.at("bar"))
            self.assertEqual(self.told(watcher), [("RENAME", "foo"), ("CREATE", "bar")])
            for name in ("bar/deep/x", "foo2/x", "foobar/x"):
                write(self.at(name))
            self.assertEqual(self.told(watcher), [("CREATE", "bar/deep/x"), ("CREATE", "foo2/x"), ("CREATE", "foobar/x")])
            os.rename(self.at("bar/deep"), self.at("foo2/deep"))
            write(self.at("foo2/deep/y"))
            self.assertEqual(self.told(watcher), [("RENAME", "bar/deep"), ("CREATE", "foo2/deep"),
                                                  ("CREATE", "foo2/deep/y")])

    def test_a_directory_that_leaves_is_forgotten_and_one_that_comes_is_told_whole(self):
        os.makedirs(self.at("a/b"))
        os.makedirs(self.path("new/y/z"))
        write(self.path("new/x"))
        write(self.path("new/y/file"))
        with self.watching(recursive=True) as watcher:
            os.rename(self.at("a"), self.path("gone"))
            write(self.path("gone/b/file"))
            self.assertEqual(self.told(watcher), [("RENAME", "a")])
            wait_for(lambda: count_watches(self.envd.pid) == 1, "the end of watches outside")
            os.rename(self.path("new"), self.at("new"))
            self.assertEqual(self.told(watcher), [("CREATE", name) for name in (
                "new", "new/x", "new/y", "new/y/file", "new/y/z")])
            write(self.at("new/y/z/last"))
            self.assertEqual(self.told(watcher), [("CREATE", "new/y/z/last")])

    def test_directories_that_vanish_at_once_end_nothing(self):
        with self.watching(recursive=True) as watcher:
            for _ in range(500):
                os.makedirs(self.at("a/b"))
                os.rmdir(self.at("a/b"))
                os.rmdir(self.at("a"))
            self.assertEqual([event for event in self.told(watcher) if event[1] == "a"],
                             [("CREATE", "a"), ("REMOVE", "a")] * 500)

    def test_the_directory_itself_is_a_dot(self):
        with self.watching(recursive=True) as watcher:
            os.chmod(self.folder, 0o700)
            self.assertEqual(self.told(watcher), [("CHMOD", ".")])

    def test_entries_come_with_what_is_there(self):
        with self.watching(recursive=True, includeEntry=True) as watcher:
            os.mkdir(self.at("d"))
            first = watcher.events()[0]
            self.assertEqual((short(first), first["entry"]["type"]), (("CREATE", "d"), "FILE_TYPE_DIRECTORY"))
            write(self.at("d/a"), b"text")
            os.symlink("nowhere", self.at("link"))
            os.chmod(self.at("d/a"), 0o640)
            events = {short(event): event.get("entry") for event in watcher.events()}
            entry = events["CHMOD", "d/a"]
            self.assertEqual((entry["name"], entry["type"], entry["path"], entry["size"], entry["mode"], entry["owner"]),
                             ("a", "FILE_TYPE_FILE", self.at("d/a"), "4", 0o640, ME))
            self.assertTrue(events["CREATE", "link"]["isSymlink"])
            self.assertEqual(events["WRITE", "d/a"]["path"], self.at("d/a"))
            os.rename(self.at("d/a"), self.at("d/b"))
            write(self.at("d/a"))
            os.unlink(self.at("link"))
            write(self.at("link"))
            gone = [event for event in watcher.events() if kind(event) in ("RENAME", "REMOVE")]
            self.assertEqual([short(event) for event in gone], [("RENAME", "d/a"), ("REMOVE", "link")])
            self.assertFalse(any("entry" in event for event in gone))

    def test_a_link_to_a_directory_is_watched_as_that(self):
        os.symlink(self.folder, self.path("link"))
        os.mkdir(self.at("d"))
        for path in (self.path("link"), self.path("link/")):
            with self.watching(path=path, recursive=True, includeEntry=True) as watcher:
                write(self.at("d/x"))
                event = watcher.events()[0]
                self.assertEqual((short(event), event["entry"]["path"]), (("CREATE", "d/x"), self.path("link/d/x")))
                os.unlink(self.at("d/x"))
                watcher.events()

    def test_names_that_are_no_text_are_repaired(self):
        with self.watching() as watcher:
            write(os.fsencode(self.folder) + b"/\xff\xfe")
            self.assertEqual(self.told(watcher), [("CREATE", "\ufffd\ufffd")])

    def test_paths_are_those_of_the_user(self):
        self.envd.request("POST", "/init", json.dumps({"defaultWorkdir": self.top}).encode())
        watcher = self.form(self.envd, self.top, {"path": ""}, basic(ME))
        write(self.path("beside"))
        self.assertEqual(self.told(watcher), [("CREATE", "beside")])
        watcher.close()
        self.refused(lambda: self.start(self.form, headers=basic("no-such")), "unauthenticated",
                     "invalid username: 'no-such'")
        self.refused(lambda: self.start(self.form, path="~other"), "invalid_argument",
                     f"failed to expand path '~other' for user '{ME}': cannot expand user-specific home dir")
        self.envd.request("POST", "/init", b'{"defaultUser":"no-such"}')
        self.refused(lambda: self.start(self.form), "unauthenticated", "invalid default user: 'no-such'")

    def test_what_is_no_directory_is_refused(self):
        write(self.at("file"))
        for options in ({}, {"recursive": True}):
            missing = self.at("missing")
            self.refused(lambda: self.start(self.form, path=missing, **options), "not_found",
                         f"path {missing} not found: stat {missing}: no such file or directory")
            file = self.at("file")
            self.refused(lambda: self.start(self.form, path=file, **options), "invalid_argument",
                         f"path {file} not a directory")
            below = self.at("file/x")
            self.refused(lambda: self.start(self.form, path=below, **options), "internal",
                         f"error statting path {below}: stat {below}: not a directory")

    def test_ten_thousand_files_made_in_a_burst_are_all_told(self):
        n_dirs, n_files = 100, 100
        wanted = set()
        with self.watching(recursive=True) as watcher:
            def make(first):
                for d in range(first, n_dirs, 4):
                    os.makedirs(self.at(f"{d}/below"))
                    for i in range(n_files):
                        os.close(os.open(self.at(f"{d}/below/{i}"), os.O_CREAT))
                        wanted.add(f"{d}/below/{i}")

            makers = [threading.Thread(target=make, args=(i,)) for i in range(4)]
            for maker in makers:
                maker.start()
            for maker in makers:
                maker.join()
            told = {name for what, name in self.told(watcher) if what == "CREATE"}
        self.assertEqual(len(wanted), n_dirs * n_files)
        self.assertEqual(wanted - told, set())

    def test_after_a_storm_of_renames_each_directory_has_its_name(self):
        dice = random.Random(int(os.environ.get("ENVD_TEST_SEED", "1")))
        for i in range(30):
            os.makedirs(self.at(f"d{i}/e/f"))
        with self.watching(recursive=True) as watcher:
            def blow(seed):
                dice = random.Random(seed)
                for _ in range(400):
                    places = [self.folder, *(str(path) for path in pathlib.Path(self.folder).glob("*/"))]
                    with contextlib.suppress(OSError):  # another storm was faster
                        source = dice.choice(places[1:])
                        os.rename(source, os.path.join(dice.choice(places), f"n{dice.randrange(60)}"))

            storms = [threading.Thread(target=blow, args=(dice.random(),)) for _ in range(3)]
            for storm in storms:
                storm.start()
            for storm in storms:
                storm.join()
            watcher.events()
            wanted = collections.Counter()
            for path, _, _ in os.walk(self.folder):
                write(os.path.join(path, "probe"))
                wanted["CREATE", os.path.relpath(os.path.join(path, "probe"), self.folder)] += 1
            self.assertEqual(collections.Counter(self.told(watcher)), wanted)

    def test_the_legacy_client_gets_what_it_knows(self):
        with self.watching(headers=LEGACY, includeEntry=True) as watcher:
            write(self.at("a"))
            if isinstance(watcher, Polled):
                answer = self.envd.request("POST", SERVICE + "GetWatcherEvents", json.dumps({"watcherId": watcher.id}),
                                           {"Content-Type": "application/json", **LEGACY})
                self.assertEqual(answer.one("X-E2B-Legacy-SDK"), "true")
                events = json.loads(answer.body)["events"]
            else:
                self.assertEqual(watcher.stream.answer.getheader("X-E2B-Legacy-SDK"), "true")
                events = watcher.events()
            self.assertEqual(events, [{"name": "a", "type": "EVENT_TYPE_CREATE"}])

    def test_records_that_the_kernel_has_lost_end_all_watchers(self):
        if QUEUE > 100000:
            self.skipTest("the kernel's queue is long")
        watcher = self.start(self.form, recursive=True)
        other = self.start(Polled)
        os.kill(self.envd.pid, signal.SIGSTOP)
        self.change(QUEUE + 100)
        os.kill(self.envd.pid, signal.SIGCONT)
        self.assertEqual(watcher.refusal(), ("internal", OVERFLOW))
        self.assertEqual(other.refusal(), ("internal", OVERFLOW))
        self.assertEqual(other.refusal(), ("internal", OVERFLOW))
        watcher.close()
        other.close()
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")
        with self.watching() as watcher:
            write(self.at("new"))
            self.assertEqual(self.told(watcher), [("CREATE", "new")])

    def change(self, n, paths=None):
        """n records, none of which is merged with the one before it."""
        paths = paths or [self.at("even"), self.at("odd")]
        for path in paths:
            write(path)
        for i in range(n):
            os.chmod(paths[i % 2], 0o600)

    def test_watches_that_are_used_up_end_a_watcher(self):
        envd = limited_envd(self, "max_inotify_watches", 20)
        for i in range(10):
            os.mkdir(self.at(f"d{i}"))
        watcher = self.start(self.form, envd, recursive=True)
        other = self.start(Polled, envd)
        for i in range(10, 30):
            os.mkdir(self.at(f"d{i}"))
        self.assertEqual(watcher.refusal(), ("internal", f"watcher error: {FULL}"))
        self.assertEqual([short(event) for event in other.events()][:10], [("CREATE", f"d{i}") for i in range(10, 20)])
        self.refused(lambda: self.start(self.form, envd, recursive=True), "internal",
                     f"error adding path {self.folder} to watcher: {FULL}")
        watcher.close()
        other.close()
        wait_for(lambda: count_watches(envd.pid) == 0, "the end of all watches")

    def test_without_an_inotify_descriptor_watching_is_refused(self):
        envd = limited_envd(self, "max_inotify_instances", 0)
        self.refused(lambda: self.start(self.form, envd), "internal", "error creating watcher: too many open files")


def limited_envd(test, limit, value):
    """A daemon in a user namespace of its own, where a limit of the kernel is lower."""
    script = f'echo {value} > /proc/sys/user/{limit} && exec "$@"'
    under = ["unshare", "-Ur", "sh", "-c", script, "sh"]
    if subprocess.run([*under, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        test.skipTest("no user namespaces")
    envd = Envd(under=under)
    test.addCleanup(envd.finish)
    return envd


class StreamTest(Both, WatchTest):
    form = Streamed

    def test_a_stream_begins_with_a_start_and_goes_on_with_signs_of_life(self):
        watcher = self.start(Streamed, headers={"Keepalive-Ping-Interval": "1"})
        self.assertEqual(watcher.stream.answer.getheader("X-Accel-Buffering"), "no")
        self.assertEqual(watcher.stream.next(), {"keepalive": {}})
        self.assertEqual(watcher.stream.next(), {"keepalive": {}})
        write(self.at("a"))
        self.assertEqual(short(watcher.one()), ("CREATE", "a"))
        watcher.close()

    def test_a_directory_that_is_renamed_or_removed_is_silent_then(self):
        for end, told in ((lambda: os.rename(self.folder, self.path("gone")), ("RENAME", ".")),
                          (lambda: os.rmdir(self.folder), ("REMOVE", "."))):
            watcher = self.start(Streamed, headers={"Keepalive-Ping-Interval": "1"}, recursive=True)
            end()
            self.assertEqual(short(watcher.one()), told)
            os.mkdir(self.folder)
            write(self.at("a"))
            os.unlink(self.at("a"))
            self.assertEqual(watcher.stream.next(), {"keepalive": {}})
            watcher.close()

    def test_a_stream_ends_at_its_deadline(self):
        watcher = self.start(Streamed, headers={"Connect-Timeout-Ms": "200"})
        self.assertEqual(watcher.refusal(), ("deadline_exceeded", "context deadline exceeded"))
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")

    def test_a_client_that_is_killed_leaves_nothing(self):
        fds = self.envd.fds()
        code = ("import sys; sys.path[:0] = sys.argv[4:]\n"
                "from envd import Stream\n"
                "s = Stream(int(sys.argv[1]), sys.argv[2], {'path': sys.argv[3], 'recursive': True})\n"
                "print(s.next(), flush=True); s.next()")
        os.makedirs(self.at("a/b"))
        client = subprocess.Popen([sys.executable, "-c", code, str(self.envd.port), SERVICE + "WatchDir", self.folder,
                                   *sys.path], stdout=subprocess.PIPE)
        self.assertIn(b"start", client.stdout.readline())
        self.assertEqual(count_watches(self.envd.pid), 3)
        client.kill()
        client.communicate()
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")
        self.assertLessEqual(self.envd.fds(), fds + 3)  # inotify's, and the pool's

    def test_a_reader_that_never_reads_costs_little_and_disturbs_nobody(self):
        other = self.start(Polled)
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", self.envd.port))
        slow.settimeout(DEADLINE_S)
        body = envelope({"path": self.folder})
        slow.sendall(f"POST {SERVICE}WatchDir HTTP/1.1\r\nHost: h\r\nContent-Type: application/connect+json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        seen = slow.recv(16384)
        self.assertIn(b'{"start":{}}', seen)
        before = self.envd.rss_kib()
        told = 0
        for _ in range(12):
            self.change(10000, [self.at("even"), self.at("odd")])
            told += sum(kind(event) == "CHMOD" for event in other.events())
        self.assertEqual(told, 120000)
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - before, 24 * 1024)
        tail = seen
        while OVERFLOW.encode() not in tail:
            piece = slow.recv(65536)
            self.assertTrue(piece, "the stream broke off")
            tail = tail[-4096:] + piece
        slow.close()
        other.close()
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")

    def test_a_stream_in_protobuf(self):
        path = self.folder.encode()
        message = b"\x0a" + bytes([len(path)]) + path
        with self.envd.connect() as s:
            s.sendall(f"POST {SERVICE}WatchDir HTTP/1.1\r\nHost: h\r\nContent-Type: application/connect+proto\r\n"
                      f"Content-Length: {len(message) + 5}\r\n\r\n".encode() + envelope(message))
            seen = b""
            while b"\0\0\0\0\x02\x0a\0" not in seen:
                seen += s.recv(4096)
            write(self.at("a"))
            while b"\0\0\0\0\x07\x12\x05\x0a\x01a\x10\x01" not in seen:
                piece = s.recv(4096)
                self.assertTrue(piece, seen)
                seen += piece

    def test_a_stream_over_http2(self):
        curl = shutil.which("curl")
        if not curl or b"HTTP2" not in subprocess.check_output([curl, "-V"]):
            self.skipTest("no curl with HTTP/2")
        with tempfile.NamedTemporaryFile() as body:
            body.write(envelope({"path": self.folder, "recursive": True}))
            body.flush()
            client = subprocess.Popen([curl, "-sS", "-N", "--http2-prior-knowledge", "--noproxy", "*", "--data-binary",
                                       f"@{body.name}", "-H", "Content-Type: application/connect+json",
                                       f"http://127.0.0.1:{self.envd.port}{SERVICE}WatchDir"], stdout=subprocess.PIPE)
            try:
                def read():
                    flags, length = struct.unpack(">BI", client.stdout.read(5))
                    return flags, json.loads(client.stdout.read(length))

                self.assertEqual(read(), (0, {"start": {}}))
                os.mkdir(self.at("d"))
                self.assertEqual(read(), (0, {"filesystem": {"name": "d", "type": "EVENT_TYPE_CREATE"}}))
            finally:
                client.kill()
                client.communicate()
        wait_for(lambda: count_watches(self.envd.pid) == 0, "the end of all watches")

    def test_the_legacy_client_is_refused_with_its_field(self):
        stream = Stream(self.envd.port, SERVICE + "WatchDir", {"path": self.at("missing")}, LEGACY)
        self.assertEqual((stream.answer.getheader("X-E2B-Legacy-SDK"), stream.error_code()), ("true", "not_found"))
        stream.close()

    def test_the_daemon_ends_with_watchers_open(self):
        envd = Envd()
        stream = self.start(Streamed, envd, recursive=True)
        self.start(Polled, envd)
        write(self.at("a"))
        self.assertEqual(short(stream.one()), ("CREATE", "a"))
        envd.process.send_signal(signal.SIGTERM)
        envd.process.send_signal(signal.SIGTERM)  # it waits no longer for streams
        envd.finish()
        stream.close()


class PollTest(Both, WatchTest):
    form = Polled

    def test_an_id_is_random_letters(self):
        watchers = [self.start(Polled) for _ in range(20)]
        for watcher in watchers:
            self.assertRegex(watcher.id, r"\Aw[a-z0-9]{20}\Z")
        self.assertEqual(len({watcher.id for watcher in watchers}), 20)
        self.assertEqual(count_watches(self.envd.pid), 1)  # one inode, one watch
        for watcher in watchers:
            watcher.close()

    def test_what_has_no_id_is_not_found(self):
        watcher = self.start(Polled)
        watcher.close()
        for method in ("GetWatcherEvents", "RemoveWatcher"):
            for name in (watcher.id, "", "w"):
                self.assertEqual(self.envd.rpc(SERVICE + method, {"watcherId": name}),
                                 (404, {"code": "not_found", "message": f"watcher with id {name} not found"}))

    def test_an_upload_is_told_when_it_is_answered(self):
        watcher = self.start(Polled)
        for name in ("test.txt", "b", "c"):
            answer = self.envd.request("POST", f"/files?path={self.at(name)}", b"text",
                                       {"Content-Type": "application/octet-stream"})
            self.assertEqual(answer.status, 200, answer.body)
            self.assertEqual(self.told(watcher)[0], ("CREATE", name))
        watcher.close()

    def test_each_change_is_told_right_after_its_call(self):
        watcher = self.start(Polled, includeEntry=True)
        for i in range(200):
            write(self.at(f"{i}"))
            self.assertEqual([(short(event), event["entry"]["name"]) for event in watcher.events()],
                             [(("CREATE", f"{i}"), f"{i}")])
        watcher.close()

    def test_a_directory_that_is_removed_is_silent_then(self):
        with self.watching(recursive=True) as watcher:
            os.rmdir(self.folder)
            self.assertEqual(self.told(watcher), [("REMOVE", ".")])
            os.mkdir(self.folder)
            write(self.at("a"))
            self.assertEqual(self.told(watcher), [])

    def test_events_that_nobody_takes_are_limited(self):
        watcher = self.start(Polled)
        other = self.start(Streamed)
        told = 0
        while told <= EVENTS_MAX:
            self.change(4096)  # fewer than the kernel's queue holds
            told += len(other.events())
        self.assertEqual(watcher.refusal(), ("internal", OVERFLOW))
        self.assertEqual(watcher.refusal(), ("internal", OVERFLOW))
        watcher.close()
        other.close()

    def test_a_watcher_outlives_connection_and_user(self):
        watcher = self.start(Polled, headers=basic(ME))
        self.envd.request("POST", "/init", b'{"defaultUser":"no-such"}')
        write(self.at("a"))
        self.assertEqual(self.told(watcher), [("CREATE", "a")])
        watcher.close()

    def test_many_who_ask_at_once_get_each_event_once(self):
        watcher = self.start(Polled)
        found = collections.Counter()
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                found.update(self.told(watcher))

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        for i in range(500):
            write(self.at(f"{i}"))
        wait_for(lambda: len(found) == 500, "all events")
        stop.set()
        for asker in askers:
            asker.join()
        self.assertEqual(found, collections.Counter(("CREATE", f"{i}") for i in range(500)))
        watcher.close()

    def test_polling_in_protobuf(self):
        def ask(method, text):
            answer = self.envd.request("POST", SERVICE + method, b"\x0a" + bytes([len(text)]) + text,
                                       {"Content-Type": "application/proto"})
            self.assertEqual(answer.status, 200)
            return answer.body

        created = ask("CreateWatcher", self.folder.encode())
        self.assertEqual(created[:3], b"\x0a\x15w")
        write(self.at("a"))
        self.assertEqual(ask("GetWatcherEvents", created[2:]), b"\x0a\x05\x0a\x01a\x10\x01")
        self.assertEqual(ask("RemoveWatcher", created[2:]), b"")

    def mount(self):
        """A network mount, for the rules that there are about those."""
        path = self.path("mount")
        os.mkdir(path)
        try:
            fuse = Fuse(path)
        except OSError as error:
            self.skipTest(f"no FUSE: {error}")
        self.addCleanup(fuse.close)
        return fuse

    def test_network_mounts_are_watched_where_that_is_allowed(self):
        mount = self.mount().path
        self.refused(lambda: self.start(Polled, path=mount), "invalid_argument",
                     f"cannot watch path on network filesystem: {mount}")
        watcher = self.start(Polled, path=mount, allowNetworkMounts=True)
        os.mkdir(os.path.join(mount, "a"))
        self.assertEqual(self.told(watcher), [("CREATE", "a")])
        watcher.close()

    def ask_in_vain(self, envd, fuse):
        """A connection with a CreateWatcher that waits for a file system."""
        body = json.dumps({"path": fuse.path + "/d", "allowNetworkMounts": True}).encode()
        client = envd.connect()
        client.sendall(f"POST {SERVICE}CreateWatcher HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return client

    def test_a_file_system_that_is_stuck_delays_its_own_watchers_only(self):
        fuse = self.mount()
        stuck = self.start(Polled, path=fuse.path, allowNetworkMounts=True)
        fuse.stick()
        clients = [self.ask_in_vain(self.envd, fuse) for _ in range(8)]
        self.assertEqual(self.envd.request("GET", "/health").status, 204)
        watcher = self.start(Polled, includeEntry=True)
        write(self.at("a"))
        self.assertEqual(self.told(watcher), [("CREATE", "a")])
        watcher.close()
        stuck.close()
        for client in clients:
            client.close()
        self.assertEqual(self.envd.request("GET", "/health").status, 204)

    def test_the_daemon_ends_while_a_file_system_is_stuck(self):
        fuse = self.mount()
        envd = Envd()
        fuse.stick()
        client = self.ask_in_vain(envd, fuse)
        self.assertEqual(envd.request("GET", "/health").status, 204)
        envd.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "asked to end" in envd.process.stdout.readline().decode(), "the first signal")
        envd.process.send_signal(signal.SIGTERM)  # it waits no longer for calls
        self.assertEqual(envd.end()[0], 0)
        client.close()
