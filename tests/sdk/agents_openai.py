"""
openai-agents[e2b], unmodified: its sandbox sessions, and an agent whose model follows a script.

    agents_openai.py async [word that a test's name must contain ...]
"""
import contextlib
import io
import json
import pathlib
import sys
import tarfile
import tempfile
import zipfile

from agents import RunConfig, Runner, set_tracing_disabled
from agents.extensions.sandbox.e2b import E2BSandboxClient, E2BSandboxClientOptions, E2BSandboxType
from agents.sandbox import (ExecTimeoutError, LocalSnapshotSpec, Manifest, SandboxAgent, SandboxPathGrant,
                            SandboxRunConfig, WorkspaceArchiveReadError, WorkspaceReadNotFoundError)
from agents.sandbox.capabilities import Filesystem, Shell
from agents.sandbox.entries import Dir, File, LocalDir
from agents.sandbox.errors import InvalidManifestPathError, PtySessionNotFoundError
from agents.testing import ScriptedModel, assistant_message, function_call
from harness import equal, main, rejection, test
from openai.types.responses import ResponseCustomToolCall

ALL_BYTES = bytes(range(256))
TEXT = "wörld €😀\nsecond line\n"
CLIENT = E2BSandboxClient()


def options(**others):
    return E2BSandboxClientOptions(**{"sandbox_type": E2BSandboxType.E2B, **others})


@contextlib.asynccontextmanager
async def session_in(s, **manifest):
    """A session whose workspace is a folder of its own."""
    async with s.folder() as folder:
        session = await CLIENT.create(manifest=Manifest(root=folder, **manifest), options=options())
        async with session:
            yield session, folder
        await s.commands.run(f"rm -rf {folder}")


async def content(session, path):
    return (await session.read(pathlib.Path(path))).read()


@test
async def session_makes_its_workspace_below_the_root(s):
    for sandbox_type in E2BSandboxType:
        session = await CLIENT.create(options=options(sandbox_type=sandbox_type))
        async with session:
            result = await session.exec("pwd; id -un")
            equal((result.stdout, result.exit_code), (b"/workspace\nuser\n", 0))
            equal(await session.running(), True)
        await s.commands.run("rm -rf /workspace", user="root")


@test
async def session_makes_what_its_manifest_names(s):
    with tempfile.TemporaryDirectory() as local:
        pathlib.Path(local, "deep").mkdir()
        pathlib.Path(local, "deep/bytes").write_bytes(ALL_BYTES)
        entries = {"text": File(content=TEXT.encode()), "empty": File(content=b""), "local": LocalDir(src=local),
                   "folder": Dir(children={"wörld €😀": File(content=ALL_BYTES), "inner": Dir()})}
        grants = (SandboxPathGrant(path=local, read_only=True),)
        async with session_in(s, entries=entries, environment={"value": {"WHO": "wörld"}},
                              extra_path_grants=grants) as (session, folder):
            equal(await s.out(f"cd {folder}; find . -type f | sort; cat text; stat -c %U folder/inner"),
                  "./empty\n./folder/wörld €😀\n./local/deep/bytes\n./text\n" + TEXT + "user\n")
            for path in ("folder/wörld €😀", "local/deep/bytes"):
                equal(await content(session, path), ALL_BYTES)
            equal((await session.exec("echo $WHO")).stdout.decode(), "wörld\n")


@test
async def exec_gives_output_and_exit_code(s):
    async with session_in(s) as (session, folder):
        result = await session.exec("pwd; echo problem >&2; exit 3")
        equal((result.stdout.decode(), result.stderr, result.exit_code), (f"{folder}\n", b"problem\n", 3))
        equal((await session.exec("printf", "%s|", "a b", "it's", shell=False)).stdout, b"a b|it's|")
        equal((await session.exec("id -un", user="root")).stdout, b"root\n")


@test
async def exec_beyond_its_time_raises(s):
    async with session_in(s) as (session, _):
        await rejection(lambda: session.exec("sleep 1000", timeout=1), ExecTimeoutError)
        await s.end_all()


@test
async def files_are_written_and_read(s):
    async with session_in(s) as (session, folder):
        for path, data in (("text", TEXT.encode()), ("new/folder/wörld €😀", ALL_BYTES), ("empty", b""),
                           (f"{folder}/large", ALL_BYTES * 20_000)):
            await session.write(pathlib.Path(path), io.BytesIO(data))
            equal(await content(session, path), data)
        equal(await session.read_bounded(pathlib.Path("large"), max_bytes=1000), (ALL_BYTES * 4)[:1000])
        equal(await s.out(f"stat -c %U {folder}/new {folder}/text"), "user\nuser\n")
        await rejection(lambda: session.read(pathlib.Path("none")), WorkspaceReadNotFoundError)
        await rejection(lambda: session.read(pathlib.Path("new")), WorkspaceArchiveReadError)


@test
async def files_of_a_user_are_read_and_written(s):
    async with session_in(s) as (session, folder):
        await session.write(pathlib.Path("f"), io.BytesIO(b"one"), user="root")
        equal((await session.read(pathlib.Path("f"), user="user")).read(), b"one")
        await s.commands.run(f"chown root {folder}/f; chmod 600 {folder}/f", user="root")
        await rejection(lambda: session.read(pathlib.Path("f"), user="user"), WorkspaceArchiveReadError)


@test
async def files_outside_the_workspace_are_refused(s):
    async with session_in(s) as (session, folder):
        await s.commands.run(f"ln -s /etc {folder}/etc")
        for path in ("/etc/passwd", "../f", "etc/passwd"):
            await rejection(lambda: session.read(pathlib.Path(path)), InvalidManifestPathError)


