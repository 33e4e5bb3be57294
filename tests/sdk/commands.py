"""sandbox.commands of PyPI e2b: output, exit codes, environment, users, time-outs, background, connections."""
import asyncio
import importlib
import os
import re
import time
import urllib.request

import e2b
from e2b import (AuthenticationException, CommandExitException, InvalidArgumentException, NotFoundException,
                 RateLimitException, TimeoutException)
from harness import IS_ASYNC, IS_PREVIOUS, NO_ERROR, at_once, equal, rejection, secured, test, test_of, until, value

NO_SUCH_PID = 999999
# The one port of a container that can be reached; in a root each can, and the kernel chooses.
ADDRESS = ("", int(os.environ["PUBLISHED_PORT"])) if "PUBLISHED_PORT" in os.environ else ("127.0.0.1", 0)
SERVER = f"""exec python3 -uc '
import http.server
server = http.server.HTTPServer(("{ADDRESS[0]}", {ADDRESS[1]}), http.server.SimpleHTTPRequestHandler)
print("port", server.server_port)
server.serve_forever()'"""


@test
async def run_returns_stdout_stderr_and_exit_code(s):
    result = await s.commands.run("echo out; echo err >&2")
    equal((result.stdout, result.stderr, result.exit_code, result.error), ("out\n", "err\n", 0, NO_ERROR))


@test
async def run_calls_back_with_all_output(s):
    out, err = [], []
    await s.commands.run("for n in 1 2 3; do echo $n; echo -$n >&2; done", on_stdout=out.append, on_stderr=err.append)
    equal("".join(out), "1\n2\n3\n")
    equal("".join(err), "-1\n-2\n-3\n")


@test_of(IS_ASYNC)
async def run_waits_for_callbacks_that_are_coroutines(s):
    out = []

    async def on_stdout(text):
        await asyncio.sleep(0)
        out.append(text)

    await s.commands.run("seq 1 20000", on_stdout=on_stdout)
    equal("".join(out), "".join(f"{n}\n" for n in range(1, 20001)))


@test_of(not IS_PREVIOUS)
async def run_that_retains_no_output_hands_it_to_callbacks_only(s):
    out = []
    result = await s.commands.run("echo out; echo err >&2", on_stdout=out.append, retain_output=False)
    equal((out, result.stdout, result.stderr, result.exit_code), (["out\n"], None, None, 0))


@test
async def run_with_exit_code_3_raises_with_code_and_output(s):
    error = await rejection(lambda: s.commands.run("echo out; echo err >&2; exit 3"), CommandExitException)
    equal((error.exit_code, error.stdout, error.stderr, error.error), (3, "out\n", "err\n", "exit status 3"))


@test
async def run_of_missing_command_exits_127(s):
    error = await rejection(lambda: s.commands.run("no-such-command-here"), CommandExitException)
    equal(error.exit_code, 127)
    assert "not found" in error.stderr, error.stderr


@test
async def run_of_file_that_is_not_executable_exits_126(s):
    equal((await rejection(lambda: s.commands.run("/etc/passwd"), CommandExitException)).exit_code, 126)


@test
async def run_killed_by_its_own_signal_says_so(s):
    error = await rejection(lambda: s.commands.run("kill -SEGV $$"), CommandExitException)
    equal(error.exit_code, -1)
    assert error.error.startswith("signal: segmentation fault"), error.error


@test
async def run_takes_any_text_as_command(s):
    equal(await s.out("echo 'wörld € 😀' \"it's\" `echo a`;\necho b"), "wörld € 😀 it's a\nb\n")


@test
async def run_of_a_command_beyond_the_kernels_limit_is_an_invalid_argument(s):
    error = await rejection(lambda: s.commands.run(":" + " " * 200_000), InvalidArgumentException)
    assert "argument list too long" in str(error), error


