"""
Fetches Debian packages through an apt of our own and checks them against sources.lock.

The configuration is isolated: its own source lists (one per Debian suite), lists and cache, all
below the cache directory. The mirror is the one the machine is configured with. apt verifies the
signatures; the lock file holds the version and the SHA-256 of each file that we use.

Rules
  - everything locked is in the cache and has the right checksum: no network is touched
  - the suite offers another version than the locked one, and the locked one is gone: a loud
    notice, and we go on with what apt verified
  - neither can be had: FetchError, which names the package and what to do
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEFAULT_SECURITY_MIRROR = "http://deb.debian.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INDEX_AGE_MAX_S = 24 * 3600  # an index younger than a day is not fetched again

APT_CONF = """\
Dir::Etc::sourcelist "{root}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State "{root}/state";
Dir::State::lists "{root}/state/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::archives "{root}/cache/archives";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT::Get::Only-Source "true";
"""


class FetchError(Exception):
    pass


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Lock:
    """sources.lock: lines of `package suite version sha256 file`."""

    def __init__(self, path):
        self.path = path
        self.entries = {}
        if not os.path.exists(path):
            return
        with open(path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if len(words) == 5 and not line.startswith("#"):
                    package, suite, version, checksum, name = words
                    entry = self.entries.setdefault((package, suite), {"version": version, "files": {}})
                    entry["files"][name] = checksum

    def find(self, package, suite):
        return self.entries.get((package, suite))

    def put(self, package, suite, version, folder):
        files = {name: sha256_of(os.path.join(folder, name)) for name in os.listdir(folder)}
        self.entries[(package, suite)] = {"version": version, "files": files}

    def write(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("# Locked sources: package suite version sha256 file.\n")
            file.write("# Rewritten by `tools/deps/deps lock`; never edited by hand.\n")
            for (package, suite), entry in sorted(self.entries.items()):
                for name, checksum in sorted(entry["files"].items()):
                    file.write(f"{package} {suite} {entry['version']} {checksum} {name}\n")


def configured_mirrors():
    """The Debian and Debian-Security mirrors of the machine's own apt."""
    mirror, security = DEFAULT_MIRROR, DEFAULT_SECURITY_MIRROR
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"],
            capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    for line in listed.splitlines():
        label, _, uri = line.partition("|")
        if label == "Debian":
            mirror = uri.rstrip("/")
        elif label == "Debian-Security":
            security = uri.rstrip("/")
    return mirror, security


