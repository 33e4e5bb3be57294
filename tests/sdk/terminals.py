"""sandbox.pty of PyPI e2b: create, size, input, signals, kill, reconnect."""
import hashlib
import os
import re

from e2b import (AuthenticationException, CommandExitException, InvalidArgumentException, NotFoundException, PtySize,
                 SandboxException, TimeoutException)
from harness import IS_ASYNC, IS_PREVIOUS, at_once, equal, rejection, stream, test, test_of, until

NO_SUCH_PID = 999999
MEGABYTE = b"0123456789" * 100_000
CTRL_C, CTRL_D = b"\x03", b"\x04"
ON_DATA = {"on_data": print} if IS_ASYNC else {}  # required by the asynchronous interface

# Says when it is ready and then, each time, which size the terminal has got.
SIZE_WATCHER = """exec python3 -uc '
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print("rea" + "dy")
while signal.sigwait([signal.SIGWINCH]): print("now", *os.get_terminal_size())'
"""

# Reads a megabyte as it comes, without echo.
RAW_READER = """stty raw -echo; echo rea""dy; head -c 1000000 | sha256sum; stty sane
"""


def resize_error(kind):
    """The previous generation does not translate what goes wrong in resize."""
    if not IS_PREVIOUS:
        return kind
    from e2b_connect.client import ConnectException
    return ConnectException


async def types(s, terminal, keys):
    await s.pty.send_stdin(terminal.pid, keys if isinstance(keys, bytes) else keys.encode())


async def until_in_front(s, terminal, name):
    """Waits until a program of that name reads what is typed."""
    async def is_in_front():
        return re.search(rf"\+ +{name}$", await s.out(f"ps -o stat=,comm= --ppid {terminal.pid} || true"), re.M)

    await until(is_in_front)


@test
async def terminal_prompts_before_anything_is_typed(s):
    async with s.terminal() as t:
        await t.shows(b"$ ")
        assert b"job control" not in t.pty, t.pty


@test
async def terminal_is_a_login_shell_of_the_user_at_home(s):
    async with s.terminal() as t:
        await types(s, t, 'shopt -q login_shell && echo "[$(whoami) $PWD $TERM $LANG $LC_ALL]"\n')
        await t.shows(b"[user /home/user xterm-256color C.UTF-8 C.UTF-8]\r\n")


@test
async def terminal_has_the_user_folder_and_environment_asked_for(s):
    async with s.terminal(user="root", cwd="/tmp", envs={"TERM": "dumb", "WORLD": "wörld"}) as t:
        await types(s, t, 'echo "[$(whoami) $PWD $TERM $LANG $WORLD]"\n')
        await t.shows("[root /tmp dumb C.UTF-8 wörld]\r\n".encode())


@test
async def terminal_belongs_to_its_user(s):
    async with s.terminal() as t:
        await types(s, t, 'echo "[$(stat -c %U:%a $(tty))]"; echo by its name >$(tty)\n')
        await t.shows(b"[user:620]\r\nby its name\r\n")


@test
async def terminal_has_the_size_asked_for_and_that_of_each_resize(s):
    async with s.terminal(rows=30, cols=100) as t:
        await types(s, t, "stty size\n")
        await t.shows(b"30 100\r\n")
        await types(s, t, SIZE_WATCHER)
        await t.shows(b"ready\r\n")
        for size in (PtySize(rows=40, cols=120), PtySize(rows=1, cols=65535)):
            await s.pty.resize(t.pid, size)
            await t.shows(f"now {size.cols} {size.rows}\r\n".encode())


@test
async def terminal_output_arrives_whole_and_in_order(s):
    numbers = "".join(f"{n}\n" for n in range(1, 200_001)).encode()
    async with s.terminal() as t:
        await types(s, t, "PS1=; stty -echo -opost; echo be''gin; seq 1 200000; echo en''d\n")
        await t.shows(b"end\n")
        got = t.pty.partition(b"begin\n")[2].partition(b"end\n")[0]
        assert got == numbers, f"{len(got)} bytes"


@test
async def terminal_echoes_text_of_any_language(s):
    async with s.terminal() as t:
        await types(s, t, "cat\n")
        await until_in_front(s, t, "cat")
        await types(s, t, "wörld €😀\n")
        await t.shows("wörld €😀\r\nwörld €😀\r\n".encode())


