"""The Filesystem service's unary calls, as filesystem.md 1-3, newer.md F and wire.md 8 say."""
import concurrent.futures
import grp
import gzip
import json
import os
import pathlib
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from envd import Envd, basic, read_all
from fuse import Fuse
from processes import wait_for

ME = pwd.getpwuid(os.geteuid()).pw_name
HOME = pwd.getpwnam(ME).pw_dir
ROOT = os.geteuid() == 0
THREADS_MAX = 128  # JOB_THREADS_MAX in loop/job.h
PROMPT_S = 2  # for 60 requests, on a busy machine
MISSING = "no such file or directory"


def nested(path, depth, name):
    """A directory with directories of that name in it, one in the other."""
    os.mkdir(path)
    fd = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


def make_every_byte(path):
    """A directory with a file for every byte that a name may have; the names."""
    os.mkdir(path)
    names = [b"x" + bytes([byte]) + b"y" for byte in range(1, 256) if byte != ord("/")]
    for name in names:
        os.close(os.open(os.fsencode(path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    return names


def decoded(name):
    return name.decode("utf-8", "replace")


class FilesystemTest(unittest.TestCase):
    def setUp(self):
        self.envd = Envd()
        self.addCleanup(self.envd.finish)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="envd-fs-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return f"{self.folder}/{name}"

    def file(self, name, text="", mode=0o644):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def ask(self, method, headers=None, **message):
        """The answer of a call that succeeds."""
        status, body = self.envd.rpc(f"/filesystem.Filesystem/{method}", message, headers)
        self.assertEqual(status, 200, body)
        return body

    def refused(self, method, code, text, headers=None, **message):
        status, body = self.envd.rpc(f"/filesystem.Filesystem/{method}", message, headers)
        self.assertEqual((body.get("code"), body.get("message")), (code, text))
        return status


class StatTest(FilesystemTest):
    def stat(self, path, headers=None):
        return self.ask("Stat", headers, path=str(path))["entry"]

    def test_stat_of_a_file_says_all_there_is(self):
        path = self.file("a.txt", "hello", 0o640)
        os.utime(path, ns=(0, 1700000000123456789))
        self.assertEqual(self.stat(path), {
            "name": "a.txt", "type": "FILE_TYPE_FILE", "path": path, "size": "5", "mode": 0o640,
            "permissions": "-rw-r-----", "owner": ME, "group": grp.getgrgid(os.getegid()).gr_name,
            "modifiedTime": "2023-11-14T22:13:20.123456789Z"})

    def test_stat_of_links_speaks_for_their_targets(self):
        path = self.file("a.txt", "hello", 0o640)
        os.symlink("a.txt", self.path("link"))
        os.symlink("missing", self.path("dangling"))
        os.symlink("cycle", self.path("cycle"))
        os.symlink(".", self.path("here"))
        link = self.stat(self.path("link"))
        self.assertEqual((link["type"], link["isSymlink"], link["symlinkTarget"], link["size"], link["permissions"],
                          link["mode"]), ("FILE_TYPE_FILE", True, path, "5", "Lrwxrwxrwx", 0o640))
        self.assertEqual(self.stat(self.path("here"))["type"], "FILE_TYPE_DIRECTORY")
        for name in ("dangling", "cycle"):
            entry = self.stat(self.path(name))
            self.assertEqual((entry["isSymlink"], entry["symlinkTarget"]), (True, self.path(name)))
            self.assertFalse({"type", "mode"} & entry.keys())
        behind = self.stat(self.path("here/"))
        self.assertEqual((behind["name"], behind["path"]), ("here", self.path("here/")))
        self.assertNotIn("isSymlink", behind)

    def test_stat_of_what_is_neither_file_nor_directory_has_no_type(self):
        os.mkfifo(self.path("fifo"), 0o600)
        self.assertEqual(self.stat(self.path("fifo"))["permissions"], "prw-------")
        device = self.stat("/dev/null")
        self.assertEqual((device.get("type"), device["permissions"], device.get("size", "0")), (None, "Dcrw-rw-rw-", "0"))
        self.assertEqual(self.stat("/")["name"], "/")
        self.assertEqual(self.stat("/tmp")["permissions"], "dtrwxrwxrwx")

    def test_stat_shows_metadata(self):
        path = self.file("a")
        try:
            os.setxattr(path, "user.e2b.key", b"v\xc3\xa4lue")
        except OSError as error:
            self.skipTest(f"no extended attributes in {self.folder}: {error}")
        os.setxattr(path, "user.e2b.empty", b"")
        os.setxattr(path, "user.e2b.broken", b"\xff")
        os.setxattr(path, "user.other", b"1")
        os.symlink("a", self.path("link"))
        for name in ("a", "link"):
            self.assertEqual(self.stat(self.path(name))["metadata"], {"key": "v\u00e4lue", "empty": ""})

    def test_stat_resolves_paths_for_the_user(self):
        self.assertEqual(self.stat("")["path"], HOME)
        self.assertEqual(self.stat("~")["path"], HOME)
        self.assertEqual(self.stat("../..//")["path"], os.path.normpath(HOME + "/../.."))
        self.assertEqual(self.stat(f"{self.folder}/../{self.folder.name}//")["path"], f"{self.folder}/../{self.folder.name}//")
        self.envd.request("POST", "/init", json.dumps({"defaultWorkdir": str(self.folder)}).encode())
        self.assertEqual(self.stat("")["path"], str(self.folder))
        self.assertEqual(self.stat("~/")["path"], HOME)

    def test_stat_of_what_cannot_be_looked_at(self):
        path = self.path("missing")
        self.assertEqual(self.refused("Stat", "not_found", f"file not found: lstat {path}: {MISSING}", path=path), 404)
        path = self.file("file") + "/x"
        self.assertEqual(self.refused("Stat", "internal", f"error getting file info: lstat {path}: not a directory",
                                      path=path), 500)
        path = self.path("x" * 256)
        self.refused("Stat", "internal", f"error getting file info: lstat {path}: file name too long", path=path)
        self.refused("Stat", "invalid_argument", f"failed to expand path '~other' for user '{ME}': cannot expand "
                                                 "user-specific home dir", path="~other")

    def test_stat_needs_a_user_that_exists(self):
        self.assertEqual(self.refused("Stat", "unauthenticated", "invalid username: 'no-such'", basic("no-such"),
                                      path="/"), 401)
        self.envd.request("POST", "/init", b'{"defaultUser":"no-such"}')
        self.assertEqual(self.refused("Stat", "unauthenticated", "invalid default user: 'no-such'", path="/"), 401)
        self.assertEqual(self.stat("/", basic(ME))["name"], "/")

    def test_stat_repairs_names_that_are_no_text(self):
        os.mkdir(os.fsencode(self.folder) + b"/\xff\xfed")
        os.symlink(b"\xff\xfed", os.fsencode(self.folder) + b"/link")
        entry = self.stat(self.path("link"))
        self.assertEqual(entry["symlinkTarget"], self.path("\ufffd\ufffdd"))

    def test_stat_leaves_out_a_time_that_cannot_be_said(self):
        path = self.file("a")
        os.utime(path, ns=(0, 0))
        self.assertNotIn("modifiedTime", self.stat(path))

    def test_stat_over_connect_proto_and_grpc_web(self):
        path = self.file("a", "xyz").encode()
        message = b"\x0a" + bytes([len(path)]) + path
        answer = self.envd.request("POST", "/filesystem.Filesystem/Stat", message, {"Content-Type": "application/proto"})
        self.assertEqual(answer.status, 200)
        self.assertIn(b"\x0a\x01a\x10\x01\x1a" + bytes([len(path)]) + path + b"\x20\x03", answer.body)
        frame = b"\0\0\0\0" + bytes([len(message)]) + message
        answer = self.envd.request("POST", "/filesystem.Filesystem/Stat", frame, {"Content-Type": "application/grpc-web"})
        self.assertIn(b"\x20\x03", answer.body)
        self.assertTrue(answer.body.endswith(b"grpc-status: 0\r\n"))

    def test_stat_of_a_thousand_nested_directories(self):
        """As deep as a path reaches; what is further down has no path."""
        nested(self.path("deep"), 1000, "n")
        self.addCleanup(self.ask, "Remove", path=self.path("deep"))
        path = self.path("deep" + "/n" * 1000)
        self.assertEqual(self.stat(path)["path"], path)
        nested(self.path("deeper"), 1000, "n" * 40)
        self.addCleanup(self.ask, "Remove", path=self.path("deeper"))
        path = self.path("deeper" + ("/" + "n" * 40) * 1000)
        self.refused("Stat", "internal", f"error getting file info: lstat {path}: file name too long", path=path)

    def test_stat_of_names_with_every_byte(self):
        """What JSON can say is found; what it cannot has no name there."""
        for name in make_every_byte(self.path("d")):
            path = self.path("d/") + decoded(name)
            if name.isascii():
                self.assertEqual(self.stat(path)["name"], decoded(name))
            else:
                self.refused("Stat", "not_found", f"file not found: lstat {path}: {MISSING}", path=path)

    def test_stat_for_the_legacy_client_is_short(self):
        path = self.file("a", "hello")
        legacy = {"User-Agent": "connect-python"}
        answer = self.envd.request("POST", "/filesystem.Filesystem/Stat", json.dumps({"path": path}).encode(),
                                   {"Content-Type": "application/json", **legacy})
        self.assertEqual(json.loads(answer.body), {"entry": {"name": "a", "type": "FILE_TYPE_FILE", "path": path}})
        self.assertEqual(answer.one("X-E2B-Legacy-SDK"), "true")
        answer = self.envd.request("POST", "/filesystem.Filesystem/Stat", b'{"path":"/no/such"}',
                                   {"Content-Type": "application/json", **legacy})
        self.assertEqual((answer.status, answer.one("X-E2B-Legacy-SDK")), (404, None))
        answer = self.envd.request("POST", "/filesystem.Filesystem/Stat", json.dumps({"path": path}).encode(),
                                   {"Content-Type": "application/json", "User-Agent": "connect-python/1"})
        self.assertIsNone(answer.one("X-E2B-Legacy-SDK"))


class MakeDirTest(FilesystemTest):
    def test_make_dir_makes_the_directory_and_its_parents(self):
        path = self.path("a/b/c")
        entry = self.ask("MakeDir", path=path)["entry"]
        self.assertEqual((entry["name"], entry["type"], entry["path"], entry["permissions"], entry["owner"]),
                         ("c", "FILE_TYPE_DIRECTORY", path, "drwxr-xr-x", ME))
        self.assertTrue(os.path.isdir(path))

    @unittest.skipUnless(ROOT, "needs root to become somebody else")
    def test_make_dir_gives_what_it_makes_to_the_user(self):
        entry = self.ask("MakeDir", basic("nobody"), path=self.path("x/y"))["entry"]
        self.assertEqual(entry["owner"], "nobody")
        self.assertEqual(os.stat(self.path("x")).st_uid, pwd.getpwnam("nobody").pw_uid)
        self.assertEqual(os.stat(self.folder).st_uid, os.geteuid())

    def test_make_dir_of_what_is_there(self):
        file, folder = self.file("file"), str(self.folder)
        self.assertEqual(self.refused("MakeDir", "already_exists", f"directory already exists: {folder}", path=folder), 409)
        self.assertEqual(self.refused("MakeDir", "invalid_argument",
                                      f"path already exists but it is not a directory: {file}", path=file), 400)
        self.refused("MakeDir", "internal", f"error getting file info: stat {file}/x: not a directory", path=file + "/x")

    def test_make_dir_behind_a_dangling_link(self):
        os.symlink("missing", self.path("dangling"))
        self.refused("MakeDir", "internal", f"failed to chown directory: chown {self.path('dangling')}: {MISSING}",
                     path=self.path("dangling/x"))

    def test_make_dir_by_many_at_once(self):
        """Four calls make the same parents: all of them succeed."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: self.ask("MakeDir", path=self.path(f"p/q/r/s/{i}")), range(16)))
        self.assertEqual(len(os.listdir(self.path("p/q/r/s"))), 16)

    def test_make_dir_for_the_legacy_client_is_short(self):
        entry = self.ask("MakeDir", {"User-Agent": "connect-python"}, path=self.path("d"))["entry"]
        self.assertEqual(entry, {"name": "d", "type": "FILE_TYPE_DIRECTORY", "path": self.path("d")})


class RemoveTest(FilesystemTest):
    def remove(self, name, headers=None):
        self.assertEqual(self.ask("Remove", headers, path=self.path(name)), {})

    def test_remove_takes_files_trees_links_and_what_is_missing(self):
        self.file("file")
        os.makedirs(self.path("d/e/f"))
        (self.folder / "d/e/g").write_text("x")
        os.symlink("d", self.path("link"))
        self.remove("missing/too")
        self.remove("link")
        self.assertTrue(os.path.exists(self.path("d/e/g")))
        self.remove("file/")
        self.remove("d")
        self.assertEqual(os.listdir(self.folder), [])

    def test_remove_refuses_dots(self):
        os.makedirs(self.path("d/sub"))
        for name in ("d/.", "d/./", "d/sub/.."):
            self.assertEqual(self.refused("Remove", "internal", "error removing file or directory: RemoveAll "
                                          f"{self.path(name)}: invalid argument", path=self.path(name)), 500)
        self.assertTrue(os.path.exists(self.path("d/sub")))

    def test_remove_behind_a_file(self):
        path = self.file("file") + "/x"
        self.refused("Remove", "internal", f"error removing file or directory: unlinkat {path}: not a directory", path=path)

    @unittest.skipUnless(ROOT, "needs root to mount")
    def test_remove_of_a_mount_point_is_busy(self):
        os.makedirs(self.path("d/mount"))
        self.file("d/file")
        if subprocess.run(["mount", "-t", "tmpfs", "none", self.path("d/mount")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", self.path("d/mount")], stderr=subprocess.DEVNULL)
        self.refused("Remove", "internal", f"error removing file or directory: unlinkat {self.path('d/mount')}: device or "
                                           "resource busy", path=self.path("d"))
        self.assertEqual(os.listdir(self.path("d")), ["mount"])

    def test_remove_of_a_thousand_nested_directories(self):
        nested(self.path("deep"), 1000, "n" * 40)
        self.remove("deep")
        self.assertEqual(os.listdir(self.folder), [])

    def test_remove_of_names_with_every_byte(self):
        make_every_byte(self.path("d"))
        self.remove("d")
        self.assertEqual(os.listdir(self.folder), [])

    def test_remove_of_each_name_that_json_can_say(self):
        names = make_every_byte(self.path("d"))
        for name in names:
            self.remove("d/" + decoded(name))
        self.assertEqual(sorted(os.listdir(os.fsencode(self.path("d")))), sorted(n for n in names if not n.isascii()))

    def test_remove_marks_its_answer_for_the_legacy_client(self):
        answer = self.envd.request("POST", "/filesystem.Filesystem/Remove", json.dumps({"path": self.path("x")}).encode(),
                                   {"Content-Type": "application/json", "User-Agent": "connect-python"})
        self.assertEqual((answer.status, answer.body, answer.one("X-E2B-Legacy-SDK")), (200, b"{}", "true"))


class ListDirTest(FilesystemTest):
    def list(self, path, depth=0, headers=None):
        return self.ask("ListDir", headers, path=str(path), depth=depth).get("entries", [])

    def names(self, path, depth=0):
        """The entries' paths below the listed one."""
        return [entry["path"][len(str(path).rstrip("/")) + 1:] for entry in self.list(path, depth)]

    def test_list_dir_goes_as_deep_as_it_is_told_in_order(self):
        os.makedirs(self.path("b/c"))
        for name in ("b/c/deep", "b.txt", "a", "Z"):
            self.file(name)
        self.assertEqual(self.names(self.folder), ["Z", "a", "b", "b.txt"])
        self.assertEqual(self.names(self.folder, 1), ["Z", "a", "b", "b.txt"])
        self.assertEqual(self.names(self.folder, 2), ["Z", "a", "b", "b/c", "b.txt"])
        self.assertEqual(self.names(self.folder, 4294967295), ["Z", "a", "b", "b/c", "b/c/deep", "b.txt"])
        self.assertEqual(self.ask("ListDir", path=self.path("b/c/../../b/c"), depth=1)["entries"][0]["path"],
                         self.path("b/c/deep"))

    def test_list_dir_of_an_empty_directory_is_an_empty_message(self):
        self.assertEqual(self.ask("ListDir", path=str(self.folder)), {})

    def test_list_dir_says_the_same_as_stat(self):
        self.file("a", "hello")
        os.mkdir(self.path("d"))
        os.symlink("a", self.path("link"))
        os.symlink("missing", self.path("dangling"))
        for entry in self.list(self.folder):
            self.assertEqual(entry, self.ask("Stat", path=entry["path"])["entry"])

    def test_list_dir_follows_a_link_to_the_directory_and_none_in_it(self):
        os.makedirs(self.path("real/sub"))
        os.symlink("real", self.path("link"))
        os.symlink("..", self.path("real/up"))
        self.assertEqual(self.names(self.path("link"), 3), ["sub", "up"])
        self.assertEqual([e["path"] for e in self.list(self.path("link/"))], [self.path("link/sub"), self.path("link/up")])

    def test_list_dir_resolves_paths_for_the_user(self):
        self.envd.request("POST", "/init", json.dumps({"defaultWorkdir": str(self.folder)}).encode())
        self.file("a")
        self.assertEqual([e["path"] for e in self.list("")], [self.path("a")])

    def test_list_dir_of_what_is_no_directory(self):
        file = self.file("file")
        os.symlink("file", self.path("link"))
        os.symlink("missing", self.path("dangling"))
        os.symlink("cycle", self.path("cycle"))
        for name, missing in (("none", "none"), ("dangling", "missing")):
            self.assertEqual(self.refused("ListDir", "not_found", f"path not found: lstat {self.path(missing)}: {MISSING}",
                                          path=self.path(name)), 404)
        for path in (file, self.path("link")):
            self.assertEqual(self.refused("ListDir", "invalid_argument", f"path is not a directory: {file}", path=path), 400)
        self.assertEqual(self.refused("ListDir", "failed_precondition", "cyclic symlink or chain >255 links at "
                                      f"\"{self.path('cycle')}\"", path=self.path("cycle")), 400)
        self.refused("ListDir", "internal", "error resolving symlink: not a directory", path=file + "/x")

    def test_list_dir_of_names_with_every_byte(self):
        names = make_every_byte(self.path("d"))
        entries = self.list(self.path("d"))
        self.assertEqual([entry["name"] for entry in entries], [decoded(name) for name in sorted(names)])
        answer = self.envd.request("POST", "/filesystem.Filesystem/ListDir", b"\x0a" + bytes([len(self.path("d"))])
                                   + self.path("d").encode(), {"Content-Type": "application/proto"})
        self.assertEqual(answer.status, 200)
        for name in names:
            text = decoded(name).encode()
            self.assertIn(b"\x0a" + bytes([len(text)]) + text, answer.body)

    def test_list_dir_of_a_thousand_nested_directories(self):
        nested(self.path("deep"), 1000, "n" * 40)
        self.addCleanup(self.ask, "Remove", path=self.path("deep"))
        entries = self.list(self.path("deep"), 2000)
        self.assertEqual(len(entries), 1000)
        self.assertEqual(entries[-1]["path"], self.path("deep" + ("/" + "n" * 40) * 1000))
        self.assertEqual(entries[-1]["type"], "FILE_TYPE_DIRECTORY")

    def test_list_dir_of_a_hundred_thousand_entries(self):
        os.mkdir(self.path("d"))
        for i in range(100000):
            os.close(os.open(self.path(f"d/{i}"), os.O_CREAT | os.O_WRONLY))
        entries = self.list(self.path("d"))
        self.assertEqual([entry["name"] for entry in entries], sorted(map(str, range(100000))))
        packed = self.envd.request("POST", "/filesystem.Filesystem/ListDir", json.dumps({"path": self.path("d")}).encode(),
                                   {"Content-Type": "application/json", "Accept-Encoding": "gzip"})
        self.assertEqual(packed.one("Content-Encoding"), "gzip")
        self.assertEqual(json.loads(gzip.decompress(packed.body))["entries"], entries)
        self.ask("Remove", path=self.path("d"))

    def test_list_dir_while_everything_is_removed(self):
        """Neither of the two fails, whatever the other one does."""
        for _ in range(5):
            for i in range(40):
                os.makedirs(self.path(f"d/{i}/x/y"))
                for k in range(20):
                    self.file(f"d/{i}/x/{k}")
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                removal = pool.submit(self.ask, "Remove", path=self.path("d"))
                other = pool.submit(self.ask, "Remove", path=self.path("d/7"))
                while not removal.done():
                    status, body = self.envd.rpc("/filesystem.Filesystem/ListDir", {"path": self.path("d"), "depth": 9})
                    self.assertIn((status, body.get("code")), ((200, None), (404, "not_found")))
                self.assertEqual((removal.result(), other.result()), ({}, {}))
            self.assertFalse(os.path.exists(self.path("d")))

    def test_list_dir_that_nobody_waits_for_ends(self):
        """The client leaves in mid-walk; the daemon ends at once, with nothing left to wait for."""
        with self.envd.connect() as s:
            body = b'{"path":"/","depth":1000}'
            s.sendall(b"POST /filesystem.Filesystem/ListDir HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def test_list_dir_for_the_legacy_client_is_short(self):
        self.file("a", "hello")
        entries = self.list(self.folder, headers={"User-Agent": "connect-python"})
        self.assertEqual(entries, [{"name": "a", "type": "FILE_TYPE_FILE", "path": self.path("a")}])


class MoveTest(FilesystemTest):
    def move(self, source, destination, headers=None):
        return self.ask("Move", headers, source=self.path(source), destination=self.path(destination))["entry"]

    def move_refused(self, source, destination, code, text):
        return self.refused("Move", code, text, source=self.path(source), destination=self.path(destination))

    def rename_refused(self, source, destination, why, begin="error renaming", code="internal"):
        return self.move_refused(source, destination, code,
                                 f"{begin}: rename {self.path(source)} {self.path(destination)}: {why}")

    def test_move_renames_and_makes_parents(self):
        self.file("a", "hello")
        entry = self.move("a", "p/q/b")
        self.assertEqual((entry["name"], entry["path"], entry["size"]), ("b", self.path("p/q/b"), "5"))
        self.assertFalse(os.path.exists(self.path("a")))

    def test_move_replaces_files_and_moves_links_as_links(self):
        self.file("a", "new")
        self.file("b", "old")
        os.symlink("a", self.path("link"))
        self.assertTrue(self.move("link", "b")["isSymlink"])
        self.assertEqual(os.readlink(self.path("b")), "a")
        self.move("a", "c")

    def test_move_of_what_is_missing_makes_the_parents_all_the_same(self):
        self.assertEqual(self.rename_refused("none", "p/q", MISSING, "source file not found", "not_found"), 404)
        self.assertTrue(os.path.isdir(self.path("p")))

    def test_move_onto_a_directory_is_refused(self):
        os.mkdir(self.path("d"))
        os.mkdir(self.path("e"))
        self.file("a")
        self.assertEqual(self.rename_refused("d", "e", "file exists"), 500)
        self.rename_refused("a", "e/", "file exists")
        self.rename_refused("none", "e", MISSING, "source file not found", "not_found")
        self.rename_refused("d", "a", "not a directory")
        self.rename_refused("d", "d/x", "invalid argument")
        self.move_refused("d", "a/x", "internal", f"path is a file: {self.path('a')}")

    def test_move_to_a_new_name_with_a_slash_makes_nothing(self):
        self.file("a")
        self.rename_refused("a", "p/new/", "not a directory")
        self.assertEqual(os.listdir(self.folder), ["a"])

    def test_move_of_a_thousand_nested_directories(self):
        """Within a file system and to another one."""
        self.other_file_system()
        nested(self.path("deep"), 1000, "n" * 40)
        for source, destination in (("deep", "p/deep"), ("p/deep", "mount/deep"), ("mount/deep", "back")):
            self.assertEqual(self.move(source, destination)["type"], "FILE_TYPE_DIRECTORY")
            self.assertFalse(os.path.lexists(self.path(source)))
        entries = self.ask("ListDir", path=self.path("back"), depth=2000)["entries"]
        self.assertEqual(len(entries), 1000)
        self.ask("Remove", path=self.path("back"))

    def test_move_of_names_with_every_byte(self):
        """Each that JSON can say by its own name, all of them within their directory."""
        self.other_file_system()
        names = make_every_byte(self.path("d"))
        for name in (decoded(name) for name in names if name.isascii()):
            self.assertEqual(self.move(f"d/{name}", f"d/{name}'")["name"], f"{name}'")
            self.move(f"d/{name}'", f"d/{name}")
        self.move("d", "mount/d")
        self.assertEqual(sorted(os.listdir(os.fsencode(self.path("mount/d")))), sorted(names))

    def test_move_for_the_legacy_client_is_short(self):
        self.file("a")
        entry = self.move("a", "b", {"User-Agent": "connect-python"})
        self.assertEqual(entry, {"name": "b", "type": "FILE_TYPE_FILE", "path": self.path("b")})

    def other_file_system(self, size="64m"):
        """A directory on a file system of its own."""
        os.mkdir(self.path("mount"))
        if not ROOT or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", self.path("mount")],
                                      stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount a file system")
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("mount")])

    def test_move_across_file_systems_takes_a_tree_along(self):
        self.other_file_system()
        os.makedirs(self.path("d/sub"))
        self.file("d/sub/file", "x" * 100000, 0o4755)
        os.utime(self.path("d/sub/file"), ns=(1, 1234567890123456789))
        os.chown(self.path("d/sub"), 1, 2)
        os.symlink("sub/file", self.path("d/link"))
        os.mkfifo(self.path("d/fifo"))
        os.setxattr(self.path("d/sub/file"), "user.e2b.key", b"value")
        before = self.ask("ListDir", path=self.path("d"), depth=9)["entries"]
        self.assertEqual(self.move("d", "mount/p/d")["type"], "FILE_TYPE_DIRECTORY")
        after = self.ask("ListDir", path=self.path("mount/p/d"), depth=9)["entries"]
        for entry in before + after:
            entry.pop("path")
            entry.pop("symlinkTarget", None)
            if entry.get("type") == "FILE_TYPE_DIRECTORY":
                entry.pop("size", None)  # is the file system's
        self.assertEqual(after, before)
        self.assertFalse(os.path.exists(self.path("d")))
        self.assertEqual(os.listdir(self.path("mount/p")), ["d"])

    def test_move_to_a_full_file_system_leaves_all_as_it_was(self):
        self.other_file_system("1m")
        os.makedirs(self.path("d/sub"))
        self.file("d/sub/file", "x" * 2000000)
        self.file("d/first", "y")
        self.rename_refused("d", "mount/d", f"copy {self.path('d/sub/file')}: no space left on device")
        self.assertEqual(os.listdir(self.path("mount")), [])
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["first", "sub"])
        self.assertEqual(os.stat(self.path("d/sub/file")).st_size, 2000000)

    def test_move_that_its_client_leaves_is_undone(self):
        """The client goes in the middle of a copy; what is left is the source."""
        self.other_file_system("1g")
        os.mkdir(self.path("d"))
        for i in range(4000):
            self.file(f"d/{i}", "x" * 20000)
        body = json.dumps({"source": self.path("d"), "destination": self.path("mount/d")}).encode()
        with self.envd.connect() as s:
            s.sendall(b"POST /filesystem.Filesystem/Move HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            wait_for(lambda: os.listdir(self.path("mount")), "the copy to begin")
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: "d" in os.listdir(self.path("mount")) or not os.listdir(self.path("mount")), "the copy to end")
        if os.path.exists(self.path("mount/d")):
            self.skipTest("the copy was faster")
        self.assertEqual(len(os.listdir(self.path("d"))), 4000)


class StuckTest(FilesystemTest):
    """A file system that does not answer, and calls that have gone there."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("mount"))
        try:
            self.fuse = Fuse(self.path("mount"))
        except OSError as error:
            self.skipTest(f"cannot mount a file system: {error}")
        self.calls = []

    def tearDown(self):
        """Also of a test that has failed: nothing waits for ever."""
        if self.fuse:
            self.fuse.close()
        for call in self.calls:
            call.close()

    def n_threads(self):
        return len(os.listdir(f"/proc/{self.envd.pid}/task"))

    def send(self, method, **message):
        call = self.envd.connect()
        self.calls.append(call)
        body = json.dumps(message).encode()
        call.sendall(f"POST /filesystem.Filesystem/{method} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def stick(self, n):
        self.fuse.stick()
        for i in range(n):
            self.send("Stat", path=self.path(f"mount/{i}"))

    def release(self):
        """All that have waited are answered."""
        self.fuse.close()
        self.fuse = None
        for call in self.calls:
            self.assertIn(b'"code":"not_found"', read_all(call))

    def test_calls_elsewhere_do_not_wait_for_what_is_stuck(self):
        self.stick(THREADS_MAX // 2)
        wait_for(lambda: self.n_threads() > THREADS_MAX // 2, "a thread for each of the calls")
        path = self.file("a", "hello")
        self.assertEqual(self.ask("Stat", path=path)["entry"]["size"], "5")
        self.assertEqual(self.envd.request("GET", f"/files?path={path}").body, b"hello")
        self.assertEqual(self.envd.request("POST", f"/files?path={path}", b"you",
                                           {"Content-Type": "application/octet-stream"}).status, 200)
        self.assertEqual(self.envd.request("POST", "/files/compose", json.dumps(
            {"source_paths": [path], "destination": self.path("b")}).encode()).status, 200)
        self.ask("Remove", path=self.path("b"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["mount"])
        self.release()

    def test_health_and_init_answer_with_every_thread_stuck(self):
        self.stick(THREADS_MAX)
        wait_for(lambda: self.n_threads() > THREADS_MAX, "all threads")
        self.send("Stat", path=self.path("missing"))
        began = time.monotonic()
        for _ in range(20):
            self.assertEqual(self.envd.request("GET", "/health").status, 204)
            self.assertEqual(self.envd.request("POST", "/init", b'{"envVars":{"a":"b"}}').status, 204)
            self.assertEqual(json.loads(self.envd.request("GET", "/envs").body)["a"], "b")
        self.assertLess(time.monotonic() - began, PROMPT_S)
        self.release()
