#!/usr/bin/python3
"""Drives a virt-manager of this session as a person would, by what it tells screen readers (AT-SPI).

Run on a lab host by test_virt_manager.py: virt-manager-drive.py STEPS, where STEPS is a function below. Prints what it
saw; what does not appear in time ends it with a sentence.
"""
import contextlib
import sys
import time
import warnings

import gi

gi.require_version("Atspi", "2.0")
from gi.repository import Atspi  # noqa: E402

warnings.filterwarnings("ignore", category=DeprecationWarning)
PATIENCE_S = 120


def walk(node):
    yield node
    for i in range(node.get_child_count()):
        child = node.get_child_at_index(i)
        if child:
            yield from walk(child)


def windows():
    desktop = Atspi.get_desktop(0)
    apps = [desktop.get_child_at_index(i) for i in range(desktop.get_child_count())]
    return [app for app in apps if app and "virt-manager" in (app.get_name() or "")]


def matches(node, name, role):
    return name in (node.get_name() or "") and node.get_role_name() == role and \
        node.get_state_set().contains(Atspi.StateType.SHOWING)


def find(name, role, root=None, then=None):
    """The one that is shown, as soon as it is; name may be part of a longer one. What then(it) gives, if told."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        # widgets go while they are looked at: then all is looked at again
        with contextlib.suppress(gi.repository.GLib.Error):
            for top in [root] if root else windows():
                found = next((node for node in walk(top) if matches(node, name, role)), None)
                if found:
                    return then(found) if then else found
        time.sleep(0.05)
    raise SystemExit(f"no {role} '{name}' appeared")


def press(name, root, role="push button"):
    find(name, role, root, lambda button: Atspi.Action.do_action(button, 0))


def open_tab(name, root):
    find(name, "page tab", root, lambda tab: Atspi.Selection.select_child(tab.get_parent(), tab.get_index_in_parent()))


def field(label):
    """The text field that a label is for."""
    relations = label.get_relation_set()
    return next(r.get_target(0) for r in relations if r.get_relation_type() == Atspi.RelationType.LABEL_FOR)


def write(label, root, text):
    find(label, "label", root, lambda found: Atspi.EditableText.set_text_contents(field(found), text))


def storage_and_networks():
    """Lists both, then makes a network, a pool and a volume."""
    host = find("Connection Details", "frame")
    open_tab("Virtual Networks", host)
    find("default", "table cell", host)
    press("net-add", host)
    dialog = find("Create a new virtual network", "frame")
    write("Name:", dialog, "byhand")
    press("Finish", dialog)
    find("byhand", "table cell", host)
    print("network made")
    open_tab("Storage", host)
    find("disks", "table cell", host)
    press("pool-add", host)
    dialog = find("Add a New Storage Pool", "frame")
    write("Name:", dialog, "byhand")
    press("Finish", dialog)
    find("byhand", "table cell", host)
    print("pool made")
    press("vol-new", host)
    dialog = find("Add a Storage Volume", "frame")
    write("Name:", dialog, "made")
    press("Finish", dialog)
    find("made.qcow2", "table cell", host)
    print("volume made")


def a_guests_hardware():
    """Opens a guest's details, and what could be added to it."""
    guest = find("one on QEMU/KVM", "frame")
    find("NIC", "table cell", guest)
    press("add-hardware", guest)
    dialog = find("Add New Virtual Hardware", "frame")
    for kind in ("Storage", "Network", "PCI Host Device", "USB Host Device"):
        find(kind, "table cell", dialog)
    print("hardware shown")


def screen():
    """What is on the display now: rows of RGB bytes."""
    gi.require_version("Gdk", "3.0")
    from gi.repository import Gdk  # noqa: PLC0415: it connects to the display
    root = Gdk.get_default_root_window()
    picture = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
    data, stride, samples = picture.get_pixels(), picture.get_rowstride(), picture.get_n_channels()
    lines = [data[y * stride:][:picture.get_width() * samples] for y in range(picture.get_height())]
    if samples == 4:
        lines = [b"".join(line[i:i + 3] for i in range(0, len(line), 4)) for line in lines]
    return lines


def shows(wanted, seen):
    """Is a picture somewhere on the screen? Nine rows of ten are enough: a cursor blinks, a pointer hides some."""
    y, mark = max(enumerate(wanted), key=lambda row: len(set(row[1][i:i + 3] for i in range(0, len(row[1]), 3))) * 1000 + row[1].count(0xa8))
    for top, line in enumerate(seen):
        x = line.find(mark)
        if x >= 0 and x % 3 == 0:
            same = sum(seen[row][x:x + len(mark)] == wanted[i] for i, row in enumerate(range(top - y, top - y + len(wanted)))
                       if 0 <= row < len(seen))
            return same * 10 >= len(wanted) * 9
    return False


def a_guests_screen():
    """Opens a guest's console: the picture that the guest shows must be in the window."""
    find("screen on QEMU/KVM", "frame")
    a_picture()


def a_picture():
    """It is somewhere on the screen."""
    with open("/root/screen.ppm", "rb") as file:
        _, size, _, pixels = file.read().split(b"\n", 3)
    width = int(size.split()[0]) * 3
    wanted = [pixels[i:i + width] for i in range(0, len(pixels), width)]
    deadline = time.monotonic() + PATIENCE_S
    while not shows(wanted, screen()):
        if time.monotonic() > deadline:
            raise SystemExit("the guest's picture did not appear")
        time.sleep(0.2)
    print("screen shown")


globals()[sys.argv[1]]()
