#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a .mrw file as src/io/FORMAT.md describes it, with nothing but the standard library, and checks everything
that can be checked. usage: read_mrw.py FILE: prints the metadata, then per tensor: name dtype shape crc32-of-bytes."""
import json
import struct
import sys
import zlib

WIDTH = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u16": 2, "u8": 1, "bool": 1,
         "q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34, "q2_k": 84, "q3_k": 110, "q4_k": 144, "q5_k": 176, "q6_k": 210, "q8_k": 292}


def unshuffle(data, width):
    n, out = len(data) // width, bytearray(len(data))
    for b in range(width):
        out[b::width] = data[b * n:(b + 1) * n]
    return bytes(out)


def read(path):
    """The metadata, and {name: (dtype, shape, bytes)}."""
    with open(path, "rb") as f:
        file = f.read()
    magic, version, size = struct.unpack_from("<8sII", file)
    assert magic == b"\x89mrw\r\n\x1a\n" and version == 1
    text, (crc,) = file[16:16 + size], struct.unpack_from("<I", file, 16 + size)
    assert crc == zlib.crc32(file[:16 + size])
    header, at = json.loads(text), 20 + size
    count, crc, end = struct.unpack("<QI4s", file[-16:])
    assert end == b"end\n" and crc == zlib.crc32(file[-16 - 8 * count:-8])
    index = struct.iter_unpack("<II", file[-16 - 8 * count:-16])
    tensors = {}
    for t in header["tensors"]:
        width = WIDTH[t["dtype"]]
        left = width
        for n in t["shape"]:
            left *= n
        if t["dtype"].startswith("q"):
            left //= 256 if t["dtype"].endswith("_k") else 32
        data = b""
        while left:
            raw = min(left, header["chunk_bytes"] // width * width)
            packed, crc = next(index)
            assert crc == zlib.crc32(file[at:at + packed])
            inflate = zlib.decompressobj(-15)
            chunk = inflate.decompress(file[at:at + packed])
            assert inflate.eof and not inflate.unused_data and len(chunk) == raw
            data, at, left = data + unshuffle(chunk, width), at + packed, left - raw
        assert t["name"] not in tensors
        tensors[t["name"]] = t["dtype"], t["shape"], data
    assert next(index, None) is None and at == len(file) - 16 - 8 * count
    return header["metadata"], tensors


if __name__ == "__main__":
    meta, found = read(sys.argv[1])
    print(json.dumps(meta, separators=(",", ":")))
    for name, (dtype, shape, data) in found.items():
        print(name, dtype, "x".join(map(str, shape)) or "-", "%08x" % zlib.crc32(data))
