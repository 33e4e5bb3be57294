"""
PyPI e2b, unmodified, against the sandbox that the environment names:

    python.py sync|async [word that a test's name must contain ...]
"""
import sys

import commands  # noqa: F401
import entries  # noqa: F401
import files  # noqa: F401
import git  # noqa: F401
import harness
import stdin  # noqa: F401
import terminals  # noqa: F401
import urls  # noqa: F401
import watch  # noqa: F401

harness.main(sys.argv[2:], "python_previous" if harness.IS_PREVIOUS else "python")
