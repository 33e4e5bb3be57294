"""Rows about processes: exec and echo round trips, output, many streams at once.

Daemon CPU is the user and system time of the daemon itself; what its children use, from the fork on, is
theirs. RSS left is what the daemon has when the row's connections are closed and its processes are gone.
"""
import os
import subprocess
import time

from machine import compile_c, cpu_seconds, memory_kib, peak_kib, reset_peak

EXEC_ROUNDS = 1000
ECHO_ROUNDS = 2000
OUTPUT_BYTES = 256 << 20
SLOW_BYTES = 32 << 20
STUCK_SECONDS = 5
FULL_SPEED = 0.9  # of what a reader gets alone in the same run
STREAMS = 1000
CLIENT = ("client.c", "http1.c")  # sources
MIB = 1 << 20
SETTLE_SECONDS = 0.5  # for the last descriptors to be closed


def client(daemon, name, *arguments):
    """The command line of a load client."""
    return [compile_c(daemon.folder, name, *CLIENT), daemon.host, str(daemon.port), *map(str, arguments)]


def run(argv):
    """Its lines: {first word: [numbers]}, a line of numbers alone under the empty word."""
    out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = {}
    for line in out.splitlines():
        words = line.split()
        name = words.pop(0) if words[0].isalpha() else ""
        lines[name] = [float(word) for word in words]
    return lines


def quantile(values, q):
    return sorted(values)[min(int(len(values) * q), len(values) - 1)]


def rss_left_mib(daemon):
    time.sleep(SETTLE_SECONDS)
    return memory_kib(daemon.pid)[0] / 1024


def round_trips(rows, daemon, name, program, rounds, aim_p50, aim_cpu):
    cpu = cpu_seconds(daemon.pid)
    lines = run(client(daemon, program, rounds))
    cpu = (cpu_seconds(daemon.pid) - cpu) / rounds
    for label, q, aim in (("p50", 0.5, aim_p50), ("p99", 0.99, None)):
        rows.add(f"{name}, {label}", quantile(lines[program], q), "ms", aim, quantile(lines["floor"], q))
    rows.add(f"{name}: daemon CPU", cpu * 1e3, "ms", aim_cpu)


def measure_exec(rows, daemon):
    round_trips(rows, daemon, "exec /bin/true", "exec", EXEC_ROUNDS, "<= 1.25", "<= 0.23")


def measure_echo(rows, daemon):
    round_trips(rows, daemon, "stdin echo", "echo", ECHO_ROUNDS, "<= 0.15", None)


def output_floor():
    """(MiB/s, CPU seconds of cat) of `head -c N /dev/zero | cat >/dev/null`."""
    begin = time.monotonic()
    with subprocess.Popen(["head", "-c", str(OUTPUT_BYTES), "/dev/zero"], stdout=subprocess.PIPE) as head:
        cat = subprocess.Popen(["cat"], stdin=head.stdout, stdout=subprocess.DEVNULL)
        usage = os.wait4(cat.pid, 0)[2]
        cat.returncode = 0
    return OUTPUT_BYTES / MIB / (time.monotonic() - begin), usage.ru_utime + usage.ru_stime


def measure_output_to(rows, daemon, codec, n_readers, aims):
    name = f"output 256 MiB, {codec}, {n_readers} reader{'s' if n_readers > 1 else ''}"
    floor_rate, floor_cpu = output_floor()
    reset_peak(daemon.pid)
    cpu = cpu_seconds(daemon.pid)
    seconds = run(client(daemon, "output", codec, OUTPUT_BYTES, n_readers))[""][0]
    cpu = cpu_seconds(daemon.pid) - cpu
    rows.add(f"{name}: each gets", OUTPUT_BYTES / MIB / seconds, "MiB/s", aims[0], floor_rate)
    rows.add(f"{name}: daemon CPU", cpu, "s", aims[1], floor_cpu)
    rows.add(f"{name}: peak RSS", peak_kib(daemon.pid) / 1024, "MiB", "<= 4")
    rows.add(f"{name}: RSS left", rss_left_mib(daemon), "MiB", "<= 2")


def measure_output(rows, daemon):
    for codec, n_readers, aims in (("json", 1, (">= 756", "<= 0.326")), ("proto", 1, (">= 998", "<= 0.225")),
                                   ("json", 3, (">= 316", None)), ("proto", 3, (">= 316", None))):
        measure_output_to(rows, daemon, codec, n_readers, aims)


def measure_slow(rows, daemon):
    reset_peak(daemon.pid)
    run(client(daemon, "output_slow", "json", SLOW_BYTES))
    rows.add("output to a slow reader: peak RSS", peak_kib(daemon.pid) / 1024, "MiB", "<= 4")


def measure_stuck(rows, daemon):
    beside, alone = (run(client(daemon, "output_stuck", "json", STUCK_SECONDS, stuck))[""][0] / MIB for stuck in (1, 0))
    rows.add(f"output in {STUCK_SECONDS} s, json, beside a stuck reader", beside, "MiB", f">= {alone * FULL_SPEED:.0f}", alone)


def measure_streams(rows, daemon):
    before = memory_kib(daemon.pid)[0]
    with subprocess.Popen(client(daemon, "streams", STREAMS), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as streams:
        floor_start, floor_kill = map(float, streams.stdout.readline().split()[1:])
        start = float(streams.stdout.readline().split()[1])
        each = (memory_kib(daemon.pid)[0] - before) / STREAMS
        streams.stdin.write("\n")
        streams.stdin.flush()
        kill = float(streams.stdout.readline().split()[1])
    rows.add(f"{STREAMS} streams of sleep: all started", start, "s", "<= 1", floor_start)
    rows.add(f"{STREAMS} streams of sleep: RSS each", each, "KiB", "<= 12")
    rows.add(f"{STREAMS} streams of sleep: from kill to all ends", kill, "s", None, floor_kill)
    rows.add(f"{STREAMS} streams of sleep: RSS left", rss_left_mib(daemon), "MiB", "<= 3")
