"""Images of formats that no stock tool makes: Bochs, cloop, UML's cow, Apple's dmg, differencing vpc and vhdx."""

import base64
import bz2
import struct
import uuid
import zlib


def cloop(path, content, block=65536):
    head = b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n".ljust(128, b"\0")
    blocks = [zlib.compress(content[at:at + block], 9) for at in range(0, len(content), block)]
    at = 136 + 8 * (len(blocks) + 1)
    offsets = [at]
    for packed in blocks:
        at += len(packed)
        offsets.append(at)
    path.write_bytes(head + struct.pack(">II", block, len(blocks)) + b"".join(struct.pack(">Q", o) for o in offsets)
                     + b"".join(blocks))


def bochs(path, content, extent=65536):
    """A growing image with a hole where an extent is zeros; the catalog is out of order."""
    n = -(-len(content) // extent)
    pieces = [content[i * extent:(i + 1) * extent].ljust(extent, b"\0") for i in range(n)]
    kept = [i for i in range(n) if any(pieces[i])][::-1]
    catalog = [kept.index(i) if i in kept else 0xffffffff for i in range(n)]
    bitmap = 512
    head = struct.pack("<32s16s16sIIIII4xQ", b"Bochs Virtual HD Image", b"Redolog", b"Growing", 0x20000, 512, n,
                       bitmap, extent, len(content))
    data = b"".join(b"\xff" * (extent // 512 // 8) + bytes(bitmap - extent // 512 // 8) + pieces[i] for i in kept)
    path.write_bytes(head.ljust(512, b"\0") + struct.pack(f"<{n}I", *catalog) + data)


def cow(path, base, sectors):
    """An image on top of a raw one of 1 MiB: the sectors given are its own. Returns what it shows."""
    expected, size = bytearray(base.read_bytes()), 1 << 20
    bitmap, data = bytearray(size // 512 // 8), bytearray(size)
    for sector in sectors:
        bitmap[sector // 8] |= 1 << sector % 8
        expected[sector * 512:sector * 512 + 512] = data[sector * 512:sector * 512 + 512] = bytes([sector % 251 + 1]) * 512
    head = struct.pack(">4sI1024sI4xQI4x", b"OOOM", 2, str(base).encode(), 0, size, 512)
    assert len(head) == 1056
    start = -(-(1056 + len(bitmap)) // 512) * 512
    path.write_bytes((head + bitmap).ljust(start, b"\0") + data)
    return expected


def dmg(path, content, xml, kind=None):
    """Chunks of every kind that is read; or all of the one given."""
    data, rows, step = b"", [], 128 << 10
    for i, at in enumerate(range(0, len(content), step)):
        piece = content[at:at + step]
        way = kind or (0x80000005, 0x80000006, 1, 0)[i % 4]
        if way == 0 and any(piece):
            way = 0x80000005
        packed = {0x80000005: lambda p: zlib.compress(p), 0x80000006: lambda p: bz2.compress(p), 1: lambda p: p,
                  0: lambda p: b""}.get(way, lambda p: b"?" * 100)(piece)
        rows.append(struct.pack(">IIQQQQ", way, 0, at // 512, len(piece) // 512, len(data), len(packed)))
        data += packed
    rows.append(struct.pack(">IIQQQQ", 0xffffffff, 0, len(content) // 512, 0, len(data), 0))
    mish = struct.pack(">4sIQQQII", b"mish", 1, 0, len(content) // 512, 0, 0, 0).ljust(200, b"\0") + struct.pack(
        ">I", len(rows)) + b"".join(rows)
    if xml:
        tables = (b"<?xml version=\"1.0\"?><plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict>"
                  b"<key>Data</key><data>\n" + base64.encodebytes(mish) + b"</data></dict></array></dict></dict></plist>")
        places = (0, 0, len(data), len(tables))
    else:
        body = struct.pack(">I", len(mish)) + mish
        tables = struct.pack(">IIII", 16, 16 + len(body), len(body), 0) + body
        places = (len(data), len(tables), 0, 0)
    koly = bytearray(512)
    struct.pack_into(">4sII", koly, 0, b"koly", 4, 512)
    struct.pack_into(">QQ", koly, 0x28, *places[:2])
    struct.pack_into(">QQ", koly, 0xd8, *places[2:])
    struct.pack_into(">Q", koly, 0x1ec, len(content) // 512)
    path.write_bytes(data + tables + koly)


def differencing_vpc(path, parent, relative, sectors):
    """An image on top of a dynamic one: the sectors given are its own, each filled with its number."""
    below = parent.read_bytes()
    footer, head = bytearray(below[:512]), bytearray(below[512:1536])
    entries, block = struct.unpack_from(">I", head, 28)[0], 2 << 20
    struct.pack_into(">I", footer, 60, 4)
    head[64:576] = "C:\\elsewhere\\parent.vhd".encode("utf-16-be").ljust(512, b"\0")
    name = (".\\" + relative).encode("utf-16-le")
    struct.pack_into(">4sIIIQ", head, 576, b"W2ru", 512, len(name), 0, 1536 + 512)
    for data, at in ((footer, 64), (head, 36)):
        struct.pack_into(">I", data, at, 0)
        struct.pack_into(">I", data, at, ~sum(data) & 0xffffffff)
    table, blocks, place = [0xffffffff] * entries, b"", 1536 + 1024
    for number in sorted({sector * 512 // block for sector in sectors}):
        bitmap, data = bytearray(512), bytearray(block)
        for sector in (s for s in sectors if s * 512 // block == number):
            inside = sector % (block // 512)
            bitmap[inside // 8] |= 0x80 >> inside % 8
            data[inside * 512:inside * 512 + 512] = bytes([sector % 251 + 1]) * 512
        table[number] = (place + len(blocks)) // 512
        blocks += bitmap + data
    path.write_bytes(footer + head + struct.pack(f">{entries}I", *table).ljust(512, b"\xff") + name.ljust(512, b"\0")
                     + blocks + footer)


def differencing_vhdx(path, parent, relative, sectors, whole=(), zero=(), undefined=()):
    """An image on top of a dynamic one with blocks of 1 MiB: the sectors given are its own, each filled with its number; so
    are whole blocks, those that are zeros, and those whose content was given up."""
    data, mib, per_chunk = bytearray(parent.read_bytes()), 1 << 20, 4096
    regions = {}
    for i in range(struct.unpack_from("<I", data, (192 << 10) + 8)[0]):
        guid, at = struct.unpack_from("<16sQ", data, (192 << 10) + 16 + 32 * i)
        regions[guid[0]] = at
    table, metadata = regions[0x66], regions[0x06]
    headers = [(struct.unpack_from("<Q", data, at + 8)[0], bytes(data[at + 32:at + 48])) for at in (64 << 10, 128 << 10)]
    linkage = "{%s}" % str(uuid.UUID(bytes_le=max(headers)[1])).upper()
    count = struct.unpack_from("<H", data, metadata + 10)[0]
    items = {}
    for i in range(count):
        guid, at = struct.unpack_from("<16sI", data, metadata + 32 + 32 * i)
        items[guid[0]] = metadata + at
    data[items[0x37] + 4] |= 2  # file parameters: it has a parent
    texts = {"parent_linkage": linkage, "relative_path": ".\\" + relative, "absolute_win32_path": "C:\\elsewhere\\p.vhdx"}
    rows, strings = b"", b""
    for key, value in texts.items():
        key, value, at = key.encode("utf-16-le"), value.encode("utf-16-le"), 20 + 12 * len(texts) + len(strings)
        rows += struct.pack("<IIHH", at, at + len(key), len(key), len(value))
        strings += key + value
    locator = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913").bytes_le + struct.pack("<HH", 0, len(texts)) + rows + strings
    data[metadata + (128 << 10):metadata + (128 << 10) + len(locator)] = locator
    struct.pack_into("<16sIII", data, metadata + 32 + 32 * count, uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le,
                     128 << 10, len(locator), 4)
    struct.pack_into("<H", data, metadata + 10, count + 1)
    del data[max(table, metadata) + mib:]
    data[table:table + mib] = bytes(mib)
    bitmap, bitmap_at = bytearray(mib), len(data)
    data += bitmap
    struct.pack_into("<Q", data, table + 8 * per_chunk, bitmap_at | 6)
    for number in sorted({sector * 512 // mib for sector in sectors} | set(whole)):
        block = bytearray(b"w" * mib if number in whole else bytes(mib))
        for sector in (s for s in sectors if s * 512 // mib == number):
            bitmap[sector // 8] |= 1 << sector % 8
            inside = sector * 512 % mib
            block[inside:inside + 512] = bytes([sector % 251 + 1]) * 512
        struct.pack_into("<Q", data, table + 8 * number, len(data) | (6 if number in whole else 7))
        data += block
    for numbers, state in ((zero, 2), (undefined, 3)):
        for number in numbers:
            struct.pack_into("<Q", data, table + 8 * number, state)
    data[bitmap_at:bitmap_at + mib] = bitmap
    path.write_bytes(data)
