"""What a tree of files is: a model in memory that answers acts as POSIX wants it, beneath one directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

MAX_LINKS = 40


class Refused(Exception):
    """An act that is answered with an error; its argument is the name."""


def refuse(error: str) -> NoReturn:
    """Answer with an error."""
    raise Refused(error)


@dataclass(eq=False)
class File:
    """A file; `handles` are open."""

    data: bytearray = field(default_factory=bytearray)
    links: int = 1
    handles: int = 0


@dataclass(eq=False)
class Link:
    """A symbolic link."""

    target: str
    links: int = 1


@dataclass(eq=False)
class Dir:
    """A directory; `gone` when it was removed."""

    names: dict[str, Node] = field(default_factory=dict)
    gone: bool = False


Node = File | Link | Dir


@dataclass(eq=False)
class Handle:
    """What is open."""

    node: File | Dir
    write: bool


@dataclass
class Quota:
    """Bytes and names that may be added: what is removed gives its part back, and never more than was taken."""

    disk: int = 1 << 40
    names: int = 1 << 40
    bytes_taken: int = 0
    names_taken: int = 0

    def take_name(self) -> None:
        """Make room for a name."""
        if self.names_taken >= self.names:
            refuse("nospc")
        self.names_taken += 1

    def take_bytes(self, wanted: int) -> int:
        """Take as many bytes as there is room for."""
        taken = min(wanted, self.disk - self.bytes_taken)
        self.bytes_taken += taken
        return taken

    def give_bytes(self, count: int) -> None:
        """Take them back."""
        self.bytes_taken = max(0, self.bytes_taken - count)

    def give_name(self) -> None:
        """Take it back."""
        self.names_taken = max(0, self.names_taken - 1)


class Model:
    """A tree, and the handles a guest has in it; slot 0 is the tree itself."""

    def __init__(self, root: Dir, *, writable: bool, quota: Quota, standard: str) -> None:
        self.root = root
        self.writable = writable
        self.quota = quota
        self.standard = standard
        self.slots: dict[int, Handle] = {0: Handle(root, write=False)}

    def said(self, name: str, *args: Any, **options: Any) -> Any:
        """Do an act and give its answer."""
        try:
            answer = getattr(self, name)(*args, **options)
        except Refused as refused:
            return str(refused)
        return True if answer is None else answer

    # the way to a name

    def _handle(self, slot: int) -> Handle:
        return self.slots.get(slot) or refuse("closed")

    def _dir(self, slot: int) -> Dir:
        node = self._handle(slot).node
        return node if isinstance(node, Dir) else refuse("notdir")

    def _change(self) -> None:
        if not self.writable:
            refuse("rofs")

    def _walk(self, base: Dir, path: str, *, follow: bool) -> tuple[Dir, str, Node | None]:
        """Lead to a directory, a name and what has it; the name is empty where a link leads to a directory itself."""
        above, rest, links = [base], path.split("/")[::-1], 0
        while rest:
            name = rest.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(above) == 1:
                    refuse("perm")
                above.pop()
                continue
            node = above[-1].names.get(name)
            if isinstance(node, Link) and (rest or follow):
                links += 1
                if links > MAX_LINKS:
                    refuse("loop")
                rest.extend(node.target.split("/")[::-1])
                continue
            if not rest:
                return above[-1], name, node
            if node is None:
                refuse("noent")
            if not isinstance(node, Dir):
                refuse("notdir")
            above.append(node)
        return above[-1], "", above[-1]

    def _put(self, parent: Dir, name: str, node: Node) -> None:
        if parent.gone:
            refuse("noent")
        self.quota.take_name()
        parent.names[name] = node

    def _drop(self, node: Node) -> None:
        """Count a name less, and the bytes when it was the last."""
        self.quota.give_name()
        if isinstance(node, Dir):
            node.gone = True
            return
        node.links -= 1
        if isinstance(node, File) and not node.links and not node.handles:
            self.quota.give_bytes(len(node.data))

    # acts on handles

    def open(
        self,
        slot: int,
        path: str,
        *,
        base: int = 0,
        write: bool = False,
        create: bool = False,
        exclusive: bool = False,
        truncate: bool = False,
        directory: bool = False,
        follow: bool = True,
    ) -> None:
        """Open a path."""
        self._shut(slot)
        writes = write or create or truncate
        top = self._dir(base)
        if directory and (create or exclusive or truncate):
            refuse("inval")
        if writes:
            self._change()
        once = create and exclusive
        found = self._walk(top, path, follow=follow and not once)
        if found[2] and once:
            refuse("exist")
        node = found[2] or (self._create(*found[:2]) if create else refuse("noent"))
        if isinstance(node, Link):
            refuse("loop")
        if isinstance(node, Dir) and writes and not directory:
            refuse("isdir")
        if isinstance(node, File):
            if directory:
                refuse("notdir")
            node.handles += 1
            if truncate:
                self.quota.give_bytes(len(node.data))
                del node.data[:]
        self.slots[slot] = Handle(node, write)

    def _create(self, parent: Dir, name: str) -> File:
        file = File()
        self._put(parent, name, file)
        return file

    def _shut(self, slot: int) -> None:
        handle = self.slots.pop(slot, None)
        if handle and isinstance(handle.node, File):
            handle.node.handles -= 1
            if not handle.node.handles and not handle.node.links:
                self.quota.give_bytes(len(handle.node.data))

    def close(self, slot: int) -> None:
        """Let go of it."""
        self._handle(slot)
        self._shut(slot)

    def _file(self, slot: int, *, write: bool = False, wrong: str = "isdir") -> File:
        handle = self._handle(slot)
        if not isinstance(handle.node, File):
            refuse(wrong)
        if write and not handle.write:
            refuse("badf")
        return handle.node

    def read(self, slot: int, offset: int, length: int) -> bytes:
        """Read at an offset."""
        return bytes(self._file(slot).data[offset : offset + length])

    def write(self, slot: int, offset: int, data: bytes) -> int:
        """Write at an offset: what there is room for."""
        file = self._file(slot, write=True)
        length, end = len(file.data), offset + len(data)
        wanted = max(0, end - length) if data else max(0, offset - length)
        granted = self.quota.take_bytes(wanted)
        count = len(data) if granted == wanted else min(max(0, length + granted - offset), len(data))
        grown = max(0, offset + count - length) if count else 0
        self.quota.give_bytes(granted - grown)
        if data and not count:
            refuse("nospc")
        if count:
            file.data.extend(bytes(max(0, offset + count - length)))
            file.data[offset : offset + count] = data[:count]
        return count

    def append(self, slot: int, data: bytes) -> None:
        """Write at the end; a stream of 0.2 says when that was not all."""
        count = self.write(slot, len(self._file(slot, write=True).data), data)
        if count < len(data) and self.standard == "wasi02":
            refuse("nospc")

    def set_size(self, slot: int, size: int) -> None:
        """Cut or stretch."""
        data = self._file(slot, write=True, wrong="badf").data
        wanted = max(0, size - len(data))
        granted = self.quota.take_bytes(wanted)
        if granted < wanted:
            self.quota.give_bytes(granted)
            refuse("nospc")
        self.quota.give_bytes(max(0, len(data) - size))
        del data[size:]
        data.extend(bytes(wanted))

    def fstat(self, slot: int) -> tuple[Any, ...]:
        """Look at it."""
        return look(self._handle(slot).node)

    def list(self, slot: int) -> list[tuple[str, str]]:
        """List its names."""
        found = self._dir(slot).names.items()
        return sorted(((name, look(node)[0]) for name, node in found), key=lambda entry: entry[0].encode())

    # acts on names

    def stat(self, path: str, *, base: int = 0, follow: bool = True) -> tuple[Any, ...]:
        """Look at what a path leads to."""
        node = self._walk(self._dir(base), path, follow=follow)[2]
        return look(node or refuse("noent"))

    def readlink(self, path: str, *, base: int = 0) -> str:
        """Say what a link names."""
        node = self._walk(self._dir(base), path, follow=False)[2] or refuse("noent")
        return node.target if isinstance(node, Link) else refuse("inval")

    def _name(self, base: int, path: str) -> tuple[Dir, str, Node | None]:
        self._dir(base)
        self._change()
        return self._walk(self._dir(base), path, follow=False)

    def _both(self, base: int, to: int) -> None:
        for find in (self._handle, self._dir):
            find(base)
            find(to)

    def mkdir(self, path: str, *, base: int = 0) -> None:
        """Make a directory."""
        parent, name, node = self._name(base, path)
        if node:
            refuse("exist")
        self._put(parent, name, Dir())

    def symlink(self, target: str, path: str, *, base: int = 0) -> None:
        """Make a symbolic link."""
        parent, name, node = self._name(base, path)
        if node:
            refuse("exist")
        self._put(parent, name, Link(target))

    def rmdir(self, path: str, *, base: int = 0) -> None:
        """Remove an empty directory."""
        parent, name, node = self._name(base, path)
        if not node:
            refuse("noent")
        if not isinstance(node, Dir):
            refuse("notdir")
        if node.names:
            refuse("notempty")
        del parent.names[name]
        self._drop(node)

    def unlink(self, path: str, *, base: int = 0) -> None:
        """Take a name away."""
        parent, name, node = self._name(base, path)
        if not node:
            refuse("noent")
        if isinstance(node, Dir):
            refuse("isdir")
        del parent.names[name]
        self._drop(node)

    def link(self, old: str, new: str, *, base: int = 0, to: int = 0) -> None:
        """Give a second name."""
        self._both(base, to)
        node = self._name(base, old)[2] or refuse("noent")
        parent, name, taken = self._name(to, new)
        if taken:
            refuse("exist")
        if parent.gone:
            refuse("noent")
        if isinstance(node, Dir):
            refuse("perm")
        self._put(parent, name, node)
        node.links += 1

    def rename(self, old: str, new: str, *, base: int = 0, to: int = 0) -> None:
        """Give another name, in the place of what has it."""
        self._both(base, to)
        parent, name, node = self._name(base, old)
        over, new_name, taken = self._name(to, new)
        if not node:
            refuse("noent")
        if isinstance(node, Dir) and contains(node, over):
            refuse("inval")
        if over.gone:
            refuse("noent")
        if taken is node:
            return
        if isinstance(taken, Dir) and contains(taken, parent):
            refuse("notempty")
        if taken and isinstance(node, Dir) and not isinstance(taken, Dir):
            refuse("notdir")
        if isinstance(taken, Dir) and not isinstance(node, Dir):
            refuse("isdir")
        if isinstance(taken, Dir) and taken.names:
            refuse("notempty")
        del parent.names[name]
        over.names[new_name] = node
        if taken:
            self._drop(taken)


def contains(above: Dir, below: Dir) -> bool:
    """Whether a directory is another or lies in it."""
    return above is below or any(isinstance(node, Dir) and contains(node, below) for node in above.names.values())


def look(node: Node) -> tuple[Any, ...]:
    """Tell of a file what acts tell."""
    match node:
        case Dir():
            return ("directory",)
        case Link():
            return ("link", node.links, len(node.target.encode()))
        case File():
            return ("file", node.links, len(node.data))


def flat(root: Dir, above: str = "") -> dict[str, Any]:
    """Write down a tree: None for a directory, bytes for a file, text for a link."""
    found: dict[str, Any] = {}
    for name, node in root.names.items():
        path = f"{above}{name}"
        match node:
            case Dir():
                found[path] = None
                found.update(flat(node, f"{path}/"))
            case Link():
                found[path] = node.target
            case File():
                found[path] = bytes(node.data)
    return found


def difference(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List what a run changed, as `result.changes` does: path, act, kind, sizes."""
    found = []
    for path in before.keys() | after.keys():
        old, new = (_kind_and_size(tree, path) for tree in (before, after))
        if old and new and old[0] == new[0]:
            if before[path] != after[path]:
                found.append((path, "modified", old[0], old[1], new[1]))
            continue
        if old:
            found.append((path, "deleted", *old, None))
        if new:
            found.append((path, "added", new[0], None, new[1]))
    return sorted(found, key=str)


def _kind_and_size(tree: dict[str, Any], path: str) -> tuple[str, int | None] | None:
    match tree.get(path, ...):
        case None:
            return "dir", None
        case bytes() as data:
            return "file", len(data)
        case str() as target:
            return "link", len(target.encode())
    return None
