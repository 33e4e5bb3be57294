"""
commands.* of the newest PyPI e2b. One list of tests for both of its interfaces, chosen by the argument
sync or async: what the asynchronous one returns is awaited, what the synchronous one returns is not.
"""
import asyncio
import concurrent.futures
import inspect
import os
import re
import signal
import sys
import time

from e2b import (AsyncSandbox, AuthenticationException, CommandExitException, ConnectionConfig,
                 InvalidArgumentException, Sandbox, TimeoutException)
from packaging.version import Version

TEST_SECONDS_MAX = 60
MODE = sys.argv[1]
tests = []


def test(body):
    tests.append(body)
    return body


async def value(result):
    """What a call returned, whichever interface it belongs to."""
    return await result if inspect.isawaitable(result) else result


async def at_once(calls):
    """Runs calls in parallel: threads for the synchronous interface, tasks for the other."""
    async def one(call):
        return await value(call())

    if MODE == "async":
        return await asyncio.gather(*map(one, calls), return_exceptions=True)
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


class Commands:
    """sandbox.commands, awaited where that is needed."""

    def __init__(self, commands):
        self.plain = commands

    async def run(self, *args, **kwargs):
        return await value(self.plain.run(*args, **kwargs))

    async def list(self):
        return await value(self.plain.list())

    async def kill(self, pid):
        return await value(self.plain.kill(pid))

    async def is_listed(self, pid):
        return any(process.pid == pid for process in await self.list())

    async def count(self, marker):
        return int((await self.run(f"pgrep -fc '^{marker}' || true")).stdout)


async def rejection(call, kind):
    """The exception of that kind that call() ends with."""
    try:
        await value(call())
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} expected")


async def until(condition):
    """Asks until it is so; the test's own time limit ends the asking."""
    while not await condition():
        pass


def equal(got, expected):
    assert got == expected, f"{str(got)[:200]!r}, not {str(expected)[:200]!r}"


@test
async def run_returns_stdout_stderr_and_exit_code(c):
    result = await c.run("echo out; echo err >&2")
    equal((result.stdout, result.stderr, result.exit_code, result.error), ("out\n", "err\n", 0, None))


@test
async def run_calls_back_with_all_output(c):
    out, err = [], []
    await c.run("for n in 1 2 3; do echo $n; echo -$n >&2; done", on_stdout=out.append, on_stderr=err.append)
    equal("".join(out), "1\n2\n3\n")
    equal("".join(err), "-1\n-2\n-3\n")


@test
async def run_with_exit_code_3_throws_with_code_and_output(c):
    error = await rejection(lambda: c.run("echo out; echo err >&2; exit 3"), CommandExitException)
    equal((error.exit_code, error.stdout, error.stderr, error.error), (3, "out\n", "err\n", "exit status 3"))


@test
async def run_of_missing_command_exits_127(c):
    error = await rejection(lambda: c.run("no-such-command-here"), CommandExitException)
    equal(error.exit_code, 127)
    assert "not found" in error.stderr, error.stderr


@test
async def run_of_file_that_is_not_executable_exits_126(c):
    equal((await rejection(lambda: c.run("/etc/passwd"), CommandExitException)).exit_code, 126)


@test
async def run_killed_by_its_own_signal_says_so(c):
    error = await rejection(lambda: c.run("kill -SEGV $$"), CommandExitException)
    equal(error.exit_code, -1)
    assert error.error.startswith("signal: segmentation fault"), error.error


@test
async def run_passes_environment_verbatim(c):
    envs = {"PLAIN": "bar", "SPACES": " a  b ", "QUOTES": "'\"$HOME`", "LINES": "a\nb", "WORLD": "wörld €"}
    result = await c.run('printf "%s|" "$PLAIN" "$SPACES" "$QUOTES" "$LINES" "$WORLD"', envs=envs)
    equal(result.stdout, "".join(text + "|" for text in envs.values()))


@test
async def run_has_an_environment_of_its_user_and_nothing_of_the_daemon(c):
    result = await c.run("echo $HOME $USER $LOGNAME $E2B_SANDBOX; cat /proc/self/oom_score_adj")
    equal(result.stdout, "/home/user user user false\n100\n")


