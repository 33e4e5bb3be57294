"""
langchain-e2b, unmodified, as the sandbox of a deep agent: its tools, and an agent whose model follows a script.

    agents_langchain.py sync|async [word that a test's name must contain ...]
"""
import base64
import os
import sys

from deepagents import create_deep_agent
from harness import IS_ASYNC, equal, main, test, test_of
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_e2b import AsyncE2BSandbox, E2BSandbox

ALL_BYTES = bytes(range(256))
TEXT = "wörld €😀\nsecond line\n"
LARGE = "x" * 60_000  # more than the backend sends inside a command


class Backend:
    """The sandbox as deep agents see it; its calls can be awaited, whichever the interface."""

    def __init__(self, s, **options):
        self.plain = (AsyncE2BSandbox if IS_ASYNC else E2BSandbox)(sandbox=s.sandbox, **options)

    def __getattr__(self, name):
        call = getattr(self.plain, f"a{name}" if IS_ASYNC else name)

        async def awaited(*args, **kwargs):
            result = call(*args, **kwargs)
            return await result if IS_ASYNC else result

        return awaited


def names(entries, folder):
    return sorted((entry["path"].removeprefix(f"{folder}/"), entry["is_dir"]) for entry in entries)


@test
async def execute_gives_output_and_exit_code(s):
    backend = Backend(s)
    result = await backend.execute("pwd; echo problem >&2; exit 3")
    equal((result.output, result.exit_code, result.truncated), ("/home/user\n\nproblem\n", 3, False))
    equal((await backend.execute("no-such-command-here")).exit_code, 127)
    equal((await Backend(s, workdir="/tmp").execute("pwd")).output, "/tmp\n")


@test
async def execute_beyond_its_time_exits_124(s):
    result = await Backend(s).execute("sleep 1000", timeout=1)
    equal((result.output, result.exit_code), ("Command timed out after 1 seconds", 124))
    await s.end_all()


@test
async def execute_in_a_missing_folder_is_told(s):
    result = await Backend(s, workdir="/no/such/folder").execute("pwd")
    equal(result.exit_code, 1)
    assert "InvalidArgumentException" in result.output and "/no/such/folder" in result.output, result.output


@test
async def files_go_up_and_down(s):
    backend = Backend(s)
    async with s.folder() as folder:
        contents = {f"{folder}/text": TEXT.encode(), f"{folder}/new/wörld €😀": ALL_BYTES, f"{folder}/empty": b"",
                    f"{folder}/large": os.urandom(5_000_000)}
        uploaded = await backend.upload_files(list(contents.items()))
        equal([(answer.path, answer.error) for answer in uploaded], [(path, None) for path in contents])
        downloaded = await backend.download_files(list(contents))
        equal({answer.path: answer.content for answer in downloaded}, contents)
        equal(await s.out(f"stat -c %U '{folder}/new/wörld €😀'"), "user\n")


@test
async def files_that_cannot_go_are_told_each_by_itself(s):
    backend = Backend(s)
    async with s.folder() as folder:
        await s.commands.run(f"touch {folder}/f")
        answers = await backend.download_files([f"{folder}/none", folder, "relative", f"{folder}/f"])
        equal([answer.error for answer in answers], ["file_not_found", "is_directory", "invalid_path", None])
        answers = await backend.upload_files([(folder, b""), ("relative", b""), (f"{folder}/g", b"")])
        equal([answer.error for answer in answers], ["is_directory", "invalid_path", None])


@test
async def write_makes_a_file_once(s):
    backend = Backend(s)
    async with s.folder() as folder:
        path = f"{folder}/new/f"
        equal((await backend.write(path, TEXT)).path, path)
        equal(await s.out(f"cat {path}"), TEXT)
        assert "already exists" in (await backend.write(path, "other")).error
        equal(await s.out(f"cat {path}"), TEXT)


