"""
The libraries: one entry each. A new library is one Recipe in RECIPES and one line in sources.lock
(`tools/deps/deps lock NAME`).

A recipe's build function gets a Build (build.py): the unpacked source is b.source, commands run with
b.run, and what is to stay goes to b.stage/include and b.stage/lib. It also belongs to the stamp:
changing a recipe rebuilds that library and no other.
"""

import dataclasses
import glob
import os
import shutil
from typing import Callable


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str          # folder in the cache and name of the CMake target dep::<name>
    package: str       # Debian package
    suite: str         # Debian suite it is taken from
    build: Callable
    kind: str = "src"  # src: source package; tar: its upstream tarball alone; deb: binary package
    flavours: tuple = ("glibc", "musl")  # built for these; others link the base flavour's


@dataclasses.dataclass(frozen=True)
class Flavour:
    name: str
    cflags: str
    base: str = ""         # where libraries come from that have no build of their own here
    compiler: str = "gcc"  # musl: the wrapper that the library `musl` installs


FLAVOURS = {
    f.name: f for f in (
        Flavour("glibc", "-O2 -g -ffunction-sections -fdata-sections"),
        Flavour("musl", "-O2 -g0 -ffunction-sections -fdata-sections -fstack-protector-strong -fPIE",
                compiler="musl"),
        # libuv hands work between threads; seen only in part, it would look like races.
        Flavour("tsan", "-O1 -g -fsanitize=thread", base="glibc"),
        # The parsers, so that a fuzzer sees their branches and their memory errors.
        Flavour("fuzz", "-O1 -g -fsanitize=address,fuzzer-no-link -fno-omit-frame-pointer",
                base="glibc", compiler="clang"),
    )
}


def stage_headers(b, *headers, folder=""):
    target = os.path.join(b.stage, "include", folder)
    os.makedirs(target, exist_ok=True)
    for header in headers:
        shutil.copy(os.path.join(b.source, header), target)


def stage_archive(b, path):
    os.makedirs(os.path.join(b.stage, "lib"), exist_ok=True)
    shutil.copy(path, os.path.join(b.stage, "lib"))


def compile_archive(b, name, sources, *flags):
    objects = []
    for source in sources:
        objects.append(os.path.basename(source)[:-2] + ".o")
        b.run(b.cc, *b.cflags.split(), *flags, "-c", source, "-o", objects[-1])
    b.run("ar", "rcsD", name, *objects)
    stage_archive(b, os.path.join(b.source, name))


def cmake(b, target, *options):
    b.run("cmake", "-S", ".", "-B", "build-envd", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None",
          f"-DCMAKE_C_COMPILER={b.cc}", f"-DCMAKE_C_FLAGS={b.cflags}",
          "-DCMAKE_POSITION_INDEPENDENT_CODE=ON", *options)
    b.run("cmake", "--build", "build-envd", "--target", target, "-j", str(b.jobs))
    return os.path.join(b.source, "build-envd")


def configure(b, *options):
    b.run("./configure", f"--host={b.triple}", "--disable-shared", "--enable-static", *options,
          CC=b.cc, CFLAGS=b.cflags)


def build_musl(b):
    b.run("./configure", f"--prefix={b.prefix}", "--disable-shared", "--enable-wrapper=gcc", CC=b.host_cc,
          CFLAGS="-O2 -ffunction-sections -fdata-sections", CROSS_COMPILE=b.cross_prefix,
          *([f"--target={b.triple}"] if b.cross_prefix else []))
    b.run("make", "-j", str(b.jobs))
    b.run("make", "install", f"DESTDIR={b.source}/installed")
    shutil.copytree(f"{b.source}/installed{b.prefix}", b.stage, symlinks=True, dirs_exist_ok=True)
    # musl has no kernel headers: the machine's own, beside libc's.
    for folder, origin in b.kernel_headers.items():
        os.symlink(origin, os.path.join(b.stage, "include", folder))