class Suite:
    """One Debian suite with its updates and security, in an apt configuration of its own."""

    def __init__(self, name, root, say):
        self.name = name
        self.root = os.path.join(root, "apt", name)
        self.say = say
        self.fresh = False

    def _env(self):
        return dict(os.environ, APT_CONFIG=os.path.join(self.root, "apt.conf"), LC_ALL="C.UTF-8")

    def _configure(self):
        for folder in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.root, folder), exist_ok=True)
        mirror, security = configured_mirrors()
        lines = []
        for kind in ("deb", "deb-src"):
            option = f"[signed-by={KEYRING}]"
            lines.append(f"{kind} {option} {mirror} {self.name} main")
            lines.append(f"{kind} {option} {security} {self.name}-security main")
        for name, text in (("sources.list", "\n".join(lines) + "\n"),
                           ("apt.conf", APT_CONF.format(root=self.root)), ("status", "")):
            with open(os.path.join(self.root, name), "w", encoding="ascii") as file:
                file.write(text)

    def update(self):
        if self.fresh:
            return
        os.makedirs(self.root, exist_ok=True)
        with open(os.path.join(self.root, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stamp = os.path.join(self.root, "updated")
            if os.path.exists(stamp) and time.time() - os.path.getmtime(stamp) < INDEX_AGE_MAX_S:
                self.fresh = True
                return
            self.say(f"apt index of {self.name}: updating")
            self._configure()
            run = subprocess.run(["apt-get", "update"], env=self._env(), capture_output=True, text=True)
            if run.returncode != 0:
                raise FetchError(f"apt-get update for {self.name} failed:\n{run.stderr}")
            with open(stamp, "w", encoding="ascii"):
                pass
            self.fresh = True

    def newest(self, package, kind):
        """Newest version that the suite's index lists."""
        if kind == "deb":
            command = ["apt-cache", "show", package]
        else:
            command = ["apt-cache", "showsrc", "--only-source", package]
        shown = subprocess.run(command, env=self._env(), capture_output=True, text=True).stdout
        newest = None
        for line in shown.splitlines():
            if line.startswith("Version: "):
                version = line.split()[1]
                if newest is None or subprocess.run(
                        ["dpkg", "--compare-versions", version, "gt", newest]).returncode == 0:
                    newest = version
        return newest

    def download(self, package, version, kind, folder):
        """Downloads into folder; returns None, or what apt said."""
        command = {
            "src": ["apt-get", "source", "--download-only", f"{package}={version}"],
            "tar": ["apt-get", "source", "--tar-only", "--download-only", f"{package}={version}"],
            "deb": ["apt-get", "download", f"{package}={version}"],
        }[kind]
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        run = subprocess.run(command, env=self._env(), cwd=folder, capture_output=True, text=True)
        return None if run.returncode == 0 else run.stderr.strip()


class Fetcher:
    def __init__(self, root, lock, say):
        self.root = root
        self.lock = lock
        self.say = say
        self.suites = {}

    def _suite(self, name):
        if name not in self.suites:
            self.suites[name] = Suite(name, self.root, self.say)
        self.suites[name].update()
        return self.suites[name]

    def _folder(self, package, version):
        return os.path.join(self.root, "sources", f"{package}_{version}".replace(":", "%3a"))

    def _is_as_locked(self, folder, entry):
        return all(
            os.path.exists(os.path.join(folder, name)) and sha256_of(os.path.join(folder, name)) == checksum
            for name, checksum in entry["files"].items())

    def _get(self, package, suite, kind, version):
        """Downloads one version; the folder appears only when complete."""
        folder = self._folder(package, version)
        partial = f"{folder}.{os.getpid()}.partial"
        started = time.monotonic()
        trouble = self._suite(suite).download(package, version, kind, partial)
        if trouble:
            shutil.rmtree(partial, ignore_errors=True)
            return None, trouble
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
        self.say(f"{package} {version}: fetched from {suite} in {time.monotonic() - started:.1f} s")
        return folder, None

    def fetch(self, package, suite, kind):
        """Returns (folder, version) of the package's files, as locked wherever that can be had."""
        entry = self.lock.find(package, suite)
        trouble = "not in sources.lock"
        if entry:
            folder = self._folder(package, entry["version"])
            if self._is_as_locked(folder, entry):
                return folder, entry["version"]
            folder, trouble = self._get(package, suite, kind, entry["version"])
            if folder and self._is_as_locked(folder, entry):
                return folder, entry["version"]
            if folder:
                raise FetchError(f"{package} {entry['version']}: a checksum differs from sources.lock, "
                                 "though the version is the same; refusing to use it")
        return self._fetch_newest(package, suite, kind, entry, trouble)

    def _fetch_newest(self, package, suite, kind, entry, trouble):
        locked = entry["version"] if entry else "none"
        newest = self._suite(suite).newest(package, kind)
        if newest and newest != locked:
            self.say(f"*** NOTICE: {package}: locked version {locked} cannot be had ({trouble})")
            folder, trouble = self._get(package, suite, kind, newest)
            if folder:
                self.say(f"*** NOTICE: {package}: going on with {newest} of {suite}, verified by apt only; "
                         "run `tools/deps/deps lock` and review the difference")
                return folder, newest
        raise FetchError(
            f"{package} (suite {suite}, locked version {locked}) is gone from the mirror.\n"
            f"  apt said: {trouble}\n"
            f"  Put its files into {self._folder(package, locked)} or lock another version "
            "(tools/deps/recipes.py names the suite, `tools/deps/deps lock` writes the lock).")

    def relock(self, package, suite, kind):
        newest = self._suite(suite).newest(package, kind)
        if newest is None:
            raise FetchError(f"{package}: suite {suite} has no such package")
        folder, trouble = self._get(package, suite, kind, newest)
        if not folder:
            raise FetchError(f"{package} {newest}: {trouble}")
        self.lock.put(package, suite, newest, folder)
