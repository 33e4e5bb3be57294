"""Much at once: gigabytes out and in, through slow and broken clients, output at the very end, many terminals."""
import os
import pathlib
import random
import re
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest

import pattern
from binary import BinaryTest, InputStream, call, selector, start_request
from processes import MIB, alive, unread_bytes, wait_for

GIB = 1 << 30
SEED = int(os.environ.get("ENVD_TEST_SEED", "1"))
SMALL_BUFFER = 65536  # bytes that the kernel keeps for a reader that is to be slow
PIPE = 65536  # bytes that a pipe takes before it is full
PATTERN = (sys.executable, pattern.__file__)
LAST_STEPS_S = 0.05  # from the last write of a process, which may fill the pipe, to its end
SILENT_S = 0.5  # after which an end does not wait for descendants (extensions.md 2)


class OutputTest(BinaryTest):
    def test_gibibyte_through_a_slow_reader_is_complete_and_in_order(self):
        stream, _ = self.stream(start_request(*PATTERN, "write", str(GIB)), receive_buffer=SMALL_BUFFER)
        checker, output = pattern.Checker(), stream.output()
        while checker.length < 4 * MIB:
            _, piece = next(output)
            checker.take(piece)
            time.sleep(len(piece) / MIB)
        self.assert_little_memory()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        for _, piece in output:
            checker.take(piece)
            if checker.length % (64 * MIB) < len(piece):
                self.assert_little_memory()
        self.assertEqual(checker.length, GIB)
        self.assert_ended(stream)
        self.assert_nothing_left()

    def leave_in_mid_chunk(self, pid, chance):
        """A reader that takes some of the output, up to any byte, and is gone. False if the output ended before."""
        with socket.create_connection(("127.0.0.1", self.envd.port), timeout=20) as s:
            s.sendall(call("Connect", selector(pid), {"Connection": "close"}))
            left = chance.randrange(1, MIB)
            while left > 0 and (piece := s.recv(min(left, 65536))):
                left -= len(piece)
            if chance.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return left == 0

    def test_readers_that_leave_in_mid_chunk_take_nothing_from_the_one_that_stays(self):
        chance, n_left = random.Random(SEED), 0
        stream, pid = self.stream(start_request(*PATTERN, "write", str(256 * MIB)))

        def leave():
            nonlocal n_left
            while self.leave_in_mid_chunk(pid, chance):
                n_left += 1

        thread = threading.Thread(target=leave)
        thread.start()
        checker = pattern.Checker()
        for _, piece in stream.output():
            checker.take(piece)
        thread.join()
        self.assertEqual(checker.length, 256 * MIB)
        self.assertGreater(n_left, 10)
        self.assert_ended(stream)
        self.assert_nothing_left()