def build_libuv(b):
    out = cmake(b, "uv_a", "-DLIBUV_BUILD_SHARED=OFF", "-DBUILD_TESTING=OFF", "-DLIBUV_BUILD_TESTS=OFF")
    shutil.copytree(f"{b.source}/include", f"{b.stage}/include")
    stage_archive(b, f"{out}/libuv_a.a")


def build_nghttp2(b):
    out = cmake(b, "nghttp2_static", "-DENABLE_LIB_ONLY=ON", "-DENABLE_STATIC_LIB=ON",
                "-DENABLE_SHARED_LIB=OFF")
    stage_headers(b, "lib/includes/nghttp2/nghttp2.h", f"{out}/lib/includes/nghttp2/nghttp2ver.h",
                  folder="nghttp2")
    stage_archive(b, glob.glob(f"{out}/lib/libnghttp2*.a")[0])


def build_llhttp(b):
    stage_headers(b, "usr/share/include/llhttp/llhttp.h")
    compile_archive(b, "libllhttp.a", sorted(glob.glob(f"{b.source}/usr/share/llhttp/*.c")),
                    "-DLLHTTP_STRICT_MODE=1", "-Iusr/share/include/llhttp")


def build_protobuf_c(b):
    if not os.path.exists(f"{b.source}/configure"):
        b.run("autoreconf", "-fi")
    configure(b, "--disable-protoc")
    b.run("make", "-j", str(b.jobs), "protobuf-c/libprotobuf-c.la")
    stage_headers(b, "protobuf-c/protobuf-c.h", folder="protobuf-c")
    stage_archive(b, f"{b.source}/protobuf-c/.libs/libprotobuf-c.a")


def build_libsodium(b):
    b.run("./autogen.sh", "-s")
    configure(b, "--disable-dependency-tracking")
    b.run("make", "-j", str(b.jobs), "-C", "src/libsodium")
    b.run("make", "-C", "src/libsodium", "install", f"DESTDIR={b.source}/installed", "prefix=/p",
          "exec_prefix=/p", "libdir=/p/lib", "includedir=/p/include")
    shutil.copytree(f"{b.source}/installed/p/include", f"{b.stage}/include")
    stage_archive(b, f"{b.source}/installed/p/lib/libsodium.a")


def build_zlib(b):
    b.run("./configure", "--static", CC=b.cc, CFLAGS=b.cflags, CHOST=b.triple)
    b.run("make", "-j", str(b.jobs), "libz.a")
    stage_headers(b, "zlib.h", "zconf.h")
    stage_archive(b, f"{b.source}/libz.a")


def build_yyjson(b):
    stage_headers(b, "src/yyjson.h")
    compile_archive(b, "libyyjson.a", ["src/yyjson.c"])


# musl first: it compiles the others of its flavour. Then the slowest.
RECIPES = (
    Recipe("musl", "musl", "trixie", build_musl, flavours=("musl",)),
    Recipe("sodium", "libsodium", "bookworm", build_libsodium),
    Recipe("uv", "libuv1", "bookworm", build_libuv, flavours=("glibc", "musl", "tsan")),
    Recipe("nghttp2", "nghttp2", "bookworm", build_nghttp2, flavours=("glibc", "musl", "fuzz")),
    Recipe("llhttp", "node-llhttp", "bookworm", build_llhttp, kind="deb", flavours=("glibc", "musl", "fuzz")),
    Recipe("protobuf-c", "protobuf-c", "bookworm", build_protobuf_c, flavours=("glibc", "musl", "fuzz")),
    Recipe("zlib", "zlib", "bookworm", build_zlib),
    # The mirror lacks yyjson's .dsc; the tarball alone is fetched, checked against the signed index.
    Recipe("yyjson", "yyjson", "trixie", build_yyjson, kind="tar", flavours=("glibc", "musl", "fuzz")),
)
