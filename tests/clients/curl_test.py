"""curl with every HTTP version it can speak in the clear, against the daemon."""
import json
import struct
import subprocess
import tempfile
import unittest

from envd import Envd, envelope

VERSIONS = {"--http1.0": "1", "--http1.1": "1.1", "--http2": "2", "--http2-prior-knowledge": "2"}
JSON = "Content-Type: application/json"
START = {"process": {"cmd": "/bin/sh", "args": ["-c", "echo out; echo err >&2; exit 3"]}, "stdin": False}


def envelopes(data):
    """Splits a stream into (flags, message)."""
    found = []
    while data:
        flags, length = struct.unpack(">BI", data[:5])
        found.append((flags, json.loads(data[5:5 + length])))
        data = data[5 + length:]
    return found


class Curl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.envd = Envd()
        cls.url = f"http://127.0.0.1:{cls.envd.port}"

    @classmethod
    def tearDownClass(cls):
        assert cls.envd.end()[0] == 0, "the daemon did not end well"

    def curl(self, *arguments):
        """(status, HTTP version, number of connections, body)."""
        with tempfile.NamedTemporaryFile() as body:
            done = subprocess.run(["curl", "-sS", "-m", "20", "--noproxy", "*", "-o", body.name,
                                   "-w", r"%{http_code} %{http_version} %{num_connects}\n", *arguments],
                                  capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            status, version, connections = done.stdout.splitlines()[-1].split()
            return int(status), version, int(connections), body.read()

    def each_version(self):
        for flag, version in VERSIONS.items():
            with self.subTest(flag):
                yield flag, version

    def test_curl_health_is_204_in_every_version(self):
        for flag, version in self.each_version():
            status, spoken, _, body = self.curl(flag, f"{self.url}/health")
            self.assertEqual((status, body), (204, b""))
            self.assertEqual(spoken.split(".")[0] if version == "1" else spoken, version)

    def test_curl_metrics_are_json_in_every_version(self):
        for flag, _ in self.each_version():
            status, _, _, body = self.curl(flag, f"{self.url}/metrics")
            self.assertEqual(status, 200)
            self.assertGreater(json.loads(body)["mem_total"], 0)

    def test_curl_unary_call_answers_in_every_version(self):
        for flag, _ in self.each_version():
            self.assertEqual(self.curl(flag, "-H", JSON, "-d", "{}", f"{self.url}/process.Process/List")[::3], (200, b"{}"))

    def test_curl_unary_call_is_compressed_on_request(self):
        for flag, _ in self.each_version():
            call = ("-H", JSON, "-d", "{}", f"{self.url}/process.Process/List")
            plain = self.curl(flag, "-H", "Accept-Encoding: gzip", *call)[3]
            self.assertEqual(plain[:2], b"\x1f\x8b")
            self.assertEqual(self.curl(flag, "--compressed", *call)[3], b"{}")

    def test_curl_unary_error_has_its_status_in_every_version(self):
        message = json.dumps({"process": {"pid": 999999}, "signal": "SIGNAL_SIGKILL"})
        for flag, _ in self.each_version():
            status, _, _, body = self.curl(flag, "-H", JSON, "-d", message, f"{self.url}/process.Process/SendSignal")
            self.assertEqual((status, json.loads(body)["code"]), (404, "not_found"))

    def test_curl_start_streams_events_in_every_version(self):
        for flag, _ in self.each_version():
            with tempfile.NamedTemporaryFile() as request:
                request.write(envelope(START))
                request.flush()
                status, _, _, body = self.curl(flag, "-H", "Content-Type: application/connect+json", "--data-binary",
                                               f"@{request.name}", f"{self.url}/process.Process/Start")
            self.assertEqual(status, 200)
            events = envelopes(body)
            self.assertIn("start", events[0][1]["event"])
            data = {kind: text for _, m in events[1:-2] for kind, text in m["event"]["data"].items()}
            self.assertEqual(data, {"stdout": "b3V0Cg==", "stderr": "ZXJyCg=="})
            self.assertEqual(events[-2][1]["event"]["end"]["exitCode"], 3)
            self.assertEqual(events[-1], (2, {}))

    def test_curl_large_body_arrives_in_every_version(self):
        """Beyond 1 MiB curl asks with Expect: 100-continue and waits for the answer."""
        with tempfile.NamedTemporaryFile() as request:
            request.write(json.dumps({"unknown": "x" * 3_000_000}).encode())
            request.flush()
            for flag, _ in self.each_version():
                answer = self.curl(flag, "-H", JSON, "-H", "Expect: 100-continue", "--data-binary", f"@{request.name}",
                                   f"{self.url}/process.Process/List")
                self.assertEqual(answer[::3], (200, b"{}"))

    def test_curl_connection_is_kept_between_requests(self):
        """Not with prior knowledge: curl 7.88 fails with error 16 at its second request, to any server."""
        for flag in ("--http1.1", "--http2"):
            arguments = [argument for _ in range(3) for argument in (f"{self.url}/metrics", "-o", "/dev/null")]
            self.assertEqual(self.curl(flag, *arguments)[2], 0)

    def test_curl_unknown_path_and_method_are_refused_in_every_version(self):
        for flag, _ in self.each_version():
            self.assertEqual(self.curl(flag, f"{self.url}/nothing")[::3], (404, b"404 page not found\n"))
            self.assertEqual(self.curl(flag, "-X", "DELETE", f"{self.url}/health")[::3], (405, b""))
