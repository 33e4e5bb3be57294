"""Content of files with PyPI e2b: read and write in every form, one and many, gzip, streams, metadata."""
import asyncio
import hashlib
import io
import os
import tempfile

from e2b import (AuthenticationException, FileNotFoundException, FileType, InvalidArgumentException,
                 NotEnoughSpaceException, SandboxException)
from e2b.sandbox.filesystem.filesystem import WriteInfo
from harness import IS_ASYNC, IS_PREVIOUS, at_once, equal, finished, rejection, sent, test, test_of, value

TEXT = "wörld €😀\nsecond line\n"
ALL_BYTES = bytes(range(256))
RANDOM = os.urandom(2 * 1024 * 1024 + 1)
FORMATS = ("text", "bytes", "stream")

# Ways to ask for an upload: as a form, as it is, and compressed.
UPLOADS = ({}, {"use_octet_stream": False}, {"use_octet_stream": True}, {"gzip": True})


async def read_as(s, file_format, path, **options):
    """The bytes of what reading in a format gives."""
    content = await s.files.read(path, format=file_format, **options)
    if file_format == "text":
        return content.encode()
    if file_format == "bytes":
        return bytes(content)
    return b"".join([piece async for piece in pieces_of(content)])


async def pieces_of(stream):
    """Of a download, whichever the interface."""
    if IS_ASYNC:
        async for piece in stream:
            yield piece
    else:
        for piece in stream:
            yield piece


async def assert_reads(s, path, content, formats=FORMATS):
    """What each format and coding of a download must give."""
    for file_format in formats:
        for gzip in (False, True):
            equal(await read_as(s, file_format, path, gzip=gzip), content)


def iterable(items):
    """An upload of the kind that the interface takes; an item that can be called is done instead, before the next."""
    async def later():
        for item in items:
            if callable(item):
                await item()
            else:
                yield item

    return later() if IS_ASYNC else sent(items)


