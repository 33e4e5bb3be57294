"""Files over URLs that PyPI e2b gives out, and over a sandbox that wants a token: signatures and their expiry."""
import functools
import os

import httpx
from e2b import AuthenticationException, InvalidArgumentException
from harness import IS_ASYNC, equal, rejection, secured, test

TEXT = "wörld €😀\n"
NAMES = ("plain.txt", "with space", "\"quoted\" 'name'", "a+b&c=d", "#hash?query", "100%25", "wörld €😀")
SECONDS = 60


@functools.cache
def owner():
    return secured(os.environ["GUARDED_TOKEN"])


@functools.cache
def stranger():
    return secured(None)


@functools.cache
def http():
    return httpx.Client()


def outcome(response):
    """What somebody without the token gets: text, or the message of an error."""
    return response.text if response.is_success else f"{response.status_code} {response.json()['message']}"


def download(url):
    return outcome(http().get(url))


def upload(url, content=TEXT, name="any"):
    """A form with one file; the path it was written to, or the message of an error."""
    response = http().post(url, files={"file": (name, content.encode())})
    return response.json()[0]["path"] if response.is_success else outcome(response)


@test
async def urls_give_and_take_a_file(s):
    async with s.folder() as folder:
        for name in NAMES:
            path = f"{folder}/{name}"
            equal(upload(s.sandbox.upload_url(path)), path)
            equal(await s.files.read(path), TEXT)
            equal(download(s.sandbox.download_url(path)), TEXT)


@test
async def urls_are_those_of_their_user(s):
    name = f"file-{os.getpid()}"
    equal(upload(s.sandbox.upload_url(name, user="root")), f"/root/{name}")
    equal(download(s.sandbox.download_url(name, user="root")), TEXT)
    equal(await s.out(f"stat -c %U /root/{name}; rm /root/{name}", user="root"), "root\n")
    answer = download(s.sandbox.download_url(name, user="nobody-here"))
    assert answer.startswith("401") and "unknown user nobody-here" in answer, answer


@test
async def urls_of_an_open_sandbox_cannot_expire(s):
    for url in (s.sandbox.download_url, s.sandbox.upload_url):
        await rejection(lambda: url("f", use_signature_expiration=SECONDS), InvalidArgumentException)


@test
async def secured_files_open_to_the_token_only(_):
    async with owner().folder() as folder:
        path = f"{folder}/f"
        calls = [
            lambda f: f.write(path, TEXT), lambda f: f.write(path, TEXT, gzip=True), lambda f: f.read(path),
            lambda f: f.read(path, format="stream"), lambda f: f.exists(path), lambda f: f.get_info(path),
            lambda f: f.list(folder), lambda f: f.make_dir(f"{folder}/d"), lambda f: f.rename(path, f"{folder}/g"),
            lambda f: f.watch_dir(folder, **({"on_event": print} if IS_ASYNC else {})),
            lambda f: f.remove(f"{folder}/g")]
        for call in calls:
            for other in (stranger(), secured("another")):
                await rejection(lambda: call(other.files), AuthenticationException)
        await owner().files.write(path, TEXT)
        equal(await owner().files.read(path), TEXT)
        equal((await owner().files.rename(path, f"{folder}/g")).name, "g")
        equal([entry.name for entry in await owner().files.list(folder)], ["g"])


@test
async def signed_urls_open_their_file_to_a_stranger(_):
    async with owner().folder() as folder:
        for options in ({}, {"use_signature_expiration": SECONDS}, {"user": "user"},
                        {"user": "root", "use_signature_expiration": SECONDS}):
            for name in NAMES:
                path = f"{folder}/{name}"
                equal(upload(owner().sandbox.upload_url(path, **options)), path)
                equal(download(owner().sandbox.download_url(path, **options)), TEXT)


@test
async def url_without_a_signature_opens_nothing(_):
    async with owner().folder() as folder:
        equal(download(stranger().sandbox.download_url(f"{folder}/f")), "401 missing signature query parameter")
        equal(upload(stranger().sandbox.upload_url(f"{folder}/f")), "401 missing signature query parameter")
        equal(await owner().files.exists(f"{folder}/f"), False)


@test
async def signature_is_good_for_its_path_user_operation_and_time_only(_):
    async with owner().folder() as folder:
        path = f"{folder}/f"
        await owner().files.write(path, TEXT)
        url = httpx.URL(owner().sandbox.download_url(path, use_signature_expiration=SECONDS))
        for name, text in (("path", "/etc/passwd"), ("path", f"{folder}//f"), ("username", "root"),
                           ("signature", "v1_"), ("signature_expiration", "9999999999")):
            equal((name, download(url.copy_set_param(name, text))), (name, "401 invalid signature"))
        equal(download(owner().sandbox.upload_url(path)), "401 invalid signature")
        equal(download(secured("another").sandbox.download_url(path)), "401 invalid signature")
        equal(upload(url, "changed"), "401 invalid signature")
        equal(await owner().files.read(path), TEXT)


@test
async def signed_urls_expire(_):
    async with owner().folder() as folder:
        path = f"{folder}/f"
        await owner().files.write(path, TEXT)
        for answer in (download(owner().sandbox.download_url(path, use_signature_expiration=-SECONDS)),
                       upload(owner().sandbox.upload_url(path, use_signature_expiration=-SECONDS), "changed")):
            equal(answer, "401 signature is already expired")
        equal(await owner().files.read(path), TEXT)