@test
async def run_passes_environment_verbatim(s):
    envs = {"PLAIN": "bar", "SPACES": " a  b ", "QUOTES": "'\"$HOME`", "LINES": "a\nb", "WORLD": "wörld €",
            "EMPTY": ""}
    command = 'printf "%s|" "$PLAIN" "$SPACES" "$QUOTES" "$LINES" "$WORLD" "${EMPTY-unset}"'
    equal(await s.out(command, envs=envs), "".join(text + "|" for text in envs.values()))


@test
async def run_passes_a_thousand_variables(s):
    envs = {f"NUMBER_{n}": str(n) for n in range(1000)}
    equal(await s.out("env | grep -c ^NUMBER_", envs=envs), "1000\n")


@test
async def run_has_an_environment_of_its_user_and_nothing_of_the_daemon(s):
    out = await s.out("echo $HOME $USER $LOGNAME $E2B_SANDBOX; cat /proc/self/oom_score_adj")
    equal(out, "/home/user user user false\n100\n")
    equal(await s.out("echo $HOME $USER", envs={"HOME": "/tmp", "USER": "me"}), "/tmp me\n")


@test
async def run_starts_in_the_home_folder_or_where_told(s):
    equal(await s.out("pwd"), "/home/user\n")
    equal(await s.out("pwd", cwd="/tmp"), "/tmp\n")
    equal(await s.out("pwd", cwd="~"), "/home/user\n")
    equal(await s.out("pwd", cwd="../../usr/lib"), "/usr/lib\n")
    equal(await s.out("pwd", cwd="/root", user="root"), "/root\n")


@test
async def run_in_missing_folder_is_an_invalid_argument(s):
    error = await rejection(lambda: s.commands.run("pwd", cwd="/no/such/folder"), InvalidArgumentException)
    assert "cwd '/no/such/folder' does not exist" in str(error), error


@test
async def run_in_a_file_is_an_invalid_argument(s):
    error = await rejection(lambda: s.commands.run("pwd", cwd="/etc/passwd"), InvalidArgumentException)
    assert "not a directory" in str(error), error


@test
async def run_in_folder_that_the_user_may_not_enter_is_an_invalid_argument(s):
    error = await rejection(lambda: s.commands.run("pwd", cwd="/root"), InvalidArgumentException)
    assert "permission denied" in str(error), error


@test
async def run_is_the_default_user_or_who_is_asked_for(s):
    equal(await s.out("id -un; id -u; id -Gn"), "user\n1000\nuser sudo\n")
    equal(await s.out("id -un; id -u; echo $HOME", user="root"), "root\n0\n/root\n")


@test
async def run_as_unknown_user_is_an_authentication_error(s):
    error = await rejection(lambda: s.commands.run("id", user="nobody-here"), AuthenticationException)
    assert "invalid username: 'nobody-here'" in str(error), error


@test
async def run_of_sudo_needs_no_password(s):
    equal(await s.out("sudo id -un"), "root\n")


@test
async def run_beyond_the_users_process_limit_is_a_rate_limit(s):
    limit = "prlimit --pid $(pgrep -x envd) --nproc"
    before = (await s.out(f"{limit} --noheadings --output SOFT", user="root")).strip()
    async with s.running("exec sleep 1000"):  # the kernel lets the first process of a user through
        await s.commands.run(f"{limit}=0:", user="root")
        try:
            error = await rejection(lambda: s.commands.run("true"), RateLimitException)
        finally:
            await s.commands.run(f"{limit}={before}:", user="root")
    assert "resource temporarily unavailable" in str(error), error
    equal(await s.out("echo again"), "again\n")


@test
async def run_beyond_its_time_is_ended_and_raises_timeout(s):
    marker = f"marker-{os.getpid()}-timeout"

    async def is_gone():
        return not any(marker in " ".join(process.args) for process in await s.commands.list())

    await rejection(lambda: s.commands.run(f"exec -a {marker} sleep 1000", timeout=0.3), TimeoutException)
    await until(is_gone)
    equal(await s.count(marker), 0)


