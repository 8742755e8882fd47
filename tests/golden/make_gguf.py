#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes types.gguf with PyPI's gguf: random numbers in every type that is read, and beside each tensor NAME its numbers
as gguf dequantises them, NAME.want. And keys of every type."""
import pathlib

import gguf
import numpy as np

SCALES = {"Q2_K": (80, 2), "Q3_K": (108, 1), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208, 1)}
draw = np.random.default_rng(1)
writer = gguf.GGUFWriter(pathlib.Path(__file__).parent / "types.gguf", "test")
for name, value in {"uint8": 200, "int8": -3, "uint16": 60000, "int16": -300, "uint32": 4000000000, "int32": -70000,
                    "float32": 0.5, "uint64": 1 << 40, "int64": -1 << 40, "float64": 0.1, "bool": True, "string": "\u00e9 text"}.items():
    getattr(writer, f"add_{name}")(f"test.{name}", value)
writer.add_array("test.texts", ["a", "", "\u4e2d"])
writer.add_array("test.numbers", [1, -2, 3])
writer.add_array("test.long", [0.5] * 300)
for name in ["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", *SCALES]:
    kind = gguf.GGMLQuantizationType[name]
    if name in SCALES:
        at, count = SCALES[name]
        data = draw.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        data[:, at:at + 2 * count] = draw.normal(0, 0.01, (2, count)).astype("<f2").view(np.uint8)
    else:
        data = gguf.quants.quantize(draw.normal(0, 1, (2, 64)).astype("<f4"), kind)
    writer.add_tensor(name, data, raw_dtype=kind)
    writer.add_tensor(name + ".want", gguf.quants.dequantize(data, kind).astype("<f4"))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
