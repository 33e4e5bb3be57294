"""The Process service over the wire: Start, Connect, List, SendSignal, as process.md and newer.md P say."""
import base64
import os
import pathlib
import pwd
import signal
import socket
import struct
import tempfile
import threading
import time
import unittest

import processes
from envd import basic, envelope
from processes import ME, MIB, ROOT, Run, alive, output_until, sh, wait_for


class StartTest(processes.ProcessTest):
    def test_start_is_first_and_end_is_last(self):
        run = self.run_sh("printf out; printf err >&2")
        self.assertEqual(run.kinds[0], "start")
        self.assertEqual(run.kinds[-1], "end")
        self.assertEqual((run.out, run.err), (b"out", b"err"))
        self.assertEqual(run.finish, {})

    def test_end_event_has_the_form_of_its_case(self):
        self.assertEqual(self.run_sh("exit 0").end, {"exited": True, "status": "exit status 0"})
        self.assertEqual(self.run_sh("exit 3").end,
                         {"exitCode": 3, "exited": True, "status": "exit status 3", "error": "exit status 3"})
        for number, name in ((1, "hangup"), (9, "killed"), (10, "user defined signal 1"), (15, "terminated"),
                             (16, "stack fault"), (34, "signal 34")):
            self.assertEqual(self.run_sh(f"kill -{number} $$").end,
                             {"exitCode": -1, "status": f"signal: {name}", "error": f"signal: {name}"})

    def test_core_dump_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            end = self.run_sh("ulimit -c unlimited; kill -SEGV $$", config={"cwd": folder}).end
            self.assertIn(end["status"], ("signal: segmentation fault (core dumped)", "signal: segmentation fault"))

    def test_missing_command_is_127_and_not_executable_126(self):
        run = self.run_request({"process": {"cmd": "no-such-command"}, "stdin": False})
        self.assertEqual((run.code, run.err, run.finish), (127, b"exec: no-such-command: not found\n", {}))
        self.assertEqual(self.run_request({"process": {"cmd": "/etc/passwd"}}).code, 126)
        self.assertEqual(self.run_request({}).code, 127)

    def test_environment_is_ours_plus_the_requests(self):
        self.envd.request("POST", "/init", b'{"envVars":{"G":"1","BOTH":"global"}}')
        run = self.run_request({"process": {"cmd": "env", "envs": {"BOTH": "mine", "A.B": "x y"}, "cwd": "/"},
                                "stdin": False})
        home = pwd.getpwnam(ME).pw_dir
        self.assertEqual(sorted(run.out.decode().splitlines()),
                         sorted([f"PATH={os.environ['PATH']}", f"HOME={home}", f"USER={ME}", f"LOGNAME={ME}",
                                 "E2B_SANDBOX=false", "G=1", "BOTH=mine", "A.B=x y", "PWD=/"]))

    def test_cwd_is_home_or_the_default_workdir_or_the_requests(self):
        home = pwd.getpwnam(ME).pw_dir
        self.assertEqual(self.run_sh("pwd").out.decode().strip(), os.path.realpath(home))
        self.envd.request("POST", "/init", b'{"defaultWorkdir":"/usr"}')
        self.assertEqual(self.run_sh("pwd").out, b"/usr\n")
        self.assertEqual(self.run_sh("pwd", config={"cwd": "/var"}).out, b"/var\n")
        self.assertEqual(self.run_sh("pwd", config={"cwd": "~"}).out.decode().strip(), os.path.realpath(home))

    def test_cwd_problems_refuse(self):
        self.assert_refused(sh("true", config={"cwd": "/no/such"}), "invalid_argument", "cwd '/no/such' does not exist")
        self.assert_refused({"process": {"cmd": "true", "cwd": "/etc/passwd"}}, "invalid_argument",
                            "error starting process 'true': fork/exec /bin/sh: not a directory")
        self.assert_refused(sh("true", config={"cwd": "~other"}), "invalid_argument",
                            f"failed to expand path '~other' for user '{ME}': cannot expand user-specific home dir")

    @unittest.skipUnless(ROOT, "needs root to become somebody else")
    def test_identity_is_the_users_and_the_directory_is_entered_as_the_user(self):
        nobody = pwd.getpwnam("nobody")
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o700)
            self.user = basic("nobody")
            run = self.run_sh("id -u; id -g", config={"cwd": "/"})
            self.assertEqual(run.out.decode(), f"{nobody.pw_uid}\n{nobody.pw_gid}\n")
            self.assert_refused({"process": {"cmd": "true", "cwd": folder}}, "invalid_argument",
                                "error starting process 'true': fork/exec /bin/sh: permission denied")

    def test_default_user_is_used_without_one_and_refused_when_unknown(self):
        self.user = {}
        self.envd.request("POST", "/init", f'{{"defaultUser":"{ME}"}}'.encode())
        self.assertEqual(self.run_sh("echo $USER").out.decode().strip(), ME)
        self.envd.request("POST", "/init", b'{"defaultUser":"ghost"}')
        self.assert_refused(sh("true"), "unauthenticated", "invalid default user: 'ghost'")

    def test_stdin_is_null_when_false_and_an_open_pipe_else(self):
        self.assertEqual(self.run_sh("read x || exit 1").code, 1)
        for fields in ({}, {"stdin": True}):
            stream, pid = self.started({"process": {"cmd": "cat"}, **fields})
            self.assertTrue(os.readlink(f"/proc/{pid}/fd/0").startswith("pipe:"))
            self.assertEqual(self.signal({"pid": pid}), (200, {}))
            self.assertEqual(Run(stream).end["status"], "signal: killed")

    def test_argument_too_long_is_invalid_and_starts_nothing(self):
        stream = self.envd.start({"process": {"cmd": "true", "args": ["x" * 200000]}}, self.user)
        self.assertIsNone(stream.next())
        self.assertEqual(stream.end["error"]["code"], "invalid_argument")
        self.assertTrue(stream.end["error"]["message"].endswith("fork/exec /bin/sh: argument list too long"))

    def test_text_that_is_no_text_is_refused_and_starts_nothing(self):
        for body in (b'{"process":{"cmd":"echo","args":["\xff"]}}', b'{"process":{"cmd":"\xc3\x28"}}',
                     b'{"process":{"cmd":"echo","args":[null]}}', b'{"process":{"cmd":"echo","args":["\\ud800"]}}'):
            self.assertEqual(self.envd.start(body, self.user).error_code(), "invalid_argument")
        self.assertEqual(self.list(), [])

    def test_nul_is_refused_and_an_odd_name_is_passed_on(self):
        for config in ({"cmd": "a\0b"}, {"cmd": "true", "args": ["a\0b"]}, {"cmd": "true", "envs": {"A": "x\0y"}},
                       {"cmd": "true", "envs": {"A\0B": "x"}}, {"cmd": "true", "cwd": "/tmp\0"}):
            self.assertEqual(self.envd.start({"process": config}, self.user).error_code(), "invalid_argument")
        run = self.run_request({"process": {"cmd": "env", "envs": {"A=B": "1", "": "dropped"}}, "stdin": False})
        self.assertIn(b"\nA=B=1\n", b"\n" + run.out)
        self.assertNotIn(b"dropped", run.out)

    @unittest.skipUnless(ROOT, "needs root to become somebody else")
    def test_user_without_a_home_runs_where_it_is_told(self):
        self.user = basic("nobody")  # its shell is nologin, too
        home = pwd.getpwnam("nobody").pw_dir
        self.assertFalse(os.path.exists(home))
        self.assert_refused(sh("true"), "invalid_argument", f"cwd '{home}' does not exist")
        self.assertEqual(self.run_sh("pwd; echo $HOME", config={"cwd": "/"}).out.decode(), f"/\n{home}\n")

    def test_one_mebibyte_of_arguments_arrives(self):
        args = ["-c", "echo $#"] + ["y" * 1000] * 1000
        self.assertEqual(self.run_request({"process": {"cmd": "sh", "args": args}, "stdin": False}).out, b"999\n")

    def test_no_descriptor_of_the_daemon_is_inherited(self):
        for _ in range(3):
            run = self.run_request({"process": {"cmd": "ls", "args": ["/proc/self/fd"]}, "stdin": False})
            self.assertEqual(run.out, b"0\n1\n2\n3\n")

    def test_kill_0_of_a_script_reaches_only_its_own_group(self):
        self.assertEqual(self.run_sh("kill -KILL 0").end["status"], "signal: killed")
        self.assertEqual(self.envd.request("GET", "/health").status, 204)


