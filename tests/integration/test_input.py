"""Input over the wire: SendInput, StreamInput, CloseStdin and terminals, as process.md 8 and 9, clients.md say."""
import base64
import json
import pathlib
import socket
import struct
import tempfile
import threading
import unittest

import processes
from envd import envelope, read_all
from processes import MIB, Run, input_of, output_until, sh, unread_input, wait_for

PIPE = 65536  # bytes that a pipe takes before it is full
TTY_AS_STDIN = "error writing to stdin: tty assigned to process \u2014 input should be written to the pty, not the stdin"
STDIN_AS_TTY = "error writing to tty: tty not assigned to process \u2014 input should be written to the stdin, not the tty"
STDIN_CLOSED = "error writing to stdin: stdin not enabled or closed"
NO_SELECTOR = "invalid input type *process.ProcessSelector"


def error(code, message):
    return {"code": code, "message": message}


class InputTest(processes.ProcessTest):
    def cat(self):
        return self.started({"process": {"cmd": "cat"}, "stdin": True})

    def terminal(self, cmd, *args, cols=80, rows=24):
        return self.started({"process": {"cmd": cmd, "args": args}, "pty": {"size": {"cols": cols, "rows": rows}}})

    def gated(self, folder, script):
        """A process that does not read before its gate is opened, and then does what the script says."""
        gate = pathlib.Path(folder, "gate")
        stream, pid = self.started({**sh(f"while [ ! -e {gate} ]; do sleep 0.01; done; {script}"), "stdin": True})
        return stream, pid, gate

    def blocked(self, pid):
        wait_for(lambda: unread_input(pid) == PIPE, "the pipe to be full")

    def end(self, stream, pid):
        """Kills it and reads its stream to the end."""
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        return Run(stream)


class Waiting:
    """A SendInput in a thread of its own."""

    def __init__(self, test, process, data, **headers):
        self.thread = threading.Thread(target=self.run, args=(test, process, data), kwargs=headers)
        self.thread.start()

    def run(self, test, process, data, **headers):
        self.result = test.send(process, data, **headers)

    def answer(self):
        self.thread.join(20)
        return self.result


