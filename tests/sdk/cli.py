#!/usr/bin/env python3
"""
The newest @e2b/cli, unmodified: `sandbox exec` with piped input, and its terminals.

It finds the sandbox in one of two ways: E2B_DEBUG, as the SDKs do, or a stand-in for the cloud's API.
"""
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [f"{HERE}/../run", f"{HERE}/../support"]
from cloud import API_KEY, Cloud  # noqa: E402
from results import main  # noqa: E402
from testdeps import testdeps  # noqa: E402

SECONDS_MAX = 60
KIB, MIB = 1024, 1024 * 1024
URL = os.environ["E2B_SANDBOX_URL"]
TOOLS = testdeps()
CLI = [TOOLS["NODE"], f"{TOOLS['NODE_MODULES']}/@e2b/cli/dist/index.js", "sandbox"]
HOME = tempfile.TemporaryDirectory()  # neither somebody's login nor a question for newer versions
ENVIRONMENT = {**os.environ, "HOME": HOME.name, "E2B_API_KEY": API_KEY, "NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}


def processes(url=URL, headers=()):
    request = urllib.request.Request(f"{url}/process.Process/List", b"{}",
                                     {"Content-Type": "application/json", **dict(headers)})
    with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
        return json.load(answer).get("processes", [])


def kill(pid):
    message = json.dumps({"process": {"pid": pid}, "signal": "SIGNAL_SIGKILL"}).encode()
    request = urllib.request.Request(f"{URL}/process.Process/SendSignal", message, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=SECONDS_MAX).close()


def until(condition):
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true")
    return found


def execute(*arguments, data=b"", env=None, **options):
    """`sandbox exec` with data piped into it; its output goes to a file, as it exits before a pipe has taken all."""
    if "stdin" not in options:
        options["input"] = data
    with tempfile.TemporaryFile() as out:
        done = subprocess.run([*CLI, "exec", *arguments], env=env or ENVIRONMENT, stdout=out, stderr=subprocess.PIPE,
                              timeout=SECONDS_MAX, **options)
        out.seek(0)
        done.stdout = out.read()
    return done


def start(*arguments):
    return subprocess.Popen([*CLI, "exec", *arguments], env=ENVIRONMENT, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Test(unittest.TestCase):
    def tearDown(self):
        left = processes()
        for process in left:
            kill(process["pid"])
        until(lambda: not processes())
        self.assertEqual(left, [])

    def assert_done(self, done, status, out, err=b""):
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, out, err))

    def assert_arrived(self, done, data):
        """What sha256sum printed in the sandbox says that it has read data."""
        self.assert_done(done, 0, hashlib.sha256(data).hexdigest().encode() + b"  -\n")