class OutputTest(processes.ProcessTest):
    def test_64_mebibytes_arrive_complete_and_in_order(self):
        script = "i=0; while [ $i -lt 1024 ]; do printf '%065536d' $i; i=$((i+1)); done"
        run = self.run_sh(script)
        self.assertEqual(len(run.out), 64 * MIB)
        for i in range(1024):
            self.assertEqual(int(run.out[(i + 1) * 65536 - 8:(i + 1) * 65536]), i)

    def test_slow_reader_holds_the_process_and_loses_nothing(self):
        stream, pid = self.started(sh("head -c 20000000 /dev/zero; echo end"))
        before = self.envd.rss_kib()

        def is_held():
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return children and "pipe_write" in pathlib.Path(f"/proc/{children[0]}/wchan").read_text()

        wait_for(is_held, "the process to be held by its pipe")
        self.assertLess(self.envd.rss_kib() - before, 4096)
        run = Run(stream)
        self.assertEqual(len(run.out), 20000004)

    def test_client_that_leaves_does_not_end_the_process(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "mark")
            stream, _ = self.started(sh(f"head -c 5000000 /dev/zero; echo done >{mark}"))
            stream.close()
            wait_for(mark.exists, "the process to go on")
        wait_for(lambda: not self.list(), "it to end")

    def test_command_with_a_name_longer_than_a_pipe_is_126(self):
        run = self.run_request({"process": {"cmd": "x" * 100000}, "stdin": False})
        self.assertEqual((run.code, run.kinds[0]), (126, "start"))

    def test_client_that_leaves_before_the_start_event_leaves_the_daemon_well(self):
        for _ in range(50):
            body = envelope(sh("true"))
            with self.envd.connect() as s:
                s.sendall(b"POST /process.Process/Start HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\n"
                          + f"Authorization: {self.user['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                          + body)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: not self.list(), "all to end")
        self.assertEqual(self.run_sh("echo ok").out, b"ok\n")

    def test_keepalives_come_until_the_end_also_after_the_output_is_closed(self):
        stream, _ = self.started(sh("exec >&- 2>&-; sleep 2.5"), **{"Keepalive-Ping-Interval": "1"})
        kinds = [next(iter(m["event"])) for m in stream]
        self.assertEqual(kinds, ["keepalive", "keepalive", "end"])


class EndTest(processes.ProcessTest):
    def test_descendant_that_holds_the_output_delays_the_end_by_half_a_second(self):
        begin = time.monotonic()
        run = self.run_sh("sleep 60 & echo done")
        self.assertEqual((run.out, run.code), (b"done\n", 0))
        self.assertLess(time.monotonic() - begin, 3)

    def test_killed_process_ends_at_once_though_children_hold_the_output(self):
        stream, pid = self.started(sh("sleep 60 & sleep 60 & echo $! ; wait"))
        child = int(base64.b64decode(stream.next()["event"]["data"]["stdout"]))
        begin = time.monotonic()
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        self.assertEqual(Run(stream).end,
                         {"exitCode": -1, "status": "signal: killed", "error": "signal: killed"})
        self.assertLess(time.monotonic() - begin, 0.4)
        wait_for(lambda: not alive(child), "the group to be killed")
        self.assertEqual(self.list(), [])

    def test_terminate_reaches_the_leader_alone_unless_asked(self):
        for more, survives in (({}, True), ({"descendants": True}, False)):
            stream, pid = self.started(sh("sleep 60 & echo $!; wait"))
            child = int(base64.b64decode(stream.next()["event"]["data"]["stdout"]))
            self.assertEqual(self.signal({"pid": pid}, "SIGNAL_SIGTERM", **more), (200, {}))
            self.assertEqual(Run(stream).end["status"], "signal: terminated")
            if survives:
                self.assertTrue(alive(child))
                os.kill(child, signal.SIGKILL)
            wait_for(lambda: not alive(child), "the child to end")

    def test_lifetime_kills_the_group_and_the_starter_sees_its_deadline(self):
        with tempfile.TemporaryDirectory() as folder:
            pids = pathlib.Path(folder, "pids")
            stream = self.envd.start(sh(f"sleep 60 & echo $$ $! >{pids}; wait"),
                                     {**self.user, "Connect-Timeout-Ms": "700"})
            self.assertEqual(stream.error_code(), "deadline_exceeded")
            leader, child = map(int, pids.read_text().split())
            wait_for(lambda: not alive(leader) and not alive(child), "both to be killed")

    def test_lifetime_of_zero_starts_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "mark")
            for value in ("0", "-5"):
                stream = self.envd.start(sh(f"echo x >{mark}"), {**self.user, "Connect-Timeout-Ms": value})
                self.assertEqual(stream.error_code(), "deadline_exceeded")
            self.run_sh("true")
            self.assertFalse(mark.exists())