class SendInputTest(InputTest):
    def test_input_of_any_size_arrives_byte_for_byte(self):
        for size in (1, PIPE, PIPE + 1, 5 * MIB):
            data = bytes(i * 7 % 256 for i in range(4096)) * (size // 4096 + 1)
            stream, pid = self.cat()
            sender = Waiting(self, {"pid": pid}, data[:size])
            out = b""
            while len(out) < size:
                out += base64.b64decode(stream.next()["event"]["data"]["stdout"])
            self.assertEqual(sender.answer(), (200, {}))
            self.assertTrue(out == data[:size])
            self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
            self.assertEqual(Run(stream).code, 0)

    def test_empty_input_changes_nothing(self):
        stream, pid = self.cat()
        self.assertEqual(self.send({"pid": pid}, b""), (200, {}))
        self.assertEqual(self.send({"pid": pid}, b"x\n"), (200, {}))
        output_until(stream, b"x\n")
        self.end(stream, pid)

    def test_tag_selects_too(self):
        stream, pid = self.started({"process": {"cmd": "cat"}, "tag": "echo"})
        self.assertEqual(self.send({"tag": "echo"}, b"x\n"), (200, {}))
        output_until(stream, b"x\n")
        self.assertEqual(self.close_stdin({"tag": "echo"}), (200, {}))
        self.assertEqual(Run(stream).code, 0)

    def test_input_that_nobody_can_take_is_refused(self):
        for message, data in ((sh("sleep 60"), b"x"), (sh("sleep 60"), b""), ({**sh("sleep 60"), "stdin": True}, b"")):
            stream, pid = self.started(message)
            if message["stdin"]:
                self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
            self.assertEqual(self.send({"pid": pid}, data), (500, error("internal", STDIN_CLOSED)))
            self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
            self.end(stream, pid)

    def test_input_of_the_other_kind_is_refused(self):
        stream, pid = self.cat()
        self.assertEqual(self.send({"pid": pid}, b"x", "pty"), (500, error("internal", STDIN_AS_TTY)))
        self.end(stream, pid)
        stream, pid = self.terminal("cat")
        self.assertEqual(self.send({"pid": pid}, b"x"), (500, error("internal", TTY_AS_STDIN)))
        self.end(stream, pid)

    def test_input_that_the_process_has_closed_is_refused(self):
        stream, pid = self.started({**sh("exec <&-; echo closed; sleep 60"), "stdin": True})
        output_until(stream, b"closed")
        self.assertEqual(self.send({"pid": pid}, b"x"),
                         (500, error("internal", "error writing to stdin: error writing to stdin of process "
                                                 f"'{pid}': write |1: broken pipe")))
        self.end(stream, pid)

    def test_requests_that_say_too_little_or_too_much_are_refused(self):
        stream, pid = self.cat()
        call = lambda method, message: self.envd.rpc(f"/process.Process/{method}", message)  # noqa: E731
        no_input = (501, error("unimplemented", "invalid input type <nil>"))
        no_selector = (501, error("unimplemented", NO_SELECTOR))
        some = {"stdin": "eA=="}
        self.assertEqual(call("SendInput", {"process": {"pid": pid}}), no_input)
        self.assertEqual(call("SendInput", {"process": {"pid": pid}, "input": {}}), no_input)
        for method in ("SendInput", "CloseStdin", "Update"):
            for message in ({"input": some}, {"process": {}, "input": some}):
                self.assertEqual(call(method, message), no_selector)
            for selector, name in (({"pid": 4294967295}, "pid 4294967295"), ({"pid": 0}, "pid 0"),
                                   ({"tag": "none"}, "tag none"), ({"tag": ""}, "tag ")):
                self.assertEqual(call(method, {"process": selector, "input": some}),
                                 (404, error("not_found", f"process with {name} not found")))
            status, body = call(method, {"process": {"pid": pid, "tag": "x"}, "input": some})
            self.assertEqual((status, body["code"]), (400, "invalid_argument"))
        for wrong in ({"stdin": "?"}, {"stdin": 1}, {"stdin": "eA==", "pty": "eA=="}):
            status, body = call("SendInput", {"process": {"pid": pid}, "input": wrong})
            self.assertEqual((status, body["code"]), (400, "invalid_argument"))
        self.end(stream, pid)

    def test_ended_process_is_not_found(self):
        stream, pid = self.cat()
        self.end(stream, pid)
        gone = (404, error("not_found", f"process with pid {pid} not found"))
        self.assertEqual(self.send({"pid": pid}, b"x"), gone)
        self.assertEqual(self.close_stdin({"pid": pid}), gone)

    def test_close_is_the_end_of_input_and_may_repeat(self):
        stream, pid = self.started({**sh("cat; echo over; sleep 60"), "stdin": True})
        self.assertEqual(self.send({"pid": pid}, b"all"), (200, {}))
        for _ in range(2):
            self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
        self.assertEqual(output_until(stream, b"over\n"), b"allover\n")
        self.end(stream, pid)

    def test_bytes_of_input_are_not_logged(self):
        stream, pid = self.cat()
        secret = base64.b64encode(b"s3cr3t-value").decode()
        self.assertEqual(self.send({"pid": pid}, b"s3cr3t-value"), (200, {}))
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"s3cr3t-value")
        s.end()
        self.end(stream, pid)
        _, log, _ = self.envd.end()
        self.assertNotIn(secret, str(log))
        self.assertNotIn("s3cr3t-value", str(log))
        methods = [entry.get("method") for entry in log]
        self.assertIn("POST /process.Process/SendInput", methods)
        self.assertIn("POST /process.Process/StreamInput", methods)


