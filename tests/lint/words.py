#!/usr/bin/env python3
"""
Checks the text of what is in the tree: no postponed work, no machine paths, no third-party bytes.

Prints `ok NAME` or `not ok NAME FILE:LINE: text` for each rule.
"""

import os
import re
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
FILE_BYTES_MAX = 262144  # ours are smaller; larger is generated or third-party

RULES = {
    "no_postponed_work": r"\b(TODO|FIXME|XXX|HACK)\b|(?<!function )\bnot implemented\b|\bfor now\b",
    "no_machine_paths": r"/(root|work|workspace|home/(?!user\b)\w+)/\w",
    "no_trailing_blanks": r"[ \t]+$",
}
# Names of the rules themselves, third-party lock files, inputs of tests.
EXEMPT = r"tests/lint/words\.py|.*/package-lock\.json|.*/go\.sum|.*requirements\.txt|fuzz/corpus/.*|.*\.patch|LICENSE"


def tracked():
    """What is committed or about to be: everything that .gitignore does not name."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if os.path.isfile(os.path.join(ROOT, name))]


def main():
    findings = {rule: [] for rule in (*RULES, "no_large_files")}
    for name in tracked():
        if re.fullmatch(EXEMPT, name):
            continue
        full = os.path.join(ROOT, name)
        if os.path.getsize(full) > FILE_BYTES_MAX:
            findings["no_large_files"].append(f"{name}: {os.path.getsize(full)} bytes")
            continue
        with open(full, "rb") as file:
            data = file.read()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            for rule, pattern in RULES.items():
                if re.search(pattern, line):
                    findings[rule].append(f"{name}:{number}: {line.strip()[:120]}")
    for rule, found in findings.items():
        for text in found:
            print(f"not ok {rule} {text}")
        if not found:
            print(f"ok {rule}")
    return 1 if any(findings.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
