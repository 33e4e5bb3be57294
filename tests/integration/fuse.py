"""A FUSE file system for a test: an empty directory in which directories can be made, and which can be stuck."""
import ctypes
import os
import select
import stat
import struct
import threading

FORGET, GETATTR, MKDIR, STATFS, INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = (
    2, 3, 9, 17, 26, 27, 28, 29, 36, 38, 42)
LOOKUP, ENOENT, ENOSYS = 1, 2, 38
SILENT = (FORGET, INTERRUPT, BATCH_FORGET)
REQUEST_MAX = 1024 * 1024 + 4096  # bytes; the kernel wants more room than it needs
NO_SUID_NO_DEV, DETACH = 6, 2     # of mount(2), umount2(2)

libc = ctypes.CDLL(None, use_errno=True)


def attributes(node):
    """struct fuse_attr of a directory."""
    return struct.pack("<6Q10I", node, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)


class Fuse:
    """Mounts at a path, and answers until close. OSError where that is not allowed."""

    def __init__(self, path):
        self.path = path
        self.n_nodes = 1
        self.moves = threading.Event()
        self.moves.set()
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
        if libc.mount(b"envd-test", os.fsencode(path), b"fuse", NO_SUID_NO_DEV, options.encode()) != 0:
            os.close(self.fd)
            raise OSError(ctypes.get_errno(), "mount")
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def stick(self):
        """Nobody gets an answer until close."""
        self.moves.clear()

    def close(self):
        self.moves.set()
        if libc.umount2(os.fsencode(self.path), DETACH) != 0:
            raise OSError(ctypes.get_errno(), "umount")
        self.thread.join()
        os.close(self.fd)

    def serve(self):
        while True:
            select.select([self.fd], [], [])
            self.moves.wait()  # who waits for a request that has been read cannot even be killed
            try:
                request = os.read(self.fd, REQUEST_MAX)
            except OSError:  # unmounted
                return
            _, operation, unique, node = struct.unpack_from("<IIQQ", request)
            if operation in SILENT:
                continue
            answer = self.answer(operation, node)
            error, data = (answer, b"") if isinstance(answer, int) else (0, answer)
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
            except OSError:  # whoever asked has been killed
                pass

    def answer(self, operation, node):
        """Data, or an error number."""
        if operation == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0, *[0] * 7)
        if operation == GETATTR:
            return struct.pack("<QII", 1, 0, 0) + attributes(node)
        if operation == MKDIR:
            self.n_nodes += 1
            return struct.pack("<QQQQII", self.n_nodes, 0, 1, 1, 0, 0) + attributes(self.n_nodes)
        if operation == STATFS:
            return struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
        if operation == OPENDIR:
            return struct.pack("<QII", 1, 0, 0)
        if operation in (READDIR, RELEASEDIR, DESTROY):
            return b""
        return ENOENT if operation == LOOKUP else ENOSYS
