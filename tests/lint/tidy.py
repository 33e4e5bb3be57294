#!/usr/bin/env python3
"""
Runs clang-tidy over our sources, in parallel: tidy.py [BUILD]

BUILD is a build folder of clang's, with compile_commands.json; by default that of the flavour `clang`.

A source is looked at again only when it, a header of ours, the configuration or its compile command
changed since it was clean (stamps in BUILD/tidy). Prints `ok tidy/FILE` or `not ok tidy/FILE finding`.
"""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
BUILD = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(ROOT, "build/clang")
STAMPS = os.path.join(BUILD, "tidy")
# A test is a list of steps: its length says nothing about how hard it is to follow.
TEST_CHECKS = "--checks=-readability-function-size,-bugprone-unused-return-value"


def headers_hash():
    digest = hashlib.sha256()
    for top in ("envd", "tests", "fuzz"):
        for folder, folders, files in os.walk(os.path.join(ROOT, top)):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".h"):
                    with open(os.path.join(folder, name), "rb") as file:
                        digest.update(name.encode() + file.read())
    with open(os.path.join(ROOT, ".clang-tidy"), "rb") as file:
        digest.update(file.read())
    return digest


def check(source, command, common):
    name = os.path.relpath(source, ROOT)
    with open(source, "rb") as file:
        stamp_text = hashlib.sha256(common + command.encode() + TEST_CHECKS.encode() + file.read()).hexdigest()
    stamp = os.path.join(STAMPS, name.replace("/", "-"))
    if os.path.exists(stamp):
        with open(stamp, encoding="ascii") as file:
            if file.read() == stamp_text:
                return name, []
    arguments = ["clang-tidy", "--quiet", "-p", BUILD, source]
    if name.endswith("_test.c") or name.startswith("tests/"):
        arguments.insert(1, TEST_CHECKS)
    done = subprocess.run(arguments, capture_output=True, text=True)
    findings = [line.replace(ROOT + "/", "") for line in done.stdout.splitlines()
                if ": error: " in line or ": warning: " in line]
    if done.returncode != 0 and not findings:
        findings = [f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"]
    if not findings:
        with open(stamp, "w", encoding="ascii") as file:
            file.write(stamp_text)
    return name, findings


def main():
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    ours = {}
    for entry in entries:
        path = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        if path.startswith(ROOT + "/") and not path.startswith(os.path.join(ROOT, "build")):
            ours[path] = entry["command"]
    os.makedirs(STAMPS, exist_ok=True)
    common = headers_hash().digest()
    clean = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for name, findings in pool.map(lambda item: check(*item, common), sorted(ours.items())):
            for finding in findings:
                print(finding)
            if findings:
                print(f"not ok tidy/{name} {len(findings)} findings, first: {findings[0]}", flush=True)
            else:
                print(f"ok tidy/{name}", flush=True)
            clean = clean and not findings
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
