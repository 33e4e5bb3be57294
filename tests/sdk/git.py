"""sandbox.git of PyPI e2b: git in the sandbox, each call a command of sandbox.commands."""
import base64
import contextlib

from e2b import CommandExitException, GitAuthException, GitUpstreamException
from harness import equal, rejection, test

NAME, PASSWORD = "ada", "se cret"

# A git server over HTTP that wants a password; the repositories are where it is started.
SERVER = """exec python3 -uc '
import http.server, os
os.makedirs("cgi-bin")
os.symlink("/usr/lib/git-core/git-http-backend", "cgi-bin/git")
class Handler(http.server.CGIHTTPRequestHandler):
    def run_cgi(self):
        if self.headers["Authorization"] == os.environ["WANTED"]:
            return super().run_cgi()
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic realm=git")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("port", server.server_port)
server.serve_forever()'"""


@contextlib.asynccontextmanager
async def repository(s):
    """A repository with one commit, of the file `a`, on the branch main; beside it is room for others."""
    async with s.folder() as parent:
        path = f"{parent}/repository"
        await s.git.init(path, initial_branch="main")
        await s.git.configure_user("Ada", "ada@example.com", scope="local", path=path)
        await commit(s, path, "a", "first")
        yield path


async def commit(s, path, file, text):
    await s.commands.run(f"echo '{text}' >'{path}/{file}'")
    await s.git.add(path)
    await s.git.commit(path, text)


async def log(s, path, what="%s"):
    """What of each commit, newest first."""
    return (await s.out(f"git -C {path} log --format='{what}'")).splitlines()


@contextlib.asynccontextmanager
async def server_of(s, path):
    """The URL of a repository, served with NAME and PASSWORD."""
    wanted = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    parent, _, name = path.rpartition("/")
    envs = {"WANTED": f"Basic {wanted}", "GIT_PROJECT_ROOT": parent, "GIT_HTTP_EXPORT_ALL": "1"}
    async with s.running(SERVER, cwd=parent, envs=envs) as server:
        await server.shows("\n")
        yield f"http://127.0.0.1:{server.stdout.split()[1]}/cgi-bin/git/{name}"


@test
async def git_tells_status_through_a_first_commit(s):
    async with s.folder() as path:
        await s.git.init(path, initial_branch="main")
        status = await s.git.status(path)
        equal((status.current_branch, status.is_clean, status.detached), ("main", True, False))
        await s.commands.run("touch a b", cwd=path)
        status = await s.git.status(path)
        equal([(file.name, file.status, file.staged) for file in status.file_status],
              [("a", "untracked", False), ("b", "untracked", False)])
        await s.git.add(path, files=["a"])
        status = await s.git.status(path)
        equal((status.staged_count, status.untracked_count, status.has_staged), (1, 1, True))
        await s.git.commit(path, "it's the first", author_name="Ada", author_email="ada@example.com")
        equal(await log(s, path, "%an <%ae> %s"), ["Ada <ada@example.com> it's the first"])


@test
async def git_tells_status_of_changed_renamed_and_deleted_files(s):
    async with repository(s) as path:
        await commit(s, path, "b", "second")
        await commit(s, path, "c", "third")
        await s.commands.run("echo more >>a; git mv b d; rm c", cwd=path)
        files = {file.name: file for file in (await s.git.status(path)).file_status}
        equal({name: file.status for name, file in files.items()}, {"a": "modified", "d": "renamed", "c": "deleted"})
        equal((files["d"].renamed_from, files["d"].staged, files["a"].staged), ("b", True, False))


@test
async def git_commit_of_nothing_needs_allow_empty(s):
    async with repository(s) as path:
        error = await rejection(lambda: s.git.commit(path, "nothing"), CommandExitException)
        assert "nothing to commit" in error.stdout, error.stdout
        await s.git.commit(path, "nothing", allow_empty=True)
        equal(await log(s, path), ["nothing", "first"])


@test
async def git_creates_changes_and_deletes_branches(s):
    async with repository(s) as path:
        await s.git.create_branch(path, "topic")
        await commit(s, path, "b", "second")
        branches = await s.git.branches(path)
        equal((branches.branches, branches.current_branch), (["main", "topic"], "topic"))
        await s.git.checkout_branch(path, "main")
        await rejection(lambda: s.git.delete_branch(path, "topic"), CommandExitException)
        await s.git.delete_branch(path, "topic", force=True)
        equal((await s.git.branches(path)).branches, ["main"])
        await rejection(lambda: s.git.checkout_branch(path, "topic"), CommandExitException)


@test
async def git_resets_and_restores(s):
    async with repository(s) as path:
        await commit(s, path, "a", "second")
        await s.git.reset(path, mode="soft", target="HEAD~1")
        equal((await s.git.status(path)).has_staged, True)
        await s.git.restore(path, ["a"], staged=True)
        equal((await s.git.status(path)).has_staged, False)
        await s.git.restore(path, ["a"])
        equal((await s.git.status(path)).is_clean, True)
        await commit(s, path, "a", "third")
        await s.git.restore(path, ["a"], staged=True, worktree=True, source="HEAD~1")
        equal(await s.out("cat a", cwd=path), "first\n")
        await s.git.reset(path, paths=["a"])
        await s.git.reset(path, mode="hard")
        equal(await s.out("cat a", cwd=path), "third\n")


