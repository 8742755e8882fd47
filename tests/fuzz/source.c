/* SPDX-License-Identifier: GPL-3.0-or-later
 * Text inputs: as plain text and as .jsonl (each perhaps gzipped, which is seen by the content). The first
 * byte chooses. Read twice, they are the same. */
#include "fuzz.h"

#include <xxhash.h>

#include "data/source.h"

static int read_all(mr_source *s, uint64_t *hash)
{
    struct mr_piece piece;
    int got;
    *hash = 0;
    while ((got = mr_source_next(s, &piece)) == 1) {
        fuzz_must(piece.kind != MR_PIECE_END || !piece.size);
        *hash = XXH3_64bits_withSeed(piece.text, piece.size, *hash + (uint64_t)piece.kind);
    }
    return got;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.txt", "a.jsonl"};
    mr_source *s = NULL;
    uint64_t first = 0, second = 0;
    const char *path = size ? fuzz_file(names[data[0] & 1], data + 1, size - 1) : fuzz_file(names[0], "", 0);
    int err = mr_source_open(&s, path, NULL);
    if (err)
        return err;
    err = read_all(s, &first);
    if (!err) {
        fuzz_must(!mr_source_rewind(s));
        fuzz_must(!read_all(s, &second) && first == second);
    }
    mr_source_close(s);
    return err;
}
