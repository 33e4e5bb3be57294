"""
What the tests of PyPI e2b share. One list of tests serves the synchronous and the asynchronous interface
of two generations of the package: what a call of the asynchronous one returns is awaited.
"""
import asyncio
import concurrent.futures
import contextlib
import importlib.metadata
import inspect
import os
import re
import signal
import sys

import e2b
from packaging.version import Version

TEST_SECONDS_MAX = 60
IS_ASYNC = sys.argv[1] == "async"
IS_PREVIOUS = Version(importlib.metadata.version("e2b")) < Version("2.63")  # the one that openai-agents pins
SANDBOX_CLASS = e2b.AsyncSandbox if IS_ASYNC else e2b.Sandbox
NO_ERROR = "" if IS_PREVIOUS else None  # what a result without an error says
STREAMS = ("stdout", "stderr", "pty")
tests = []


def test(body):
    tests.append(body)
    return body


def test_of(is_ours):
    """A test of what only one interface, or only one generation, has."""
    return test if is_ours else lambda body: body


async def value(result):
    return await result if inspect.isawaitable(result) else result


async def at_once(calls):
    """Runs calls in parallel, threads or tasks; returns what they returned or raised."""
    if IS_ASYNC:
        return await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    pool = concurrent.futures.ThreadPoolExecutor(len(calls))
    try:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]
    finally:
        pool.shutdown(wait=False)


async def rejection(call, kind):
    """The exception that call() ends with; of exactly that kind, not of one below it."""
    try:
        got = await value(call())
    except Exception as error:
        assert type(error) is kind, f"{kind.__name__} expected, not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} expected, not {got!r}")


def secured(token):
    """The sandbox that wants a token, as somebody has it who has this token, or None."""
    headers = {"X-Access-Token": token} if token else {}
    config = e2b.ConnectionConfig(debug=True, sandbox_url=os.environ["GUARDED_URL"], extra_sandbox_headers=headers)
    return Box(SANDBOX_CLASS(sandbox_id="debug_sandbox_id", sandbox_domain=None, connection_config=config,
                    envd_version=Version("99.99.99"), envd_access_token=token))


async def until(condition):
    """Asks until it is so; the test's own time limit ends the asking."""
    while not await condition():
        pass


