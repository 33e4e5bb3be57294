"""Input of commands through PyPI e2b: send_stdin, stream_input, close_stdin."""
import asyncio
import hashlib

from e2b import NotFoundException, SandboxException, TimeoutException
from harness import IS_ASYNC, IS_PREVIOUS, at_once, equal, rejection, stream, test, test_of, until

NO_SUCH_PID = 999999
ALL_BYTES = bytes(range(256))
BLOCK = ALL_BYTES * 256  # 64 KiB
TOO_MUCH = b"x" * 1_310_720  # more than any pipe holds
KEEPALIVE_S = 0.02
KEEPALIVES = 25

# Reads nothing until it is told to by SIGUSR1; says then how much came and where the first "!" stood.
LATE_READER = """exec python3 -uc '
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("waits")
signal.sigwait([signal.SIGUSR1])
data = sys.stdin.buffer.read()
print(len(data), data.find(b"!"))'"""


def digest_line(data):
    return hashlib.sha256(data).hexdigest() + "  -\n"


@test
async def send_stdin_reaches_the_command_and_close_stdin_ends_it(s):
    async with s.running("cat", stdin=True) as cat:
        await cat.send_stdin("text\n")
        await cat.shows("text\n")
        await s.commands.send_stdin(cat.pid, b"bytes\n")
        await cat.shows("bytes\n")
        await cat.close_stdin()
        equal((await cat.end()).stdout, "text\nbytes\n")


@test
async def send_stdin_takes_every_byte(s):
    async with s.running("sha256sum", stdin=True) as it:
        await it.send_stdin(ALL_BYTES)
        await it.send_stdin("wörld €😀")
        await it.send_stdin(b"")
        await s.commands.close_stdin(it.pid)
        equal((await it.end()).stdout, digest_line(ALL_BYTES + "wörld €😀".encode()))


@test
async def send_stdin_of_5_mb_arrives_whole(s):
    data = ALL_BYTES * 20_000
    async with s.running("sha256sum", stdin=True) as it:
        await it.send_stdin(data)
        await it.close_stdin()
        equal((await it.end()).stdout, digest_line(data))


@test
async def send_stdin_from_several_at_once_mixes_whole_messages(s):
    lines = [f"{n:05}" * 2000 + "\n" for n in range(8)]
    async with s.running("cat", stdin=True) as cat:
        calls = [lambda line=line: s.commands.plain.send_stdin(cat.pid, line) for line in lines]
        equal(await at_once(calls), [None] * 8)
        await cat.close_stdin()
        equal(sorted((await cat.end()).stdout.splitlines(True)), lines)


@test
async def send_stdin_that_nobody_reads_ends_at_its_request_timeout_and_harms_no_other(s):
    async with s.running(LATE_READER, stdin=True) as late:
        await late.shows("waits\n")
        sent, other = await at_once([
            lambda: s.commands.plain.send_stdin(late.pid, TOO_MUCH, request_timeout=0.5),
            lambda: s.commands.plain.run("echo other")])
        equal((type(sent), other.stdout), (TimeoutException, "other\n"))
        await s.commands.run(f"kill -USR1 {late.pid}")
        await late.send_stdin("!")
        await late.close_stdin()
        count, mark = map(int, (await late.end()).stdout.split()[1:])
        assert 0 < mark == count - 1 < len(TOO_MUCH), f"{count} bytes arrived, the mark at {mark}"


@test
async def send_stdin_that_nobody_reads_does_not_hold_up_kill(s):
    async with s.running("exec sleep 1000", stdin=True) as it:
        await rejection(lambda: it.send_stdin(TOO_MUCH, request_timeout=0.3), TimeoutException)
        equal(await it.kill(), True)
        await until(lambda: s.is_gone(it.pid))


@test
async def send_stdin_without_stdin_is_an_error(s):
    async with s.running("exec sleep 1000") as it:
        error = await rejection(lambda: it.send_stdin("x"), SandboxException)
        assert "error writing to stdin: stdin not enabled or closed" in str(error), error