@test
async def read_gives_lines_or_base64(s):
    backend = Backend(s)
    async with s.folder() as folder:
        await backend.upload_files([(f"{folder}/f.txt", b"".join(b"line %d\n" % n for n in range(5000))),
                                    (f"{folder}/image.png", ALL_BYTES)])
        content = (await backend.read(f"{folder}/f.txt", offset=10, limit=2)).file_data["content"]
        equal(content.splitlines(), ["line 10", "line 11"])
        data = (await backend.read(f"{folder}/image.png")).file_data
        equal((data["encoding"], base64.b64decode(data["content"])), ("base64", ALL_BYTES))
        assert "not_found" in (await backend.read(f"{folder}/none")).error


@test
async def edit_replaces_text(s):
    backend = Backend(s)
    async with s.folder() as folder:
        path = f"{folder}/f"
        await backend.write(path, "one two one\r\n" + TEXT)
        equal((await backend.edit(path, "one", "1", replace_all=True)).occurrences, 2)
        equal((await backend.edit(path, "wörld", LARGE)).error, None)
        equal((await backend.edit(path, LARGE, "€")).error, None)
        equal(await s.out(f"cat {path}; ls -A /tmp | grep -c deepagents || true"),
              "1 two 1\r\n" + TEXT.replace("wörld", "€") + "0\n")


@test_of(not IS_ASYNC)  # the asynchronous backend calls a method that deepagents no longer has
async def edit_that_cannot_be_made_is_told(s):
    backend = Backend(s)
    async with s.folder() as folder:
        path = f"{folder}/f"
        await backend.write(path, "one two one")
        for old, expected in (("one", "appears multiple times"), ("absent", "not found")):
            assert expected in (await backend.edit(path, old, "x")).error, old
        assert "not found" in (await backend.edit(f"{folder}/none", "one", "x")).error


@test
async def ls_glob_and_grep_find(s):
    backend = Backend(s)
    async with s.folder() as folder:
        await backend.upload_files([(f"{folder}/a.py", b"needle here\n"), (f"{folder}/d/b.py", b"no\nneedle\n"),
                                    (f"{folder}/d/c.txt", b"needle\n")])
        equal(names((await backend.ls(folder)).entries, folder), [("a.py", False), ("d", True)])
        found = (await backend.glob("**/*.py", folder)).matches
        equal(sorted(entry["path"].removeprefix(f"{folder}/") for entry in found), ["a.py", "d/b.py"])
        found = (await backend.grep("needle", folder, glob="*.py")).matches
        equal(sorted((match["path"].removeprefix(f"{folder}/"), match["line"], match["text"]) for match in found),
              [("a.py", 1, "needle here"), ("d/b.py", 2, "needle")])


class Scripted(GenericFakeChatModel):
    """A model that calls tools as it is told, whatever they answer."""

    def bind_tools(self, tools, **_):
        return self


def scripted(*calls):
    steps = [AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call{n}"}])
             for n, (name, args) in enumerate(calls)]
    return Scripted(messages=iter([*steps, AIMessage("done")]))


@test
async def deep_agent_works_in_the_sandbox(s):
    async with s.folder() as folder:
        path = f"{folder}/hello.py"
        agent = create_deep_agent(backend=Backend(s).plain, model=scripted(
            ("write_file", {"file_path": path, "content": "print('hello')\n"}),
            ("edit_file", {"file_path": path, "old_string": "hello", "new_string": "hello world"}),
            ("read_file", {"file_path": path}),
            ("ls", {"path": folder}),
            ("glob", {"pattern": "*.py", "path": folder}),
            ("grep", {"pattern": "world", "path": folder}),
            ("execute", {"command": f"python3 {path}; exit 7"}),
        ))
        request = {"messages": [("user", "write hello world")]}
        state = await agent.ainvoke(request) if IS_ASYNC else agent.invoke(request)
        answers = [message.content for message in state["messages"] if isinstance(message, ToolMessage)]
        for answer, expected in zip(answers, ("hello.py", "hello.py", "print('hello world')", path, "hello.py", path,
                                              "hello world\n"), strict=True):
            assert expected in answer, f"{expected!r} not in {answer!r}"
        assert "exit code 7" in answers[-1], answers[-1]
        equal(state["messages"][-1].content, "done")


if __name__ == "__main__":
    main(sys.argv[2:], "langchain")