class ListAndSignalTest(processes.ProcessTest):
    def test_list_shows_what_was_asked_for_as_it_was_asked(self):
        config = {"cmd": "sleep", "args": ["60"], "envs": {"K": "v"}, "cwd": "~"}
        stream, pid = self.started({"process": config, "tag": "", "stdin": False})
        plain, other = self.started({"process": {"cmd": "cat"}})
        by_pid = {p["pid"]: p for p in self.list()}
        self.assertEqual(by_pid, {pid: {"pid": pid, "config": config, "tag": ""},
                                  other: {"pid": other, "config": {"cmd": "cat"}}})
        for p in (pid, other):
            self.signal({"pid": p})
        Run(stream), Run(plain)
        self.assertEqual(self.list(), [])

    def test_signal_finds_by_tag_the_newest(self):
        streams = [self.started({"process": {"cmd": "cat"}, "tag": tag}) for tag in ("web", "db", "web")]
        self.assertEqual(self.signal({"tag": "web"}), (200, {}))
        Run(streams[2][0])
        self.assertEqual(sorted(p["pid"] for p in self.list()), sorted(pid for _, pid in streams[:2]))
        self.assertEqual(self.signal({"tag": "none"}),
                         (404, {"code": "not_found", "message": "process with tag none not found"}))
        for _, pid in streams[:2]:
            self.signal({"pid": pid})

    def test_signal_refusals(self):
        gone = self.run_sh("true").events[0]["start"]["pid"]
        self.assertEqual(self.signal({"pid": gone}),
                         (404, {"code": "not_found", "message": f"process with pid {gone} not found"}))
        self.assertEqual(self.signal({}), (501, {"code": "unimplemented",
                                                 "message": "invalid input type *process.ProcessSelector"}))
        stream, pid = self.started({"process": {"cmd": "cat"}})
        for name, text in (("SIGNAL_UNSPECIFIED", "SIGNAL_UNSPECIFIED"), ("nonsense", "SIGNAL_UNSPECIFIED"), (2, "2")):
            self.assertEqual(self.signal({"pid": pid}, name),
                             (501, {"code": "unimplemented", "message": f"invalid signal: {text}"}))
        self.signal({"pid": pid})
        Run(stream)

    def test_exited_leader_whose_output_is_held_is_not_found(self):
        stream, pid = self.started(sh("sleep 60 & echo $!"))
        child = int(base64.b64decode(stream.next()["event"]["data"]["stdout"]))
        wait_for(lambda: not alive(pid), "the leader to exit")
        self.assertEqual(self.signal({"pid": pid})[0], 404)
        os.kill(child, signal.SIGKILL)
        self.assertEqual(Run(stream).code, 0)


