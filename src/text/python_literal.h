/* SPDX-License-Identifier: GPL-3.0-or-later
 * String and bytes literals as Python's repr() writes them. */
#ifndef MR_TEXT_PYTHON_LITERAL_H
#define MR_TEXT_PYTHON_LITERAL_H

#include <stddef.h>

#include "base/str.h"

/* Appends what 'text', "text" (in UTF-8) or b'bytes' stands for. The whole of `literal` must be one literal; else
 * MR_EFILE with what is wrong. */
int mr_python_literal(const char *literal, size_t size, struct mr_str *bytes);

#endif