class FullPipeTest(InputTest):
    """A process that does not read: input waits, nobody else does."""

    def test_blocked_writer_delays_nobody_and_a_kill_ends_it(self):
        stream, pid = self.started({**sh("sleep 60"), "stdin": True})
        writer = Waiting(self, {"pid": pid}, b"x" * MIB)
        self.blocked(pid)
        self.assertEqual(self.run_sh("echo others").out, b"others\n")
        self.assertEqual(self.close_stdin({"pid": pid}), (200, {}))
        self.assertEqual(self.end(stream, pid).end["status"], "signal: killed")
        status, body = writer.answer()
        self.assertEqual((status, body["code"]), (500, "internal"))
        self.assertTrue(body["message"].startswith("error writing to stdin: "), body)

    def test_deadline_ends_a_blocked_writer_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            stream, pid, gate = self.gated(folder, "wc -c")
            self.assertEqual(self.send({"pid": pid}, b"x" * MIB, **{"Connect-Timeout-Ms": "300"}),
                             (504, error("deadline_exceeded", "context deadline exceeded")))
            later = Waiting(self, {"pid": pid}, b"y" * 10)
            gate.touch()
            self.assertEqual(later.answer(), (200, {}))
            self.close_stdin({"pid": pid})
            self.assertEqual(int(Run(stream).out), PIPE + 10)

    def raw_send(self, pid, data):
        """A SendInput whose answer nobody has read yet: its socket."""
        body = json.dumps({"process": {"pid": pid}, "input": input_of(data)}).encode()
        s = self.envd.connect()
        self.addCleanup(s.close)
        s.sendall(b"POST /process.Process/SendInput HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return s

    def leave(self, how):
        """A client with a megabyte for a process that does not read, until how(socket) ends it."""
        with tempfile.TemporaryDirectory() as folder:
            stream, pid, gate = self.gated(folder, "wc -c")
            fds = self.envd.fds()
            with self.raw_send(pid, b"x" * MIB) as s:
                self.blocked(pid)
                how(s)
            wait_for(lambda: self.envd.fds() <= fds, "its connection to be closed")
            later = Waiting(self, {"pid": pid}, b"y" * 10)
            gate.touch()
            self.assertEqual(later.answer(), (200, {}))
            self.close_stdin({"pid": pid})
            self.assertEqual(int(Run(stream).out), PIPE + 10)

    def test_client_that_closes_takes_its_blocked_input_with_it(self):
        self.leave(lambda s: s.close())

    def test_client_that_resets_takes_its_blocked_input_with_it(self):
        self.leave(lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))

    def test_client_that_hangs_up_is_told_that_its_blocked_input_is_canceled(self):
        def hang_up(s):
            s.shutdown(socket.SHUT_WR)
            head, _, body = read_all(s).partition(b"\r\n\r\n")
            self.assertIn(b" 499 ", head)
            self.assertEqual(json.loads(body), error("canceled", "context canceled"))

        self.leave(hang_up)

    def test_stream_that_leaves_takes_its_blocked_input_with_it(self):
        # More than is read but not more than the kernel holds, behind which no end would be seen; so little that
        # all was read; a message cut in the middle. A quarter of a page each, or the pipe is full with less in it.
        for size, cut in ((5 * PIPE, False), (PIPE + 1024, False), (PIPE + 1024, True)):
            with self.subTest(size=size, cut=cut), tempfile.TemporaryDirectory() as folder:
                stream, pid, gate = self.gated(folder, "wc -c")
                fds = self.envd.fds()
                s = self.input_stream()
                s.start(pid=pid)
                sent = b"".join(envelope({"data": {"input": input_of(b"x" * 1024)}}) for _ in range(size // 1024))
                if cut:
                    sent += envelope({"data": {"input": input_of(b"x" * 1024)}})[:100]
                s.send_bytes(sent)
                self.blocked(pid)
                s.close()
                wait_for(lambda: self.envd.fds() <= fds, "its connection to be closed")
                later = Waiting(self, {"pid": pid}, b"y" * 10)
                gate.touch()
                self.assertEqual(later.answer(), (200, {}))
                self.close_stdin({"pid": pid})
                self.assertEqual(int(Run(stream).out), PIPE + 10)

    def test_writers_are_served_in_the_order_they_came(self):
        with tempfile.TemporaryDirectory() as folder:
            stream, pid, gate = self.gated(folder, "cat")
            self.assertEqual(self.send({"pid": pid}, b"0" * PIPE), (200, {}))
            writers = []
            for i in range(1, 6):
                writers.append(self.raw_send(pid, b"%d" % i * 5000))
                self.envd.request("GET", "/health")  # the daemon has read what came before
            gate.touch()
            for s in writers:
                self.assertIn(b" 200 OK\r\n", read_all(s))
            self.close_stdin({"pid": pid})
            self.assertEqual(Run(stream).out, b"0" * PIPE + b"".join(b"%d" % i * 5000 for i in range(1, 6)))


class StreamInputTest(InputTest):
    def test_messages_arrive_and_the_answer_comes_at_the_end_of_the_body(self):
        stream, pid = self.cat()
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"s1\n")
        self.assertEqual(output_until(stream, b"s1\n"), b"s1\n")
        s.data(b"s2\n")
        self.assertEqual(output_until(stream, b"s2\n"), b"s2\n")
        self.assertEqual(s.end(), ([{}], {}))
        # The end of the stream was not the end of the input.
        self.assertEqual(self.send({"pid": pid}, b"s3\n"), (200, {}))
        self.assertEqual(output_until(stream, b"s3\n"), b"s3\n")
        self.close_stdin({"pid": pid})
        self.assertEqual(Run(stream).code, 0)

    def test_answer_has_the_head_that_clients_know(self):
        stream, pid = self.cat()
        body = envelope({"start": {"process": {"pid": pid}}}) + envelope({"data": {"input": {"stdin": "czEK"}}})
        answer = self.envd.request("POST", "/process.Process/StreamInput", body, {
            "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1",
            "Connect-Content-Encoding": "identity", "Connect-Accept-Encoding": "identity", "Connect-Timeout-Ms": "60000"})
        self.assertEqual((answer.status, answer.body), (200, envelope(b"{}") + envelope(b"{}", 2)))
        self.assertEqual(answer.one("Connect-Accept-Encoding"), "gzip")
        self.assertEqual(answer.one("X-Accel-Buffering"), None)
        self.end(stream, pid)

    def test_keepalives_and_empty_streams_do_nothing(self):
        s = self.input_stream()
        self.assertEqual(s.end(), ([{}], {}))
        s.begin()
        for _ in range(3):
            s.keepalive()
        self.assertEqual(s.end(), ([{}], {}))

    def test_start_selects_again_and_by_tag(self):
        first, pid = self.cat()
        second, other = self.started({"process": {"cmd": "cat"}, "tag": "second"})
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"a\n")
        s.keepalive()
        s.start(tag="second")
        s.data(b"b\n")
        s.start(pid=pid)
        s.data(b"c\n")
        self.assertEqual(s.end(), ([{}], {}))
        self.assertEqual(output_until(first, b"c\n"), b"a\nc\n")
        self.assertEqual(output_until(second, b"b\n"), b"b\n")
        self.end(first, pid), self.end(second, other)

    def test_wrong_messages_end_the_stream_at_once(self):
        stream, pid = self.cat()
        tty, tty_pid = self.terminal("cat")
        start, data = {"start": {"process": {"pid": pid}}}, {"data": {"input": {"stdin": "eA=="}}}
        for messages, code, text in (
                ([data], "invalid_argument", "data came before a start event named the process"),
                ([{}], "unimplemented", "invalid event type <nil>"),
                ([start, {}], "unimplemented", "invalid event type <nil>"),
                ([{"start": {}}], "unimplemented", NO_SELECTOR),
                ([{"start": {"process": {}}}], "unimplemented", NO_SELECTOR),
                ([start, {"data": {}}], "unimplemented", "invalid input type <nil>"),
                ([start, {"data": {"input": {}}}], "unimplemented", "invalid input type <nil>"),
                ([{"start": {"process": {"pid": 999999999}}}], "not_found", "process with pid 999999999 not found"),
                ([{"start": {"process": {"tag": "no"}}}, data], "not_found", "process with tag no not found"),
                ([start, {"data": {"input": {"pty": "eA=="}}}], "internal", STDIN_AS_TTY),
                ([{"start": {"process": {"pid": tty_pid}}}, data], "internal", TTY_AS_STDIN)):
            with self.subTest(text=text):
                s = self.input_stream()
                s.send(*messages)
                self.assertEqual(s.error(), (code, text))
                s.close()
        for wrong in (b"{", b"[]", b'{"data":{"input":{"stdin":"?"}}}', b'{"start":{},"keepalive":{}}', b"\xff"):
            with self.subTest(wrong=wrong):
                s = self.input_stream()
                s.send(wrong)
                self.assertEqual(s.error()[0], "invalid_argument")
                s.close()
        self.end(stream, pid), self.end(tty, tty_pid)

    def test_disabled_and_closed_stdin_refuse(self):
        stream, pid = self.started(sh("sleep 60"))
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"x")
        self.assertEqual(s.error(), ("internal", STDIN_CLOSED))
        self.end(stream, pid)

    def test_connection_goes_on_after_an_error(self):
        s = self.input_stream()
        s.start(pid=999999999)
        self.assertEqual(s.error()[0], "not_found")
        s.connection.send(b"0\r\n\r\n")
        s.begin()
        self.assertEqual(s.end(), ([{}], {}))

    def test_error_reaches_a_client_that_sends_6_megabytes_before_it_reads(self):
        start, data = {"start": {"process": {"pid": 999999999}}}, {"data": {"input": input_of(b"x" * 6000)}}
        rest = [envelope(data)] * (6 * MIB // len(envelope(data)))
        length = len(envelope(start)) + len(b"".join(rest))
        for s in (self.input_stream(), processes.InputStream(self.envd.port, length=length)):
            s.send(start)
            for frame in rest:
                s.send_bytes(frame)
            self.assertEqual(s.error(), ("not_found", "process with pid 999999999 not found"))
            s.close()

    def test_data_for_a_process_that_has_ended_is_an_error_and_not_for_its_successor(self):
        stream, pid = self.cat()
        tty, tty_pid = self.terminal("cat")
        s, t = self.input_stream(), self.input_stream()
        s.start(pid=pid)
        s.data(b"x\n")
        t.start(pid=tty_pid)
        t.data(b"x\n", "pty")
        output_until(stream, b"x\n")
        output_until(tty, b"x\r\n", "pty")
        self.end(stream, pid), self.end(tty, tty_pid)
        s.data(b"y\n")
        t.data(b"y\n", "pty")
        code, text = s.error()
        self.assertEqual(code, "internal")
        self.assertTrue(text.startswith(f"error writing to stdin: error writing to stdin of process '{pid}': "), text)
        code, text = t.error()
        self.assertEqual(code, "internal")
        self.assertTrue(text.startswith(f"error writing to tty: error writing to tty of process '{tty_pid}': "), text)

    def test_time_out_is_the_clients_own(self):
        stream, pid = self.started({**sh("sleep 0.6; echo awake; cat"), "stdin": True})
        s = self.input_stream(**{"Connect-Timeout-Ms": "100"})
        s.start(pid=pid)
        output_until(stream, b"awake\n")
        s.data(b"late\n")
        output_until(stream, b"late\n")
        self.assertEqual(s.end(), ([{}], {}))
        self.end(stream, pid)
        for value in ("0", "-1"):
            s = self.input_stream(**{"Connect-Timeout-Ms": value})
            self.assertEqual(s.error(), ("deadline_exceeded", "context deadline exceeded"))

    def test_message_of_8_mebibytes_arrives(self):
        stream, pid = self.started({**sh("wc -c"), "stdin": True})
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"x" * (8 * MIB))
        self.assertEqual(s.end(), ([{}], {}))
        self.close_stdin({"pid": pid})
        self.assertEqual(int(Run(stream).out), 8 * MIB)

    def test_writers_of_one_process_interleave_by_message(self):
        stream, pid = self.started({**sh("cat"), "stdin": True})
        n_messages, failures = 60, []

        def by_stream(letter):
            s = processes.InputStream(self.envd.port)
            s.start(pid=pid)
            for _ in range(n_messages):
                s.data(letter * 30000 + b"\n")
            if s.end() != ([{}], {}):
                failures.append(letter)
            s.close()

        def by_call(letter):
            for _ in range(n_messages):
                if self.send({"pid": pid}, letter * 30000 + b"\n") != (200, {}):
                    failures.append(letter)

        threads = [threading.Thread(target=by, args=(letter,))
                   for by, letter in ((by_stream, b"a"), (by_stream, b"b"), (by_call, b"c"), (by_call, b"d"))]
        for t in threads:
            t.start()
        closer = threading.Thread(target=lambda: ([t.join() for t in threads], self.close_stdin({"pid": pid})))
        closer.start()
        lines = Run(stream).out.split(b"\n")
        closer.join()
        self.assertEqual(failures, [])
        self.assertEqual(sorted(set(lines)), [b"", *(letter * 30000 for letter in (b"a", b"b", b"c", b"d"))])
        self.assertEqual(len(lines), 4 * n_messages + 1)

    def test_blocked_stream_stops_its_client_and_a_kill_ends_it(self):
        stream, pid = self.started({**sh("sleep 60"), "stdin": True})
        before = self.envd.rss_kib()
        s = self.input_stream()
        s.start(pid=pid)
        s.connection.sock.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(1000):
                s.data(b"x" * 61440)  # whole pages: the pipe is full when it has all it can take
        self.blocked(pid)
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - before, 2048)
        self.assertEqual(self.run_sh("echo others").out, b"others\n")
        s.connection.sock.settimeout(20)
        self.end(stream, pid)
        code, text = s.error()
        self.assertEqual(code, "internal")
        self.assertTrue(text.startswith("error writing to stdin: "), text)