class Reader:
    """What is like a file in its `read` only."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def read(self, size=-1):
        return self.content.read(size)


def file_with(content):
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


def halves(content):
    return [content[:len(content) // 2], content[len(content) // 2:]]


def sources(content):
    """Everything of those bytes that every way of uploading takes."""
    yield content
    yield io.BytesIO(content)
    yield file_with(content)
    if not IS_PREVIOUS:
        yield Reader(content)


def streamed_sources(content):
    """What is not sent as a form."""
    if not IS_PREVIOUS:
        yield iterable(halves(content))
        yield iterable([bytearray(piece) for piece in halves(content)])


def all_sources(content, options):
    yield from sources(content)
    if options.get("use_octet_stream") is not False:
        yield from streamed_sources(content)


async def digest(s, path):
    return (await s.out(f"sha256sum <{path}")).split()[0]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def written(path, metadata=None):
    return WriteInfo(name=path.rsplit("/", 1)[1], type=FileType.FILE, path=path, metadata=metadata)


@test
async def read_gives_a_file_in_each_format(s):
    async with s.folder() as folder:
        await s.commands.run(f"printf %s '{TEXT}' >{folder}/f")
        equal(await s.files.read(f"{folder}/f"), TEXT)
        equal(type(await s.files.read(f"{folder}/f", format="bytes")), bytearray)
        await assert_reads(s, f"{folder}/f", TEXT.encode())


@test
async def read_of_an_empty_file_is_empty_in_each_format(s):
    async with s.folder() as folder:
        await s.commands.run(f"touch {folder}/f")
        await assert_reads(s, f"{folder}/f", b"")


@test
async def read_gives_every_byte(s):
    async with s.folder() as folder:
        await s.commands.run(f"python3 -c \"open('{folder}/f', 'wb').write(bytes(range(256)))\"")
        await assert_reads(s, f"{folder}/f", ALL_BYTES, ("bytes", "stream"))


@test
async def read_of_a_large_file_gives_it_whole(s):
    async with s.folder() as folder:
        await s.commands.run(f"seq 1 500000 >{folder}/f")
        expected = await digest(s, f"{folder}/f")
        for file_format in FORMATS:
            for gzip in (False, True):
                equal(sha256(await read_as(s, file_format, f"{folder}/f", gzip=gzip)), expected)


@test
async def read_of_a_missing_file_is_not_found(s):
    async with s.folder() as folder:
        for file_format in FORMATS:
            error = await rejection(lambda: s.files.read(f"{folder}/none", format=file_format), FileNotFoundException)
            assert f"path '{folder}/none' does not exist" in str(error), error


@test
async def read_of_a_folder_or_a_pipe_is_an_invalid_argument(s):
    async with s.folder() as folder:
        await s.commands.run(f"mkfifo {folder}/pipe")
        error = await rejection(lambda: s.files.read(folder), InvalidArgumentException)
        assert f"path '{folder}' is a directory" in str(error), error
        await rejection(lambda: s.files.read(f"{folder}/pipe"), InvalidArgumentException)


@test
async def read_below_a_file_is_a_sandbox_error(s):
    error = await rejection(lambda: s.files.read("/etc/passwd/none"), SandboxException)
    assert "stat /etc/passwd/none: not a directory" in str(error), error


@test
async def read_of_files_of_the_kernel_gives_their_content(s):
    for path in ("/proc/version", "/proc/sys/kernel/ostype", "/proc/1/cmdline", "/sys/kernel/profiling",
                 "/proc/filesystems"):
        await assert_reads(s, path, (await s.out(f"cat {path}")).encode())


@test
async def write_takes_every_kind_of_data_and_tells_what_was_written(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        for options in UPLOADS:
            for data in (TEXT, io.StringIO(TEXT), *all_sources(TEXT.encode(), options)):
                equal(await s.files.write(path, data, **options), written(path))
                equal(await s.files.read(path), TEXT)
                await s.files.remove(path)


@test
async def write_of_nothing_makes_an_empty_file(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        for options in UPLOADS:
            for data in ("", *all_sources(b"", options)):
                await s.files.write(path, "something", **options)
                await s.files.write(path, data, **options)
                equal(await s.out(f"stat -c %s {path}"), "0\n")


@test
async def write_of_large_data_arrives_whole(s):
    async with s.folder() as folder:
        for options in UPLOADS:
            for data in all_sources(RANDOM, options):
                await s.files.write(f"{folder}/f", data, **options)
                equal(await digest(s, f"{folder}/f"), sha256(RANDOM))


@test_of(not IS_PREVIOUS)
async def write_of_an_iterable_is_handed_on_piece_by_piece(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        async def assert_first_is_there():
            equal(await s.out(f"until [ -s {path} ]; do :; done; cat {path}"), "piece\n")

        await s.files.write(path, iterable([b"piece\n", assert_first_is_there, b"last\n"]))
        equal(await s.files.read(path), "piece\nlast\n")


@test_of(not IS_PREVIOUS)
async def write_refuses_what_it_cannot_send(s):
    for data, options in ((iterable([b"x"]), {"use_octet_stream": False}), (iterable(["text"]), {}), (5, {}),
                          (b"x", {"use_octet_stream": False, "gzip": True})):
        await rejection(lambda: s.files.write("/tmp/refused", data, **options), InvalidArgumentException)
    await s.commands.run("rm -f /tmp/refused")


@test
async def write_makes_missing_folders_and_all_belong_to_the_user(s):
    async with s.folder() as folder:
        await s.files.write(f"{folder}/a/b/f", TEXT)
        equal(await s.out(f"cd {folder}; stat -c '%n %U:%G %a' a a/b a/b/f"),
              "a user:user 755\na/b user:user 755\na/b/f user:user 644\n")
        await s.files.write(f"{folder}/r/f", TEXT, user="root")
        equal(await s.out(f"cd {folder}; stat -c '%n %U:%G %a' r r/f"), "r root:root 755\nr/f root:root 644\n")
        await s.commands.run(f"rm -r {folder}/r", user="root")


@test
async def write_over_a_file_keeps_its_mode_and_its_other_names(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; seq 1 1000 >f; chmod 750 f; ln f other; ln -s f link")
        await s.files.write(f"{folder}/link", "short")
        equal(await s.out(f"cd {folder}; stat -c '%a %h' f; cat other; readlink link"), "750 2\nshortf\n")


@test
async def write_over_a_file_of_another_in_a_shared_folder_works(s):
    path = f"/tmp/shared-{os.getpid()}"
    await s.commands.run(f"echo of-root >{path}", user="root")
    await s.files.write(path, "of the user")
    equal(await s.out(f"stat -c %U {path}; cat {path}; rm {path}"), "user\nof the user")


@test
async def paths_are_below_the_home_folder_of_their_user(s):
    name = f"file-{os.getpid()}"
    for path, user, expected in ((name, None, f"/home/user/{name}"), (f"~/{name}", None, f"/home/user/{name}"),
                                 (f"../../tmp/{name}", None, f"/tmp/{name}"), (name, "root", f"/root/{name}"),
                                 (f"~/{name}", "root", f"/root/{name}")):
        equal((await s.files.write(path, expected, user=user)).path, expected)
        equal(await s.files.read(path, user=user), expected)
        equal(await s.out(f"cat {expected}; rm {expected}", user="root"), expected)
    for call in (lambda: s.files.read("~other/f"), lambda: s.files.write("~other/f", "")):
        assert "cannot expand user-specific home dir" in str(await rejection(call, InvalidArgumentException))


@test
async def read_and_write_as_an_unknown_user_are_authentication_errors(s):
    for call in (lambda: s.files.read("f", user="nobody-here"), lambda: s.files.write("f", "", user="nobody-here")):
        assert "unknown user nobody-here" in str(await rejection(call, AuthenticationException))


@test
async def write_to_a_folder_is_an_invalid_argument(s):
    async with s.folder() as folder:
        for options in UPLOADS:
            error = await rejection(lambda: s.files.write(folder, TEXT, **options), InvalidArgumentException)
            assert f"path is a directory: {folder}" in str(error), error


@test
async def write_below_a_file_is_a_sandbox_error(s):
    async with s.folder() as folder:
        await s.files.write(f"{folder}/f", TEXT)
        error = await rejection(lambda: s.files.write(f"{folder}/f/g", TEXT), SandboxException)
        assert f"path is a file: {folder}/f" in str(error), error


@test
async def write_to_a_full_device_is_an_error_of_space(s):
    for options in UPLOADS:
        error = await rejection(lambda: s.files.write("/dev/full", TEXT, **options), NotEnoughSpaceException)
        assert "not enough disk space available" in str(error), error


@test
async def write_takes_names_of_any_characters(s):
    names = ["with space", '"quoted"', "it's", "back\\slash", "100%25", "a+b", "a&b=c", "#hash", "?query", "a;b",
             "wörld €😀", "new\nline", "-dash", ".hidden", "\u0001", "$HOME", "*", "x" * 255]
    async with s.folder() as folder:
        for options in UPLOADS:
            for name in names:
                equal(await s.files.write(f"{folder}/{name}", name, **options), written(f"{folder}/{name}"))
                equal(await s.files.read(f"{folder}/{name}"), name)
        equal([entry.name for entry in await s.files.list(folder)], sorted(names, key=str.encode))


@test
async def write_files_writes_each_in_its_order(s):
    content = TEXT.encode()
    async with s.folder() as folder:
        for options in UPLOADS:
            entries = [{"path": f"{folder}/{name}", "data": data} for name, data in (
                ("one", "first"), ("new/two", content), ("new/deep/wörld €😀", io.BytesIO(content)),
                ("back\\slash and space", io.StringIO(TEXT)), ("empty", ""))]
            equal(await s.files.write_files(entries, **options), [written(entry["path"]) for entry in entries])
            equal([await s.files.read(entry["path"]) for entry in entries], ["first", TEXT, TEXT, TEXT, ""])
            await s.commands.run(f"rm -r {folder}/*")


@test
async def write_files_takes_names_below_the_home_folder(s):
    async with s.folder() as folder:
        name = folder.rsplit("/", 1)[1]
        entries = [{"path": f"{name}/a", "data": "a"}, {"path": f"~/{name}/b", "data": "b"}]
        equal([info.path for info in await s.files.write_files(entries)], [f"{folder}/a", f"{folder}/b"])
        equal(await s.out(f"cat {folder}/a {folder}/b"), "ab")


@test
async def write_files_of_none_writes_none(s):
    equal(await s.files.write_files([]), [])


@test
async def write_files_of_1000_at_once_writes_all(s):
    async with s.folder() as folder:
        entries = [{"path": f"{folder}/{n % 10}/{n}", "data": f"{n}\n"} for n in range(1000)]
        equal([info.name for info in await s.files.write_files(entries)], [str(n) for n in range(1000)])
        equal(await s.out(f"cat {folder}/*/* | sort -n"), "".join(f"{n}\n" for n in range(1000)))


@test
async def write_files_of_one_path_twice_writes_the_first(s):
    async with s.folder() as folder:
        entries = [{"path": f"{folder}/f", "data": data} for data in ("first", "second")]
        error = await rejection(lambda: s.files.write_files(entries), InvalidArgumentException)
        assert f"you cannot upload multiple files to the same path '{folder}/f'" in str(error), error
        equal(await s.files.read(f"{folder}/f"), "first")


@test
async def many_files_at_once_are_written_and_read(s):
    async with s.folder() as folder:
        async def one(n):
            await s.files.write(f"{folder}/new/folder/{n}", f"{n}" * 1000, **UPLOADS[n % len(UPLOADS)])
            return await s.files.read(f"{folder}/new/folder/{n}", gzip=n % 2 == 0)

        contents = await at_once([lambda n=n: one(n) if IS_ASYNC else finished(one(n)) for n in range(50)])
        equal(contents, [f"{n}" * 1000 for n in range(50)])


METADATA = {"owner": "me", "Content-Type": "text/plain", "!#$%&'*+-.^_`|~": "",
            "signs": "!\"#$%&'()*+,-./:;<=>?@[\\]^_~ x"}
STORED = {key.lower(): text for key, text in METADATA.items()}


@test
async def metadata_is_kept_with_the_file_and_shown_everywhere(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        for options in UPLOADS:
            equal((await s.files.write(path, TEXT, metadata=METADATA, **options)).metadata, STORED)
            equal((await s.files.get_info(path)).metadata, STORED)
            equal([entry.metadata for entry in await s.files.list(folder)], [STORED])
            equal((await s.files.rename(path, f"{folder}/g")).metadata, STORED)
            await s.files.remove(f"{folder}/g")


@test
async def metadata_is_stored_as_extended_attributes(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        await s.files.write(path, TEXT, metadata={"key": "value"})
        equal(await s.out(f"python3 -c \"from os import *; print(listxattr('{path}'), getxattr('{path}', 'user.e2b.key'))\""),
              "['user.e2b.key'] b'value'\n")
        await s.commands.run(f"""python3 -c "from os import *; setxattr('{path}', 'user.e2b.more', 'wörld'.encode())