@test
async def run_beyond_its_time_takes_its_children_along(s):
    marker = f"marker-{os.getpid()}-late-child"
    await rejection(lambda: s.commands.run(f"(exec -a {marker} sleep 1000) & wait", timeout=0.3), TimeoutException)

    async def is_gone():
        return await s.count(marker) == 0

    await until(is_gone)


@test
async def run_that_is_silent_for_longer_than_the_keepalives_gets_its_result(s):
    module = importlib.import_module(type(s.commands.plain).__module__)
    usual = module.KEEPALIVE_PING_INTERVAL_SEC
    module.KEEPALIVE_PING_INTERVAL_SEC = 1  # no public way to have them more often than each 50 s
    try:
        equal(await s.out("echo before; sleep 1.5; echo after"), "before\nafter\n")
    finally:
        module.KEEPALIVE_PING_INTERVAL_SEC = usual


@test_of(IS_ASYNC)
async def run_that_is_cancelled_leaves_the_command_running(s):
    async def started():
        return await s.commands.list()

    run = asyncio.ensure_future(s.commands.run("exec sleep 1000"))
    await until(started)
    run.cancel()
    await asyncio.wait({run})
    equal(run.cancelled(), True)
    [process] = await s.commands.list()
    equal(await s.commands.kill(process.pid), True)
    await until(lambda: s.is_gone(process.pid))


@test
async def run_with_timeout_0_is_not_limited(s):
    equal(await s.out("echo done", timeout=0), "done\n")


@test_of(IS_ASYNC)
async def run_may_take_longer_than_its_request_timeout(s):
    equal(await s.out("sleep 1.1; echo done", request_timeout=1), "done\n")


@test
async def calls_take_a_request_timeout_and_0_is_none(s):
    for seconds in (30, 0):
        equal(await s.commands.list(request_timeout=seconds), [])
        equal(await s.commands.kill(NO_SUCH_PID, request_timeout=seconds), False)


@test
async def background_run_can_be_waited_for(s):
    handle = await s.commands.run("sleep 0.2; echo late", background=True)
    assert handle.pid > 0
    for _ in range(2):
        result = await value(handle.wait())
        equal((result.stdout, result.exit_code), ("late\n", 0))


@test
async def background_run_hands_output_on_while_it_runs(s):
    async with s.running("echo first; read line; echo second", stdin=True) as it:
        await it.shows("first\n")
        equal(await s.is_listed(it.pid), True)
        await it.send_stdin("\n")
        equal((await it.end()).stdout, "first\nsecond\n")


@test
async def background_run_beyond_its_time_raises_timeout_with_what_it_said(s):
    async with s.running("echo first; exec sleep 1000", timeout=0.5) as it:
        await it.shows("first\n")
        await rejection(it.end, TimeoutException)
        await until(lambda: s.is_gone(it.pid))


@test_of(IS_ASYNC)
async def background_run_has_its_state_as_properties(s):
    async with s.running("echo out; echo err >&2; read line; exit 3", stdin=True) as it:
        await it.shows("out\n")
        equal((it.handle.stdout, it.handle.exit_code, it.handle.error), ("out\n", None, None))
        await it.send_stdin("\n")
        await rejection(it.end, CommandExitException)
        equal((it.handle.stderr, it.handle.exit_code, it.handle.error), ("err\n", 3, "exit status 3"))


@test_of(not IS_ASYNC)
async def background_run_can_be_iterated_over(s):
    handle = await s.commands.run("echo out; sleep 0.1; echo err >&2; sleep 0.1; echo out again", background=True)
    equal(list(handle), [("out\n", None, None), (None, "err\n", None), ("out again\n", None, None)])
    equal(handle.wait().exit_code, 0)


@test
async def list_shows_what_runs_as_it_was_started(s):
    async with s.running("exec sleep 1000", cwd="/tmp", envs={"A": "b"}) as it, s.running("exec sleep 2000"):
        listed = {process.pid: process for process in await s.commands.list()}
        equal(len(listed), 2)
        process = listed[it.pid]
        equal((process.cmd, process.args, process.cwd, process.envs, process.tag),
              ("/bin/bash", ["-l", "-c", "exec sleep 1000"], "/tmp", {"A": "b"}, None))
        await it.kill()
        await rejection(it.end, CommandExitException)
        equal(await s.is_listed(it.pid), False)


