"""Entries of folders with PyPI e2b: information, lists, new folders, renames and removals."""
from datetime import datetime, timezone

from e2b import AuthenticationException, FileNotFoundException, FileType, InvalidArgumentException, SandboxException
from e2b.sandbox.filesystem.filesystem import EntryInfo
from harness import IS_ASYNC, IS_PREVIOUS, at_once, equal, finished, rejection, test


def link_type(target):
    """Newer packages tell a link as such, older ones what it leads to."""
    return target if IS_PREVIOUS else FileType.SYMLINK


def types_of(folder, entries):
    """Paths below a folder, and what they are."""
    return {entry.path.removeprefix(f"{folder}/"): entry.type for entry in entries}


@test
async def info_tells_all_of_a_file(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; printf 12345 >f; chmod 640 f; touch -d '2001-02-03 04:05:06.789 UTC' f")
        equal(await s.files.get_info(f"{folder}/f"), EntryInfo(
            name="f", type=FileType.FILE, path=f"{folder}/f", size=5, mode=0o640, permissions="-rw-r-----",
            owner="user", group="user", modified_time=datetime(2001, 2, 3, 4, 5, 6, 789000, timezone.utc)))


@test
async def info_tells_all_of_a_folder(s):
    async with s.folder() as folder:
        info = await s.files.get_info(folder)
        equal((info.name, info.type, info.path, info.mode, info.permissions, info.owner, info.group),
              (folder.rsplit("/", 1)[1], FileType.DIR, folder, 0o700, "drwx------", "user", "user"))
        equal((info.symlink_target, info.metadata), (None, None))
        equal(f"{info.size} {int(info.modified_time.timestamp())}\n", await s.out(f"stat -c '%s %Y' {folder}"))


@test
async def info_of_a_link_tells_its_target(s):
    async with s.folder() as folder:
        await s.commands.run(f"""cd {folder}; echo x >f; chmod 600 f; mkdir d; ln -s f link; ln -s link chain
            ln -s d folder; ln -s gone broken; ln -s me me""")
        for name, target_type, mode, target in (
                ("link", FileType.FILE, 0o600, "f"), ("chain", FileType.FILE, 0o600, "f"),
                ("folder", FileType.DIR, 0o755, "d"), ("broken", None, 0, "broken"), ("me", None, 0, "me")):
            info = await s.files.get_info(f"{folder}/{name}")
            equal((info.type, info.mode, info.permissions, info.symlink_target),
                  (link_type(target_type), mode, "Lrwxrwxrwx", f"{folder}/{target}"))


@test
async def info_shows_special_bits_and_kinds(s):
    async with s.folder() as folder:
        await s.commands.run(f"""cd {folder}; touch f; chmod 6755 f; mkfifo pipe; mkdir sticky; chmod 1777 sticky
            python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')" """)
        for path, file_type, mode, permissions in (
                (f"{folder}/f", FileType.FILE, 0o755, "ugrwxr-xr-x"),
                (f"{folder}/sticky", FileType.DIR, 0o777, "dtrwxrwxrwx"),
                (f"{folder}/pipe", None, 0o644, "prw-r--r--"), (f"{folder}/socket", None, 0o755, "Srwxr-xr-x"),
                ("/dev/null", None, 0o666, "Dcrw-rw-rw-")):
            info = await s.files.get_info(path)
            equal((info.type, info.mode, info.permissions), (file_type, mode, permissions))


@test
async def info_names_owners_or_their_numbers(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; touch a b; chown root:sudo a; chown 12345:54321 b", user="root")
        owners = [(entry.owner, entry.group) for entry in await s.files.list(folder)]
        equal(owners, [("root", "sudo"), ("12345", "54321")])


@test
async def info_of_what_is_missing_is_not_found(s):
    async with s.folder() as folder:
        error = await rejection(lambda: s.files.get_info(f"{folder}/none"), FileNotFoundException)
        assert f"file not found: lstat {folder}/none: no such file or directory" in str(error), error


@test
async def exists_tells_whether_it_does(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; touch f; ln -s gone broken")
        for path, expected in (("f", True), ("", True), ("broken", True), ("none", False), ("none/none", False)):
            equal((path, await s.files.exists(f"{folder}/{path}")), (path, expected))
        await rejection(lambda: s.files.exists(f"{folder}/f/none"), SandboxException)


@test
async def list_is_sorted_and_tells_all_of_each_entry(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir b; touch a C b/inner; ln -s a d; printf 123 >é")
        entries = await s.files.list(folder)
        equal([entry.name for entry in entries], ["C", "a", "b", "d", "é"])
        equal(entries, [await s.files.get_info(entry.path) for entry in entries])


@test
async def list_goes_as_deep_as_it_is_told(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir -p a/b/c; touch a/f a/b/g a/b/c/h; ln -s a link")
        for depth, expected in ((1, "a link"), (2, "a a/b a/f link"), (3, "a a/b a/b/c a/b/g a/f link"),
                                (1000, "a a/b a/b/c a/b/c/h a/b/g a/f link")):
            entries = await s.files.list(folder, depth=depth)
            equal(" ".join(types_of(folder, entries)), expected)
        equal(await s.files.list(folder), await s.files.list(folder, depth=1))
        await rejection(lambda: s.files.list(folder, depth=0), InvalidArgumentException)


@test
async def list_tells_files_folders_and_links(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; touch f; mkdir d e; ln -s f file; ln -s d folder; mkfifo pipe")
        equal(types_of(folder, await s.files.list(folder)), {
            "d": FileType.DIR, "e": FileType.DIR, "f": FileType.FILE,
            "file": link_type(FileType.FILE), "folder": link_type(FileType.DIR)})


@test
async def list_through_a_link_shows_paths_below_the_link(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir -p d/e; touch d/e/f; ln -s d link; ln -s me me")
        entries = await s.files.list(f"{folder}/link/", depth=2)
        equal(types_of(folder, entries), {"link/e": FileType.DIR, "link/e/f": FileType.FILE})
        error = await rejection(lambda: s.files.list(f"{folder}/me"), SandboxException)
        assert "cyclic symlink or chain >255 links at" in str(error), error


@test
async def list_of_an_empty_folder_is_empty(s):
    async with s.folder() as folder:
        equal(await s.files.list(folder), [])


@test
async def list_of_5000_entries_is_complete(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; seq -f %04g 0 4999 | xargs touch")
        equal([entry.name for entry in await s.files.list(folder)], [f"{n:04}" for n in range(5000)])


@test
async def list_shows_names_that_are_no_utf8_with_replacement_characters(s):
    async with s.folder() as folder:
        await s.commands.run(f"python3 -c \"[open(b'{folder}/' + name, 'w') for name in (b'a\\xff', b'plain')]\"")
        equal([entry.name for entry in await s.files.list(folder)], ["a\ufffd", "plain"])


@test
async def list_of_what_is_no_folder_fails(s):
    async with s.folder() as folder:
        await s.commands.run(f"touch {folder}/f")
        error = await rejection(lambda: s.files.list(f"{folder}/none"), FileNotFoundException)
        assert "path not found: lstat" in str(error), error
        error = await rejection(lambda: s.files.list(f"{folder}/f"), InvalidArgumentException)
        assert f"path is not a directory: {folder}/f" in str(error), error


@test
async def list_is_that_of_the_home_folder_of_its_user(s):
    async with s.folder() as folder:
        for path in ("", "~", "."):
            assert folder in [entry.path for entry in await s.files.list(path)], path
        assert all(entry.path.startswith("/root/") for entry in await s.files.list(".", user="root"))
        await rejection(lambda: s.files.list("", user="nobody-here"), AuthenticationException)


@test
async def make_dir_makes_all_that_is_missing_once(s):
    async with s.folder() as folder:
        equal(await s.files.make_dir(f"{folder}/a/b/c"), True)
        equal(await s.files.make_dir(f"{folder}/a/b/c"), False)
        equal(await s.out(f"cd {folder}; stat -c '%n %U %a' a a/b a/b/c"),
              "a user 755\na/b user 755\na/b/c user 755\n")
        equal(await s.files.make_dir(f"{folder}/a/r/s", user="root"), True)
        equal(await s.out(f"cd {folder}/a; stat -c '%n %U' . r r/s"), ". user\nr root\nr/s root\n")
        await s.commands.run(f"rm -r {folder}/a", user="root")


@test
async def make_dir_over_or_below_a_file_fails(s):
    async with s.folder() as folder:
        await s.commands.run(f"touch {folder}/f")
        error = await rejection(lambda: s.files.make_dir(f"{folder}/f"), InvalidArgumentException)
        assert f"path already exists but it is not a directory: {folder}/f" in str(error), error
        await rejection(lambda: s.files.make_dir(f"{folder}/f/d"), SandboxException)


@test
async def make_dir_from_many_at_once_makes_it(s):
    async with s.folder() as folder:
        def make():
            made = s.files.make_dir(f"{folder}/a/b/c")
            return made if IS_ASYNC else finished(made)

        assert set(await at_once([make] * 20)) <= {True, False}
        equal(await s.out(f"stat -c %U {folder}/a/b/c"), "user\n")


@test
async def rename_moves_a_file_and_tells_its_new_self(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; printf content >f; chmod 640 f")
        entry = await s.files.rename(f"{folder}/f", f"{folder}/new/g")
        equal(entry, await s.files.get_info(f"{folder}/new/g"))
        equal((entry.name, entry.size, entry.mode), ("g", 7, 0o640))
        equal(await s.files.exists(f"{folder}/f"), False)
        equal(await s.out(f"cat {folder}/new/g"), "content")


@test
async def rename_moves_a_folder_with_all_in_it(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir -p d/e; echo content >d/e/f")
        equal((await s.files.rename(f"{folder}/d", f"{folder}/moved")).type, FileType.DIR)
        equal(await s.out(f"cd {folder}; find . | sort; cat moved/e/f"), ".\n./moved\n./moved/e\n./moved/e/f\ncontent\n")


@test
async def rename_of_a_link_moves_the_link(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; touch f; ln -s f link")
        entry = await s.files.rename(f"{folder}/link", f"{folder}/moved")
        equal((entry.type, entry.symlink_target), (link_type(FileType.FILE), f"{folder}/f"))
        equal(await s.out(f"cd {folder}; readlink moved; ls"), "f\nf\nmoved\n")


@test
async def rename_replaces_a_file_but_no_folder(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; echo one >a; echo two >b; mkdir d")
        await s.files.rename(f"{folder}/a", f"{folder}/b")
        equal(await s.out(f"cd {folder}; cat b; ls"), "one\nb\nd\n")
        error = await rejection(lambda: s.files.rename(f"{folder}/b", f"{folder}/d"), SandboxException)
        assert f"error renaming: rename {folder}/b {folder}/d: file exists" in str(error), error


@test
async def rename_across_file_systems_keeps_content_owner_and_mode(s):
    async with s.folder() as folder:
        there = f"/dev/shm/{folder.rsplit('/', 1)[1]}"
        await s.commands.run(f"""mkdir -p {there}/d; cd {there}; echo content >d/f; chmod 640 d/f; ln -s f d/link
            touch -d '2001-02-03 04:05:06 UTC' d/f""")
        equal((await s.files.rename(f"{there}/d", f"{folder}/d")).path, f"{folder}/d")
        equal(await s.out(f"cd {folder}/d; cat f; stat -c '%U %a %Y' f; readlink link; ls {there}; rmdir {there}"),
              "content\nuser 640 981173106\nf\n")


@test
async def rename_of_what_is_missing_is_not_found(s):
    async with s.folder() as folder:
        error = await rejection(lambda: s.files.rename(f"{folder}/none", f"{folder}/f"), FileNotFoundException)
        assert f"source file not found: rename {folder}/none {folder}/f" in str(error), error


@test
async def remove_takes_files_and_whole_trees(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; touch f; mkdir -p d/e; seq -f d/e/%g 1 1000 | xargs touch; chmod 0 d/e")
        for name in ("f", "d", "none"):
            equal(await s.files.remove(f"{folder}/{name}"), None)
            equal(await s.files.exists(f"{folder}/{name}"), False)


@test
async def remove_of_a_link_leaves_its_target(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir d; touch d/f; ln -s d link")
        await s.files.remove(f"{folder}/link")
        equal(await s.out(f"cd {folder}; ls . d"), ".:\nd\n\nd:\nf\n")


@test
async def remove_of_a_folder_within_itself_is_refused(s):
    async with s.folder() as folder:
        await s.commands.run(f"mkdir {folder}/d; touch {folder}/d/f")
        for path in ("d/.", "d/./", "d/sub/.."):
            await rejection(lambda: s.files.remove(f"{folder}/{path}"), SandboxException)
        equal(await s.out(f"ls {folder}/d"), "f\n")