setxattr('{path}', 'user.other', b'hidden')" """)
        equal((await s.files.get_info(path)).metadata, {"key": "value", "more": "wörld"})


@test
async def metadata_is_replaced_by_each_write(s):
    async with s.folder() as folder:
        path = f"{folder}/f"
        await s.files.write(path, TEXT, metadata={"a": "1", "b": "2"})
        equal((await s.files.write(path, TEXT, metadata={"b": "3", "c": "4"})).metadata, {"b": "3", "c": "4"})
        equal((await s.files.write(path, TEXT)).metadata, None)
        equal((await s.files.get_info(path)).metadata, None)


@test
async def metadata_of_write_files_is_that_of_each(s):
    async with s.folder() as folder:
        entries = [{"path": f"{folder}/{name}", "data": name} for name in "ab"]
        for options in UPLOADS:
            infos = await s.files.write_files(entries, metadata={"key": "value"}, **options)
            equal([info.metadata for info in infos], [{"key": "value"}] * 2)


@test
async def metadata_beyond_its_limits_is_an_invalid_argument_and_nothing_is_written(s):
    async with s.folder() as folder:
        for metadata, text in (({"k" * 247: "v"}, "exceeds 246 bytes"),
                               ({"key": "v" * 4096}, "total metadata size 4108 exceeds 4096 bytes")):
            error = await rejection(lambda: s.files.write(f"{folder}/f", TEXT, metadata=metadata),
                                    InvalidArgumentException)
            assert str(error).startswith("invalid metadata: ") and text in str(error), error
        equal(await s.files.list(folder), [])