class ConnectTest(processes.ProcessTest):
    def ended(self, script, **fields):
        """The pid of a process that has ended, and its end event."""
        run = self.run_sh(script, **fields)
        return run.events[0]["start"]["pid"], run.end

    def assert_not_found(self, process, text, **headers):
        run = Run(self.connect(process, **headers))
        self.assertEqual((run.events, run.error), ([], {"code": "not_found", "message": f"process with {text} not found"}))

    def test_live_process_has_its_pid_its_data_from_now_on_and_its_end(self):
        stream, pid = self.started({**sh("echo before; read x; echo after; exit 5"), "stdin": True, "tag": "live"})
        output_until(stream, b"before\n")
        others = [self.connect(process) for process in ({"pid": pid}, {"tag": "live"})]
        for other in others:
            self.assertEqual(other.next(), {"event": {"start": {"pid": pid}}})
        self.assertEqual(self.send({"pid": pid}, b"\n"), (200, {}))
        for run in map(Run, (stream, *others)):
            self.assertEqual((run.out, run.code, run.finish), (b"after\n", 5, {}))

    def test_two_readers_see_every_byte_of_a_large_output(self):
        stream, pid = self.started({**sh("read x; head -c 8000000 /dev/zero; echo end"), "stdin": True})
        other = self.connect({"pid": pid})
        self.assertEqual(other.next(), {"event": {"start": {"pid": pid}}})
        self.send({"pid": pid}, b"\n")
        runs = []
        thread = threading.Thread(target=lambda: runs.append(Run(other)))
        thread.start()
        runs.append(Run(stream))
        thread.join()
        self.assertEqual([len(run.out) for run in runs], [8000004] * 2)

    def test_process_whose_starter_has_left_can_be_watched(self):
        stream, pid = self.started({**sh("read x; echo on"), "stdin": True})
        stream.close()
        other = self.connect({"pid": pid})
        self.assertEqual(other.next(), {"event": {"start": {"pid": pid}}})
        self.send({"pid": pid}, b"\n")
        run = Run(other)
        self.assertEqual((run.out, run.code), (b"on\n", 0))

    def test_ended_process_is_a_start_and_its_end(self):
        for script in ("echo output; exit 3", "kill -9 $$", "true"):
            pid, end = self.ended(script, tag="job")
            for process in ({"pid": pid}, {"tag": "job"}):
                run = Run(self.connect(process))
                self.assertEqual(run.events, [{"start": {"pid": pid}}, {"end": end}])
                self.assertEqual(run.finish, {})

    def test_end_of_another_process_with_the_tag_is_forgotten(self):
        old, _ = self.ended("exit 1", tag="job")
        stream, pid = self.started({**sh("read x; exit 2"), "tag": "job", "stdin": True})
        self.assert_not_found({"pid": old}, f"pid {old}")
        other = self.connect({"tag": "job"})
        self.assertEqual(other.next(), {"event": {"start": {"pid": pid}}})
        self.send({"pid": pid}, b"\n")
        self.assertEqual([Run(s).code for s in (stream, other)], [2, 2])
        self.assertEqual(Run(self.connect({"tag": "job"})).code, 2)

    def test_unknown_process_is_not_found_also_when_there_is_no_time(self):
        for headers in ({}, {"Connect-Timeout-Ms": "0"}, {"Connect-Timeout-Ms": "-1"}):
            self.assert_not_found({"pid": 4294967295}, "pid 4294967295", **headers)
            self.assert_not_found({"pid": 0}, "pid 0", **headers)
            self.assert_not_found({"tag": "none"}, "tag none", **headers)

    def test_selector_must_say_one_thing(self):
        for process in ({}, None):
            self.assertEqual(Run(self.connect(process)).error,
                             {"code": "unimplemented", "message": "invalid input type *process.ProcessSelector"})
        self.assertEqual(self.connect({"pid": 1, "tag": "x"}).error_code(), "invalid_argument")

    def test_deadline_ends_the_stream_and_not_the_process(self):
        stream, pid = self.started({**sh("read x; exit 4"), "stdin": True})
        for value in ("100", "0"):
            self.assertEqual(self.connect({"pid": pid}, **{"Connect-Timeout-Ms": value}).error_code(), "deadline_exceeded")
        self.send({"pid": pid}, b"\n")
        self.assertEqual(Run(stream).code, 4)

    def test_keepalives_come_until_the_end_also_after_the_output_is_closed(self):
        _, pid = self.started(sh("exec >&- 2>&-; sleep 2.5"))
        run = Run(self.connect({"pid": pid}, **{"Keepalive-Ping-Interval": "1"}))
        self.assertEqual(run.kinds, ["start", "keepalive", "keepalive", "end"])

    def test_request_of_a_long_stream_is_not_kept(self):
        tag = "t" * 1000000
        stream, pid = self.started({**sh("sleep 60"), "tag": tag})
        warm = self.connect({"tag": tag})
        self.assertEqual(warm.next(), {"event": {"start": {"pid": pid}}})
        before, others = self.envd.rss_kib(), []
        for _ in range(16):
            others.append(self.connect({"tag": tag}))
            self.assertEqual(others[-1].next(), {"event": {"start": {"pid": pid}}})
        if not self.envd.is_sanitized():
            self.assertLess(self.envd.rss_kib() - before, 4096)
        self.signal({"pid": pid})
        for s in (stream, warm, *others):
            Run(s)

    def test_connecting_around_the_end_never_hangs_and_always_tells_it(self):
        for _ in range(100):
            stream, pid = self.started({**sh("read x; exit 7"), "stdin": True})
            runs = []
            threads = [threading.Thread(target=lambda: runs.append(Run(self.connect({"pid": pid})))) for _ in range(2)]
            threads[0].start()
            self.send({"pid": pid}, b"\n")
            threads[1].start()
            for thread in threads:
                thread.join()
            for run in (*runs, Run(stream)):
                self.assertEqual((run.end or {}).get("exitCode"), 7)

    def test_killed_process_is_seen_by_all_its_readers(self):
        stream, pid = self.started(sh("sleep 60"))
        other = self.connect({"pid": pid})
        self.assertEqual(other.next(), {"event": {"start": {"pid": pid}}})
        self.assertEqual(self.signal({"pid": pid}), (200, {}))
        self.assertEqual([Run(s).end["status"] for s in (stream, other)], ["signal: killed"] * 2)
        self.assertEqual(self.list(), [])


