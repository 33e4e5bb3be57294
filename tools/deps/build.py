"""
Builds recipes: unpack, build in a temporary folder, rename into the store, point the flavour at it.

  <cache>/sources/<package>_<version>/   what fetch.py downloaded
  <cache>/store/<arch>-<flavour>/<library>-<stamp>/{include,lib}
  <cache>/flavours/<arch>-<flavour>/<library> -> the store entry in use

The stamp hashes everything that decides the result: version, flavour, compiler, recipe. A store
entry exists only when it is complete, so an interrupted run continues where it stopped.
"""

import concurrent.futures
import fcntl
import glob
import hashlib
import inspect
import os
import platform
import shutil
import subprocess
import sys
import time

import fetch
import recipes

HERE = os.path.dirname(os.path.realpath(__file__))
LOG_TAIL_LINES = 40  # of a failed build that are shown


class BuildError(Exception):
    pass


class Arch:
    """What differs between processors. Cross: gcc of that triple, Debian's cross kernel headers."""

    def __init__(self, name):
        self.name = name
        self.triple = f"{name}-linux-musl"
        gnu = f"{name}-linux-gnu"
        if name == platform.machine():
            self.cc, self.cross_prefix = "gcc", ""
            include, self.asm = "/usr/include", f"/usr/include/{gnu}/asm"
        else:
            self.cc, self.cross_prefix = f"{gnu}-gcc", f"{gnu}-"
            include, self.asm = f"/usr/{gnu}/include", f"/usr/{gnu}/include/asm"
        self.kernel_headers = {
            "linux": f"{include}/linux", "asm-generic": f"{include}/asm-generic", "asm": self.asm,
        }
        # Without it gcc calls helpers that only glibc start-up initialises.
        self.cflags = "-mno-outline-atomics" if name == "aarch64" else ""


class Build:
    """One library in one flavour, as a recipe sees it."""

    def __init__(self, arch, flavour, recipe, work, prefix, jobs):
        self.source = os.path.join(work, "source")
        self.stage = os.path.join(work, "stage")
        self.prefix = prefix
        self.log = os.path.join(work, "log")
        self.jobs = jobs
        self.triple = arch.triple
        self.host_cc, self.cross_prefix = arch.cc, arch.cross_prefix
        self.kernel_headers = arch.kernel_headers
        self.cc = arch.cc if flavour.compiler == "gcc" else flavour.compiler
        prefix_map = f"-ffile-prefix-map={self.source}=/{recipe.name}"
        self.cflags = " ".join(filter(None, (flavour.cflags, arch.cflags, prefix_map)))

    def run(self, *command, **env):
        with open(self.log, "a", encoding="utf-8") as log:
            log.write("+ " + " ".join(command) + "\n")
            log.flush()
            done = subprocess.run(command, cwd=self.source, env=dict(os.environ, **env),
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                tail = "".join(log.readlines()[-LOG_TAIL_LINES:])
            raise BuildError(f"`{' '.join(command)}` failed; whole log: {self.log}\n{tail}")


def say(text):
    print(f"deps: {text}", file=sys.stderr, flush=True)


def unpack(folder, kind, source):
    """Puts the package's files, with Debian's patches applied, at `source`."""
    if kind == "src":
        dsc = glob.glob(f"{folder}/*.dsc")[0]
        command = ["dpkg-source", "--no-check", "-x", dsc, source]
    elif kind == "tar":
        os.makedirs(source)
        command = ["tar", "-xf", glob.glob(f"{folder}/*.orig.tar.*")[0], "-C", source, "--strip-components=1"]
    else:
        command = ["dpkg-deb", "-x", glob.glob(f"{folder}/*.deb")[0], source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"`{' '.join(command)}` failed: {done.stderr}")


class Store:
    def __init__(self, arch):
        self.root = os.environ.get("ENVD_CACHE") or os.path.expanduser("~/.cache/envd")
        self.arch = Arch(arch)
        self.lock = fetch.Lock(os.path.join(HERE, "sources.lock"))
        self.fetcher = fetch.Fetcher(self.root, self.lock, say)
        self.jobs = os.cpu_count() or 1

    def flavour_folder(self, flavour):
        return os.path.join(self.root, "flavours", f"{self.arch.name}-{flavour}")

    def _compiler(self, flavour):
        if flavour.compiler == "musl":
            return os.path.join(os.path.realpath(self.flavour_folder("musl") + "/musl"), "bin/musl-gcc")
        return self.arch.cc if flavour.compiler == "gcc" else flavour.compiler

    def _stamp(self, flavour, recipe, version):
        compiler = self._compiler(flavour) if recipe.name != "musl" else self.arch.cc
        known = subprocess.run([self.arch.cc if flavour.compiler != "clang" else "clang", "--version"],
                               capture_output=True, text=True).stdout.splitlines()[:1]
        parts = (version, repr(flavour), repr(dataclass_fields(recipe)), inspect.getsource(recipe.build),
                 compiler, known, self.arch.triple)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]

    def build(self, flavour, recipe):
        """Builds one library unless it is there; returns the seconds it took."""
        folder, version = self.fetcher.fetch(recipe.package, recipe.suite, recipe.kind)
        stamp = self._stamp(flavour, recipe, version)
        shelf = os.path.join(self.root, "store", f"{self.arch.name}-{flavour.name}")
        prefix = os.path.join(shelf, f"{recipe.name}-{stamp}")
        os.makedirs(shelf, exist_ok=True)
        started = time.monotonic()
        with open(os.path.join(shelf, f"{recipe.name}.lock"), "w", encoding="ascii") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if not os.path.isdir(prefix):
                self._build_at(flavour, recipe, folder, prefix)
                say(f"{flavour.name}/{recipe.name} {version}: built in {time.monotonic() - started:.1f} s")
            self._select(flavour, recipe, prefix)

    def _build_at(self, flavour, recipe, folder, prefix):
        work = f"{prefix}.work"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(os.path.join(work, "stage"))
        b = Build(self.arch, flavour, recipe, work, prefix, self.jobs)
        if flavour.compiler == "musl" and recipe.name != "musl":
            b.cc = self._compiler(flavour)
        unpack(folder, recipe.kind, b.source)
        say(f"{flavour.name}/{recipe.name}: building")
        shutil.rmtree(b.stage)
        os.makedirs(b.stage) if recipe.name == "musl" else None
        recipe.build(b)
        os.rename(b.stage, prefix)
        shutil.rmtree(work)

    def _select(self, flavour, recipe, prefix):
        """Points the flavour, and those that are based on it, at the entry."""
        for user in recipes.FLAVOURS.values():
            own = user.name in recipe.flavours
            if user.name != flavour.name and (user.base != flavour.name or own):
                continue
            target = self.flavour_folder(user.name)
            os.makedirs(target, exist_ok=True)
            link = os.path.join(target, recipe.name)
            if os.path.islink(link) and os.readlink(link) == prefix:
                continue
            temporary = f"{link}.{os.getpid()}"
            os.symlink(prefix, temporary)
            os.rename(temporary, link)


