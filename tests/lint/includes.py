#!/usr/bin/env python3
"""
Checks who includes whom, and what may stand in one place only (architecture: envd/README.md).

  includes.py          checks envd/; prints `ok NAME` or `not ok NAME FILE:LINE: why` for each rule
  includes.py --self   checks the checker on small wrong sources

A quoted include of a folder must be in FOLDERS; a system include that belongs to a library must be
in LIBRARIES. Tests (x_test.c) and their helpers (fake_x, x_fixture) follow the folder rules of what
they test, may include tests/support/ and cmocka, and are free from the single-place rules.
"""

import os
import re
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))

# folder: folders whose headers it may include beside its own
FOLDERS = {
    "base": (),
    "loop": ("base",),
    "http": ("base", "loop"),
    "rpc": ("base", "loop", "http"),
    "host": ("base", "loop"),
    "git": ("base", "loop"),
    "search": ("base", "loop"),
    "proc": ("base", "loop", "host"),
    "fs": ("base", "loop", "host"),
    "api": ("base", "loop", "http", "rpc", "host", "git", "search", "proc", "fs"),
    "": ("base", "loop", "http", "rpc", "host", "git", "search", "proc", "fs", "api", ""),
}

# folder: libraries that it may see; `library:file` only in that file
LIBRARIES = {
    "base": ("sodium:base64.c", "sodium:text.c", "sodium:secret.c", "yyjson:json.c"),
    "loop": ("uv",),
    "http": ("uv", "nghttp2", "llhttp", "zlib", "zstd", "openssl"),
    "rpc": ("protobuf-c",),
    "host": ("uv",),
    "git": ("libgit2",),
    "search": ("pcre2",),
    "proc": ("uv",),
    "fs": ("uv", "libarchive"),
    "api": ("uv", "protobuf-c", "sodium", "generated"),
    "": ("uv",),
}

# include path (regular expression): library
HEADERS = (
    (r"uv(/.*)?\.h|uv/.*", "uv"),
    (r"nghttp2/.*", "nghttp2"),
    (r"llhttp\.h", "llhttp"),
    (r"zlib\.h|zconf\.h", "zlib"),
    (r"zstd.*\.h", "zstd"),
    (r"openssl/.*", "openssl"),
    (r"protobuf-c/.*|google/protobuf-c/.*", "protobuf-c"),
    (r"sodium(/.*)?\.h|sodium/.*", "sodium"),
    (r"yyjson\.h", "yyjson"),
    (r"git2(/.*)?\.h|git2/.*", "libgit2"),
    (r"pcre2\.h", "pcre2"),
    (r"archive(_entry)?\.h", "libarchive"),
    (r".*\.pb-c\.h", "generated"),
    (r"cmocka\.h", "cmocka"),
)

# rule: (what, where it may stand, below envd/). Comments and strings are not looked at, except for
# file names of the account databases.
SINGLE_PLACES = {
    "fork_only_in_spawn": (r"\b(fork|vfork|_Fork|clone|clone3|posix_spawnp?|uv_spawn|system|popen)\s*\(|\b(SYS|__NR)_(clone3?|v?fork)\b",
                           "proc/spawn.c"),
    "accounts_only_in_user": (r"\b(get|set|end)(pw|gr)(nam|uid|gid|ent)?(_r)?\s*\(|\b(getgrouplist|initgroups)\s*\(|\"/etc/(passwd|group)",
                              "host/user.c"),
    "queue_work_only_in_job": (r"\buv_queue_work\b", "loop/job.c"),
    # Without a bound, without an error, or with hidden state.
    "no_unsafe_calls": (r"\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|strtok|asctime|ctime|alloca)\s*\(",
                        "no place"),
}


def split_path(path):
    """('http', 'h1.c') of http/h1.c, ('', 'main.c') of main.c; deeper folders belong to their top."""
    parts = path.split("/")
    return (parts[0] if len(parts) > 1 else "", parts[-1])


def is_test(path):
    name = split_path(path)[1]
    return bool(re.fullmatch(r"fake_.*|.*_test\.c|.*_fixture\.[ch]", name))


def library_of(header):
    for pattern, library in HEADERS:
        if re.fullmatch(pattern, header):
            return library
    return None