@test
async def run_starts_in_the_home_folder_or_where_told(c):
    equal((await c.run("pwd")).stdout, "/home/user\n")
    equal((await c.run("pwd", cwd="/tmp")).stdout, "/tmp\n")
    equal((await c.run("pwd", cwd="/root", user="root")).stdout, "/root\n")


@test
async def run_in_missing_folder_is_an_invalid_argument(c):
    error = await rejection(lambda: c.run("pwd", cwd="/no/such/folder"), InvalidArgumentException)
    assert "cwd '/no/such/folder' does not exist" in str(error), error


@test
async def run_in_folder_that_the_user_may_not_enter_is_an_invalid_argument(c):
    error = await rejection(lambda: c.run("pwd", cwd="/root"), InvalidArgumentException)
    assert "permission denied" in str(error), error


@test
async def run_is_the_default_user_or_who_is_asked_for(c):
    equal((await c.run("id -un; id -u; id -Gn")).stdout, "user\n1000\nuser sudo\n")
    equal((await c.run("id -un; id -u; echo $HOME", user="root")).stdout, "root\n0\n/root\n")


@test
async def run_as_unknown_user_is_an_authentication_error(c):
    error = await rejection(lambda: c.run("id", user="nobody-here"), AuthenticationException)
    assert "invalid username: 'nobody-here'" in str(error), error


@test
async def run_of_sudo_needs_no_password(c):
    equal((await c.run("sudo id -un")).stdout, "root\n")


@test
async def run_without_stdin_reads_end_of_file(c):
    equal((await c.run('cat; read line || echo "nothing to read"')).stdout, "nothing to read\n")


@test
async def run_beyond_its_time_is_ended_and_throws_timeout(c):
    marker = f"marker-{os.getpid()}-timeout"

    async def is_gone():
        return not any(marker in " ".join(process.args) for process in await c.list())

    await rejection(lambda: c.run(f"exec -a {marker} sleep 1000", timeout=0.3), TimeoutException)
    await until(is_gone)
    equal(await c.count(marker), 0)


@test
async def run_with_timeout_0_is_not_limited(c):
    equal((await c.run("echo done", timeout=0)).stdout, "done\n")


@test
async def background_run_can_be_waited_for(c):
    handle = await c.run("sleep 0.2; echo late", background=True)
    assert handle.pid > 0
    result = await value(handle.wait())
    equal((result.stdout, result.exit_code), ("late\n", 0))


@test
async def background_run_hands_output_on_while_it_runs(c):
    handle = await c.run("echo first; exec sleep 1000", background=True)
    if MODE == "sync":
        equal(next(iter(handle)), ("first\n", None, None))
    else:
        async def is_seen():
            await asyncio.sleep(0)
            return handle.stdout == "first\n" and await c.is_listed(handle.pid)

        await until(is_seen)
    equal(await value(handle.kill()), True)


@test
async def list_shows_what_runs_as_it_was_started(c):
    handle = await c.run("exec sleep 1000", background=True, cwd="/tmp", envs={"A": "b"})
    listed = [process for process in await c.list() if process.pid == handle.pid]
    equal([(p.cmd, p.args, p.cwd, p.envs["A"], p.tag) for p in listed],
          [("/bin/bash", ["-l", "-c", "exec sleep 1000"], "/tmp", "b", None)])
    await value(handle.kill())
    await rejection(handle.wait, CommandExitException)
    equal(await c.is_listed(handle.pid), False)


@test
async def kill_ends_the_command_once(c):
    handle = await c.run("exec sleep 1000", background=True)
    equal(await c.kill(handle.pid), True)
    error = await rejection(handle.wait, CommandExitException)
    equal((error.exit_code, error.error), (-1, "signal: killed"))
    equal(await c.kill(handle.pid), False)


@test
async def kill_of_unknown_process_is_false(c):
    equal(await c.kill(999999), False)


@test
async def kill_reaches_the_children_of_the_command(c):
    marker = f"marker-{os.getpid()}-child"
    handle = await c.run(f"(exec -a {marker} sleep 1000) & wait", background=True)

    async def runs(n):
        return await c.count(marker) == n

    await until(lambda: runs(1))
    equal(await value(handle.kill()), True)
    await rejection(handle.wait, CommandExitException)
    await until(lambda: runs(0))