@test
async def git_pushes_to_and_pulls_from_a_remote(s):
    async with repository(s) as path:
        await s.git.init(f"{path}.git", bare=True, initial_branch="main")
        await s.git.remote_add(path, "origin", f"{path}.git")
        await s.git.push(path, remote="origin", branch="main")
        await s.git.clone(f"{path}.git", f"{path}-clone")
        await commit(s, path, "b", "second")
        status = await s.git.status(path)
        equal((status.upstream, status.ahead, status.behind), ("origin/main", 1, 0))
        await s.git.push(path)
        await s.git.pull(f"{path}-clone")
        equal(await log(s, f"{path}-clone"), ["second", "first"])
        await commit(s, path, "c", "third")
        await s.git.push(path)
        await s.git.pull(f"{path}-clone", remote="origin", branch="main")
        equal(await log(s, f"{path}-clone"), ["third", "second", "first"])


@test
async def git_clones_a_branch_to_a_depth(s):
    async with repository(s) as path:
        await s.git.create_branch(path, "topic")
        await commit(s, path, "b", "second")
        await s.git.clone(f"file://{path}", "clone", branch="topic", depth=1, cwd=f"{path}/..")
        equal(await log(s, f"{path}/../clone"), ["second"])
        equal((await s.git.branches(f"{path}/../clone")).current_branch, "topic")


@test
async def git_adds_overwrites_and_tells_remotes(s):
    async with repository(s) as path:
        equal(await s.git.remote_get(path, "origin"), None)
        await s.git.remote_add(path, "origin", "https://example.com/a.git")
        await rejection(lambda: s.git.remote_add(path, "origin", "/b"), CommandExitException)
        equal(await s.git.remote_get(path, "origin"), "https://example.com/a.git")
        await s.git.remote_add(path, "origin", path, overwrite=True, fetch=True)
        equal(await s.git.remote_get(path, "origin"), path)
        equal(await s.out("git rev-parse origin/main", cwd=path), await s.out("git rev-parse main", cwd=path))


@test
async def git_without_an_upstream_says_so(s):
    async with repository(s) as path:
        await rejection(lambda: s.git.pull(path), GitUpstreamException)
        await s.git.remote_add(path, "origin", path)
        await rejection(lambda: s.git.push(path, set_upstream=False), GitUpstreamException)


@test
async def git_keeps_configuration_of_a_repository_and_of_a_user(s):
    async with repository(s) as path:
        home = {"HOME": path}
        equal(await s.git.get_config("user.name", scope="local", path=path), "Ada")
        equal(await s.git.get_config("no.such", scope="local", path=path), None)
        await s.git.configure_user("It's Äda", "a@example.com", envs=home)
        equal(await s.git.get_config("user.name", envs=home), "It's Äda")
        await s.git.set_config("core.editor", "vi", envs=home)
        equal(await s.out(f"git config --file {path}/.gitconfig core.editor"), "vi\n")


@test
async def git_stores_credentials(s):
    async with s.folder() as home:
        await s.git.dangerously_authenticate(NAME, PASSWORD, host="example.com", envs={"HOME": home})
        equal(await s.out(f"cat {home}/.git-credentials"), "https://ada:se%20cret@example.com\n")


@test
async def git_over_http_wants_credentials_and_leaves_none_behind(s):
    async with repository(s) as path:
        await s.commands.run("git config http.receivepack true", cwd=path)
        await s.commands.run("git config receive.denyCurrentBranch ignore", cwd=path)
        async with server_of(s, path) as url:
            clone = f"{path}-clone"
            password = PASSWORD.replace(" ", "%20")
            await rejection(lambda: s.git.clone(url, clone), GitAuthException)
            await rejection(lambda: s.git.clone(url, clone, username=NAME, password="no"), GitAuthException)
            await s.git.clone(url, clone, username=NAME, password=password)
            equal(await s.git.remote_get(clone, "origin"), url)
            await s.git.configure_user("Ada", "ada@example.com", scope="local", path=clone)
            await commit(s, clone, "b", "second")
            await rejection(lambda: s.git.push(clone), GitAuthException)
            await s.git.push(clone, remote="origin", branch="main", username=NAME, password=password)
            equal(await s.git.remote_get(clone, "origin"), url)
            equal(await log(s, path), ["second", "first"])
            await rejection(lambda: s.git.pull(clone), GitAuthException)
            await s.git.pull(clone, username=NAME, password=password)


@test
async def git_passes_user_folder_and_environment_on(s):
    async with s.folder() as path:
        await s.git.init("sub", cwd=path)
        await s.git.commit(f"{path}/sub", "x", allow_empty=True, envs={
            "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@d"})
        equal(await log(s, f"{path}/sub", "%an %cn"), ["A C"])
        error = await rejection(lambda: s.git.status(f"{path}/sub", user="root"), CommandExitException)
        assert "dubious ownership" in error.stderr, error.stderr


@test
async def git_in_a_missing_folder_raises_with_its_words(s):
    error = await rejection(lambda: s.git.status("/no/such/folder"), CommandExitException)
    equal(error.exit_code, 128)
    assert "cannot change to '/no/such/folder'" in error.stderr, error.stderr