def without_comments(text):
    """Comments become blanks of the same number of lines."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def keep(match):
        found = match.group(0)
        return found if found[0] in "\"'" else " " + "\n" * found.count("\n")
    return re.sub(pattern, keep, text, flags=re.S)


def check_quoted(path, header):
    folder, _ = split_path(path)
    if library_of(header):
        return check_library(path, header)
    if header == "build_info.h" or (is_test(path) and header.startswith("tests/support/")):
        return None
    if header.startswith(("tests/", "fuzz/")):
        return "the daemon includes nothing of tests/"
    target, _ = split_path(header)
    if target == folder or target in FOLDERS.get(folder, ()):
        return None
    return f"'{folder or 'envd'}' may not include '{target or header}'"


def check_library(path, header):
    folder, name = split_path(path)
    library = library_of(header)
    if library is None or (is_test(path) and library == "cmocka"):
        return None
    allowed = LIBRARIES.get(folder, ())
    subject = name.replace("_test.c", ".c")
    if library in allowed or f"{library}:{subject}" in allowed:
        return None
    # The codec is tested on generated messages.
    if is_test(path) and folder == "rpc" and library == "generated":
        return None
    return f"'{path}' may not see {library}"


def check_file(path, text):
    """Findings of one file as (rule, line number, why)."""
    findings = []
    name = split_path(path)[1]
    lines = without_comments(text).split("\n")
    if name.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
        findings.append(("pragma_once", 1, "a header begins with #pragma once"))
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if found:
            quoted, header = found.group(1) == '"', found.group(2)
            why = check_quoted(path, header) if quoted else check_library(path, header)
            if why:
                rule = "libraries_in_one_folder" if library_of(header) else "down_only"
                findings.append((rule, number, why))
            continue
        if is_test(path):
            continue
        for rule, (pattern, place) in SINGLE_PLACES.items():
            if path != place and re.search(pattern, line):
                findings.append((rule, number, f"belongs into {place}: {line.strip()}"))
    return findings


def sources():
    for folder, folders, files in os.walk(os.path.join(ROOT, "envd")):
        folders.sort()
        for name in sorted(files):
            if name.endswith((".c", ".h")):
                full = os.path.join(folder, name)
                yield os.path.relpath(full, os.path.join(ROOT, "envd")), full


RULES = ("down_only", "libraries_in_one_folder", "pragma_once", *SINGLE_PLACES)

SELF_TESTS = (
    ("base/a.c", '#include "loop/owner.h"\n', "down_only"),
    ("proc/a.c", '#include "rpc/call.h"\n', "down_only"),
    ("http/a.c", '#include "main.h"\n', "down_only"),
    ("proc/a.c", '#include "process/process.pb-c.h"\n', "libraries_in_one_folder"),
    ("rpc/a.c", "#include <nghttp2/nghttp2.h>\n", "libraries_in_one_folder"),
    ("base/a.c", "#include <sodium.h>\n", "libraries_in_one_folder"),
    ("base/a.c", "#include <uv.h>\n", "libraries_in_one_folder"),
    ("base/a.h", "int a;\n", "pragma_once"),
    ("host/a.c", "\tpid = fork();\n", "fork_only_in_spawn"),
    ("proc/process.c", "\tsyscall(SYS_clone3, &a, sizeof a);\n", "fork_only_in_spawn"),
    ("api/a.c", "\tpw = getpwnam(name);\n", "accounts_only_in_user"),
    ("api/a.c", '\tf = fopen("/etc/passwd", "r");\n', "accounts_only_in_user"),
    ("http/a.c", "\tport = atoi(text);\n", "no_unsafe_calls"),
    ("http/a.c", "\tuv_queue_work(loop, &w, f, g);\n", "queue_work_only_in_job"),
    ("http/a.c", '#include "base/buf.h"\n#include <nghttp2/nghttp2.h>\n#include <uv.h>\n', None),
    ("proc/spawn.c", "\tpid = syscall(SYS_clone3, &a, sizeof a);\n", None),
    ("base/a.c", "/* fork() and getpwnam() are for others\n * uv_queue_work too */\n", None),
    ("http/a_test.c", '#include "tests/support/peer.h"\n#include <cmocka.h>\n', None),
)


def self_test():
    good = True
    for path, text, expected in SELF_TESTS:
        rules = {rule for rule, _, _ in check_file(path, text)}
        if rules != ({expected} if expected else set()):
            print(f"not ok include_checker {path}: {text.strip()!r}: found {rules or 'nothing'}")
            good = False
    if good:
        print("ok include_checker")
    return good


def main(arguments):
    if arguments == ["--self"]:
        return 0 if self_test() else 1
    findings = []
    for path, full in sources():
        with open(full, encoding="utf-8") as file:
            findings += [(rule, f"envd/{path}:{number}: {why}") for rule, number, why in check_file(path, file.read())]
    for rule in RULES:
        found = [text for name, text in findings if name == rule]
        for text in found:
            print(f"not ok {rule} {text}")
        if not found:
            print(f"ok {rule}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
