"""Which cgroup a process runs in, and what a start says while that is frozen (control.md 8, newer.md P.2)."""
import itertools
import os
import pathlib
import tempfile
import unittest

from envd import Envd, basic
from processes import ME, ROOT, ProcessTest, Run, sh, wait_for

SYSTEM = {"tag": "_system"}
TERMINAL = {"pty": {"size": {"cols": 80, "rows": 24}}, "config": {"cwd": "/"}}


class Tree:
    """A sub-tree of its own in the machine's cgroup2 hierarchy, which is not touched elsewhere."""

    numbers = itertools.count()

    def __init__(self):
        self.path = next(self.mounts()) / f"envd-test-{os.getpid()}-{next(self.numbers)}"
        self.path.mkdir()

    @staticmethod
    def mounts():
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup2" and "rw" in options.split(",") and os.access(where, os.W_OK):
                yield pathlib.Path(where)

    def read(self, file):
        return (self.path / file).read_text()

    def write(self, file, text):
        (self.path / file).write_text(text)

    def freeze(self, name):
        self.write(f"{name}/cgroup.freeze", "1")
        wait_for(lambda: "frozen 1" in self.read(f"{name}/cgroup.events"), "the freeze")

    def thaw(self, name):
        self.write(f"{name}/cgroup.freeze", "0")

    def remove(self):
        self.write("cgroup.kill", "1")
        wait_for(lambda: "populated 0" in self.read("cgroup.events"), "the end of all processes in it")
        for directory in [*self.path.glob("*/"), self.path]:
            directory.rmdir()


def cgroup_of(pid):
    """The path of its cgroup2, as the kernel names it."""
    return next(line[3:] for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
                if line.startswith("0::"))


@unittest.skipUnless(next(Tree.mounts(), None), "no writable cgroup2 tree is mounted here")
class CgroupTest(ProcessTest):
    def setUp(self):
        self.tree = Tree()
        self.addCleanup(self.tree.remove)
        self.envd = Envd("-no-cgroups=false", "-cgroup-root", str(self.tree.path))
        self.addCleanup(self.end)
        self.user = basic(ME)

    def end(self):
        """Which controllers the machine has is told in at most one line."""
        status, _, err = self.envd.end()
        self.assertEqual(status, 0)
        self.assertRegex(err, rb"\A(cgroups: cannot set [^\n]+, ignoring\n)?\Z")

    def place_of(self, stream="stdout", **fields):
        run = self.run_sh("grep ^0:: /proc/self/cgroup", **fields)
        return run.output(stream).decode().strip().removeprefix("0::")

    def in_tree(self, name):
        return f"/{self.tree.path.name}/{name}"

    def assert_frozen(self):
        self.assert_refused(sh("true"), "unavailable",
                            "error starting process '/bin/sh -c true': the target cgroup is frozen: "
                            f"{self.tree.path}/user reads frozen")

    def assert_terminal_frozen(self):
        self.assert_refused(sh("true", **TERMINAL), "unavailable",
                            "error starting pty with command '/bin/sh -c true' in dir '/' with '80' cols and '24' "
                            f"rows: the target cgroup is frozen: {self.tree.path}/ptys reads frozen")

    def test_directories_are_made_at_start(self):
        self.assertEqual({directory.name for directory in self.tree.path.glob("*/")}, {"ptys", "socats", "user"})

    def test_process_runs_in_user_and_its_children_too(self):
        self.assertTrue(self.place_of().endswith(self.in_tree("user")))
        for tag in ("", "_systemd", "system"):
            self.assertTrue(self.place_of(tag=tag).endswith(self.in_tree("user")), tag)

    def test_terminal_runs_in_ptys(self):
        self.assertTrue(self.place_of("pty", **TERMINAL).endswith(self.in_tree("ptys")))

    def test_process_tagged_system_stays_with_the_daemon(self):
        self.assertEqual(self.place_of(**SYSTEM), cgroup_of(self.envd.pid))
        self.assertEqual(self.place_of("pty", **SYSTEM, **TERMINAL), cgroup_of(self.envd.pid))

    def test_start_into_a_frozen_cgroup_is_unavailable_until_the_thaw(self):
        self.tree.freeze("user")
        self.assert_frozen()
        self.assertEqual(self.run_sh("echo runs", **SYSTEM).out, b"runs\n")
        self.tree.thaw("user")
        self.assertEqual(self.run_sh("echo runs").out, b"runs\n")

    def test_freeze_of_the_tree_refuses_as_well(self):
        self.tree.freeze(".")
        self.assert_frozen()
        self.assertEqual(self.run_sh("echo runs", **SYSTEM).out, b"runs\n")
        self.tree.thaw(".")
        self.assertEqual(self.run_sh("echo runs").out, b"runs\n")

    def test_freeze_of_terminals_leaves_other_processes_alone(self):
        self.tree.freeze("ptys")
        self.assert_terminal_frozen()
        self.assertEqual(self.run_sh("echo runs").out, b"runs\n")
        self.tree.thaw("ptys")
        self.assertEqual(self.run_sh("echo runs", **TERMINAL).output("pty"), b"runs\r\n")

    def test_refused_starts_leave_no_descriptor(self):
        self.run_sh("true")
        before = self.envd.fds()
        self.tree.freeze(".")
        for _ in range(50):
            self.assert_frozen()
            self.assert_terminal_frozen()
        wait_for(lambda: self.envd.fds() <= before, "as many descriptors as before")

    def test_removed_directory_is_made_again(self):
        self.assertTrue(self.place_of().endswith(self.in_tree("user")))
        wait_for(lambda: "populated 0" in self.tree.read("user/cgroup.events"), "an empty cgroup")
        (self.tree.path / "user").rmdir()
        self.assertTrue(self.place_of().endswith(self.in_tree("user")))


class NoCgroupTest(unittest.TestCase):
    def run_with_root(self, root, **options):
        """Starts a command there; returns what the daemon wrote to stderr."""
        envd = Envd("-no-cgroups=false", "-cgroup-root", str(root), **options)
        try:
            self.assertEqual(Run(envd.start(sh("echo runs"), basic(ME))).out, b"runs\n")
        finally:
            status, _, err = envd.end()
        self.assertEqual(status, 0)
        return err.decode()

    def assert_one_line(self, cause, root, **options):
        self.assertEqual(self.run_with_root(root, **options),
                         f"cgroups: {cause}, ignoring: processes are not placed\n")

    def test_without_a_cgroup2_tree_one_line_is_told_and_processes_run(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assert_one_line(f"'{folder}' is not a cgroup2 file system", folder)
            self.assertEqual(os.listdir(folder), [])

    def test_missing_root_is_one_line_and_processes_run(self):
        self.assert_one_line("open '/no/such': no such file or directory", "/no/such")

    @unittest.skipUnless(ROOT and next(Tree.mounts(), None), "needs root and a cgroup2 tree, to mount it read-only")
    def test_read_only_tree_is_one_line_and_processes_run(self):
        tree = Tree()
        self.addCleanup(tree.remove)
        read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        self.assert_one_line(f"mkdir '{tree.path}/ptys': read-only file system", tree.path,
                             under=("unshare", "--mount", "sh", "-c", read_only, str(tree.path)))
