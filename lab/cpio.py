"""Write an initramfs: the "newc" archive the kernel unpacks, without needing root for its device nodes."""

import stat


class Archive:
    """Collects files in memory; `data()` is the finished archive."""

    def __init__(self):
        self._parts = []
        self._inode = 0
        self._folders = set()

    def _add(self, path, mode, content=b"", device=(0, 0)):
        self._inode += 1
        name = path.lstrip("/").encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        head = b"070701" + b"".join(b"%08x" % number for number in numbers) + name
        self._parts.append(head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4))

    def folder(self, path):
        path = path.strip("/")
        if not path or path in self._folders:
            return
        self.folder(path.rpartition("/")[0])
        self._folders.add(path)
        self._add(path, stat.S_IFDIR | 0o755)

    def file(self, path, content, mode=0o755):
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFREG | mode, content if isinstance(content, bytes) else content.encode())

    def link(self, path, target):
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def node(self, path, major, minor):
        self.folder(path.rpartition("/")[0])
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def data(self):
        self._inode = -1
        self._add("TRAILER!!!", 0)
        data = b"".join(self._parts)
        self._parts.pop()
        return data + bytes(-len(data) % 512)
