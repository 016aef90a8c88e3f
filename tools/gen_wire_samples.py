"""facts/wire/*.toml -> wire-samples.c: messages encoded by this file, for the unit tests and the fuzz seeds.

It is a second writer of the format, so the codecs are not only held against themselves. For each message there
is one with every optional there, one with none, and for each counted item one whose count is over its limit.
"""
import struct

from gen_wire_facts import Field, Type, Wire


class Sampler:
    """Writes synthetic values; `present` says whether optionals are there and lists have elements."""

    def __init__(self, wire, present):
        self.wire, self.present, self.count = wire, present, 0
        self.places = []    # (offset, limit) of each counted item

    def next(self):
        self.count += 1
        return self.count

    def padded(self, data):
        return data + bytes(-len(data) % 4)

    def base(self, base, at):
        n = self.next()
        if base in ("int", "uint") or base in self.wire.enums:
            return struct.pack(">I", 0xC0000000 + n)
        if base in ("hyper", "uhyper"):
            return struct.pack(">Q", 0xC0000000DEADBEEF + n)
        if base == "double":
            return struct.pack(">d", n + 0.25)
        if base in ("char", "uchar"):
            return struct.pack(">I", n % 100 + 1)
        if base in ("short", "ushort"):
            return struct.pack(">I", n * 7 % 30000)
        if base == "string":
            text = ("value-%d-\u00e9" % n)[:4 + n % 8].encode()
            self.places.append((at, 4194304))
            return struct.pack(">I", len(text)) + self.padded(text)
        if base == "uuid":
            return bytes((n + i) % 256 for i in range(16))
        if base in self.wire.unions:
            arms = self.wire.unions[base]["parsed"]
            value, field = arms[n % len(arms)]
            return struct.pack(">i", value) + self.field(field, at + 4)
        return self.fields(self.wire.structs[base].fields, at)

    def field(self, f, at):
        t = f.type
        if t.base == "opaque":
            data = bytes(range(1, 2 + self.next() % 6)) if self.present else b""
            self.places.append((at, t.limit))
            return struct.pack(">I", len(data)) + self.padded(data)
        if t.kind == "optional":
            return struct.pack(">I", 1) + self.base(t.base, at + 4) if self.present else struct.pack(">I", 0)
        if t.kind == "plain":
            return self.base(t.base, at)
        n = t.limit if t.kind == "array" else 2 if self.present else 0
        out = b"" if t.kind == "array" else struct.pack(">I", n)
        if t.kind == "list":
            self.places.append((at, t.limit))
        for _ in range(n):
            out += self.base(t.base, at + len(out))
        return out

    def fields(self, fields, at=0):
        out = b""
        for f in fields:
            out += self.field(f, at + len(out))
        return out


def c_bytes(data):
    return "(const uint8_t[]){ " + ", ".join(str(b) for b in data) + " }"


def rows(wire, table, at, part, fields):
    out = []
    for present in True, False:
        sampler = Sampler(wire, present)
        data = sampler.fields(fields)
        out += [f"        {{ {table}, {at}, {part}, SAMPLE_GOOD, {len(data)}, {c_bytes(data)} }},"]
        for offset, limit in sampler.places if present else []:
            bad = data[:offset] + struct.pack(">I", limit + 1) + data[offset + 4:]
            out += [f"        {{ {table}, {at}, {part}, SAMPLE_OVER_LIMIT, {len(bad)}, {c_bytes(bad)} }},"]
    return out


def generate(facts):
    wire = Wire(facts)
    assert Sampler(wire, True).fields([Field("x", Type("plain", "int"))]) == b"\xc0\0\0\1"
    header = ["#pragma once", "/* generated from facts/wire by tools/gen_wire_samples.py */", "#include <stddef.h>",
              "#include <stdint.h>", "", "typedef enum SamplePart { SAMPLE_ARGS, SAMPLE_RET, SAMPLE_EVENT } SamplePart;",
              "typedef enum SampleKind { SAMPLE_GOOD, SAMPLE_OVER_LIMIT } SampleKind;", "",
              "typedef struct WireSample {", "        uint32_t program;", "        int32_t number;", "        SamplePart part;",
              "        SampleKind kind;", "        size_t len;", "        const uint8_t *data;", "} WireSample;", "",
              "extern const WireSample wire_samples[];", "extern const size_t n_wire_samples;", ""]
    body = []
    for row in wire.procs:
        program = f"{wire.programs[row['program']]['number']:#x}"
        for part, struct_ in ("SAMPLE_ARGS", row["args_struct"]), ("SAMPLE_RET", row["ret_struct"]):
            if struct_:
                body += rows(wire, program, row["number"], part, struct_.fields)
    for row in wire.events:
        body += rows(wire, f"{wire.programs[row['program']]['number']:#x}", row["number"], "SAMPLE_EVENT", row["fields"])
    source = ["/* generated from facts/wire by tools/gen_wire_samples.py */", '#include "wire/wire-samples.h"', "",
              "const WireSample wire_samples[] = {", *body, "};",
              "const size_t n_wire_samples = sizeof(wire_samples) / sizeof(wire_samples[0]);", ""]
    return {"wire-samples.h": "\n".join(header), "wire-samples.c": "\n".join(source)}
