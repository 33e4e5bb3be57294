"""Lives of processes at their edges: who still holds their output, when they are killed, how fast they come and go."""
import itertools
import os
import pathlib
import selectors
import signal
import tempfile
import threading
import time
import unittest

from binary import BinaryTest, call, event, frames, start_request
from envd import DEADLINE_S
from processes import MIB, Run, alive, sh, wait_for

SILENT_S, DRAIN_S = 0.5, 5  # extensions.md 2, the end rule


class Timed(threading.Thread):
    """All events of a stream, and when the last came."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.began, self.result = stream, time.monotonic(), None
        self.start()

    def run(self):
        self.result = Run(self.stream)
        self.seconds = time.monotonic() - self.began

    def wait(self):
        self.join(DEADLINE_S)
        if not self.result:
            raise AssertionError(f"no end within {DEADLINE_S} s")
        return self.result


class DescendantTest(BinaryTest):
    """A process has ended, a child of it still has its output."""

    def test_one_that_goes_on_talking_delays_the_end_by_5_seconds_and_is_not_stopped(self):
        script = "(trap '' PIPE; while echo talk; do sleep 0.1; done) & echo $!; echo last >&2; exit 3"
        stream, _ = self.started(sh(script))
        timed = Timed(stream)
        run = timed.wait()
        self.assertEqual((run.code, run.err), (3, b"last\n"))
        pid, *talk = run.out.split()
        self.assertEqual(set(talk), {b"talk"})
        self.assertTrue(DRAIN_S - 0.2 < timed.seconds < DRAIN_S + 2, timed.seconds)
        self.assertTrue(alive(int(pid)))
        stream.close()
        os.kill(int(pid), signal.SIGKILL)
        self.assert_nothing_left()

    def test_one_that_is_silent_may_write_on_after_the_end_and_nobody_waits(self):
        with tempfile.TemporaryDirectory() as folder:
            go, done = pathlib.Path(folder, "go"), pathlib.Path(folder, "done")
            stream, _ = self.started(sh(f"(while [ ! -e {go} ]; do sleep 0.02; done; head -c {MIB} /dev/zero; "
                                        f"echo $? >{done}) & echo first; echo last >&2; exit 4"))
            timed = Timed(stream)
            run = timed.wait()
            self.assertEqual((run.code, run.out, run.err), (4, b"first\n", b"last\n"))
            self.assertTrue(SILENT_S - 0.1 < timed.seconds < SILENT_S + 2, timed.seconds)
            self.assertEqual(self.list(), [])
            go.touch()
            wait_for(done.exists, "a mebibyte to be read by nobody")
            self.assertEqual(done.read_text(), "0\n")
            stream.close()
        self.assert_nothing_left()

    def test_terminal_that_its_leader_has_closed_lives_until_the_leader_exits(self):
        stream, pid = self.started({"process": {"cmd": "sh", "args": ["-c", "exec <&- >&- 2>&-; sleep 2.5; exit 5"]},
                                    "pty": {"size": {"cols": 80, "rows": 24}}}, **{"Keepalive-Ping-Interval": "1"})
        run = Run(stream)
        self.assertEqual((run.kinds, run.code), (["keepalive", "keepalive", "end"], 5))
        stream.close()
        self.assert_nothing_left()


class LifetimeTest(BinaryTest):
    def test_lifetime_that_is_over_at_any_moment_of_a_start_leaves_nothing(self):
        for i in range(100):
            stream = self.envd.start(sh("sleep 60"), {**self.user, "Connect-Timeout-Ms": str(i // 10)})
            self.assertEqual(stream.error_code(), "deadline_exceeded")
            stream.close()
        self.assert_nothing_left()


class RateTest(BinaryTest):
    SECONDS = 5
    CONNECTIONS = 16

    def request(self, number):
        return call("Start", start_request("sh", "-c", f"echo {number}; exit {number % 256}"), self.user)

    def check(self, answer, number):
        said = [event(message) for _, message in answer[:-1]]
        (first, _), (_, out), (last, end) = said[0], said[1], said[-1]
        self.assertEqual((len(said), first, out, last, end.code, answer[-1]),
                         (3, "start", b"%d\n" % number, "end", number % 256, (2, b"{}")))

    def test_starts_and_ends_at_full_rate_are_each_exact(self):
        numbers, n_done = itertools.count(), 0
        begin = time.monotonic()
        with selectors.DefaultSelector() as selector:
            def send(s, file):
                number = next(numbers)
                s.sendall(self.request(number))
                selector.modify(s, selectors.EVENT_READ, (file, number))

            for _ in range(self.CONNECTIONS):
                s = self.envd.connect()
                self.addCleanup(s.close)
                file = s.makefile("rb")
                self.addCleanup(file.close)
                selector.register(s, selectors.EVENT_READ)
                send(s, file)
            while selector.get_map():
                for key, _ in selector.select(DEADLINE_S):
                    file, number = key.data
                    self.check(list(frames(file)), number)
                    n_done += 1
                    if time.monotonic() - begin < self.SECONDS:
                        send(key.fileobj, file)
                    else:
                        selector.unregister(key.fileobj)
                        file.close()
                        key.fileobj.close()
        print(f"{n_done / (time.monotonic() - begin):.0f} starts and ends a second, {n_done} in all")
        self.assertEqual(n_done, next(numbers))
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