class Exec(Test):
    def test_cli_exec_prints_both_outputs_and_exits_as_the_command(self):
        self.assert_done(execute("id", "echo out; echo err >&2; exit 3"), 3, b"out\n", b"err\nexit status 3\n")

    def test_cli_exec_of_missing_command_exits_127(self):
        done = execute("id", "no-such-command-here")
        self.assertEqual((done.returncode, done.stdout), (127, b""))
        self.assertIn(b"no-such-command-here: command not found", done.stderr)

    def test_cli_exec_of_killed_command_exits_255(self):
        self.assert_done(execute("id", "kill -9 $$"), 255, b"", b"signal: killed\n")

    def test_cli_exec_hands_arguments_on_as_they_are(self):
        done = execute("id", "printf", "%s|", "a b", "it's", "$HOME", "*", "", "--help")
        self.assert_done(done, 0, b"a b|it's|$HOME|*||--help|")

    def test_cli_exec_uses_the_folder_user_and_environment_asked_for(self):
        done = execute("-c", "/tmp", "-u", "root", "-e", "A=b=c", "-e", "B=x y", "id", 'pwd; id -un; echo "$A|$B"')
        self.assert_done(done, 0, b"/tmp\nroot\nb=c|x y\n")

    def test_cli_exec_in_missing_folder_or_as_unknown_user_fails(self):
        for option, value, error in (
                ("-c", "/no/such", b"InvalidArgumentError: [invalid_argument] cwd '/no/such' does not exist"),
                ("-u", "nobody-here", b"AuthenticationError: [unauthenticated] invalid username: 'nobody-here'")):
            done = execute(option, value, "id", "true")
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(error, done.stderr)

    def test_cli_exec_large_output_is_complete(self):
        expected = b"".join(b"%d\n" % n for n in range(1, 1_000_001))
        self.assertTrue(execute("id", "seq 1 1000000").stdout == expected)

    def test_cli_exec_text_goes_there_and_back(self):
        text = "".join(f"{n} wörld €😀\n" for n in range(100_000)).encode()
        self.assertTrue(execute("id", "cat", data=text).stdout == text)

    def test_cli_exec_input_from_a_file_arrives_whole(self):
        data = os.urandom(200_000)
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            self.assert_arrived(execute("id", "sha256sum", stdin=file), data)

    def test_cli_exec_input_from_a_socket_arrives_whole(self):
        data = os.urandom(20_000)
        here, there = socket.socketpair()
        with here, there:
            here.sendall(data)
            here.shutdown(socket.SHUT_WR)
            self.assert_arrived(execute("id", "sha256sum", stdin=there), data)

    def test_cli_exec_without_piped_input_reads_nothing(self):
        self.assert_done(execute("id", "cat; echo end", stdin=subprocess.DEVNULL), 0, b"end\n")

    def test_cli_exec_input_is_handed_on_as_it_comes(self):
        with start("id", "while read line; do echo got $line; done; exit 4") as cli:
            for line in (b"one", b"two"):
                cli.stdin.write(line + b"\n")
                cli.stdin.flush()
                self.assertEqual(cli.stdout.readline(), b"got " + line + b"\n")
            self.assertEqual(cli.communicate(timeout=SECONDS_MAX), (b"", b"exit status 4\n"))
            self.assertEqual(cli.returncode, 4)

    def test_cli_exec_command_that_ended_before_its_input_is_told(self):
        with start("id", "echo done") as cli:
            self.assertEqual(cli.stdout.readline(), b"done\n")
            until(lambda: not processes())
            self.assertEqual(cli.communicate(b"late", timeout=SECONDS_MAX),
                             (b"", b"e2b: Remote command exited before stdin could be delivered.\n"))
            self.assertEqual(cli.returncode, 0)

    def test_cli_exec_command_that_stops_reading_ends_its_input(self):
        done = execute("id", "head -c 1", data=b"y" * MIB)
        if done.returncode == 0:
            self.assert_done(done, 0, b"y", b"e2b: Remote command exited before stdin could be delivered.\n")
        else:  # as with the reference, the end of a process is seen later than that of its pipe
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"error writing to stdin", done.stderr)

    def test_cli_exec_interrupted_kills_the_command(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name), start("id", "echo started; exec sleep 1000") as cli:
                self.assertEqual(cli.stdout.readline(), b"started\n")
                cli.stdin.close()
                cli.stdin = None
                cli.send_signal(number)
                self.assertEqual(cli.communicate(timeout=SECONDS_MAX), (b"", b"signal: killed\n"))
                self.assertEqual(cli.returncode, 255)

    def test_cli_exec_in_background_leaves_the_command_running(self):
        done = execute("-b", "id", "exec sleep 1000")
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        pid = int(done.stderr)
        self.assertEqual([process["pid"] for process in processes()], [pid])
        kill(pid)
        until(lambda: not processes())

    def test_cli_exec_in_background_delivers_its_input_first(self):
        name = f"/tmp/cli-{os.getpid()}"
        data = os.urandom(300_000)
        self.assertEqual(execute("-b", "id", f"cat >{name}", data=data).returncode, 0)
        until(lambda: not processes())
        self.assert_arrived(execute("id", f"sha256sum <{name}; rm {name}"), data)


def test_input(kind, data):
    def test(self):
        self.assert_arrived(execute("id", "sha256sum", data=data), data)

    setattr(Exec, f"test_cli_exec_input_of_{len(data)}_{kind}_bytes_arrives_whole", test)


for size in (0, 1, 64 * KIB, 64 * KIB + 1, 10 * MIB):
    test_input("random", os.urandom(size))
test_input("NUL", bytes(64 * KIB + 1))
test_input("FF", b"\xff" * (64 * KIB + 1))


class InCloud(Test):
    """Found through the cloud's API instead of E2B_DEBUG; the sandbox wants its token."""

    def test_cli_exec_uses_the_token_that_the_cloud_names(self):
        with Cloud(os.environ["GUARDED_TOKEN"]) as cloud:
            data = os.urandom(100_000)
            self.assert_arrived(execute("sandbox1", "sha256sum", data=data, env=cloud.environment(ENVIRONMENT)), data)
        self.assertEqual([(path, key) for path, key, _ in cloud.calls], [("/sandboxes/sandbox1/connect", API_KEY)])

    def test_cli_exec_with_wrong_token_is_an_authentication_error(self):
        with Cloud("another") as cloud:
            done = execute("sandbox1", "true", env=cloud.environment(ENVIRONMENT))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"AuthenticationError", done.stderr)

    def test_cli_create_makes_a_sandbox_and_opens_a_terminal_in_it(self):
        with Cloud(os.environ["GUARDED_TOKEN"]) as cloud:
            with Terminal("create", "base", env=cloud.environment(ENVIRONMENT)) as terminal:
                terminal.until(rb"\$ $")
                self.assertEqual(terminal.ask("whoami"), "user\n")
                terminal.type(b"exit\r")
                self.assertEqual(terminal.wait(), 0)
        self.assertEqual(cloud.calls[0][2]["templateID"], "base")
        self.assertEqual(cloud.calls[-1][0], "/sandboxes/made/timeout")