@test
async def folders_are_made_listed_moved_and_removed(s):
    async with session_in(s) as (session, folder):
        await session.mkdir("a/b", parents=True)
        await session.mkdir("a/b", parents=True)
        await session.write(pathlib.Path("a/f"), io.BytesIO(b"content"))
        await session.mv("a/f", "a/b/g")
        equal(sorted(pathlib.Path(entry.path).name for entry in await session.ls("a/b") if entry.kind.name == "FILE"),
              ["g"])
        await session.rm("a", recursive=True)
        equal(await s.out(f"ls -A {folder}"), "")


@test
async def patches_change_files(s):
    async with session_in(s) as (session, folder):
        equal(await session.apply_patch([
            {"type": "create_file", "path": "new/f", "diff": "+one\n+wörld €😀\n+three\n"},
            {"type": "create_file", "path": "g", "diff": "+gone\n"},
            {"type": "update_file", "path": "new/f", "diff": "@@\n one\n-wörld €😀\n+two\n three\n", "move_to": "moved"},
            {"type": "delete_file", "path": "g"},
        ]), "Done!")
        equal(await s.out(f"cd {folder}; find . -type f; cat moved"), "./moved\none\ntwo\nthree")


def tar_with(name, data):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return io.BytesIO(archive.getvalue())


def zip_with(name, data):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(name, data)
    return io.BytesIO(archive.getvalue())


@test
async def archives_are_extracted(s):
    async with session_in(s) as (session, _):
        for name, archive in (("a.tar", tar_with("deep/tarred", ALL_BYTES)),
                              ("b.zip", zip_with("deep/zipped", ALL_BYTES))):
            await session.extract(name, archive)
        for name in ("deep/tarred", "deep/zipped"):
            equal(await content(session, name), ALL_BYTES)


@test
async def terminal_takes_input_and_ends(s):
    async with session_in(s) as (session, _):
        started = await session.pty_exec_start("stty -echo; echo $((6 * 7)); cat", tty=True, yield_time_s=1)
        assert started.exit_code is None and b"42" in started.output, started
        written = await session.pty_write_stdin(session_id=started.process_id, chars="wörld\n", yield_time_s=1)
        assert "wörld" in written.output.decode(), written
        await session.pty_write_stdin(session_id=started.process_id, chars="\x03")
        ended = await session.pty_write_stdin(session_id=started.process_id, chars="exit 3\n", yield_time_s=5)
        equal((ended.process_id, ended.exit_code), (None, 3))
        await rejection(lambda: session.pty_write_stdin(session_id=started.process_id, chars=""),
                        PtySessionNotFoundError)


@test
async def command_in_the_background_is_told_when_it_ends(s):
    async with session_in(s) as (session, _):
        ended = await session.pty_exec_start("echo out; echo err >&2; exit 3", yield_time_s=10)
        equal((sorted(ended.output.split()), ended.exit_code), ([b"err", b"out"], 3))
        running = await session.pty_exec_start("exec sleep 1000", yield_time_s=0.25)
        equal((running.exit_code, running.output), (None, b""))
        await session.pty_terminate_all()


@test
async def workspace_is_saved_and_restored(s):
    async with s.folder() as folder:
        with tempfile.TemporaryDirectory() as local:
            session = await CLIENT.create(manifest=Manifest(root=f"{folder}/workspace"), options=options(),
                                          snapshot=LocalSnapshotSpec(base_path=pathlib.Path(local)))
            async with session:
                await session.write(pathlib.Path("deep/f"), io.BytesIO(ALL_BYTES))
                await session.exec("ln -s deep/f link; chmod 750 deep/f")
            await s.commands.run(f"rm -r {folder}/workspace/*")
            state = CLIENT.deserialize_session_state(json.loads(session.state.model_dump_json()))
            async with await CLIENT.resume(state) as resumed:
                equal(await content(resumed, "deep/f"), ALL_BYTES)
                equal((await resumed.exec("readlink link; stat -c %a deep/f")).stdout, b"deep/f\n750\n")


@test
async def workspace_goes_from_one_session_to_another(s):
    async with session_in(s) as (one, _), session_in(s) as (other, _):
        await one.write(pathlib.Path("deep/f"), io.BytesIO(ALL_BYTES * 10_000))
        await other.hydrate_workspace(await one.persist_workspace())
        equal(await content(other, "deep/f"), ALL_BYTES * 10_000)


def patch(call_id, text):
    return ResponseCustomToolCall(type="custom_tool_call", call_id=call_id, name="apply_patch",
                                  input=f"*** Begin Patch\n{text}*** End Patch\n")


@test
async def agent_works_in_the_sandbox(s):
    model = ScriptedModel([
        [patch("1", "*** Add File: hello.py\n+print('hello')\n")],
        [patch("2", "*** Update File: hello.py\n@@\n-print('hello')\n+print('hello world')\n")],
        [function_call("exec_command", {"cmd": "python3 hello.py; exit 7"}, call_id="3")],
        [assistant_message("done")],
    ])
    async with s.folder() as folder:
        agent = SandboxAgent(name="tester", model=model, instructions="write hello world",
                             capabilities=[Shell(), Filesystem()])
        sandbox = SandboxRunConfig(client=CLIENT, options=options(), manifest=Manifest(root=folder))
        result = await Runner.run(agent, "go", run_config=RunConfig(sandbox=sandbox))
        equal(result.final_output, "done")
        answer = model.last_call.input[-1]["output"]
        assert "hello world\n" in answer and "exited with code 7" in answer, answer


if __name__ == "__main__":
    set_tracing_disabled(True)
    main(sys.argv[2:], "openai_agents")
