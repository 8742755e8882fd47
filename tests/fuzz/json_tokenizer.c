/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files tokenizer.json. */
#include "tokenizer.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    return fuzz_tokenizer_spec("json", fuzz_file("tokenizer.json", data, size));
}
