"""The daemon as PID 1 of a namespace: what lost its parent is reaped, and a fork bomb does no harm."""
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from binary import BinaryTest
from envd import DEADLINE_S, Envd
from processes import ROOT, Run, sh, wait_for

HAS_NAMESPACES = ROOT and subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"],
                                         capture_output=True).returncode == 0
KERNEL = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))


class InitEnvd(Envd):
    """Below `unshare`, whose only child it is. Numbers of its processes are those of its namespace."""

    def __init__(self, under=(), inside=(), **options):
        """inside: a command in the namespace that execs it."""
        unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        super().__init__(under=(*under, *unshare, *inside), **options)

    @property
    def pid(self):
        parent = self.process.pid
        return int(pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text())

    def end(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            os.kill(self.pid, sig)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, [], err


@unittest.skipUnless(HAS_NAMESPACES, "needs root and namespaces")
class OrphanTest(BinaryTest):
    def make_envd(self):
        return InitEnvd(env=self.ENVIRONMENT)

    def test_orphans_are_reaped_and_no_exit_is_taken_from_a_process(self):
        orphans = "i=0; while [ $i -lt 20 ]; do (sleep 0.0$i; exit 9) >/dev/null 2>&1 & i=$((i+1)); done; exit "
        for code in range(50):
            run = self.run_sh(orphans + str(code))
            self.assertEqual((run.code, run.out, run.err), (code, b"", b""))
        self.assert_nothing_left()

    def test_orphans_in_sessions_of_their_own_live_on_and_are_reaped(self):
        with tempfile.TemporaryDirectory() as folder:
            gate = pathlib.Path(folder, "gate")
            wait = f"while [ ! -e {gate} ]; do sleep 0.02; done"
            self.assertEqual(self.run_sh(f"setsid sh -c '{wait}' >/dev/null 2>&1 & exit 3").code, 3)
            self.assertEqual(len(self.children()), 1)
            gate.touch()
            self.assert_nothing_left()


@unittest.skipUnless(HAS_NAMESPACES and KERNEL >= (6, 14), "needs root and a kernel whose pid_max is a namespace's own")
class ReusedPidTest(BinaryTest):
    """Twenty numbers for all processes: each comes back at once."""
    PID_MAX = 320  # the kernel goes round from 300

    def make_envd(self):
        inside = ("sh", "-c", f'echo {self.PID_MAX} >/proc/sys/kernel/pid_max && exec "$@"', "sh")
        return InitEnvd(inside=inside, env=self.ENVIRONMENT)

    def go_round(self):
        while self.run_sh("true").events[0]["start"]["pid"] < self.PID_MAX - 1:
            pass

    def test_every_end_is_that_of_the_last_process_with_the_number(self):
        self.go_round()
        pids = set()
        for i in range(100):
            run = self.run_sh(f"exit {i}")
            pid = run.events[0]["start"]["pid"]
            again = self.connect({"pid": pid})
            self.assertEqual([run.code, Run(again).code], [i, i])
            again.close()
            pids.add(pid)
        self.assertLessEqual(len(pids), 20)
        self.assert_nothing_left()

    def test_process_with_the_number_of_one_whose_output_is_still_read_is_another(self):
        self.go_round()
        with tempfile.TemporaryDirectory() as folder:
            fifo = pathlib.Path(folder, "fifo")
            os.mkfifo(fifo)
            old, pid = self.started(sh(f"setsid cat {fifo} & exit 3"))
            with open(fifo, "wb", buffering=0) as talk:
                new = {}
                while pid not in new:  # all others are taken by then
                    talk.write(b"talk\n")
                    stream, other = self.started(sh("exec sleep 60"))
                    new[other] = stream
                self.assertEqual([p["pid"] for p in self.list()].count(pid), 2)
                self.assertEqual(self.signal({"pid": pid}), (200, {}))
                killed = Run(new.pop(pid))
                self.assertEqual(killed.end["status"], "signal: killed")
                talk.write(b"last\n")
                run = Run(old)
            self.assertEqual((run.code, run.out.count(b"talk\n"), run.out[-5:]), (3, len(new) + 1, b"last\n"))
            again = self.connect({"pid": pid})
            self.assertEqual(Run(again).end, killed.end)
            again.close()
            for other, stream in new.items():
                self.assertEqual(self.signal({"pid": other}), (200, {}))
                self.assertEqual(Run(stream).end["status"], "signal: killed")
                stream.close()
        old.close()
        self.assert_nothing_left()


class PidsGroup:
    """A cgroup of its own with a limit of processes, in the first hierarchy."""

    numbers = itertools.count()

    def __init__(self, most):
        self.path = next(self.mounts()) / f"envd-test-{os.getpid()}-{next(self.numbers)}"
        self.path.mkdir()
        (self.path / "pids.max").write_text(str(most))

    @staticmethod
    def mounts():
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup" and "pids" in options.split(",") and os.access(where, os.W_OK):
                yield pathlib.Path(where)

    def count(self):
        return int((self.path / "pids.current").read_text())

    def n_refused(self):
        return int((self.path / "pids.events").read_text().split()[1])

    def remove(self):
        wait_for(lambda: self.count() == 0, "the cgroup to be empty")
        self.path.rmdir()


@unittest.skipUnless(HAS_NAMESPACES and next(PidsGroup.mounts(), None), "needs root, namespaces and a cgroup of pids")
class ForkBombTest(BinaryTest):
    MAX = 150
    SECONDS = 2
    def make_envd(self):
        self.group = PidsGroup(self.MAX)
        self.addCleanup(self.group.remove)
        under = ("sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.group.path))
        return InitEnvd(under, env=self.ENVIRONMENT)

    def attack(self, *command):
        """Does as a client would during and after; the codes of starts beside the bomb."""
        n_before = self.group.count()
        stream, pid = self.started({"process": {"cmd": command[0], "args": command[1:]}, "stdin": False})
        wait_for(lambda: self.group.n_refused() > 0, "the limit to be reached")
        codes, longest_s, end = [], 0, time.monotonic() + self.SECONDS
        while time.monotonic() < end:
            began = time.monotonic()
            self.assertEqual(self.envd.request("GET", "/health").status, 204)
            self.assertEqual([p["pid"] for p in self.list()], [pid])
            longest_s = max(longest_s, time.monotonic() - began)
            other = self.envd.start(sh("exit 0"), self.user)
            codes.append(other.error_code())
            other.close()
        print(f"{self.group.n_refused()} forks were refused, {len(codes)} starts tried, longest wait {longest_s:.2f} s")
        self.assertLess(longest_s, 2)
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        self.assertEqual(Run(stream).end["status"], "signal: killed")
        stream.close()
        wait_for(lambda: self.group.count() == n_before, "all of it to be reaped")
        self.assertEqual(self.run_sh("echo ok").out, b"ok\n")
        self.assert_nothing_left()
        return set(codes)

    def test_bomb_that_forks_again_and_again_leaves_no_room_and_one_kill_ends_it(self):
        bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: os.sched_yield()"
        self.assertEqual(self.attack(sys.executable, "-c", bomb), {"resource_exhausted"})

    def test_bomb_whose_parts_come_and_go_is_reaped_all_the_time_and_one_kill_ends_it(self):
        bomb = "b() { while :; do b & done; }; b 2>/dev/null & exec sleep 60"
        self.assertLessEqual(self.attack("sh", "-c", bomb), {None, "resource_exhausted"})


if __name__ == "__main__":
    unittest.main()