async def assert_uploads(s, path):
    """Of a file that no broken upload was for: what that one has sent before may still be written."""
    await s.files.write(path, TEXT)
    equal(await s.files.read(path), TEXT)


@test_of(not IS_PREVIOUS)
async def upload_that_its_source_breaks_off_leaves_the_sandbox_well(s):
    async with s.folder() as folder:
        for gzip in (False, True):
            pieces = [os.urandom(65536)] * 10 + ["not bytes"]
            await rejection(lambda: s.files.write(f"{folder}/f", iterable(pieces), gzip=gzip), InvalidArgumentException)
        await assert_uploads(s, f"{folder}/other")


@test_of(IS_ASYNC and not IS_PREVIOUS)
async def upload_that_is_cancelled_leaves_the_sandbox_well(s):
    async with s.folder() as folder:
        path = f"{folder}/f"

        async def endless():
            yield b"piece"
            await asyncio.Event().wait()

        writing = asyncio.ensure_future(s.files.write(path, endless()))
        await s.out(f"until [ -s {path} ]; do :; done")
        writing.cancel()
        await asyncio.wait([writing])
        await assert_uploads(s, f"{folder}/other")


@test
async def download_that_is_closed_leaves_the_sandbox_well(s):
    async with s.folder() as folder:
        await s.commands.run(f"truncate -s 1G {folder}/f")
        for gzip in (False, True):
            stream = await s.files.read(f"{folder}/f", format="stream", gzip=gzip)
            pieces = pieces_of(stream)
            assert len(await anext(pieces)) > 0
            await value(stream.aclose() if IS_ASYNC else stream.close())
        equal(await s.out("echo well"), "well\n")