@test
async def kill_ends_the_command_once(s):
    async with s.running("exec sleep 1000") as it:
        equal(await s.commands.kill(it.pid), True)
        error = await rejection(it.end, CommandExitException)
        equal((error.exit_code, error.error), (-1, "signal: killed"))
        equal(await s.commands.kill(it.pid), False)
        equal(await it.kill(), False)


@test
async def kill_of_unknown_process_is_false(s):
    equal(await s.commands.kill(NO_SUCH_PID), False)


@test
async def kill_reaches_the_children_of_the_command(s):
    marker = f"marker-{os.getpid()}-child"

    async def runs(n):
        return await s.count(marker) == n

    async with s.running(f"(exec -a {marker} sleep 1000) & wait") as it:
        await until(lambda: runs(1))
        equal(await it.kill(), True)
        await rejection(it.end, CommandExitException)
        await until(lambda: runs(0))


@test
async def child_that_keeps_the_output_open_does_not_hold_the_result(s):
    started = time.monotonic()
    out = await s.out('sleep 1000 & echo "leaving $!"')
    assert re.fullmatch(r"leaving \d+\n", out), out
    assert time.monotonic() - started < 20, "the result came when the child ended"
    await s.commands.run(f"kill {out.split()[1]}")


@test
async def disconnect_leaves_the_command_running(s):
    async with s.running("exec sleep 1000") as it:
        await it.disconnect()
        equal(await s.is_listed(it.pid), True)
        equal(await s.commands.kill(it.pid), True)
        await until(lambda: s.is_gone(it.pid))


@test
async def disconnect_in_mid_output_lets_the_command_go_on(s):
    async with s.running("yes; echo ended >&2") as it:
        await it.shows("y\n")
        await it.disconnect()
        async with s.connected(it.pid) as again:
            await again.shows("y\n" * 100_000)
        equal(await s.is_listed(it.pid), True)


@test
async def connect_gets_the_output_from_then_on_and_the_result(s):
    async with s.running("echo before; read line; echo got $line; echo err >&2; exit 4", stdin=True) as it:
        await it.shows("before\n")
        async with s.connected(it.pid) as other:
            equal(other.pid, it.pid)
            await other.send_stdin("x\n")
            error = await rejection(other.end, CommandExitException)
            equal((error.stdout, error.stderr, error.exit_code), ("got x\n", "err\n", 4))
        error = await rejection(it.end, CommandExitException)
        equal((error.stdout, error.stderr, error.exit_code), ("before\ngot x\n", "err\n", 4))


@test
async def connect_again_after_a_disconnect_gets_the_result(s):
    async with s.running("read line; echo got $line", stdin=True) as it:
        await it.disconnect()
        async with s.connected(it.pid) as again:
            await s.commands.send_stdin(it.pid, "x\n")
            equal((await again.end()).stdout, "got x\n")


@test
async def connect_to_an_ended_command_gets_its_result(s):
    async with s.running("echo out; exit 5") as it:
        await rejection(it.end, CommandExitException)
        async with s.connected(it.pid) as late:
            error = await rejection(late.end, CommandExitException)
            equal((error.stdout, error.exit_code, error.error), ("", 5, "exit status 5"))


@test
async def connect_to_an_unknown_process_is_not_found(s):
    error = await rejection(lambda: s.commands.connect(NO_SUCH_PID), NotFoundException)
    assert f"process with pid {NO_SUCH_PID} not found" in str(error), error


@test
async def connect_beyond_its_time_raises_timeout_and_the_command_lives(s):
    async with s.running("exec sleep 1000") as it:
        async with s.connected(it.pid, timeout=0.3) as other:
            await rejection(other.end, TimeoutException)
        equal(await s.is_listed(it.pid), True)


