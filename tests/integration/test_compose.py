"""POST /files/compose as files_http.md 5 says: what becomes of sources and destination, refusals in their order, full
disks, clients that leave."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import pwd
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import unittest

from envd import Envd
from http2_client import Http2
from processes import wait_for

MIB = 1 << 20
ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name
MEMORY = "/dev/shm"  # a tmpfs with room
BODY_MAX = 64 * MIB
SOURCES_MAX = 16384
RESIDENT_MAX_KIB = 3 * 1024


def head(length, path="/files/compose"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


class ComposeTest(unittest.TestCase):
    def setUp(self):
        self.envd = Envd()
        self.addCleanup(self.envd.finish)
        self.folder = self.new_folder()

    def new_folder(self, where=None):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="envd-compose-", dir=where))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def other_file_system(self, options):
        mount = self.folder / "mount"
        mount.mkdir()
        if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", mount],
                                      stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount a file system")
        self.addCleanup(subprocess.run, ["umount", "-l", mount])
        return mount

    def file(self, name, content=b""):
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def body(self, sources, destination, **more):
        return json.dumps({"source_paths": [str(s) for s in sources], "destination": str(destination), **more}).encode()

    def ask(self, body, headers=None):
        return self.envd.request("POST", "/files/compose", body, headers)

    def compose(self, sources, destination, **more):
        answer = self.ask(self.body(sources, destination, **more))
        self.assertEqual(answer.status, 200, answer.body)
        return answer

    def refused(self, status, message, body, headers=None):
        answer = self.ask(body, headers)
        self.assertEqual((answer.status, json.loads(answer.body)), (status, {"code": status, "message": message}))

    def left(self, folder=None):
        return sorted(os.listdir(folder or self.folder))

    # ---- what becomes of it

    def test_compose_makes_one_file_of_several_and_removes_them(self):
        sources = [self.file("a", b"one "), self.file("b"), self.file("c", b"two")]
        answer = self.compose(sources, self.folder / "p/q/<all>")
        path = f"{self.folder}/p/q/\\u003call\\u003e"
        self.assertEqual(answer.body.decode(), f'{{"name":"\\u003call\\u003e","path":"{path}","type":"file"}}\n')
        self.assertEqual(answer.one("Content-Type"), "application/json")
        self.assertEqual((self.folder / "p/q/<all>").read_bytes(), b"one two")
        self.assertEqual(self.left(), ["p"])
        self.assertEqual(stat.S_IMODE(os.stat(self.folder / "p/q/<all>").st_mode), 0o644)

    def test_compose_takes_any_content_type_and_what_follows_the_object(self):
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "nonsense"):
            source = self.file("a", b"x")
            answer = self.ask(self.body([source], self.folder / "all", unknown=[1]) + b" trailing",
                              {"Content-Type": kind} if kind else {})
            self.assertEqual(answer.status, 200, answer.body)

    @unittest.skipUnless(ROOT, "needs root to become somebody else")
    def test_compose_gives_what_it_makes_to_the_user(self):
        source = self.file("a", b"x")
        os.chmod(source, 0o600)
        old = self.file("old", b"y")
        os.setxattr(old, "user.e2b.key", b"value")
        nobody = pwd.getpwnam("nobody")
        self.compose([source], self.folder / "d/new", username="nobody")
        self.compose([self.folder / "d/new"], old, username="nobody")
        for path in (self.folder / "d", old):
            self.assertEqual((os.stat(path).st_uid, os.stat(path).st_gid), (nobody.pw_uid, nobody.pw_gid))
        self.assertEqual((stat.S_IMODE(os.stat(old).st_mode), os.listxattr(old)), (0o644, []))

    def test_compose_resolves_paths_for_the_user(self):
        home = pathlib.Path(pwd.getpwnam(ME).pw_dir)
        name = f".envd-compose-test-{os.getpid()}"
        self.addCleanup(lambda: (home / name).unlink(missing_ok=True))
        self.compose([self.file("a", b"x")], name)
        self.assertEqual((home / name).read_bytes(), b"x")
        self.compose([f"~/{name}"], self.folder / "b")
        self.assertEqual(self.left(), ["b"])

    def test_compose_of_sources_that_come_again_and_of_links(self):
        a = self.file("a", b"x")
        os.symlink("a", self.folder / "link")
        os.link(a, self.folder / "hard")
        self.file("kept", b"y")
        os.symlink("kept", self.folder / "other")
        self.compose([a, self.folder / "link", a, self.folder / "hard", self.folder / "other"], self.folder / "all")
        self.assertEqual((self.folder / "all").read_bytes(), b"xxxxy")
        self.assertEqual(self.left(), ["all", "kept"])

    def test_compose_of_pseudo_files_has_their_content(self):
        version = pathlib.Path("/proc/version").read_bytes()
        ostype = pathlib.Path("/proc/sys/kernel/ostype").read_bytes()
        self.compose(["/proc/version", "/proc/sys/kernel/ostype", self.file("a", b"x")], self.folder / "all")
        self.assertEqual((self.folder / "all").read_bytes(), version + ostype + b"x")

    def test_compose_across_file_systems(self):
        folder = self.new_folder(MEMORY)
        (folder / "b").write_bytes(b"memory " * 100000)
        a = self.file("a", b"disk " * 100000)
        self.compose([a, folder / "b"], folder / "all")
        self.compose([folder / "all", self.file("c", b"end")], self.folder / "all")
        self.assertEqual((self.folder / "all").read_bytes(), b"disk " * 100000 + b"memory " * 100000 + b"end")
        self.assertEqual((self.left(folder), self.left()), ([], ["all"]))

    def test_compose_over_http2(self):
        client = Http2(self.envd.port)
        client.post("/files/compose", self.body([self.file("a", b"x"), self.file("b", b"y")], self.folder / "all"))
        got = []
        self.assertTrue(client.body(got.append))
        client.close()
        self.assertEqual(json.loads(b"".join(got))["name"], "all")
        self.assertEqual((self.folder / "all").read_bytes(), b"xy")

    def test_compose_of_large_files_takes_no_memory(self):
        """3 x 256 MiB on a tmpfs, over both protocols."""
        folder = self.new_folder(MEMORY)
        block = os.urandom(MIB)
        for i in range(3):
            with open(folder / f"{i}", "wb") as f:
                for _ in range(256):
                    f.write(block[i:] + block[:i])
        before = hashlib.sha1()
        for i in range(3):
            with open(folder / f"{i}", "rb") as f:
                while piece := f.read(MIB):
                    before.update(piece)
        self.compose([folder / "0", folder / "1"], folder / "half")
        client = Http2(self.envd.port)
        client.post("/files/compose", self.body([folder / "half", folder / "2"], folder / "all"))
        self.assertTrue(client.body(lambda _: None))
        client.close()
        self.assertEqual(self.left(folder), ["all"])
        after = hashlib.sha1()
        with open(folder / "all", "rb") as f:
            while piece := f.read(MIB):
                after.update(piece)
        self.assertEqual(after.digest(), before.digest())
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib(), RESIDENT_MAX_KIB)

    def test_compose_of_as_many_sources_as_there_may_be(self):
        for i in range(SOURCES_MAX):
            self.file(f"{i}", b"%x" % (i % 16))
        self.compose([self.folder / f"{i}" for i in range(SOURCES_MAX)], self.folder / "all")
        self.assertEqual((self.folder / "all").read_bytes(), b"0123456789abcdef" * (SOURCES_MAX // 16))
        self.assertEqual(self.left(), ["all"])
        self.refused(400, f"source_paths has more than {SOURCES_MAX} elements",
                     self.body(["/x"] * (SOURCES_MAX + 1), self.folder / "c"))

    def test_compositions_beside_each_other(self):
        """More than run at once, into one missing tree."""
        def one(i):
            sources = [self.file(f"{i}.{k}", b"%d " % k * 1000) for k in range(5)]
            self.compose(sources, self.folder / "p/q" / f"{i}")
            return (self.folder / "p/q" / f"{i}").read_bytes()
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            for content in pool.map(one, range(300)):
                self.assertEqual(content, b"".join(b"%d " % k * 1000 for k in range(5)))
        self.assertEqual(self.left(), ["p"])

    # ---- what is refused

    def test_compose_of_the_destination_is_refused_by_whatever_path(self):
        a, other = self.file("a", b"x"), self.file("other", b"y")
        os.symlink("a", self.folder / "link")
        os.link(a, self.folder / "hard")
        os.symlink(".", self.folder / "here")
        for source in (a, f"{self.folder}/./a", f"{self.folder}//a", f"{self.folder}/here/a", f"{self.folder}/link",
                       f"{self.folder}/hard"):
            self.refused(400, f'source path "{source}" cannot be the same as destination', self.body([other, source], a))
        new = f"{self.folder}/new"
        self.refused(400, f'source path "{new}" cannot be the same as destination', self.body([new], new))
        self.assertEqual(pathlib.Path(a).read_bytes(), b"x")
        self.assertEqual(self.left(), ["a", "hard", "here", "link", "other"])

    def test_compose_says_what_is_wrong_in_order(self):
        a, missing = self.file("a", b"x"), f"{self.folder}/missing"
        all_ = f"{self.folder}/all"
        self.refused(400, "invalid request body: EOF", b"")
        self.refused(400, "source_paths must not be empty", self.body([], ""))
        self.refused(400, "destination is required", self.body([a], "", username="no-such"))
        self.refused(401, "error looking up user 'no-such': user: unknown user no-such",
                     self.body([missing], "~x", username="no-such"))
        expand = f"for user '{ME}': cannot expand user-specific home dir"
        self.refused(400, f"error resolving destination path: failed to expand path '~x' {expand}", self.body(["~y"], "~x"))
        self.refused(400, f'error resolving source path "~y": failed to expand path \'~y\' {expand}',
                     self.body([a, "~y", missing], all_))
        self.refused(404, f"source file not found: {missing}", self.body([a, missing, "~y"], all_))
        self.refused(404, f"source file not found: {a}/x", self.body([f"{a}/x"], all_))
        os.mkfifo(self.folder / "fifo")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(f"{self.folder}/socket")
        for source in (self.folder, f"{self.folder}/fifo", f"{self.folder}/socket", "/dev/zero", "/dev/null"):
            self.refused(400, f"source path is not a regular file: {source}", self.body([a, source], all_))
        self.refused(500, f"error finalizing compose: rename {self.folder}: file exists", self.body([a], self.folder))
        self.refused(500, f"error finalizing compose: rename {self.folder}/n/: not a directory",
                     self.body([a], f"{self.folder}/n/"))
        self.refused(500, f"error ensuring directories: path is a file: {a}", self.body([a], f"{a}/x"))
        self.assertEqual(self.left(), ["a", "fifo", "socket"])

    def test_compose_of_what_is_no_json_is_refused(self):
        for body in (b"{", b"x", b"[]", b'{"source_paths":"a","destination":"b"}', b'{"source_paths":[1],"destination":"b"}',
                     b"\xff", b"[" * 20000):
            answer = self.ask(body)
            self.assertEqual(answer.status, 400, body)
            self.assertTrue(json.loads(answer.body)["message"].startswith("invalid request body: "), answer.body)

    def test_compose_needs_a_user(self):
        self.envd.request("POST", "/init", b'{"defaultUser":"no-such"}')
        a = self.file("a", b"x")
        self.refused(401, "error looking up user 'no-such': user: unknown user no-such", self.body([a], f"{a}2"))
        self.compose([a], f"{a}2", username=ME)

    def test_compose_is_for_the_holder_of_the_token(self):
        """A signature does not help, and nothing of the body is read."""
        self.envd.request("POST", "/init", b'{"accessToken":"secret"}')
        a = self.file("a", b"x")
        text = "unauthorized access, please provide a valid access token or method signing if supported"
        for headers in ({}, {"X-Access-Token": "wrong"}):
            self.refused(401, text, self.body([a], f"{a}2"), headers)
        answer = self.envd.raw(b"POST /files/compose?signature=v1_x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               b"Content-Length: 1000000\r\nConnection: close\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)
        self.assertEqual(self.ask(self.body([a], f"{a}2"), {"X-Access-Token": "secret"}).status, 200)

    def test_compose_is_a_post(self):
        answer = self.envd.request("GET", "/files/compose")
        self.assertEqual((answer.status, answer.all("Allow")), (405, ["POST"]))
        self.assertEqual(self.envd.request("POST", "/files/compose/", b"{}").status, 404)

    def test_compose_bodies_have_a_limit(self):
        answer = self.envd.raw(b"POST /files/compose HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                               b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1))
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer)
        a = self.file("a", b"x")
        body = self.body([a], f"{a}2")
        self.assertEqual(self.ask(body + b" " * (BODY_MAX - len(body))).status, 200)
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib(), RESIDENT_MAX_KIB)

    def test_compose_body_that_ends_early_composes_nothing(self):
        a = self.file("a", b"x")
        body = self.body([a], f"{a}2")
        answer = self.envd.raw(head(len(body) + 1) + body, half_close=True)
        self.assertIn(b'"invalid request body: unexpected EOF"', answer)
        self.assertEqual(self.left(), ["a"])

    # ---- what goes wrong in the middle

    def check_full(self, mount):
        (mount / "all").write_bytes(b"old")
        sources = [self.file("a", os.urandom(MIB)), self.file("b", os.urandom(MIB))]
        before = [pathlib.Path(s).read_bytes() for s in sources]
        self.refused(507, "not enough disk space available", self.body(sources, mount / "all"))
        self.assertEqual([pathlib.Path(s).read_bytes() for s in sources], before)
        self.assertEqual((mount / "all").read_bytes(), b"old")

    def test_compose_on_a_full_disk_leaves_all_as_it_was(self):
        mount = self.other_file_system("size=1500k")
        for _ in range(3):
            self.check_full(mount)
            self.assertEqual(self.left(mount), ["all"])

    def test_compose_without_an_inode_leaves_all_as_it_was(self):
        mount = self.other_file_system("size=1500k,nr_inodes=4")
        for i in range(2):
            (mount / f"{i}").write_bytes(b"")
        self.check_full(mount)
        self.assertEqual(self.left(mount), ["0", "1", "all"])

    def test_compose_of_sources_on_the_full_disk_itself(self):
        mount = self.other_file_system("size=1m")
        for name in "ab":
            (mount / name).write_bytes(name.encode() * 400000)
        self.refused(507, "not enough disk space available", self.body([mount / "a", mount / "b"], mount / "all"))
        self.assertEqual(self.left(mount), ["a", "b"])
        self.compose([mount / "a", mount / "b"], self.folder / "all")
        self.assertEqual((self.folder / "all").read_bytes(), b"a" * 400000 + b"b" * 400000)
        self.assertEqual(self.left(mount), [])

    def leaves(self, leave):
        """A client that goes in the middle of a copy of 1 GiB; what is left are the sources."""
        folder = self.new_folder(MEMORY)
        for i in range(4):
            with open(folder / f"{i}", "wb") as f:
                for _ in range(256):
                    f.write(bytes([i + 1]) * MIB)
        body = self.body([folder / f"{i}" for i in range(4)], folder / "all")
        leave(body, lambda: wait_for(lambda: len(os.listdir(folder)) > 4, "the copy to begin"))
        wait_for(lambda: not any(name.startswith(".") for name in os.listdir(folder)), "the copy to end")
        if os.path.exists(folder / "all"):
            self.skipTest("the copy was faster")
        self.assertEqual(self.left(folder), ["0", "1", "2", "3"])
        self.assertEqual([os.stat(folder / f"{i}").st_size for i in range(4)], [256 * MIB] * 4)

    def test_compose_whose_client_is_reset_is_undone(self):
        def leave(body, has_begun):
            with self.envd.connect() as s:
                s.sendall(head(len(body)) + body)
                has_begun()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leaves(leave)

    def test_compose_whose_client_leaves_http2_is_undone(self):
        def leave(body, has_begun):
            client = Http2(self.envd.port)
            client.post("/files/compose", body)
            has_begun()
            client.close()
        self.leaves(leave)

    def test_compose_whose_client_has_ended_its_side_is_answered_if_it_is_quick(self):
        a = self.file("a", b"x")
        body = self.body([a], f"{a}2")
        self.assertTrue(self.envd.raw(head(len(body)) + body, half_close=True).startswith(b"HTTP/1.1 200 "))

    def test_compose_while_it_copies_the_daemon_answers(self):
        """Others do not wait for it; it ends with the daemon, half done or not at all."""
        folder = self.new_folder(MEMORY)
        for i in range(4):
            with open(folder / f"{i}", "wb") as f:
                f.write(b"x" * 256 * MIB)
        worker = threading.Thread(target=self.ask, args=(self.body([folder / f"{i}" for i in range(4)], folder / "all"),))
        worker.start()
        n = 0
        while worker.is_alive():
            self.assertEqual(self.envd.request("GET", "/health").status, 204)
            self.assertEqual(self.envd.rpc("/filesystem.Filesystem/Stat", {"path": str(self.folder)})[0], 200)
            n += 1
        worker.join()
        self.assertGreater(n, 5)
        self.assertEqual(self.left(folder), ["all"])
