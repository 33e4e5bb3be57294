"""Watched folders with PyPI e2b: the asynchronous interface calls back, the synchronous one is asked for events."""
import asyncio
import contextlib
import os

from e2b import FileNotFoundException, FileType, InvalidArgumentException, SandboxException, TimeoutException
from harness import IS_ASYNC, IS_PREVIOUS, equal, rejection, test, test_of, until, value


class Watch:
    """A watched folder, and what was told of it."""

    def __init__(self):
        self.events = []
        self.told = []  # of each event its type and name
        self.exits = []  # what on_exit was called with
        self.told_more = asyncio.Event()

    def take(self, event):
        self.events.append(event)
        self.told.append(f"{event.type.value} {event.name}")
        self.told_more.set()

    async def open(self, s, path, **options):
        if IS_ASYNC:
            options |= {"on_event": self.take, "on_exit": self.exits.append}
        self.handle = await s.files.watch_dir(path, **options)

    async def more(self):
        if IS_ASYNC:
            await self.told_more.wait()
            self.told_more.clear()
        else:
            for event in self.handle.get_new_events():
                self.take(event)

    async def until(self, last):
        """Waits until it was told that; all that was told."""
        while last not in self.told:
            await self.more()
        return self.told

    def entry_of(self, told):
        return self.events[self.told.index(told)].entry

    async def stop(self):
        await value(self.handle.stop())


@contextlib.asynccontextmanager
async def watching(s, path, **options):
    watch = Watch()
    await watch.open(s, path, **options)
    try:
        yield watch
    finally:
        await watch.stop()


@contextlib.asynccontextmanager
async def watched_folder(s, **options):
    async with s.folder() as folder, watching(s, folder, **options) as watch:
        yield watch, folder


@test
async def watch_tells_each_kind_of_change(s):
    async with watched_folder(s) as (watch, folder):
        await s.commands.run(f"cd {folder}; echo x >f; chmod 600 f; mv f g; rm g; mkdir d; rmdir d")
        equal(await watch.until("remove d"), ["create f", "write f", "chmod f", "rename f", "create g", "remove g",
                                              "create d", "remove d"])
        assert all(event.entry is None for event in watch.events)


@test
async def watch_tells_what_is_done_through_files(s):
    async with watched_folder(s) as (watch, folder):
        await s.files.write(f"{folder}/f", "content")
        await s.files.rename(f"{folder}/f", f"{folder}/g")
        await s.files.make_dir(f"{folder}/d")
        await s.files.remove(f"{folder}/d")
        await s.files.remove(f"{folder}/g")
        told = await watch.until("remove g")
        equal(told[0], "create f")
        assert "write f" in told, told
        equal([event for event in told[told.index("rename f"):] if not event.startswith("chmod")],
              ["rename f", "create g", "create d", "remove d", "remove g"])


@test_of(not IS_ASYNC)
async def watch_has_the_events_as_soon_as_what_caused_them_has_returned(s):
    async with watched_folder(s, recursive=True) as (watch, folder):
        for n in range(50):
            await s.files.write(f"{folder}/f{n}", "content")
            await watch.more()
            assert f"create f{n}" in watch.told and f"write f{n}" in watch.told, watch.told
            await s.files.make_dir(f"{folder}/d{n}/deep")
            await watch.more()
            assert f"create d{n}/deep" in watch.told, watch.told


@test_of(not IS_ASYNC)
async def watch_tells_each_event_once(s):
    async with watched_folder(s) as (watch, folder):
        equal(watch.handle.get_new_events(), [])
        await s.commands.run(f": >{folder}/f")
        await watch.until("create f")
        equal((watch.handle.get_new_events(), watch.told), ([], ["create f"]))


@test
async def watch_tells_nothing_of_deeper_folders_unless_asked(s):
    async with watched_folder(s) as (watch, folder):
        await s.commands.run(f"cd {folder}; mkdir d; touch d/f; : >last")
        equal(await watch.until("create last"), ["create d", "create last"])


@test
async def watch_of_all_below_tells_of_old_and_new_folders(s):
    async with s.folder() as folder:
        await s.commands.run(f"mkdir -p {folder}/old/deep")
        async with watching(s, folder, recursive=True) as watch:
            await s.commands.run(f"""cd {folder}; touch old/deep/f; mkdir -p new/a/b; touch new/a/b/g; : >last""")
            told = await watch.until("create last")
        for event in ("old/deep/f", "new", "new/a", "new/a/b", "new/a/b/g"):
            assert f"create {event}" in told, (event, told)


