/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files of the tokenizer that prepare --train-bpe writes. */
#include "tokenizer.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    return fuzz_tokenizer_spec("bpe", fuzz_file("bpe.json", data, size));
}