@test
async def connections_at_once_all_get_all_output(s):
    numbers = "".join(f"{n}\n" for n in range(1, 200_001))
    async with s.running("read line; seq 1 200000", stdin=True) as it, \
            s.connected(it.pid) as second, s.connected(it.pid) as third:
        await it.send_stdin("\n")
        results = await at_once([each.handle.wait for each in (it, second, third)])
        for result in results:
            assert result.stdout == numbers, f"{len(result.stdout)} characters"


@test_of(not IS_PREVIOUS)
async def connect_that_retains_no_output_has_none_in_its_result(s):
    async with s.running("read line; echo out", stdin=True) as it, \
            s.connected(it.pid, retain_output=False) as other:
        await it.send_stdin("\n")
        equal((await other.end()).stdout, None)
        equal(other.stdout, "out\n")


@test
async def large_output_arrives_whole_and_in_order(s):
    out = await s.out("seq 1 1000000")
    assert out == "".join(f"{n}\n" for n in range(1, 1000001)), f"{len(out)} characters"


@test
async def large_output_to_both_streams_keeps_each_in_order(s):
    result = await s.commands.run("seq 1 100000 & seq 1 100000 >&2; wait")
    expected = "".join(f"{n}\n" for n in range(1, 100001))
    assert result.stdout == expected, "stdout differs"
    assert result.stderr == expected, "stderr differs"


@test
async def utf8_split_between_messages_is_put_together(s):
    text = "aä€😀"
    out = await s.out(f"""python3 -c "print('{text}' * 100000, end='')" """)
    assert out == text * 100000, "characters were lost"
    script = f"import os; [os.write(1, bytes([b])) for b in '{text}'.encode() * 20]"
    equal(await s.out(f'python3 -c "{script}"'), text * 20)


@test
async def output_that_is_not_utf8_has_replacement_characters(s):
    result = await s.commands.run(r"printf 'a\377b\0c\342\202'; printf '\303' >&2")
    equal((result.stdout, result.stderr), ("a\ufffdb\0c\ufffd", "\ufffd"))


@test
async def long_arguments_and_environment_arrive(s):
    long = "x" * 100_000
    equal((await s.out(f"printf {long} | wc -c")).strip(), "100000")
    equal((await s.out('printf "$LONG" | wc -c', envs={"LONG": long})).strip(), "100000")


@test
async def commands_at_once_each_get_their_own_output(s):
    numbers = range(100 if IS_ASYNC else 8)
    calls = [lambda n=n: s.commands.plain.run(f"echo {n}; exit $(({n} % 2 * 7))") for n in numbers]
    results = await at_once(calls)
    equal([result.stdout for result in results], [f"{n}\n" for n in numbers])
    equal([result.exit_code for result in results], [n % 2 * 7 for n in numbers])
    equal(await s.commands.list(), [])


@test
async def sandbox_is_running(s):
    equal(await value(s.sandbox.is_running()), True)


@test
async def server_in_the_sandbox_is_reached_at_get_host(s):
    async with s.running(SERVER, cwd="/usr/share/common-licenses") as server:
        await server.shows("\n")
        host = s.sandbox.get_host(int(server.stdout.split()[1]))
        with urllib.request.urlopen(f"http://{host}/", timeout=20) as answer:
            assert "Apache-2.0" in answer.read().decode()


@test
async def access_token_opens_and_its_lack_or_another_does_not(_):
    equal(await secured(os.environ["GUARDED_TOKEN"]).out("whoami"), "user\n")
    calls = (lambda s: s.commands.run("whoami"), lambda s: s.commands.list(), lambda s: s.commands.kill(1),
             lambda s: s.commands.connect(1), lambda s: s.commands.send_stdin(1, "x"),
             lambda s: s.pty.create(**({"on_data": print} if IS_ASYNC else {}), size=e2b.PtySize(24, 80)))
    for token in (None, "another"):
        for call in calls:
            await rejection(lambda call=call: call(secured(token)), AuthenticationException)
