#!/usr/bin/env python3
"""
A stand-in, on loopback, for the part of the cloud's API that SDKs, CLI and agent frameworks call: it names
sandboxes as the cloud does, and every one of them is the sandbox that wants a token.

    tests/sdk/cloud.py COMMAND [ARGUMENT...]      runs it with an environment that leads there
"""
import http.server
import json
import os
import re
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [f"{HERE}/../run"]
from sandbox import BINARY  # noqa: E402

API_KEY = "e2b_" + "0" * 40  # SDKs want the form
VARIABLES_OF_OTHERS = ("E2B_DEBUG", "E2B_SANDBOX_URL")


class Cloud:
    """For as long as a `with` block; `calls` are what was posted: (path, API key, message)."""

    def __init__(self, token):
        cloud = self
        self.version = subprocess.run([BINARY, "-version"], capture_output=True, text=True, check=True).stdout.strip()
        self.calls = []
        self.token = token

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.body()
                cloud.calls.append((self.path, self.headers["X-API-KEY"], json.loads(body) if body else None))
                found = re.fullmatch(r"(?:/v\d)?/sandboxes(?:/(?P<name>\w+)/(?P<action>connect|timeout))?", self.path)
                if not found:
                    self.answer(404)
                elif found["action"] == "timeout":
                    self.answer(204)
                else:
                    self.answer(200 if found["name"] else 201, cloud.sandbox(found["name"] or "made"))

            def do_DELETE(self):
                self.body()
                self.answer(204)

            def body(self):
                if self.headers["Transfer-Encoding"] != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"] or 0))
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

            def answer(self, status, content=b""):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def sandbox(self, name):
        """The message that tells somebody how to reach it."""
        return json.dumps({"sandboxID": name, "templateID": "base", "clientID": "any", "envdVersion": self.version,
                           "envdAccessToken": self.token}).encode()

    def environment(self, others):
        """Other variables, and those that lead here."""
        env = {name: value for name, value in others.items() if name not in VARIABLES_OF_OTHERS}
        return {**env, "E2B_API_KEY": API_KEY, "E2B_API_URL": f"http://127.0.0.1:{self.server.server_port}",
                "E2B_SANDBOX_URL": others["GUARDED_URL"]}

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def main(command):
    with Cloud(os.environ["GUARDED_TOKEN"]) as cloud:
        return subprocess.run(command, env=cloud.environment(os.environ)).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