class LastOutputTest(BinaryTest):
    """A process that ends while its reader is behind: every byte comes, then the end."""
    SIZE = MIB  # bytes that each stream is given: more than fits between a process and its reader

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name, "pattern")
        self.file.write_bytes(pattern.block(0)[:self.SIZE])

    def ours(self, pid):
        """The daemon's ends of a process's standard output and error."""
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in (1, 2)]
        return [fd for fd in pathlib.Path(f"/proc/{self.envd.pid}/fd").iterdir() if os.readlink(fd) in names]

    def read_behind(self, stream, has_ended):
        """Reads; but when the process has ended, not for longer than a silence. The length of each kind of output."""
        checkers, n_behind = {}, None
        for kind, piece in stream.output():
            checkers.setdefault(kind, pattern.Checker()).take(piece)
            if n_behind is not None:
                n_behind += len(piece)
            elif has_ended():
                n_behind = 0
                time.sleep(SILENT_S + 0.3)
        self.assertGreater(n_behind, SMALL_BUFFER)
        return {kind: checker.length for kind, checker in checkers.items()}

    def check(self, script, expected, code):
        stream, pid = self.stream(start_request("sh", "-c", f"read go; {script}", "sh", str(self.file), stdin=True),
                                  receive_buffer=SMALL_BUFFER)
        ours = self.ours(pid)

        def has_ended():
            wait_for(lambda: not alive(pid) or PIPE in map(unread_bytes, ours), "it to be held or to end")
            until = time.monotonic() + LAST_STEPS_S
            while alive(pid) and time.monotonic() < until:
                time.sleep(0.005)
            return not alive(pid)
        self.assertEqual(self.send({"pid": pid}, b"\n"), (200, {}))
        self.assertEqual(self.read_behind(stream, has_ended), dict.fromkeys(expected, self.SIZE))
        self.assert_ended(stream, code)
        self.assert_nothing_left()

    def test_exit_behind_output_waits_for_its_reader(self):
        self.check('cat "$1"; exit 7', ["stdout"], 7)

    def test_exit_behind_output_of_both_streams_waits_for_its_reader(self):
        self.check('cat "$1" >&2 & cat "$1"; wait; exit 7', ["stdout", "stderr"], 7)

    def test_signal_behind_output_waits_for_its_reader(self):
        self.check('cat "$1"; kill -9 $$', ["stdout"], -1)

    def test_exit_beside_a_descendant_that_holds_the_output_waits_for_its_reader(self):
        self.check('sleep 3 & cat "$1"; exit 7', ["stdout"], 7)

    def test_exit_behind_output_of_a_terminal_waits_for_its_reader(self):
        stream, pid = self.stream(start_request("sh", "-c", 'stty raw; cat "$1"; exit 7', "sh", str(self.file),
                                                terminal=(80, 24)), receive_buffer=SMALL_BUFFER)

        def has_ended():
            time.sleep(0.02)  # what a terminal holds cannot be seen
            return not alive(pid)
        self.assertEqual(self.read_behind(stream, has_ended), {"pty": self.SIZE})
        self.assert_ended(stream, 7)
        self.assert_nothing_left()

    def test_kill_amid_output_that_nobody_takes_loses_nothing_that_was_written(self):
        stream, pid = self.stream(start_request("dd", f"if={self.file}", "bs=4096", "status=none"),
                                  receive_buffer=SMALL_BUFFER)
        ours, written = self.ours(pid), [0]

        def is_held():
            time.sleep(0.2)
            total = int(re.search(r"^wchar: (\d+)$", pathlib.Path(f"/proc/{pid}/io").read_text(), re.M)[1])
            written.append(total // 4096 * 4096)  # before its exec it wrote a few bytes elsewhere
            return written[-1] == written[-2] and PIPE in map(unread_bytes, ours)
        wait_for(is_held, "it to be held by its pipe")
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        wait_for(lambda: not alive(pid), "it to end")
        time.sleep(SILENT_S)
        checker = pattern.Checker()
        for _, piece in stream.output():
            checker.take(piece)
        self.assertEqual(checker.length, written[-1])
        self.assert_ended(stream, -1)
        self.assertEqual(stream.end.status, "signal: killed")
        self.assert_nothing_left()


class InputTest(BinaryTest):
    def test_gibibyte_of_input_is_complete_and_in_order(self):
        stream, pid = self.stream(start_request(*PATTERN, "check", stdin=True))
        chance, sent = random.Random(SEED), 0
        s = InputStream(self.envd.port, pid, self.user)
        self.addCleanup(s.close)
        while sent < GIB:
            number, at = divmod(sent, pattern.BLOCK)
            data = memoryview(pattern.block(number))[at:][:chance.randrange(1, 2 * pattern.BLOCK)][:GIB - sent]
            s.data(data)
            sent += len(data)
            if number % 64 == 0:
                self.assert_little_memory()
        self.assertEqual(s.finish(), [(0, b""), (2, b"{}")])
        s.close()
        self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
        self.assertEqual(stream.all(), b"%d\n" % GIB)
        self.assert_ended(stream)
        self.assert_nothing_left()


class TerminalTest(BinaryTest):
    COUNT = 200
    SIZE = 65536  # bytes that each says: more than a terminal holds

    def test_200_terminals_at_once_are_each_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "pattern")
            file.write_bytes(pattern.block(0)[:self.SIZE])
            script = 'stty raw -echo; stty size; tty; read code; cat "$1"; exit $code'
            streams = [self.stream(start_request("sh", "-c", script, "sh", str(file), terminal=(80 + i, 24 + i)))
                       for i in range(self.COUNT)]
            names = set()
            for i, (stream, _) in enumerate(streams):
                said = b""
                while said.count(b"\n") < 2:
                    said += next(stream.events)[1]
                size, name = said.splitlines()
                self.assertEqual(size, b"%d %d" % (24 + i, 80 + i))
                names.add(name)
            self.assertEqual(len(names), self.COUNT)
            for i, (_, pid) in enumerate(streams):
                self.assertEqual(self.send({"pid": pid}, b"%d\n" % i, "pty"), (200, {}))
            for i, (stream, _) in enumerate(streams):
                self.assertTrue(stream.all() == pattern.block(0)[:self.SIZE], f"output of terminal {i}")
                self.assert_ended(stream, i)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
