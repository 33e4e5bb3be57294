"""The two servers that clients talk to, and the descriptors of their services."""
import os
import pathlib
import struct
import subprocess
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from testdeps import testdeps

TOP = pathlib.Path(__file__).resolve().parents[2]
SERVICES = {
    "conformance": (testdeps()["CONFORMANCE_PROTO"], ["connectrpc/conformance/v1/service.proto",
                                                      "connectrpc/conformance/v1/server_compat.proto"]),
    "process": (str(TOP / "proto"), ["process/process.proto"]),
}
WELL_KNOWN = str(pathlib.Path(protoc.__file__).parent / "_proto")


def descriptor_set(name):
    """A serialised FileDescriptorSet: neither client needs generated code."""
    folder, files = SERVICES[name]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        status = protoc.main(["protoc", f"-I{folder}", f"-I{WELL_KNOWN}", "--include_imports",
                              f"--descriptor_set_out={out.name}", *files])
        assert status == 0, f"protoc {name}: status {status}"
        return pathlib.Path(out.name).read_bytes()


def messages(name):
    """Message classes by full name."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set(name)).file
    for file in files:
        pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name for file in files], pool)


# Messages of twice the limit: what a client has in flight is then read, as the limits of http/ promise,
# before the answer could be lost to a reset.
RECEIVE_LIMIT = 256 << 10  # bytes


class ConformanceServer:
    """Speaks the runner's handshake: a request on stdin, the port on stdout, SIGTERM at the end."""

    def __init__(self):
        known = messages("conformance")
        request = known["connectrpc.conformance.v1.ServerCompatRequest"](
            protocol=1, http_version=2, message_receive_limit=RECEIVE_LIMIT)
        self.process = subprocess.Popen([os.environ["CONFORMANCE_SERVER"]],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        data = request.SerializeToString()
        self.process.stdin.write(struct.pack(">I", len(data)) + data)
        self.process.stdin.flush()
        length, = struct.unpack(">I", self.process.stdout.read(4))
        answer = known["connectrpc.conformance.v1.ServerCompatResponse"].FromString(self.process.stdout.read(length))
        self.address = f"{answer.host}:{answer.port}"

    def end(self):
        self.process.terminate()
        self.process.communicate(timeout=20)
        return self.process.returncode