class Terminal:
    """The CLI in a terminal of ours. What is typed is echoed: one waits for what only its answer holds."""

    def __init__(self, *arguments, columns=80, rows=24, env=None):
        self.seen = b""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(CLI[0], [*CLI, *arguments], env or ENVIRONMENT)
            finally:
                os._exit(127)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        if self.fd is not None:
            os.close(self.fd)

    def type(self, data):
        os.write(self.fd, data)

    def read(self):
        """More of what it prints, or nothing at its end."""
        if not select.select([self.fd], [], [], SECONDS_MAX)[0]:
            raise AssertionError(f"nothing more after {self.seen!r}")
        try:
            return os.read(self.fd, 64 * KIB)
        except OSError:  # EIO: nobody has it open any more
            return b""

    def until(self, pattern):
        """What it printed before a pattern."""
        while not (found := re.search(pattern, self.seen, re.S)):
            data = self.read()
            if not data:
                raise AssertionError(f"it ended after {self.seen!r}")
            self.seen += data
        before, self.seen = self.seen[:found.start()], self.seen[found.end():]
        return before

    def ask(self, line):
        """What a line of shell prints, between two marks that its echo does not hold."""
        self.type(f"printf '<%s' '<'; {line}; printf '%s>' '>'\r".encode())
        self.until(rb"<<")
        return self.until(rb">>").decode().replace("\r", "")

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self):
        os.close(self.fd)
        self.fd = None

    def wait(self):
        while self.fd is not None and (data := self.read()):
            self.seen += data
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


class Terminals(Test):
    def test_cli_connect_opens_a_shell(self):
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"Terminal connecting to sandbox")
            terminal.until(rb"user@\w+.*:.*~.*\$ $")
            self.assertEqual(terminal.ask("whoami; pwd; echo $TERM; tty | cut -c-9"),
                             "user\n/home/user\nxterm-256color\n/dev/pts/\n")
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_spawn_opens_a_shell_and_says_that_it_is_old(self):
        with Terminal("spawn") as terminal:
            terminal.until(rb"The 'spawn' command is deprecated")
            terminal.until(rb"\$ $")
            terminal.type(b"\x04")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_connect_uses_the_user_folder_and_environment_asked_for(self):
        with Terminal("connect", "-u", "root", "-c", "/tmp", "-e", "A=b=c", "id") as terminal:
            terminal.until(rb"# $")
            self.assertEqual(terminal.ask('id -un; pwd; echo "$A"'), "root\n/tmp\nb=c\n")
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_has_the_size_of_ours_and_follows_it(self):
        with Terminal("connect", "id", columns=132, rows=50) as terminal:
            terminal.until(rb"\$ $")
            self.assertEqual(terminal.ask("stty size"), "50 132\n")
            terminal.type(b"bash -c 'trap \"stty size; exit\" WINCH; echo rea''dy; while :; do sleep 0.01; done'\r")
            terminal.until(rb"ready\r+\n")
            terminal.resize(100, 30)
            terminal.until(rb"30 100\r+\n")
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_ctrl_c_reaches_the_command_in_the_sandbox(self):
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            terminal.type(b"bash -c 'echo run''ning; exec sleep 1000'\r")
            terminal.until(rb"running\r+\n")
            terminal.type(b"\x03")
            terminal.until(rb"\$ $")
            self.assertEqual(terminal.ask("echo $((6 * 7))"), "42\n")
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_takes_a_large_paste(self):
        text = b"x" * 3000 + b"\r"  # a line of a terminal holds up to 4095 bytes
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            terminal.type(b"bash -c 'echo rea''dy; read line; echo $((${#line} * 2))'\r")
            terminal.until(rb"ready\r+\n")
            terminal.type(text)
            terminal.until(rb"6000\r+\n")
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_shows_large_output(self):
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            self.assertEqual(terminal.ask("seq 1 100000"), "".join(f"{n}\n" for n in range(1, 100_001)))
            terminal.type(b"exit\r")
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_whose_shell_fails_or_is_killed(self):
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            terminal.type(b"exit 3\r")
            self.assertEqual(terminal.wait(), 1)
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            kill(processes()[0]["pid"])
            self.assertEqual(terminal.wait(), 0)

    def test_cli_terminal_that_is_closed_leaves_its_shell_running(self):
        with Terminal("connect", "id") as terminal:
            terminal.until(rb"\$ $")
            terminal.hang_up()
            terminal.wait()
        (shell,) = processes()
        self.assertEqual(shell["config"]["args"], ["-i", "-l"])
        kill(shell["pid"])
        until(lambda: not processes())


if __name__ == "__main__":
    main(sys.argv[1:], sys.modules[__name__])
