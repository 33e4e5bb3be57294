"""The Filesystem service's unary calls, as filesystem.md 1-3, newer.md F and wire.md 8 say."""
import grp
import json
import os
import pathlib
import pwd
import shutil
import tempfile
import unittest

from envd import Envd, basic

ME = pwd.getpwuid(os.geteuid()).pw_name
HOME = pwd.getpwnam(ME).pw_dir
ROOT = os.geteuid() == 0
MISSING = "no such file or directory"


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
