"""A sandbox as `make run` starts it, for as long as a `with` block."""
import json
import os
import pathlib
import socket
import subprocess
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "tools/run/sandbox"
BINARY = os.environ.get("ENVD_BINARY", str(ROOT / "build/dist/envd"))
ENVIRONMENTS = ("root", "container")  # what `make run IN=…` knows
END_SECONDS_MAX = 20


class Unable(Exception):
    """This machine has no such environment; the text says why."""


def free_port():
    """A port that the kernel chose; nobody binds it before the sandbox does, unless by great chance."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sandbox:
    """Started when made; `url` answers then. Its log goes to our stderr. Raises Unable."""

    def __init__(self, *arguments, where="root", token=None, **popen):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [LAUNCHER, "--in", where, "--port", str(self.port), "--binary", BINARY, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **popen)
        answer = self.process.stdout.readline()
        if answer != f"ready {self.url}\n":
            self.process.communicate()
            if answer.startswith("unable "):
                raise Unable(answer.removeprefix("unable ").strip())
            raise RuntimeError(f"the sandbox did not start, it printed {answer!r}")
        if token:
            self.init({"accessToken": token, "defaultUser": "user"})

    def init(self, message):
        request = urllib.request.Request(f"{self.url}/init", json.dumps(message).encode(),
                                         {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=END_SECONDS_MAX).close()

    def end(self):
        self.process.terminate()
        return self.process.wait(END_SECONDS_MAX)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()
        self.process.stdout.close()
