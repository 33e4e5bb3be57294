"""What the rows share: programs to compile and start, ports, and what the kernel says of a process."""
import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
START_DEADLINE_S = 10
PORT_LEAST = 10000
CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: time on a CPU, in ns
RESET_PEAK_RSS = "5"  # proc(5), clear_refs


def free_port():
    """Below the kernel's range for clients: in it, a client that comes too early may meet itself."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(PORT_LEAST, lowest), lowest - PORT_LEAST):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port
    sys.exit("bench: no free port")


def compile_c(folder, name, *more):
    """Compiles NAME.c, with more sources and flags, once; returns the program's path."""
    out = pathlib.Path(folder, name)
    if not out.exists():
        subprocess.run(["cc", "-O2", "-o", out, f"{name}.c", *more], cwd=HERE, check=True)
    return str(out)


def health(host, port, timeout=1.0):
    try:
        with socket.create_connection((host, port), timeout=timeout) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 204")
    except OSError:
        return False


@contextlib.contextmanager
def running(argv, port):
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not health("127.0.0.1", port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"bench: {argv[0]} does not answer")
            time.sleep(0.005)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def memory_kib(pid):
    """(resident, anonymous) in KiB; exact, unlike VmRSS, which the kernel keeps per CPU."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1]) for key in ("Rss", "Anonymous"))


def reset_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK_RSS)


def peak_kib(pid):
    """The most that was resident since reset_peak; the kernel counts it in steps of some pages a CPU."""
    return int(re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def cpu_seconds(pid):
    """User and system time of all threads that the process has and had, without its children."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