@test
async def terminal_input_of_1_mb_arrives_whole(s):
    async with s.terminal() as t:
        await types(s, t, RAW_READER)
        await t.shows(b"ready")
        await types(s, t, MEGABYTE)
        await t.shows(hashlib.sha256(MEGABYTE).hexdigest().encode())


@test
async def terminal_ctrl_c_interrupts_what_runs_in_it(s):
    async with s.terminal() as t:
        await types(s, t, "sleep 1000\n")
        await until_in_front(s, t, "sleep")
        await types(s, t, CTRL_C)
        await t.shows(b"^C")
        await types(s, t, "echo [$?]\n")
        await t.shows(b"[130]\r\n")


@test
async def terminal_ctrl_d_ends_it(s):
    async with s.terminal() as t:
        await t.shows(b"$ ")
        await types(s, t, CTRL_D)
        equal((await t.end()).exit_code, 0)
        equal(await s.commands.list(), [])


@test
async def terminal_ends_with_the_exit_code_of_its_shell(s):
    async with s.terminal() as t:
        await types(s, t, "exit 7\n")
        error = await rejection(t.end, CommandExitException)
        equal((error.exit_code, error.error), (7, "exit status 7"))


@test_of(not IS_ASYNC)
async def terminal_wait_calls_back_with_its_output(s):
    out = []
    async with s.terminal() as t:
        await types(s, t, "echo $((6 * 7)); exit\n")
        equal(t.handle.wait(on_pty=out.append).exit_code, 0)
        assert b"42\r\n" in b"".join(out), out


@test
async def terminal_kill_ends_it_once(s):
    async with s.terminal() as t:
        equal(await s.pty.kill(t.pid), True)
        error = await rejection(t.end, CommandExitException)
        equal((error.exit_code, error.error), (-1, "signal: killed"))
        equal(await s.pty.kill(t.pid), False)
        equal(await t.kill(), False)


@test
async def terminal_kill_hangs_up_what_runs_in_it(s):
    marker = f"marker-{os.getpid()}-in-terminal"

    async def runs(n):
        return await s.count(marker) == n

    async with s.terminal() as t:
        await types(s, t, f"(exec -a {marker} sleep 1000)\n")
        await until(lambda: runs(1))
        equal(await t.kill(), True)
        await until(lambda: runs(0))


@test
async def terminal_is_listed_as_it_was_started(s):
    async with s.terminal(cwd="/tmp", envs={"A": "b"}) as t:
        [process] = await s.commands.list()
        envs = {"A": "b", "TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        equal((process.pid, process.cmd, process.args, process.cwd, process.envs, process.tag),
              (t.pid, "/bin/bash", ["-i", "-l"], "/tmp", envs, None))


@test
async def terminal_lives_on_after_a_disconnect_and_can_be_connected_to(s):
    async with s.terminal() as t:
        await types(s, t, "here=$((6 * 7)); echo he''re\n")
        await t.shows(b"here\r\n")
        await t.disconnect()
        async with s.connected(t.pid, module="pty") as again:
            equal(again.pid, t.pid)
            await types(s, t, "echo [$here]; exit 3\n")
            await again.shows(b"[42]\r\n")
            equal((await rejection(again.end, CommandExitException)).exit_code, 3)


@test
async def terminal_shows_the_same_to_all_who_are_connected(s):
    async with s.terminal() as t, s.connected(t.pid, module="pty") as other, \
            s.connected(t.pid, module="commands") as as_command:
        await types(s, t, "echo $((6 * 7)); exit\n")
        await t.shows(b"42\r\n")
        await other.shows(b"42\r\n")
        equal([(await each.end()).exit_code for each in (t, other, as_command)], [0, 0, 0])


@test
async def terminal_connect_to_an_unknown_or_ended_one_tells(s):
    await rejection(lambda: s.pty.connect(NO_SUCH_PID, **ON_DATA), NotFoundException)
    async with s.terminal() as t:
        await types(s, t, "exit 3\n")
        await rejection(t.end, CommandExitException)
        async with s.connected(t.pid, module="pty") as late:
            equal((await rejection(late.end, CommandExitException)).exit_code, 3)


