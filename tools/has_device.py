#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exit status 0 when any platform of the OpenCL loader has a device, else 1: ./run asks before the program is
built whether PoCL must be installed."""
import ctypes
import ctypes.util
import sys

ALL_KINDS = ctypes.c_uint64(0xFFFFFFFF)


def count_devices():
    cl = ctypes.CDLL(ctypes.util.find_library("OpenCL") or "libOpenCL.so.1")
    count, total = ctypes.c_uint32(), 0
    if cl.clGetPlatformIDs(0, None, ctypes.byref(count)) or not count.value:
        return 0
    platforms = (ctypes.c_void_p * count.value)()
    cl.clGetPlatformIDs(count.value, platforms, None)
    for platform in platforms:
        if cl.clGetDeviceIDs(ctypes.c_void_p(platform), ALL_KINDS, 0, None, ctypes.byref(count)) == 0:
            total += count.value
    return total


if __name__ == "__main__":
    try:
        sys.exit(0 if count_devices() else 1)
    except OSError:  # no loader
        sys.exit(1)
