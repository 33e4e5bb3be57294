"""Rows about files: large ones up and down, small ones, directories, watches.

They are made in a folder that the daemon must see too, on tmpfs where there is one (run, --files). The
floor of what is not compressed is floor_files.c, asked by the same client over HTTP/1.1, also where the
daemon is asked over h2c: on one thread it reads and writes, or sends by sendfile, and nothing else. The
floor of what is compressed is zlib from one file into another, at the daemon's level, without a socket.
Rates are of the clear text, medians; the peak is the highest of all rounds.
"""
import contextlib
import filecmp
import os
import pathlib
import random
import socket
import statistics
import sys
import time
import types
import zlib

from machine import compile_c, cpu_seconds, free_port, peak_kib, reset_peak, running
from rows_process import CLIENT, MIB, client, quantile, run

FILE_BYTES = 256 * MIB
TEXT_BLOCK_BYTES = MIB  # of text before it repeats: far more than a window of zlib sees
TEXT_WORDS = 500
READ_BYTES = 65536
ROUNDS = {"identity": 5, "gzip": 1}  # what is compressed takes seconds
GZIP_WINDOW = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 1  # DEFLATER_LEVEL
PROTOCOLS = {"h1": "HTTP/1.1", "h2": "h2c"}
H2C_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and empty settings
H2C_SETTINGS_TYPE = b"\4"  # after the length of a frame
H2C_DEADLINE_S = 5
SMALL_ROUNDS = 2000
LIST_ROUNDS = {20000: 10, 100000: 3}
EVENT_ROUNDS = 2000
BURST_FILES = 10000
BURST_ROUNDS = 5


