"""One process, several readers: each gets all of it in order at its own speed, and a stuck one is told and let go."""
import json
import re
import sys
import threading
import time
import unittest

import pattern
from binary import BinaryTest, selector, start_request
from processes import MIB

# proc/output.h: how long a fresh connection that nobody reads may hold up others, and some more for a busy machine.
STUCK_S = 10
NOTICEABLE_S = 1.5  # a pause that a busy machine does not make


class FanOutTest(BinaryTest):
    def readers(self, count, length):
        """So many streams of a process that begins to write when write() says so."""
        script = f"read line; exec {sys.executable} {pattern.__file__} write {length}"
        first, self.pid = self.stream(start_request("sh", "-c", script, stdin=True))
        return [first, *(self.stream(selector(self.pid), "Connect")[0] for _ in range(count - 1))]

    def write(self):
        self.assertEqual(self.send({"pid": self.pid}, b"\n"), (200, {}))

    def read(self, stream, length, bytes_per_s=None):
        """Reads all, sleeps as that speed asks; the pauses in which nothing came."""
        checker, pauses, at = pattern.Checker(), [], time.monotonic()
        for _, piece in stream.output():
            pauses.append(time.monotonic() - at)
            checker.take(piece)
            if bytes_per_s:
                time.sleep(len(piece) / bytes_per_s)
            at = time.monotonic()
        self.assertEqual(checker.length, length)
        self.assert_ended(stream)
        return pauses

    def test_readers_of_three_speeds_get_all_of_it_in_order(self):
        length, failures = 3 * MIB // 2, []
        streams = self.readers(3, length)

        def read(stream, bytes_per_s):
            try:
                self.read(stream, length, bytes_per_s)
            except AssertionError as e:
                failures.append((bytes_per_s, e))

        threads = [threading.Thread(target=read, args=each)
                   for each in zip(streams, (None, 2 * MIB, 100 * 1024))]
        for thread in threads:
            thread.start()
        self.write()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assert_nothing_left()

    def assert_let_go(self, stream):
        checker = pattern.Checker()
        for _, piece in stream.output():
            checker.take(piece)
        error = json.loads(stream.finish)["error"]
        self.assertEqual((stream.end, error["code"]), (None, "resource_exhausted"))
        seconds = re.fullmatch(r"the stream took no output for (\d+) s while others waited", error["message"])
        self.assertLess(int(seconds[1]), STUCK_S)

    def test_stuck_reader_is_let_go_and_the_other_one_goes_on(self):
        stuck, healthy = self.readers(2, 64 * MIB)
        self.write()
        pauses = [pause for pause in self.read(healthy, 64 * MIB) if pause > NOTICEABLE_S]
        self.assertEqual(len(pauses), 1, pauses)
        self.assertLess(pauses[0], STUCK_S)
        self.assert_let_go(stuck)
        self.assert_nothing_left()

    def test_several_stuck_readers_do_not_make_the_other_one_wait_for_each(self):
        *stuck, healthy = self.readers(6, 64 * MIB)
        self.write()
        self.assertLess(sum(pause for pause in self.read(healthy, 64 * MIB) if pause > NOTICEABLE_S), STUCK_S)
        for stream in stuck:
            self.assert_let_go(stream)
        self.assert_nothing_left()

    def test_lone_reader_may_stop_for_longer(self):
        stream, = self.readers(1, 8 * MIB)
        self.write()
        time.sleep(STUCK_S)
        self.read(stream, 8 * MIB)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
