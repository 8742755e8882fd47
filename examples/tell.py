#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a story with a trained model, in Python, with nothing but the standard library:

    python3 tell.py out/demo "One day"

The installed library must be where the system looks for libraries (else: LD_LIBRARY_PATH).
"""
import ctypes
import sys
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int32, c_size_t, c_uint64, c_void_p

NAME = "libmicrorwkv.dylib" if sys.platform == "darwin" else "libmicrorwkv.so.0"


class Sampling(ctypes.Structure):
    """struct mr_sampling"""
    _fields_ = [("size", c_size_t), ("temperature", c_float), ("top_k", c_int), ("top_p", c_float), ("repetition_penalty", c_float),
                ("seed", c_uint64)]


library = ctypes.CDLL(NAME)
library.mr_error_text.restype = c_char_p


def call(name, kinds, *arguments):
    """Calls a function that gives 0 (or more) or a negative error."""
    function = getattr(library, name)
    function.argtypes, function.restype = kinds, c_int
    result = function(*arguments)
    if result < 0:
        raise RuntimeError(library.mr_error_text().decode(errors="replace"))
    return result


def close(name, handle):
    function = getattr(library, name)
    function.argtypes, function.restype = [c_void_p], None
    function(handle)


def tokens(sequence, limit=300):
    """The ids that continue what the sequence has read."""
    sampling, token = Sampling(), c_int32()
    library.mr_sampling_defaults(byref(sampling), c_size_t(ctypes.sizeof(sampling)))
    for _ in range(limit):
        if not call("mr_sequence_next", [c_void_p, POINTER(Sampling), POINTER(c_int32)], sequence, byref(sampling), byref(token)):
            return
        yield token.value


def tell(lm, sequence, prompt):
    out, text, size = sys.stdout.buffer, c_void_p(), c_size_t()
    call("mr_sequence_prompt", [c_void_p, c_char_p, c_size_t], sequence, prompt, len(prompt))
    out.write(prompt)
    for token in tokens(sequence):
        call("mr_lm_token_text", [c_void_p, c_int32, POINTER(c_void_p), POINTER(c_size_t)], lm, token, byref(text), byref(size))
        out.write(ctypes.string_at(text.value, size.value))
        out.flush()  # the story appears as it is told
    out.write(b"\n")


def main(model="out/demo", prompt="One day"):
    rt, lm, sequence = c_void_p(), c_void_p(), c_void_p()
    try:
        call("mr_runtime_open", [POINTER(c_void_p), c_char_p], byref(rt), None)
        call("mr_lm_open", [POINTER(c_void_p), c_void_p, c_char_p, c_void_p], byref(lm), rt, model.encode(), None)
        call("mr_sequence_open", [POINTER(c_void_p), c_void_p], byref(sequence), lm)
        tell(lm, sequence, prompt.encode())
    finally:
        close("mr_sequence_close", sequence)
        close("mr_lm_close", lm)
        close("mr_runtime_close", rt)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except RuntimeError as error:
        sys.exit(f"tell.py: {error}")
