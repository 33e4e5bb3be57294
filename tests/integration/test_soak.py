"""Clients that die at any point of what they do, for a while: nothing of theirs stays. The seed decides what they do
and when they die; the kernel's part in it differs all the same."""
import json
import os
import random
import signal
import time
import unittest

import http2
from binary import BinaryTest, InputStream, Stream, call, selector, start_request
from envd import DEADLINE_S, envelope
from processes import MIB, InputStream as JsonInputStream, input_of, wait_for

SECONDS = float(os.environ.get("ENVD_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("ENVD_TEST_SEED", "1"))
LIFETIME_MS = 3000  # of each process that is started; clients live for a part of a second


class Client:
    """What a client may do; each function goes on until the client is killed or has had enough."""

    def __init__(self, test, seed):
        self.port, self.envd, self.chance = test.envd.port, test.envd, random.Random(seed)
        self.headers = {**test.user, "Connect-Timeout-Ms": str(LIFETIME_MS)}

    def run(self):
        while True:
            self.chance.choice((self.read_much, self.read_slowly, self.talk, self.stuff, self.use_terminal, self.watch,
                                self.begin_anything, self.start_many, self.start_nothing, self.signal_anybody))()

    def start(self, *command, **fields):
        stream = Stream(self.port, "Start", start_request(*command, **fields), self.headers)
        return stream, stream.started()

    def pids(self):
        return [process["pid"] for process in self.envd.rpc("/process.Process/List", {})[1].get("processes", [])]

    def read_much(self):
        self.start("head", "-c", str(self.chance.randrange(64 * MIB)), "/dev/zero")[0].all()

    def read_slowly(self):
        for _ in self.start("sh", "-c", "yes | head -c 2000000; seq 300000 >&2")[0].output():
            time.sleep(0.01)

    def talk(self):
        stream, pid = self.start("cat", stdin=True)
        s = InputStream(self.port, pid, self.headers)
        for _ in range(20):
            s.data(bytes(self.chance.randrange(100000)))
        s.finish()
        self.envd.rpc("/process.Process/CloseStdin", {"process": {"pid": pid}})
        stream.all()

    def stuff(self):
        """Much for a process that does not read."""
        _, pid = self.start("sleep", "60", stdin=True)
        if self.chance.random() < 0.5:
            self.envd.rpc("/process.Process/SendInput", {"process": {"pid": pid}, "input": input_of(bytes(MIB))})
        s = JsonInputStream(self.port)
        s.start(pid=pid)
        while True:
            s.data(bytes(50000))

    def use_terminal(self):
        stream, pid = self.start("sh", terminal=(80, 24))
        s = InputStream(self.port, pid, self.headers)
        s.data(b"seq 100000; sleep 1 & cat\n", channel=2)
        size = {"cols": self.chance.randrange(200), "rows": 10}
        self.envd.rpc("/process.Process/Update", {"process": {"pid": pid}, "pty": {"size": size}})
        stream.all()

    def watch(self):
        for pid in self.pids()[:3]:
            stream = Stream(self.port, "Connect", selector(pid), self.headers)
            stream.started()
            for _, _ in zip(range(100), stream.output()):
                pass

    def begin_anything(self):
        """A request, or a part of one, and no look at its answer."""
        message = envelope(json.dumps({"process": {"cmd": "sleep", "args": ["1"]}}).encode())
        request = self.chance.choice((
            call("Start", start_request("echo", "x"), self.headers), b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n" * 50,
            http2.PREFACE + http2.frame(http2.SETTINGS) + http2.frame(http2.PING, payload=bytes(8)) * 10,
            b"POST /process.Process/Start HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/connect+json\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(message), message)))
        with self.envd.connect() as s:
            s.sendall(request[:self.chance.randrange(len(request) + 1)])

    def start_many(self):
        """Over one connection, of which some are given up."""
        c = http2.Connection(self.port)
        block = http2.get(b"/process.Process/Start", post=True) + b"".join(
            http2.literal(name.lower().encode(), value.encode()) for name, value in self.headers.items()) + \
            http2.literal(b"content-type", b"application/connect+proto")
        message = start_request("sh", "-c", "yes | head -c 100000; sleep 0.1")
        for i in range(1, 60, 2):
            c.send(http2.frame(http2.HEADERS, http2.END_HEADERS, i, block) +
                   http2.frame(http2.DATA, http2.END_STREAM, i, call("", message, {}).partition(b"\r\n\r\n")[2]))
            if self.chance.random() < 0.3:
                c.send(http2.frame(http2.RST_STREAM, 0, i, bytes([0, 0, 0, 8])))
            c.take()
        c.close()

    def start_nothing(self):
        for message in start_request("no-such-command"), start_request("true", cwd="/no/such"), b"\xff":
            for _ in Stream(self.port, "Start", message, self.headers).events:
                pass

    def signal_anybody(self):
        for pid in self.pids()[:2]:
            name = self.chance.choice(("SIGNAL_SIGTERM", "SIGNAL_SIGKILL"))
            self.envd.rpc("/process.Process/SendSignal", {"process": {"pid": pid}, "signal": name})


class KilledClientsTest(BinaryTest):
    CLIENTS = 6
    LONGEST_S = 0.4  # life of a client
    MEMORY_KIB = 6144  # glibc is left with fragments, and ends are remembered for half a minute

    def fork_client(self, seed):
        """Its pid, and when it is to die."""
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                Client(self, seed).run()
            finally:  # a daemon that others kill processes of is no failure
                os._exit(0)
        return pid, time.monotonic() + random.Random(seed).uniform(0, self.LONGEST_S)

    def health(self, s):
        """Seconds until the answer."""
        began = time.monotonic()
        s.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
        self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 204 "))
        return time.monotonic() - began

    def test_killed_clients_leave_nothing(self):
        seed, n_killed, longest_s, most_fds, clients = SEED, 0, 0, 0, []
        end = time.monotonic() + SECONDS
        with self.envd.connect() as healthy:
            while clients or time.monotonic() < end:
                while len(clients) < self.CLIENTS and time.monotonic() < end:
                    seed += 1
                    clients.append(self.fork_client(seed))
                longest_s = max(longest_s, self.health(healthy))
                most_fds = max(most_fds, self.envd.fds())
                now = time.monotonic()
                for pid, _ in [client for client in clients if client[1] <= now]:
                    os.kill(pid, signal.SIGKILL)
                    n_killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
                clients = [client for client in clients if client[1] > now]
                time.sleep(0.005)
            wait_for(lambda: not self.children(), "all processes to end", DEADLINE_S)
        print(f"seed {SEED}: {n_killed} of {seed - SEED} clients died by the signal, longest wait {longest_s:.2f} s, "
              f"up to {most_fds} descriptors; {self.rss_kib} KiB before, {self.envd.rss_kib()} KiB after")
        self.assertGreater(n_killed, SECONDS)
        self.assertLess(longest_s, 2)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