@test
async def child_that_keeps_the_output_open_does_not_hold_the_result(c):
    started = time.monotonic()
    result = await c.run('sleep 1000 & echo "leaving $!"')
    assert re.fullmatch(r"leaving \d+\n", result.stdout), result.stdout
    assert time.monotonic() - started < 20, "the result came when the child ended"
    await c.run(f"kill {result.stdout.split()[1]}")


@test
async def disconnect_leaves_the_command_running(c):
    handle = await c.run("exec sleep 1000", background=True)
    await value(handle.disconnect())
    equal(await c.is_listed(handle.pid), True)
    equal(await c.kill(handle.pid), True)

    async def is_gone():
        return not await c.is_listed(handle.pid)

    await until(is_gone)


@test
async def large_output_arrives_whole_and_in_order(c):
    result = await c.run("seq 1 1000000")
    assert result.stdout == "".join(f"{n}\n" for n in range(1, 1000001)), f"{len(result.stdout)} characters"


@test
async def large_output_to_both_streams_keeps_each_in_order(c):
    result = await c.run("seq 1 100000 & seq 1 100000 >&2; wait")
    expected = "".join(f"{n}\n" for n in range(1, 100001))
    assert result.stdout == expected, "stdout differs"
    assert result.stderr == expected, "stderr differs"


@test
async def utf8_split_between_messages_is_put_together(c):
    text = "aä€😀"
    result = await c.run(f"""python3 -c "print('{text}' * 100000, end='')" """)
    assert result.stdout == text * 100000, "characters were lost"
    result = await c.run(f"""python3 -c "import os; [os.write(1, bytes([b])) for b in '{text}'.encode() * 20]" """)
    equal(result.stdout, text * 20)


@test
async def long_arguments_and_environment_arrive(c):
    long = "x" * 100_000
    equal((await c.run(f"printf {long} | wc -c")).stdout.strip(), "100000")
    equal((await c.run('printf "$LONG" | wc -c', envs={"LONG": long})).stdout.strip(), "100000")


@test
async def commands_at_once_each_get_their_own_output(c):
    numbers = range(100 if MODE == "async" else 20)
    calls = [lambda n=n: c.plain.run(f"echo {n}; exit $(({n} % 2 * 7))") for n in numbers]
    results = await at_once(calls)
    equal([result.stdout for result in results], [f"{n}\n" for n in numbers])
    equal([result.exit_code for result in results], [n % 2 * 7 for n in numbers])
    equal(await c.list(), [])


@test
async def access_token_opens_and_its_lack_or_another_does_not(_):
    def secured(token):
        headers = {"X-Access-Token": token} if token else {}
        kind = AsyncSandbox if MODE == "async" else Sandbox
        config = ConnectionConfig(debug=True, sandbox_url=os.environ["GUARDED_URL"], extra_sandbox_headers=headers)
        return Commands(kind(sandbox_id="debug_sandbox_id", sandbox_domain=None, connection_config=config,
                             envd_version=Version("99.99.99"), envd_access_token=token).commands)

    equal((await secured(os.environ["GUARDED_TOKEN"]).run("whoami")).stdout, "user\n")
    for token in (None, "another"):
        for call in (lambda c: c.run("whoami"), lambda c: c.list(), lambda c: c.kill(1)):
            await rejection(lambda call=call: call(secured(token)), AuthenticationException)


def reason(error):
    text = str(error) if isinstance(error, AssertionError) else repr(error)
    return re.sub(r"\s+", " ", text)[:500] or repr(error)


def on_alarm(*_):
    raise TimeoutError(f"still running after {TEST_SECONDS_MAX} s")


async def run_limited(body, commands):
    """The asynchronous interface can be cancelled, the synchronous one is interrupted."""
    if MODE == "async":
        await asyncio.wait_for(body(commands), TEST_SECONDS_MAX)
        return
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TEST_SECONDS_MAX)
    try:
        await body(commands)
    finally:
        signal.alarm(0)


async def main():
    create = AsyncSandbox.create if MODE == "async" else Sandbox.create
    commands = Commands((await value(create())).commands)
    failed = 0
    for body in tests:
        name = f"python_{MODE}_{body.__name__}"
        try:
            await run_limited(body, commands)
            print(f"ok {name}", flush=True)
        except Exception as error:
            failed += 1
            print(f"not ok {name} {reason(error)}", flush=True)
    return 1 if failed else 0


status = asyncio.run(main())
sys.stdout.flush()
os._exit(status)  # a connection that a failed test left open must not keep the process
