"""Rows about the daemon as such: cold start, memory of idle connections, requests a second."""
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys

from machine import compile_c, cpu_seconds, free_port, health, memory_kib, running

COLD_ROUNDS = 200
LOAD_SECONDS = 5
LOAD_CONNECTIONS = 32
IDLE_CONNECTIONS = 1000


def measure_start(rows, daemon):
    if not daemon.argv:
        return
    out = subprocess.run([compile_c(daemon.folder, "coldstart"), str(COLD_ROUNDS), str(daemon.argv_port),
                          compile_c(daemon.folder, "noop", "-static"), *daemon.argv],
                         check=True, capture_output=True, text=True).stdout
    us = {line.split()[0]: statistics.median(map(float, line.split()[1:])) for line in out.splitlines()}
    rows.add("cold start to the first /health", us["start"] / 1000, "ms", "<= 1", us["floor"] / 1000)
    rows.add("size of the binary", os.path.getsize(daemon.argv[0]) / 1024, "KiB")


def per_idle_connection(daemon, requests_each):
    before = memory_kib(daemon.pid)[0]
    sockets = []
    try:
        for _ in range(IDLE_CONNECTIONS):
            s = socket.create_connection((daemon.host, daemon.port), timeout=5)
            sockets.append(s)
            for _ in range(requests_each):
                s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                s.recv(512)
        if not health(daemon.host, daemon.port):
            sys.exit("bench: the daemon does not answer beside idle connections")
        return (memory_kib(daemon.pid)[0] - before) / IDLE_CONNECTIONS
    finally:
        for s in sockets:
            s.close()


def measure_idle(rows, daemon):
    resident, anonymous = memory_kib(daemon.pid)
    rows.add("idle RSS", resident, "KiB", "<= 1024")
    rows.add("idle RSS, anonymous", anonymous, "KiB", "<= 307")
    for requests_each, name in ((0, "fresh"), (1, "after a request")):
        rows.add(f"RSS an idle connection, {name}", per_idle_connection(daemon, requests_each), "KiB", "<= 3")


def wrk(host, port):
    out = subprocess.run(["wrk", "-t1", f"-c{LOAD_CONNECTIONS}", f"-d{LOAD_SECONDS}s",
                          f"http://{host}:{port}/health"], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"bench: wrk saw errors:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])


def h2load(host, port):
    out = subprocess.run(["h2load", "-t1", f"-c{LOAD_CONNECTIONS}", "-m1", f"-D{LOAD_SECONDS}", "--warm-up-time=0",
                          f"http://{host}:{port}/health"], check=True, capture_output=True, text=True).stdout
    return float(re.search(r"([\d.]+) req/s", out)[1])


def under_load(load, host, port, pid):
    """(requests a second, microseconds of CPU a request)"""
    cpu = cpu_seconds(pid)
    rate = load(host, port)
    return rate, (cpu_seconds(pid) - cpu) / (rate * LOAD_SECONDS) * 1e6


def measure_load(rows, daemon):
    port = free_port()
    with running([compile_c(daemon.folder, "floor_http"), str(port)], port) as pid:
        floors = under_load(wrk, "127.0.0.1", port, pid)
    for name, load, aim, (floor_rate, floor_cpu) in (
            ("health over HTTP/1.1, 32 connections", wrk, ">= 115000", floors),
            ("health over h2c, 32 connections", h2load, None, (None, None))):
        rate, cpu = under_load(load, daemon.host, daemon.port, daemon.pid)
        rows.add(name, rate, "requests/s", aim, floor_rate)
        rows.add(f"{name}: daemon CPU", cpu, "us/request", None, floor_cpu)
    rows.add("RSS after the load", memory_kib(daemon.pid)[0], "KiB")