def dataclass_fields(recipe):
    return {k: v for k, v in vars(recipe).items() if k != "build"}


def build_flavours(store, names):
    """Everything a flavour needs: musl before the libraries that it compiles, the rest side by side."""
    wanted = []
    for name in names:
        if recipes.FLAVOURS[name].base:
            wanted.append(recipes.FLAVOURS[name].base)
        wanted.append(name)
    pairs = [(recipes.FLAVOURS[name], recipe) for name in dict.fromkeys(wanted)
             for recipe in recipes.RECIPES if name in recipe.flavours]
    for flavour, recipe in [p for p in pairs if p[1].name == "musl"]:
        store.build(flavour, recipe)
    with concurrent.futures.ThreadPoolExecutor(store.jobs) as pool:
        running = [pool.submit(store.build, *p) for p in pairs if p[1].name != "musl"]
        concurrent.futures.wait(running)
        for done in running:
            done.result()


def install_packages():
    with open(os.path.join(HERE, "packages.txt"), encoding="ascii") as file:
        wanted = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"],
                            capture_output=True, text=True, check=True).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    missing = [package for package in wanted if package not in installed]
    if not missing:
        return
    if os.geteuid() != 0:
        raise BuildError("missing Debian packages; as root: apt-get install " + " ".join(missing))
    say("installing Debian packages: " + " ".join(missing))
    archives = os.path.join(Store(platform.machine()).root, "apt", "archives")
    os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
    # An archive folder of our own: images often empty the shared one behind every apt that runs.
    options = ["-o", "DPkg::Lock::Timeout=600", "-o", f"Dir::Cache::archives={archives}",
               "-o", "APT::Sandbox::User=root"]
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    command = ["apt-get", *options, "install", "-y", "-q", "--no-install-recommends", *missing]
    started = time.monotonic()
    if subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run(["apt-get", *options, "update", "-q"], env=env, stdout=subprocess.DEVNULL)
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise BuildError(f"apt-get install failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    say(f"Debian packages installed in {time.monotonic() - started:.1f} s")


def main(arguments, usage):
    arch = os.environ.get("ENVD_ARCH") or platform.machine()
    verb, names = (arguments[0], arguments[1:]) if arguments else ("", [])
    try:
        if verb == "packages" and not names:
            install_packages()
        elif verb == "build" and names and all(n in recipes.FLAVOURS for n in names):
            build_flavours(Store(arch), names)
        elif verb == "prefix" and len(names) == 1 and names[0] in recipes.FLAVOURS:
            print(Store(arch).flavour_folder(names[0]))
        elif verb == "lock":
            store = Store(arch)
            for recipe in recipes.RECIPES:
                if not names or recipe.package in names or recipe.name in names:
                    store.fetcher.relock(recipe.package, recipe.suite, recipe.kind)
            store.lock.write()
        else:
            print(usage.strip(), file=sys.stderr)
            return 2
    except (fetch.FetchError, BuildError) as trouble:
        say(f"error: {trouble}")
        return 1
    return 0