class LoadTest(processes.ProcessTest):
    def test_hundreds_of_starts_leave_no_descriptor_zombie_or_process(self):
        self.run_sh("true")
        before = self.envd.fds()
        failures = []

        def work():
            for _ in range(50):
                run = self.run_sh("echo x")
                if run.out != b"x\n" or run.code != 0:
                    failures.append(run.events)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.list(), [])
        wait_for(lambda: self.envd.fds() <= before, "descriptors to close")
        children = pathlib.Path(f"/proc/{self.envd.pid}/task/{self.envd.pid}/children").read_text()
        self.assertEqual(children, "")

    def test_two_sigterms_with_starts_on_their_way_end_it_quietly(self):
        body = envelope(sh("true"))
        head = ("POST /process.Process/Start HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\n"
                f"Authorization: {self.user['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        for _ in range(20):
            s = self.envd.connect()
            self.addCleanup(s.close)
            s.sendall(head + body)
        for _ in range(2):
            self.envd.process.send_signal(signal.SIGTERM)
        self.envd.finish()

    def test_refused_starts_leave_no_descriptor(self):
        self.run_sh("true")
        before = self.envd.fds()
        for _ in range(50):
            self.assertEqual(self.envd.start({"process": {"cmd": "true", "cwd": "/etc/passwd"}}, self.user).error_code(),
                             "invalid_argument")
        wait_for(lambda: self.envd.fds() <= before, "descriptors to close")

    def test_environment_and_arguments_are_not_logged(self):
        self.run_sh("true", config={"envs": {"SECRET": "s3cr3t-value"}, "args": ["-c", "true", "s3cr3t-value"]})
        _, log, _ = self.envd.end()
        self.assertNotIn("s3cr3t-value", str(self.envd.log) + str(log))
        kinds = [entry.get("event_type") for entry in log]
        ended = next(entry for entry in log if entry.get("method") == "POST /process.Process/Start")
        self.assertEqual((ended["level"], ended["logger"], ended["message"]),
                         ("info", "process", "Process start (server stream end)"))
        self.assertIn("process_start", kinds)
        self.assertIn("process_end", kinds)


if __name__ == "__main__":
    unittest.main()
