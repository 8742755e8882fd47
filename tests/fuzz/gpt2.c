/* SPDX-License-Identifier: GPL-3.0-or-later
 * The files of the tokenizer gpt2: the vocabulary, and behind the line "====" the merges. */
#include "tokenizer.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    fuzz_parts(data, size, parts, 2);
    fuzz_part_file("vocab.json", &parts[0]);
    fuzz_part_file("merges.txt", &parts[1]);
    return fuzz_tokenizer_spec("gpt2", fuzz_folder());
}
