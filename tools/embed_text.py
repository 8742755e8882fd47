#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a text file as a C string: embed_text.py OUTPUT.c NAME INPUT"""
import sys

output, name, path = sys.argv[1:]
with open(path, encoding="ascii") as file:
    lines = file.read().split("\n")
with open(output, "w", encoding="ascii") as file:
    file.write(f"/* Made by tools/embed_text.py: do not edit. */\nextern const char {name}[];\nconst char {name}[] =\n")
    for line in lines[:-1]:
        quoted = line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
        file.write(f'    "{quoted}\\n"\n')
    file.write("    ;\n")
