"""Where tools/testdeps/install has put the test tools."""
import pathlib
import subprocess

PATHS = pathlib.Path(__file__).resolve().parents[2] / "tools/testdeps/paths"


def testdeps():
    """The variables of tools/testdeps/paths, name to text."""
    out = subprocess.run(["bash", "-c", '. "$0" && exec env -0', PATHS], check=True, capture_output=True)
    return dict(entry.split("=", 1) for entry in out.stdout.decode().split("\0") if entry)