class TerminalTest(InputTest):
    def test_terminal_is_one_and_its_output_is_pty_data(self):
        stream, pid = self.terminal("/bin/sh", "-c", "tty; stty size; test -t 0 -a -t 1 -a -t 2 && echo three; exit 3")
        run = Run(stream)
        self.assertEqual((run.out, run.err), (b"", b""))
        self.assertRegex(run.output("pty"), rb"^/dev/pts/\d+\r\n24 80\r\nthree\r\n$")
        self.assertEqual(run.code, 3)

    def test_input_is_read_as_from_a_keyboard(self):
        stream, pid = self.terminal("/bin/sh", "-c", "read line; echo got $line; cat; echo over")
        self.assertEqual(self.send({"pid": pid}, b"hello\n", "pty"), (200, {}))
        output_until(stream, b"got hello\r\n", "pty")
        s = self.input_stream()
        s.start(pid=pid)
        s.data(b"world\n", "pty")
        self.assertEqual(output_until(stream, b"world\r\nworld\r\n", "pty"), b"world\r\nworld\r\n")
        s.data(b"\x04", "pty")
        self.assertEqual(s.end(), ([{}], {}))
        self.assertEqual(Run(stream).code, 0)

    def test_interrupt_key_reaches_the_foreground(self):
        stream, pid = self.terminal("sleep", "60")
        self.assertEqual(self.send({"pid": pid}, b"\x03", "pty"), (200, {}))
        self.assertEqual(Run(stream).end["status"], "signal: interrupt")

    def test_resize_is_seen_and_signalled(self):
        stream, pid = self.terminal("/bin/sh", "-c", "trap 'stty size' WINCH; echo up; while :; do read x; done")
        output_until(stream, b"up\r\n", "pty")
        for cols, rows in ((100, 30), (65536 + 132, 65536 + 43)):
            self.assertEqual(self.envd.rpc("/process.Process/Update",
                                           {"process": {"pid": pid}, "pty": {"size": {"cols": cols, "rows": rows}}}),
                             (200, {}))
            output_until(stream, b"%d %d\r\n" % (rows % 65536, cols % 65536), "pty")
        self.end(stream, pid)

    def test_size_may_be_absent_or_large(self):
        for pty, size in (({}, b"0 0"), ({"size": {}}, b"0 0"), ({"size": {"cols": 65536 + 90, "rows": 65535}}, b"65535 90")):
            stream, _ = self.started({"process": {"cmd": "stty", "args": ["size"]}, "pty": pty})
            self.assertEqual(Run(stream).output("pty"), size + b"\r\n")

    def test_update_without_a_terminal_or_a_size(self):
        update = lambda pid, **fields: self.envd.rpc("/process.Process/Update", {"process": {"pid": pid}, **fields})  # noqa: E731
        stream, pid = self.cat()
        self.assertEqual(update(pid), (200, {}))
        self.assertEqual(update(pid, pty={"size": {"cols": 1, "rows": 1}}),
                         (500, error("internal", "error resizing tty: tty not assigned to process")))
        self.end(stream, pid)
        stream, pid = self.terminal("sleep", "60")
        self.assertEqual(update(pid), (200, {}))
        self.end(stream, pid)

    def test_stdin_of_a_terminal_cannot_be_closed(self):
        stream, pid = self.terminal("cat")
        self.assertEqual(self.close_stdin({"pid": pid}),
                         (500, error("unknown", "error closing stdin: cannot close stdin for PTY process \u2014 "
                                                "send Ctrl+D (0x04) instead")))
        self.assertEqual(self.send({"pid": pid}, b"\x04", "pty"), (200, {}))
        self.assertEqual(Run(stream).code, 0)

    def test_killed_terminal_ends_and_its_group_hears_the_hang_up(self):
        stream, pid = self.terminal("/bin/sh", "-c", "sleep 60 & echo $!; wait")
        child = int(output_until(stream, b"\r\n", "pty"))
        self.assertEqual(self.end(stream, pid).end["status"], "signal: killed")
        wait_for(lambda: not processes.alive(child), "its child to end")

    def test_stdin_field_means_nothing_for_a_terminal(self):
        stream, pid = self.started({"process": {"cmd": "cat"}, "pty": {"size": {"cols": 80, "rows": 24}}, "stdin": False})
        self.assertEqual(self.send({"pid": pid}, b"x\n\x04", "pty"), (200, {}))
        self.assertEqual(Run(stream).code, 0)


if __name__ == "__main__":
    unittest.main()
