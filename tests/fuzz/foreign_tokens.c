/* SPDX-License-Identifier: GPL-3.0-or-later
 * Token files of llm.c and Megatron: a .bin, and the .idx beside it or nothing. */
#include "fuzz.h"

#include "data/foreign_tokens.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    mr_foreign_tokens *tokens = NULL;
    uint32_t ids[64];
    fuzz_parts(data, size, parts, 2);
    fuzz_part_file("a.idx", &parts[1]);
    int err = mr_foreign_tokens_open(&tokens, fuzz_part_file("a.bin", &parts[0]));
    uint64_t count = err || !tokens ? 0 : mr_foreign_tokens_count(tokens);
    for (uint64_t at = 0; at < count && !err; at += 64)
        err = mr_foreign_tokens_read(tokens, at, count - at < 64 ? (size_t)(count - at) : 64, 65536, ids);
    mr_foreign_tokens_close(tokens);
    return err;
}