@test
async def watch_of_all_below_follows_folders_that_move(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir -p in/d in/d2 out")
        async with watching(s, f"{folder}/in", recursive=True) as watch:
            await s.commands.run(f"cd {folder}/in; mv d e; : >e/f; : >d2/f; mv e ../out; : >../out/e/g; : >last")
            told = await watch.until("create last")
        for event in ("rename d", "create e", "create e/f", "create d2/f", "rename e"):
            assert event in told, (event, told)
        assert not any(event.endswith(("/g", " d/f")) for event in told), told


@test
async def watch_shows_entries_when_asked(s):
    async with watched_folder(s, recursive=True, include_entry=True) as (watch, folder):
        await s.commands.run(f"cd {folder}; mkdir d; echo x >d/f; ln -s f d/link")
        await watch.until("create d/link")
        await s.commands.run(f"rm {folder}/d/f")
        await watch.until("remove d/f")
        entry = watch.entry_of("create d")
        equal((entry.name, entry.type, entry.path), ("d", FileType.DIR, f"{folder}/d"))
        entry = watch.entry_of("create d/f")
        equal((entry.type, entry.path, entry.owner), (FileType.FILE, f"{folder}/d/f", "user"))
        entry = watch.entry_of("create d/link")
        equal((entry.type, entry.symlink_target),
              (FileType.FILE if IS_PREVIOUS else FileType.SYMLINK, f"{folder}/d/f"))
        equal(watch.entry_of("remove d/f"), None)


@test
async def watch_through_a_link_is_that_of_its_target(s):
    async with s.folder() as folder:
        await s.commands.run(f"cd {folder}; mkdir d; ln -s d link")
        for recursive in (False, True):
            async with watching(s, f"{folder}/link", recursive=recursive) as watch:
                await s.commands.run(f"touch {folder}/d/f; rm {folder}/d/f")
                await watch.until("remove f")


@test
async def watch_of_a_folder_that_is_removed_tells_it_and_stays_quiet(s):
    async with s.folder() as folder:
        await s.commands.run(f"mkdir {folder}/d")
        async with watching(s, f"{folder}/d") as watch:
            await s.commands.run(f"rmdir {folder}/d")
            equal(await watch.until("remove ."), ["remove ."])
            await s.commands.run(f"mkdir {folder}/d; touch {folder}/d/f")
            if not IS_ASYNC:
                await watch.more()
            equal((watch.told, watch.exits), (["remove ."], []))


@test
async def watch_misses_nothing_of_5000_new_files(s):
    async with watched_folder(s, recursive=True) as (watch, folder):
        await s.commands.run(f"cd {folder}; mkdir -p a/b; seq -f a/b/%g 1 5000 | xargs touch; : >last")
        told = await watch.until("create last")
        equal(len({event for event in told if event.startswith("create a/b/")}), 5000)


@test_of(IS_ASYNC)
async def watch_waits_for_callbacks_that_are_coroutines(s):
    names = []

    async def take(event):
        await asyncio.sleep(0)
        names.append(event.name)

    async def all_are_told():
        await asyncio.sleep(0)
        return len(names) == 500

    async with s.folder() as folder:
        handle = await s.files.watch_dir(folder, on_event=take)
        await s.commands.run(f"cd {folder}; for n in $(seq 1 500); do : >$n; done")
        await until(all_are_told)
        await handle.stop()
    equal(names, [str(n) for n in range(1, 501)])


@test
async def watches_of_one_folder_are_told_the_same_each(s):
    async with s.folder() as folder, contextlib.AsyncExitStack() as stack:
        first = Watch()
        await first.open(s, folder)
        others = [await stack.enter_async_context(watching(s, folder, recursive=n % 2 == 0)) for n in range(20)]
        await first.stop()
        await s.commands.run(f"cd {folder}; touch f; rm f")
        for watch in others:
            equal(await watch.until("remove f"), ["create f", "chmod f", "remove f"])
        equal(first.events, [])


@test
async def watch_of_the_home_folder_is_that_of_its_user(s):
    name = f"file-{os.getpid()}"
    for path, user, home in ((".", None, "/home/user"), ("~", "root", "/root")):
        async with watching(s, path, user=user) as watch:
            await s.commands.run(f"touch {home}/{name}; rm {home}/{name}", user="root")
            await watch.until(f"remove {name}")


@test
async def watch_of_what_is_no_folder_fails(s):
    async with s.folder() as folder:
        await s.commands.run(f"touch {folder}/f")
        error = await rejection(lambda: Watch().open(s, f"{folder}/none"), FileNotFoundException)
        assert f"path {folder}/none not found" in str(error), error
        error = await rejection(lambda: Watch().open(s, f"{folder}/f"), InvalidArgumentException)
        assert f"path {folder}/f not a directory" in str(error), error


@test
async def watch_may_be_of_network_mounts_too(s):
    async with watched_folder(s, allow_network_mounts=True) as (watch, folder):
        await s.commands.run(f"touch {folder}/f")
        await watch.until("create f")


@test_of(IS_ASYNC)
async def watch_ends_with_its_time(s):
    async with watched_folder(s, timeout=1) as (watch, _):
        async def is_over():
            await asyncio.sleep(0)
            return watch.exits

        await until(is_over)
        equal([type(error) for error in watch.exits], [TimeoutException])


@test_of(IS_ASYNC)
async def watch_with_timeout_0_is_not_limited(s):
    async with watched_folder(s, timeout=0) as (watch, folder):
        await s.commands.run(f"touch {folder}/f")
        await watch.until("create f")
        equal(watch.exits, [])


@test
async def watch_that_was_stopped_tells_nothing_more(s):
    async with s.folder() as folder:
        watch = Watch()
        await watch.open(s, folder)
        await s.commands.run(f": >{folder}/before")
        await watch.until("create before")
        await watch.stop()
        await s.commands.run(f": >{folder}/after")
        equal(watch.told, ["create before"])
        if IS_ASYNC:
            equal(watch.exits, [None])
        else:
            await rejection(watch.handle.get_new_events, SandboxException)