@test
async def send_stdin_after_close_stdin_is_an_error(s):
    async with s.running("exec sleep 1000", stdin=True) as it:
        await it.close_stdin()
        error = await rejection(lambda: it.send_stdin("x"), SandboxException)
        assert "error writing to stdin: stdin not enabled or closed" in str(error), error


@test
async def send_stdin_after_the_command_closed_it_is_an_error(s):
    async with s.running("exec 0<&-; echo closed; exec sleep 1000", stdin=True) as it:
        await it.shows("closed\n")
        error = await rejection(lambda: it.send_stdin("x"), SandboxException)
        assert "broken pipe" in str(error), error


@test
async def input_to_an_unknown_or_ended_command_is_not_found(s):
    async with s.running("true", stdin=True) as ended:
        await ended.end()
        for pid in (NO_SUCH_PID, ended.pid):
            for call in (lambda: s.commands.send_stdin(pid, "x"), lambda: s.commands.close_stdin(pid)):
                error = await rejection(call, NotFoundException)
                assert f"process with pid {pid} not found" in str(error), error


@test
async def close_stdin_may_be_repeated_and_needs_no_stdin(s):
    async with s.running("exec sleep 1000", stdin=True) as it, s.running("exec sleep 1000") as without:
        await it.close_stdin()
        await it.close_stdin()
        await without.close_stdin()


@test
async def run_without_stdin_reads_end_of_file(s):
    equal(await s.out('cat; read line || echo "nothing to read"'), "nothing to read\n")


@test_of(not IS_PREVIOUS)
async def stream_input_acts_on_each_item_as_it_comes_and_leaves_stdin_open(s):
    async with s.running("cat", stdin=True) as cat:
        await stream(s.commands, cat.pid, [
            "one\n", lambda: cat.shows("one\n"),
            b"two\n", lambda: cat.shows("two\n"),
            "", "three\n", "four\n", lambda: cat.shows("three\nfour\n")])
        await cat.send_stdin("five\n")
        await cat.shows("five\n")
        await cat.close_stdin()
        equal((await cat.end()).stdout, "one\ntwo\nthree\nfour\nfive\n")


@test_of(not IS_PREVIOUS)
async def stream_input_and_send_stdin_and_other_streams_mix_by_item(s):
    async with s.running("cat", stdin=True) as cat:
        await stream(s.commands, cat.pid, [
            "1 ", lambda: cat.shows("1 "),
            lambda: cat.send_stdin("2 "),
            "3 ", lambda: cat.shows("3 "),
            lambda: stream(s.commands, cat.pid, ["4 ", "5 ", lambda: cat.shows("5 ")]),
            "6 ", lambda: cat.shows("6 "),
            lambda: cat.send_stdin("7 "),
            "8 "])
        await cat.close_stdin()
        equal((await cat.end()).stdout, "1 2 3 4 5 6 7 8 ")


@test_of(not IS_PREVIOUS)
async def stream_input_of_nothing_is_fine(s):
    async with s.running("cat", stdin=True) as cat:
        await stream(s.commands, cat.pid, [])
        await cat.close_stdin()
        equal((await cat.end()).stdout, "")


@test_of(not IS_PREVIOUS)
async def stream_input_of_one_5_mb_item_arrives_whole(s):
    data = ALL_BYTES * 20_000
    async with s.running("sha256sum", stdin=True) as it:
        await stream(s.commands, it.pid, [data])
        await it.close_stdin()
        equal((await it.end()).stdout, digest_line(data))


@test_of(not IS_PREVIOUS)
async def stream_input_of_20_mb_in_64_kib_items_arrives_whole(s):
    async with s.running("sha256sum", stdin=True) as it:
        await stream(s.commands, it.pid, [BLOCK] * 320)
        await it.close_stdin()
        equal((await it.end()).stdout, digest_line(BLOCK * 320))


