/* SPDX-License-Identifier: GPL-3.0-or-later
 * Vocabularies of RWKV World. */
#include "tokenizer.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    return fuzz_tokenizer_spec("world", fuzz_file("vocab.txt", data, size));
}