@test
async def terminal_beyond_its_time_is_ended_and_raises_timeout(s):
    async with s.terminal(timeout=0.5) as t:
        await rejection(t.end, TimeoutException)
        await until(lambda: s.is_gone(t.pid))


@test
async def terminal_with_timeout_0_is_not_limited(s):
    async with s.terminal(timeout=0) as t:
        await types(s, t, "exit\n")
        equal((await t.end()).exit_code, 0)


@test
async def terminal_that_cannot_start_says_why(s):
    def create(**options):
        return s.pty.create(size=PtySize(24, 80), **ON_DATA, **options)

    await rejection(lambda: create(user="nobody-here"), AuthenticationException)
    error = await rejection(lambda: create(cwd="/no/such/folder"), InvalidArgumentException)
    assert "cwd '/no/such/folder' does not exist" in str(error), error
    error = await rejection(lambda: create(cwd="/root"), InvalidArgumentException)
    assert "permission denied" in str(error), error


@test
async def input_of_the_wrong_kind_is_an_error(s):
    async with s.terminal() as t, s.running("cat", stdin=True) as cat:
        error = await rejection(lambda: s.commands.send_stdin(t.pid, "x"), SandboxException)
        assert "tty assigned to process" in str(error), error
        error = await rejection(lambda: s.pty.send_stdin(cat.pid, b"x"), SandboxException)
        assert "tty not assigned to process" in str(error), error
        error = await rejection(lambda: s.commands.close_stdin(t.pid), SandboxException)
        assert "cannot close stdin for PTY process" in str(error), error


@test
async def input_to_an_unknown_or_ended_terminal_is_not_found(s):
    async with s.terminal() as t:
        await t.kill()
        await rejection(t.end, CommandExitException)
        for pid in (NO_SUCH_PID, t.pid):
            await rejection(lambda: s.pty.send_stdin(pid, b"x"), NotFoundException)


@test
async def resize_of_what_is_no_terminal_is_an_error(s):
    size = PtySize(24, 80)
    async with s.running("cat", stdin=True) as cat:
        error = await rejection(lambda: s.pty.resize(cat.pid, size), resize_error(SandboxException))
        assert "tty not assigned to process" in getattr(error, "message", str(error)), error
    error = await rejection(lambda: s.pty.resize(NO_SUCH_PID, size), resize_error(NotFoundException))
    assert f"process with pid {NO_SUCH_PID} not found" in getattr(error, "message", str(error)), error


@test
async def terminals_at_once_each_have_their_own_output(s):
    async def one(n):
        async with s.terminal() as t:
            await types(s, t, f"echo $(({n} + 1000)); exit {n}\n")
            await t.shows(f"{n + 1000}\r\n".encode())
            return (await rejection(t.end, CommandExitException)).exit_code

    if IS_ASYNC:
        equal(await at_once([lambda n=n: one(n) for n in range(1, 11)]), list(range(1, 11)))
    else:
        equal([await one(n) for n in range(1, 4)], [1, 2, 3])


@test_of(not IS_PREVIOUS)
async def stream_input_reaches_the_terminal_as_it_comes(s):
    async with s.terminal() as t:
        await stream(s.pty, t.pid, [
            "echo $((6 * 7))\n", lambda: t.shows(b"42\r\n"),
            b"echo $((7 * 7))\n", lambda: t.shows(b"49\r\n"),
            lambda: types(s, t, "echo $((8 * 7))\n"), lambda: t.shows(b"56\r\n"),
            "exit 3\n"])
        equal((await rejection(t.end, CommandExitException)).exit_code, 3)


@test_of(not IS_PREVIOUS)
async def stream_input_of_the_wrong_kind_or_to_no_terminal_is_an_error(s):
    await rejection(lambda: stream(s.pty, NO_SUCH_PID, ["x"]), NotFoundException)
    async with s.terminal() as t, s.running("cat", stdin=True) as cat:
        error = await rejection(lambda: stream(s.commands, t.pid, ["x"]), SandboxException)
        assert "tty assigned to process" in str(error), error
        error = await rejection(lambda: stream(s.pty, cat.pid, ["x"]), SandboxException)
        assert "tty not assigned to process" in str(error), error