def write_text(path):
    """Words as often as they are in a language, the same in each run; a third is left of them compressed."""
    chance = random.Random(1)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(TEXT_WORDS)]
    weights = [1 / rank for rank in range(1, TEXT_WORDS + 1)]
    block = " ".join(chance.choices(words, weights, k=TEXT_BLOCK_BYTES // 3)).encode()[:TEXT_BLOCK_BYTES]
    with open(path, "wb") as file:
        for _ in range(FILE_BYTES // TEXT_BLOCK_BYTES):
            file.write(block)


def recode(recoded, flush, source, target):
    """(MiB/s of clear text, CPU seconds) of a coder of zlib's, from one file into another."""
    begin, cpu = time.monotonic(), time.process_time()
    with open(source, "rb", buffering=0) as reading, open(target, "wb", buffering=0) as writing:
        while piece := reading.read(READ_BYTES):
            writing.write(recoded(piece))
        writing.write(flush())
    return FILE_BYTES / MIB / (time.monotonic() - begin), time.process_time() - cpu


def deflate(source, target):
    coder = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return recode(coder.compress, coder.flush, source, target)


def inflate(source, target):
    coder = zlib.decompressobj(GZIP_WINDOW)
    return recode(coder.decompress, coder.flush, source, target)


@contextlib.contextmanager
def large_files(daemon):
    """Text of FILE_BYTES, the same compressed, and where to write; 800 MiB at the most."""
    text, packed, uploaded = (pathlib.Path(daemon.files, name) for name in ("text", "text.gz", "uploaded"))
    try:
        write_text(text)
        deflate(text, packed)
        yield text, packed, uploaded
    finally:
        for path in (text, packed, uploaded):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def floor_server(daemon):
    port = free_port()
    with running([compile_c(daemon.folder, "floor_files", *CLIENT), str(port)], port) as pid:
        yield types.SimpleNamespace(host="127.0.0.1", port=port, pid=pid)


def transfer(daemon, server, *words):
    """(MiB/s, CPU seconds of the server, the most that was resident of it in MiB)"""
    program = compile_c(daemon.folder, "transfer", *CLIENT, "http2.c")
    reset_peak(server.pid)
    cpu = cpu_seconds(server.pid)
    seconds = run([program, server.host, str(server.port), *map(str, words)])[""][0]
    return FILE_BYTES / MIB / seconds, cpu_seconds(server.pid) - cpu, peak_kib(server.pid) / 1024


def upload(daemon, server, protocol, coding, files):
    text, packed, uploaded = files
    uploaded.unlink(missing_ok=True)
    taken = transfer(daemon, server, protocol, coding, f"/files?path={uploaded}", "up", packed if coding == "gzip" else text)
    if server is daemon and not filecmp.cmp(text, uploaded, shallow=False):
        sys.exit(f"bench: what was uploaded over {PROTOCOLS[protocol]} as {coding} is something else")
    return taken


def download(daemon, server, protocol, coding, files):
    wanted = 0 if coding == "gzip" else FILE_BYTES
    return transfer(daemon, server, protocol, coding, f"/files?path={files[0]}", "down", wanted)


def floor_of(daemon, move, coding, files):
    text, packed, uploaded = files
    if coding == "gzip":
        uploaded.unlink(missing_ok=True)
        return deflate(text, uploaded) if move is download else inflate(packed, uploaded)
    with floor_server(daemon) as floor:
        return move(daemon, floor, "h1", coding, files)[:2]


def speaks_h2c(daemon):
    """E2B's own does not."""
    with socket.create_connection((daemon.host, daemon.port), timeout=H2C_DEADLINE_S) as s:
        s.sendall(H2C_PREFACE)
        return s.recv(len(H2C_SETTINGS_TYPE) + 3)[3:] == H2C_SETTINGS_TYPE


def measure_moves(rows, daemon, move, coding, files, aims):
    """aims: of the rate, and of CPU as a multiple of the floor's; both of HTTP/1.1."""
    taken = {protocol: [] for protocol in PROTOCOLS if protocol != "h2" or speaks_h2c(daemon)}
    floors = []
    for _ in range(ROUNDS[coding]):
        floors.append(floor_of(daemon, move, coding, files))
        for protocol in taken:
            taken[protocol].append(move(daemon, daemon, protocol, coding, files))
    floor_rate, floor_cpu = map(statistics.median, zip(*floors))
    for protocol, samples in taken.items():
        rates, cpus, peaks = zip(*samples)
        name = f"{move.__name__} {FILE_BYTES // MIB} MiB{', gzip' if coding == 'gzip' else ''}, {PROTOCOLS[protocol]}"
        rate_aim, cpu_aim = aims if protocol == "h1" and aims else (None, None)
        rows.add(name, statistics.median(rates), "MiB/s", rate_aim, floor_rate)
        rows.add(f"{name}: daemon CPU", statistics.median(cpus), "s", cpu_aim and f"<= {cpu_aim * floor_cpu:.3f}", floor_cpu)
        rows.add(f"{name}: peak RSS", max(peaks), "MiB", "<= 3")


def measure_transfer(rows, daemon):
    with large_files(daemon) as files:
        for move, aims in ((upload, (">= 1606", 1.25)), (download, (">= 1903", 1.0))):
            measure_moves(rows, daemon, move, "identity", files, aims)
            measure_moves(rows, daemon, move, "gzip", files, None)


def measure_small(rows, daemon):
    with floor_server(daemon) as floor:
        lines = run(client(daemon, "small_files", floor.port, daemon.files, SMALL_ROUNDS))
    for name, aim_p50 in (("write", "<= 0.13"), ("read", "<= 0.1")):
        for label, q, aim in (("p50", 0.5, aim_p50), ("p99", 0.99, None)):
            rows.add(f"{name} of 4 KiB, {label}", quantile(lines[name], q), "ms", aim, quantile(lines[f"{name}floor"], q))


def fill(folder, n):
    folder.mkdir(exist_ok=True)
    for i in range(len(os.listdir(folder)), n):
        pathlib.Path(folder, f"file-{i:06}.txt").touch()


def measure_list(rows, daemon):
    folder = pathlib.Path(daemon.files, "list")
    for (n, rounds), (aim_ms, aim_mib) in zip(LIST_ROUNDS.items(), (("<= 57", "<= 12"), (None, None))):
        fill(folder, n)
        for codec in ("json", "proto"):
            reset_peak(daemon.pid)
            cpu = cpu_seconds(daemon.pid)
            lines = run(client(daemon, "list_dir", codec, folder, n, rounds))
            cpu = (cpu_seconds(daemon.pid) - cpu) / rounds
            name = f"ListDir of {n:,} entries, {codec}"
            rows.add(name, statistics.median(lines["list"]), "ms", aim_ms, statistics.median(lines["floor"]))
            rows.add(f"{name}: daemon CPU", cpu * 1e3, "ms")
            rows.add(f"{name}: peak RSS", peak_kib(daemon.pid) / 1024, "MiB", aim_mib)


def measure_watch(rows, daemon):
    folder = pathlib.Path(daemon.files, "watch")
    folder.mkdir()
    lines = run(client(daemon, "watch_event", folder, EVENT_ROUNDS))
    for label, q in (("p50", 0.5), ("p99", 0.99)):
        rows.add(f"from a write to its event, {label}", quantile(lines["event"], q), "ms", None, quantile(lines["floor"], q))
    reset_peak(daemon.pid)
    cpu = cpu_seconds(daemon.pid)
    lines = run(client(daemon, "watch_burst", folder, BURST_FILES, BURST_ROUNDS))
    cpu = (cpu_seconds(daemon.pid) - cpu) / BURST_ROUNDS
    name = f"{BURST_FILES:,} files created under a watch"
    rows.add(f"{name}: all told", statistics.median(lines["burst"]), "ms", None, statistics.median(lines["floor"]))
    rows.add(f"{name}: daemon CPU", cpu * 1e3, "ms")
    rows.add(f"{name}: peak RSS", peak_kib(daemon.pid) / 1024, "MiB")