@test_of(not IS_PREVIOUS)
async def stream_input_to_an_unknown_command_is_not_found(s):
    for items in ([], ["x"]):
        error = await rejection(lambda: stream(s.commands, NO_SUCH_PID, items), NotFoundException)
        assert f"process with pid {NO_SUCH_PID} not found" in str(error), error


@test_of(not IS_PREVIOUS)
async def stream_input_to_an_unknown_command_is_not_found_while_6_mb_are_on_their_way(s):
    for items in ([BLOCK] * 96, [BLOCK * 96]):
        await rejection(lambda: stream(s.commands, NO_SUCH_PID, items), NotFoundException)


@test_of(not IS_PREVIOUS)
async def stream_input_without_stdin_is_an_error(s):
    async with s.running("exec sleep 1000") as it:
        error = await rejection(lambda: stream(s.commands, it.pid, ["x"]), SandboxException)
        assert "error writing to stdin: stdin not enabled or closed" in str(error), error


@test_of(not IS_PREVIOUS)
async def stream_input_after_close_stdin_is_an_error(s):
    async with s.running("cat", stdin=True) as cat:
        items = ["one\n", lambda: cat.shows("one\n"),
                 cat.close_stdin, lambda: until(lambda: s.is_gone(cat.pid)), "two\n"]
        await rejection(lambda: stream(s.commands, cat.pid, items), SandboxException)
        equal((await cat.end()).stdout, "one\n")


@test_of(not IS_PREVIOUS)
async def stream_input_that_nobody_reads_ends_at_its_timeout_and_leaves_room_for_others(s):
    async with s.running(LATE_READER, stdin=True) as late:
        await late.shows("waits\n")
        await rejection(lambda: stream(s.commands, late.pid, [TOO_MUCH], timeout=0.5), TimeoutException)
        await s.commands.run(f"kill -USR1 {late.pid}")
        await stream(s.commands, late.pid, ["!"])
        await late.close_stdin()
        count, mark = map(int, (await late.end()).stdout.split()[1:])
        assert 0 < mark < count <= len(TOO_MUCH), f"{count} bytes arrived, the mark at {mark}"


@test_of(not IS_PREVIOUS)
async def stream_input_with_timeout_0_is_not_limited(s):
    async with s.running("cat", stdin=True) as cat:
        await stream(s.commands, cat.pid, ["x"], timeout=0)
        await cat.close_stdin()
        equal((await cat.end()).stdout, "x")


class CountingQueue(asyncio.Queue):
    """The queue of an input handle; the handle asks again after each keepalive."""

    def __init__(self):
        super().__init__()
        self.asked = 0
        self.often = asyncio.Event()

    async def get(self):
        self.asked += 1
        if self.asked > KEEPALIVES:
            self.often.set()
        return await super().get()


@test_of(IS_ASYNC and not IS_PREVIOUS)
async def input_handle_stays_open_by_keepalives(s):
    async with s.running("cat", stdin=True) as cat:
        async with s.commands.plain.stream_input(cat.pid) as handle:
            handle._keepalive_interval = KEEPALIVE_S  # no public way to have them more often than each 50 s
            handle._queue = CountingQueue()
            await handle.send("before\n")
            await handle._queue.often.wait()
            await handle.send("after\n")
            await cat.shows("before\nafter\n")
        await cat.close_stdin()
        equal((await cat.end()).stdout, "before\nafter\n")


@test_of(IS_ASYNC and not IS_PREVIOUS)
async def input_handle_tells_at_send_what_went_wrong(s):
    handle = s.commands.plain.stream_input(NO_SUCH_PID)

    async def send_for_ever():
        while True:
            await handle.send("x")
            await asyncio.sleep(0)

    await rejection(send_for_ever, NotFoundException)
    await rejection(handle.close, NotFoundException)
