"""Health, metrics, environment, /init, access and routing, as wire.md 2-4 and control.md 1-3 say."""
import base64
import datetime
import json
import signal
import subprocess
import os
import unittest

from envd import Envd, basic, envelope

UNAUTHORIZED = (b'{"code":401,"message":"unauthorized access, please provide a valid access token or method '
                b'signing if supported"}\n')


class Basics(unittest.TestCase):
    flags = ()

    def setUp(self):
        self.envd = Envd(*self.flags)
        self.addCleanup(self.envd.finish)

    def init(self, **fields):
        headers = fields.pop("headers", {})
        return self.envd.request("POST", "/init", json.dumps(fields).encode(), headers)

    def assert_text(self, answer, status, body):
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.body, body)
        self.assertEqual(answer.one("Content-Type"), "text/plain; charset=utf-8")
        self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")

    def assert_401(self, answer, body=UNAUTHORIZED):
        self.assertEqual(answer.status, 401)
        self.assertEqual(answer.one("Content-Type"), "application/json; charset=utf-8")
        self.assertEqual(answer.one("X-Content-Type-Options"), "nosniff")
        self.assertEqual(answer.body, body)


class ControlTest(Basics):
    def test_health_is_204_without_body_type_or_length(self):
        answer = self.envd.request("GET", "/health")
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.one("Cache-Control"), "no-store")
        self.assertEqual(answer.one("Vary"), "Origin")
        self.assertIsNotNone(answer.one("Date"))
        self.assertIsNone(answer.one("Content-Type"))
        self.assertIsNone(answer.one("Content-Length"))
        self.assertIsNone(answer.one("Server"))

    def test_metrics_have_all_keys_in_order_and_plausible_values(self):
        answer = self.envd.request("GET", "/metrics")
        self.assertEqual((answer.status, answer.one("Content-Type"), answer.one("Cache-Control")),
                         (200, "application/json", "no-store"))
        self.assertTrue(answer.body.endswith(b"}\n"))
        metrics = json.loads(answer.body)
        self.assertEqual(list(metrics), ["ts", "cpu_count", "cpu_used_pct", "cpu_possible", "cpu_target",
                                         "cpu_target_attempts", "cpu_write_pending_ms", "mem_total", "mem_used",
                                         "mem_cache", "disk_used", "disk_total"])
        self.assertEqual(metrics["cpu_count"], os.cpu_count())
        self.assertTrue(0 <= metrics["cpu_used_pct"] <= 100)
        self.assertTrue(0 < metrics["mem_used"] < metrics["mem_total"])
        self.assertTrue(0 < metrics["disk_used"] <= metrics["disk_total"])

    def test_envs_show_internal_and_user_variables_sorted(self):
        self.assertEqual(self.envd.request("GET", "/envs").body, b'{"E2B_SANDBOX":"false"}\n')
        self.assertEqual(self.init(envVars={"Z": "<&>", "A": "\u00e9", "E2B_SANDBOX": "mine"}).status, 204)
        self.assertEqual(self.envd.request("GET", "/envs").body,
                         '{"A":"\u00e9","E2B_SANDBOX":"false","Z":"\\u003c\\u0026\\u003e"}\n'.encode())
        self.assertEqual(self.init(envVars={}).status, 204)
        self.assertEqual(self.envd.request("GET", "/envs").body, b'{"E2B_SANDBOX":"false"}\n')

    def test_envs_without_envVars_stay_as_they_are(self):
        self.init(envVars={"KEEP": "1"})
        self.init(envVars=None)
        self.init()
        self.assertEqual(json.loads(self.envd.request("GET", "/envs").body)["KEEP"], "1")

    def test_sigterm_ends_with_status_0_and_second_start_gets_the_port(self):
        status, _, err = self.envd.end()
        self.assertEqual((status, err), (0, b""))

    def test_sigterm_waits_for_a_running_answer_and_a_second_one_does_not(self):
        stream = self.envd.start({"process": {"cmd": "sleep", "args": ["100"]}, "stdin": False})
        pid = stream.next()["event"]["start"]["pid"]
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.envd.process.send_signal(signal.SIGTERM)
        for line in self.envd.process.stdout:
            if json.loads(line)["message"] == "asked to end":
                break
        self.assertIsNone(self.envd.process.poll())
        self.assertEqual(self.envd.end()[0], 0)

    def test_taken_port_is_told_on_stderr_with_status_1(self):
        other = subprocess.run([os.environ["ENVD_BINARY"], "-isnotfc", "-listen", f"tcp:127.0.0.1:{self.envd.port}"],
                               capture_output=True, timeout=20)
        self.assertEqual(other.returncode, 1)
        self.assertTrue(other.stderr.startswith(b"server stopped: listen tcp "), other.stderr)
        self.assertIn(b"address already in use", other.stderr)


