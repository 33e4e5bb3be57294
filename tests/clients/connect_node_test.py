"""Starts what connect_node.mjs talks to; its own lines are the results."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from envd import Envd
from servers import RECEIVE_LIMIT, ConformanceServer, descriptor_set
from testdeps import testdeps

HERE = pathlib.Path(__file__).resolve().parent


class ConnectNode(unittest.TestCase):
    def test_connect_node_passes_all_its_tests(self):
        envd, server = Envd(), ConformanceServer()
        try:
            with tempfile.TemporaryDirectory() as folder:
                # Node looks for packages beside the script, so the scripts go beside the packages.
                shutil.copy(HERE / "connect_node.mjs", folder)
                shutil.copy(HERE.parent / "sdk/report.mjs", folder)
                os.symlink(testdeps()["NODE_MODULES"], f"{folder}/node_modules")
                for name in ("conformance", "process"):
                    (pathlib.Path(folder) / f"{name}.binpb").write_bytes(descriptor_set(name))
                env = {**os.environ, "ENVD_URL": f"http://127.0.0.1:{envd.port}",
                       "CONFORMANCE_URL": f"http://{server.address}", "RECEIVE_LIMIT": str(RECEIVE_LIMIT)}
                status = subprocess.run([testdeps()["NODE"], f"{folder}/connect_node.mjs"], env=env,
                                        stdin=subprocess.DEVNULL).returncode
        finally:
            ended = envd.end()[0], server.end()
        self.assertEqual(status, 0)
        self.assertEqual(ended, (0, 0))
