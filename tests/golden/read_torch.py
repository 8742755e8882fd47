#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a file of torch.save with nothing but the standard library, and checks what can be checked: the archive's
checksums, stored files at multiples of 64 bytes, a pickle of protocol 2 that asks only for what torch.load with
weights_only=True allows. usage: read_torch.py FILE: prints, per tensor in order: path type shape stride offset,
which of the storages, in order, and its crc32; then all else as Python prints it."""
import collections
import io
import pickle
import pickletools
import struct
import sys
import zipfile
import zlib

WIDTH = {"Float": 4, "Half": 2, "BFloat16": 2, "Double": 8, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
         "Bool": 1}


class Storage:
    def __init__(self, name):
        self.name, self.width = name, WIDTH[name.removesuffix("Storage")]


class Tensor(tuple):
    pass


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if module == "torch" and name.endswith("Storage"):
            return Storage(name)
        return {"collections.OrderedDict": collections.OrderedDict,
                "torch._utils._rebuild_tensor_v2": lambda *args: Tensor(args)}[f"{module}.{name}"]

    def persistent_load(self, what):
        kind, storage, key, place, count = what
        assert kind == "storage" and place == "cpu"
        return storage, key, count


def walk(value, path, archive, root, keys):
    """Prints the tensors; returns the value with a word in the place of each."""
    if isinstance(value, Tensor):
        (storage, key, count), offset, shape, stride, grad, hooks = value[:6]
        data = archive.read(f"{root}/data/{key}")
        assert len(data) == count * storage.width and not hooks
        print(path, storage.name, shape, stride, offset, keys.setdefault(key, len(keys)), f"{zlib.crc32(data):08x}")
        return "tensor"
    if isinstance(value, dict):
        return {k: walk(v, f"{path}[{k!r}]", archive, root, keys) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(walk(v, f"{path}[{i}]", archive, root, keys) for i, v in enumerate(value))
    return value


def main(path):
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw:
        assert archive.testzip() is None
        for info in archive.infolist():
            raw.seek(info.header_offset)
            head = struct.unpack("<4s5H3I2H", raw.read(30))
            assert head[0] == b"PK\3\4" and info.compress_type == 0 and info.file_size == info.compress_size
            assert (info.header_offset + 30 + head[9] + head[10]) % 64 == 0, info.filename
        root, name = archive.namelist()[0].split("/")
        assert name == "data.pkl" and archive.read(f"{root}/version") == b"3\n"
        assert archive.read(f"{root}/byteorder") == b"little"
        data = archive.read(f"{root}/data.pkl")
        assert max(op.proto for op, _, _ in pickletools.genops(data)) == 2
        print(walk(Reader(io.BytesIO(data)).load(), "", archive, root, {}))


main(sys.argv[1])