class InitTest(Basics):
    def version(self):
        return subprocess.run([os.environ["ENVD_BINARY"], "-version"], capture_output=True).stdout.decode().strip()

    def test_init_without_body_is_204_with_version(self):
        answer = self.envd.request("POST", "/init")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.one("Cache-Control"), "no-store")
        self.assertEqual(answer.one("X-Envd-Version"), self.version())
        self.assertIsNone(answer.one("Content-Type"))

    def test_init_with_broken_json_is_400_with_empty_body_and_version(self):
        for body in (b"{", b"[]", b'{"envVars":[]}', b'{"envVars":{"A":1}}', b'{"accessToken":7}', b'{} x',
                     b'{"timestamp":"yesterday"}', b'{"timestamp":"2026-01-01t00:00:00z"}', b'{"defaultUser":{}}',
                     b'{"accessToken":""}', b'{"accessToken":"a\\u0062"}', b"\xff"):
            answer = self.envd.request("POST", "/init", body)
            self.assertEqual((body, answer.status, answer.body), (body, 400, b""))
            self.assertEqual(answer.one("X-Envd-Version"), self.version())

    def test_init_reads_names_in_any_case_and_skips_unknown_ones(self):
        self.assertEqual(self.init(ENVVARS={"A": "1"}, unknown=[1, {"x": None}], DefaultUser="root").status, 204)
        self.assertEqual(json.loads(self.envd.request("GET", "/envs").body)["A"], "1")

    def test_init_over_1_mib_is_413(self):
        answer = self.envd.request("POST", "/init", b'{"envVars":{"A":"' + b"x" * (1 << 20) + b'"}}')
        self.assertEqual((answer.status, answer.body), (413, b""))

    def test_init_chunked_over_1_mib_is_413(self):
        chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        answer = self.envd.raw(b"POST /init HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
                               b"\r\n" + chunk * 17 + b"0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:100])

    def test_init_with_older_timestamp_changes_nothing(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp = lambda s: (now + datetime.timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
        self.assertEqual(self.init(timestamp=stamp(0), envVars={"A": "new"}).status, 204)
        self.assertEqual(self.init(timestamp=stamp(-1), envVars={"A": "old"}).status, 204)
        self.assertEqual(json.loads(self.envd.request("GET", "/envs").body)["A"], "new")
        answer = self.init(timestamp=stamp(0.5), envVars={"A": "newest"})
        self.assertGreaterEqual(int(answer.one("X-Envd-Init-Clock-Correction")), 0)
        self.assertEqual(json.loads(self.envd.request("GET", "/envs").body)["A"], "newest")

    def test_init_default_user_and_workdir_apply_to_commands(self):
        self.init(defaultUser="nobody", defaultWorkdir="/tmp")
        out = b""
        for message in self.envd.start({"process": {"cmd": "sh", "args": ["-c", "id -un; pwd"]}, "stdin": False}):
            out += base64.b64decode(message["event"].get("data", {}).get("stdout", ""))
        self.assertEqual(out, b"nobody\n/tmp\n")

    def test_init_token_closes_everything_but_the_open_paths(self):
        self.assertEqual(self.init(accessToken="secret").status, 204)
        self.assertEqual(self.envd.request("GET", "/health").status, 204)
        for method, path in (("GET", "/envs"), ("GET", "/metrics"), ("HEAD", "/health"), ("GET", "/nowhere"),
                             ("POST", "/process.Process/List"), ("OPTIONS", "/health"), ("GET", "/health/")):
            answer = self.envd.request(method, path)
            self.assertEqual((method, path, answer.status), (method, path, 401))
            if method != "HEAD":
                self.assert_401(answer)
        self.assert_401(self.envd.request("GET", "/envs", headers={"X-Access-Token": "secres"}))
        self.assertEqual(self.envd.request("GET", "/envs", headers={"X-Access-Token": "secret"}).status, 200)

    def test_init_token_gate_decodes_the_path_and_the_router_does_not(self):
        self.init(accessToken="secret")
        self.assertEqual(self.envd.request("GET", "/%68ealth").status, 404)
        self.assert_401(self.envd.request("GET", "/%6detrics"))

    def test_init_token_is_checked_on_the_next_init(self):
        self.init(accessToken="one")
        answer = self.init(accessToken="two")
        self.assertEqual((answer.status, answer.body), (401, b"access token validation failed"))
        answer = self.init()
        self.assertEqual((answer.status, answer.body), (401, b"access token reset not authorized"))
        self.assertEqual(self.init(accessToken="one", envVars={"A": "1"}).status, 204)

    def test_init_never_logs_the_token_or_values(self):
        self.init(accessToken="hush-token", envVars={"NAME": "hush-value"})
        _, log, _ = self.envd.end()
        self.assertNotIn("hush", json.dumps(log))


class HandoverTest(Basics):
    flags = ("-resume-handover",)

    def test_handover_is_closed_until_init(self):
        self.assertEqual(self.envd.request("GET", "/health").status, 204)
        self.assert_401(self.envd.request("GET", "/envs"), b'{"code":401,"message":"envd not initialized"}\n')
        self.assertEqual(self.init().status, 204)
        self.assertEqual(self.envd.request("GET", "/envs").status, 200)


class RoutingTest(Basics):
    def test_unknown_paths_are_404_text(self):
        for path in ("/", "/nowhere", "/health/", "//health", "/Health", "/%68ealth", "/process.Process/Nothing",
                     "/process.Process", "/health%2f"):
            self.assert_text(self.envd.request("GET", path), 404, b"404 page not found\n")

    def test_wrong_methods_are_405_with_allow_and_no_body(self):
        for method, path, allow in (("POST", "/health", ["GET"]), ("HEAD", "/health", ["GET"]),
                                    ("OPTIONS", "/health", ["GET"]), ("GET", "/init", ["POST"]),
                                    ("GET", "/process.Process/List", ["POST"]), ("PUT", "/envs", ["GET"]),
                                    ("FOO", "/health", []), ("FOO", "/nowhere", []), ("get", "/health", [])):
            answer = self.envd.request(method, path)
            self.assertEqual((method, path, answer.status, answer.all("Allow"), answer.body),
                             (method, path, 405, allow, b""))

    def test_options_star_comes_before_everything(self):
        self.init(accessToken="secret")
        answer = self.envd.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nOrigin: y\r\nConnection: close\r\n\r\n")
        head = answer.lower()
        self.assertTrue(head.startswith(b"http/1.1 200 "), answer)
        self.assertIn(b"\r\ncontent-length: 0\r\n", head)
        self.assertNotIn(b"vary", head)
        self.assertNotIn(b"access-control", head)

    def test_wrong_content_type_is_415_with_accept_post(self):
        unary = ("application/grpc, application/grpc+json, application/grpc+json; charset=utf-8, "
                 "application/grpc+proto, application/grpc-web, application/grpc-web+json, "
                 "application/grpc-web+json; charset=utf-8, application/grpc-web+proto, application/json, "
                 "application/json; charset=utf-8, application/proto")
        stream = unary.split(", application/json,")[0].replace("application/grpc,", "application/connect+json, "
                 "application/connect+json; charset=utf-8, application/connect+proto, application/grpc,", 1)
        for path, offered, accept in (("/process.Process/List", None, unary), ("/process.Process/List", "text/plain", unary),
                                      ("/process.Process/List", "application/connect+json", unary),
                                      ("/process.Process/Start", "application/json", stream)):
            answer = self.envd.request("POST", path, b"{}", {"Content-Type": offered} if offered else {})
            self.assertEqual((answer.status, answer.one("Accept-Post"), answer.body), (415, accept, b""))


class CorsTest(Basics):
    def preflight(self, **headers):
        return self.envd.request("OPTIONS", "/anything", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def test_preflight_is_204_and_needs_no_token(self):
        self.init(accessToken="secret")
        answer = self.preflight(Origin="http://a", Access_Control_Request_Method="PUT",
                                Access_Control_Request_Headers="x-one, x-two")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.one("Vary"), "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
        self.assertEqual(answer.one("Access-Control-Allow-Origin"), "*")
        self.assertEqual(answer.one("Access-Control-Allow-Methods"), "PUT")
        self.assertEqual(answer.one("Access-Control-Allow-Headers"), "x-one, x-two")
        self.assertEqual(answer.one("Access-Control-Max-Age"), "7200")

    def test_preflight_without_origin_or_with_odd_method_grants_nothing(self):
        for headers in ({"Access_Control_Request_Method": "GET"},
                        {"Origin": "x", "Access_Control_Request_Method": "get"},
                        {"Origin": "x", "Access_Control_Request_Method": "TRACE"}):
            answer = self.preflight(**headers)
            self.assertEqual((answer.status, answer.one("Access-Control-Allow-Origin")), (204, None))
            self.assertEqual(answer.one("Vary"),
                             "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")

    def test_every_answer_to_an_origin_is_readable_there(self):
        for method, path, status in (("GET", "/health", 204), ("GET", "/nowhere", 404), ("POST", "/health", 405),
                                     ("POST", "/process.Process/List", 415)):
            answer = self.envd.request(method, path, headers={"Origin": "http://a"})
            self.assertEqual((answer.status, answer.one("Access-Control-Allow-Origin"), answer.one("Vary")),
                             (status, "*", "Origin"))
            self.assertEqual(answer.one("Access-Control-Expose-Headers"),
                             "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, Location, Cache-Control, "
                             "X-Content-Type-Options")


class BasicUserTest(Basics):
    ERROR = {"code": "unauthenticated", "message": "invalid username: 'no-such-user'"}

    def test_unknown_basic_user_is_401_on_every_path(self):
        for method, path in (("GET", "/health"), ("GET", "/nowhere"), ("POST", "/process.Process/List")):
            answer = self.envd.request(method, path, headers=basic("no-such-user"))
            self.assertEqual((answer.status, answer.one("Content-Type"), json.loads(answer.body)),
                             (401, "application/json", self.ERROR))

    def test_unknown_basic_user_on_a_stream_is_200_with_an_end_frame(self):
        for kind in ("application/connect+json", "application/connect+proto"):
            answer = self.envd.request("POST", "/process.Process/Start", envelope({}),
                                       {"Content-Type": kind, **basic("no-such-user")})
            self.assertEqual((answer.status, answer.one("Content-Type"), answer.body),
                             (200, kind, envelope(json.dumps({"error": self.ERROR}, separators=(",", ":")).encode(), 2)))

    def test_empty_basic_user_is_unknown(self):
        answer = self.envd.request("GET", "/health", headers={"Authorization": "Basic Og=="})
        self.assertEqual(json.loads(answer.body)["message"], "invalid username: ''")

    def test_known_or_unreadable_basic_user_passes(self):
        for value in ("Basic cm9vdDo=", "bAsIc cm9vdDpwYXNz", "Bearer cm9vdDo=", "Basic !!!", "Basic cm9vdA==",
                      "Basic", "Basic ", ""):
            self.assertEqual(self.envd.request("GET", "/health", headers={"Authorization": value}).status, 204)