def finished(coroutine):
    """What a coroutine of the synchronous interface returns: it never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the synchronous interface has waited")


async def stream(module, pid, items, **options):
    """Sends items over one stream_input; an item that can be called is done instead, before the next one."""
    if not IS_ASYNC:
        module.plain.stream_input(pid, sent(items), **options)
        return
    async with module.plain.stream_input(pid, **options) as handle:
        for item in items:
            await (item() if callable(item) else handle.send(item))


def sent(items):
    for item in items:
        if callable(item):
            finished(item())
        else:
            yield item


def equal(got, expected):
    assert got == expected, f"{shortened(got)}, not {shortened(expected)}"


def shortened(text):
    return repr(text) if len(repr(text)) < 300 else f"{repr(text)[:140]}…{repr(text)[-140:]} ({len(text)} long)"


class Awaited:
    """A module of the sandbox, `commands` say: all its calls can be awaited."""

    def __init__(self, plain):
        self.plain = plain

    def __getattr__(self, name):
        call = getattr(self.plain, name)

        async def awaited(*args, **kwargs):
            return await value(call(*args, **kwargs))

        return awaited


class Running:
    """
    A command or terminal, and what it has written since we are connected: stdout and stderr are text, pty
    is bytes. The asynchronous interface calls back with it, the synchronous one is asked for the next piece.
    """

    def __init__(self):
        self.stdout, self.stderr, self.pty = "", "", b""
        self.handle = None
        self.told = asyncio.Queue()  # by the asynchronous interface: (stream, piece), None at the end

    def callbacks(self, *streams):
        """The arguments that make the asynchronous interface tell us."""
        names = {"stdout": "on_stdout", "stderr": "on_stderr", "pty": "on_data"}
        return {names[stream]: lambda piece, stream=stream: self.told.put_nowait((stream, piece))
                for stream in streams if IS_ASYNC}

    def open(self, handle):
        self.handle = handle
        self.pid = handle.pid
        if IS_ASYNC:
            self.ended = asyncio.ensure_future(handle.wait())
            self.ended.add_done_callback(self.on_ended)
        else:
            self.pieces = (next((stream, piece) for stream, piece in zip(STREAMS, pieces) if piece is not None)
                           for pieces in handle)
        return self

    def on_ended(self, ended):
        if not ended.cancelled():
            ended.exception()  # asyncio would complain about one that nobody asks for
        self.told.put_nowait(None)

    async def more(self):
        """Waits for the next piece; False at the end."""
        told = await self.told.get() if IS_ASYNC else next(self.pieces, None)
        if told is None:
            self.told.put_nowait(None)
            return False
        stream, piece = told
        setattr(self, stream, getattr(self, stream) + piece)
        return True

    async def shows(self, text):
        """Waits until it has written that: bytes in a terminal, else to stdout."""
        stream = "pty" if isinstance(text, bytes) else "stdout"
        while text not in getattr(self, stream):
            assert await self.more(), f"ended without {text!r}: {shortened(getattr(self, stream))}"

    async def end(self):
        """Its result; the exception that the SDK raises for it otherwise."""
        while await self.more():
            pass
        return await value(self.handle.wait())

    def __getattr__(self, name):
        return getattr(Awaited(self.handle), name)


class Box:
    """The sandbox under test."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.commands = Awaited(sandbox.commands)
        self.files = Awaited(sandbox.files)
        self.pty = Awaited(sandbox.pty)
        self.git = Awaited(sandbox.git)

    async def out(self, command, **options):
        """What a command says to stdout."""
        return (await self.commands.run(command, **options)).stdout

    @contextlib.asynccontextmanager
    async def folder(self):
        """A folder in the home folder, which goes with everything in it."""
        path = (await self.out("mktemp -d -p ~")).strip()
        try:
            yield path
        finally:
            await self.commands.run(f"rm -rf {path}")

    async def is_listed(self, pid):
        return any(process.pid == pid for process in await self.commands.list())

    async def is_gone(self, pid):
        return not await self.is_listed(pid)

    async def count(self, marker):
        """How many processes have that name (`exec -a`)."""
        return int(await self.out(f"pgrep -fc '^{marker}' || true"))

    @contextlib.asynccontextmanager
    async def running(self, command, **options):
        """A command in the background; it is killed when the block ends, if it still runs."""
        it = Running()
        options |= it.callbacks("stdout", "stderr")
        it.open(await self.commands.run(command, background=True, **options))
        async with self.ended_after(it):
            yield it

    @contextlib.asynccontextmanager
    async def terminal(self, rows=24, cols=80, **options):
        it = Running()
        it.open(await self.pty.create(size=e2b.PtySize(rows, cols), **it.callbacks("pty"), **options))
        async with self.ended_after(it):
            yield it

    @contextlib.asynccontextmanager
    async def ended_after(self, it):
        try:
            yield
        finally:
            await self.commands.kill(it.pid)
            await until(lambda: self.is_gone(it.pid))
            await it.disconnect()

    @contextlib.asynccontextmanager
    async def connected(self, pid, module="commands", **options):
        """Another connection to a command, or with module="pty" to a terminal."""
        it = Running()
        options |= it.callbacks(*(("pty",) if module == "pty" else ("stdout", "stderr")))
        it.open(await getattr(self, module).connect(pid, **options))
        try:
            yield it
        finally:
            await it.disconnect()

    async def end_all(self):
        """Kills what a test left; returns it."""
        left = await self.commands.list()
        for process in left:
            await self.commands.kill(process.pid)
            await until(lambda: self.is_gone(process.pid))
        return [" ".join([process.cmd, *process.args]) for process in left]


class Overdue(BaseException):
    """Not an Exception, which the SDK might take for one of its own time-outs."""


def on_alarm(*_):
    raise Overdue(f"still running after {TEST_SECONDS_MAX} s")


async def limited(body):
    """The asynchronous interface can be cancelled, the synchronous one is interrupted."""
    if IS_ASYNC:
        await asyncio.wait_for(body, TEST_SECONDS_MAX)
        return
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TEST_SECONDS_MAX)
    try:
        await body
    finally:
        signal.alarm(0)


async def one(body, box):
    """Runs a test; what it leaves running makes it fail."""
    await limited(body(box))
    left = await box.end_all()
    assert not left, f"left running: {left}"


def reason(error):
    text = str(error) if isinstance(error, AssertionError) else repr(error)
    return re.sub(r"\s+", " ", text)[:500] or repr(error)


async def run_all(words, prefix):
    box = Box(await value(SANDBOX_CLASS.create()))
    failed = 0
    for body in tests:
        name = f"{prefix}_{body.__name__}"
        if words and not any(word in name for word in words):
            continue
        try:
            await one(body, box)
            print(f"ok {name}", flush=True)
        except (Exception, Overdue) as error:
            failed += 1
            print(f"not ok {name} {reason(error)}", flush=True)
            await limited(box.end_all())
    return 1 if failed else 0


def main(words, prefix):
    """Runs the tests whose names, after that prefix, contain one of words, or all; exits 0 if all is well."""
    status = asyncio.run(run_all(words, f"{prefix}_{'async' if IS_ASYNC else 'sync'}"))
    sys.stdout.flush()
    os._exit(status)  # a connection that a failed test left open must not keep the process
