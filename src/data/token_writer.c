/* SPDX-License-Identifier: GPL-3.0-or-later
 * Writing prepared data. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "data/token_parts.h"

enum { LARGEST_UINT16_VOCAB = 65536, WRITE_TOKENS = 4096 };

struct mr_token_writer {
    char *folder;
    const mr_tokenizer *tokenizer;
    int width;
    bool targets; /* what follows is */
    bool masks;   /* are written */
    struct {
        mr_writer *file, *mask; /* mask NULL: none */
        uint64_t count, bytes, targets;
    } split[MR_SPLITS];
};

int mr_token_writer_open(mr_token_writer **out, const char *folder, const mr_tokenizer *tokenizer)
{
    mr_token_writer *w = mr_alloc(1, sizeof *w);
    int err;
    *out = NULL;
    if (!w)
        return MR_ENOMEM;
    w->tokenizer = tokenizer;
    w->targets = true;
    w->width = mr_tokenizer_vocab_size(tokenizer) > LARGEST_UINT16_VOCAB ? 4 : 2;
    w->folder = mr_strdup(folder);
    err = w->folder ? mr_make_folder(folder, 0777) : MR_ENOMEM;
    for (int i = 0; i < MR_SPLITS && !err; i++) {
        char path[PATH_MAX];
        mr_token_path(path, folder, i);
        err = mr_writer_open(&w->split[i].file, path);
    }
    if (err) {
        mr_token_writer_discard(w);
        return err;
    }
    *out = w;
    return 0;
}

int mr_token_writer_masks(mr_token_writer *w)
{
    for (int i = 0; i < MR_SPLITS; i++) {
        char path[PATH_MAX];
        mr_token_mask_path(path, w->folder, i);
        MR_TRY(mr_writer_open(&w->split[i].mask, path));
    }
    w->masks = true;
    return 0;
}

void mr_token_writer_targets(mr_token_writer *w, bool targets)
{
    w->targets = targets;
}

static int write_mask(mr_token_writer *w, int split, size_t count)
{
    unsigned char bytes[WRITE_TOKENS];
    memset(bytes, w->targets, sizeof bytes);
    w->split[split].targets += w->targets ? count : 0;
    for (size_t done = 0; done < count && w->split[split].mask; done += WRITE_TOKENS)
        MR_TRY(mr_writer_write(w->split[split].mask, bytes, count - done < WRITE_TOKENS ? count - done : WRITE_TOKENS));
    return 0;
}

int mr_token_writer_write(mr_token_writer *w, int split, const uint32_t *ids, size_t count, uint64_t text_bytes)
{
    unsigned char bytes[4 * WRITE_TOKENS];
    w->split[split].count += count;
    w->split[split].bytes += text_bytes;
    MR_TRY(write_mask(w, split, count));
    for (size_t done = 0; done < count;) {
        size_t n = count - done < WRITE_TOKENS ? count - done : WRITE_TOKENS, size = 0;
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < w->width; k++)
                bytes[size++] = (unsigned char)(ids[done + i] >> 8 * k);
        MR_TRY(mr_writer_write(w->split[split].file, bytes, size));
        done += n;
    }
    return 0;
}

uint64_t mr_token_writer_count(const mr_token_writer *w, int split)
{
    return w->split[split].count;
}

uint64_t mr_token_writer_bytes(const mr_token_writer *w, int split)
{
    return w->split[split].bytes;
}

/* The same of its mask. */
static int about_mask(const mr_token_writer *w, int split, json_t **json)
{
    char path[PATH_MAX], hex[33];
    struct mr_map map;
    mr_token_mask_path(path, w->folder, split);
    int err = mr_map_open(&map, path);
    if (!err) {
        err = mr_token_digest(&map, hex);
        mr_map_close(&map);
    }
    if (!err)
        err = mr_json_set(*json, "mask", json_string(hex));
    if (!err)
        err = mr_json_set(*json, "targets", json_integer((json_int_t)w->split[split].targets));
    if (err) {
        json_decref(*json);
        *json = NULL;
    }
    return err;
}

/* What meta.json says of a split, whose file is in its place. */
static int about(const mr_token_writer *w, int split, json_t **json)
{
    char path[PATH_MAX], hex[33];
    struct mr_map map;
    mr_token_path(path, w->folder, split);
    MR_TRY(mr_map_open(&map, path));
    int err = mr_token_digest(&map, hex);
    mr_map_close(&map);
    *json = err ? NULL
                : json_pack("{sI sI ss}", "tokens", (json_int_t)w->split[split].count, "bytes",
                            (json_int_t)w->split[split].bytes, "digest", hex);
    return err || !w->masks ? err : about_mask(w, split, json);
}

static int write_meta(const mr_token_writer *w)
{
    char path[PATH_MAX];
    json_t *said = NULL;
    json_t *tokenizer = mr_tokenizer_to_json(w->tokenizer);
    if (!tokenizer)
        return MR_ENOMEM;
    json_t *meta =
        json_pack("{si so sI ss}", "format", MR_TOKENS_FORMAT, "tokenizer", tokenizer, "vocab_size",
                  (json_int_t)mr_tokenizer_vocab_size(w->tokenizer), "dtype", w->width == 4 ? "uint32" : "uint16");
    int err = meta ? 0 : mr_fail(MR_ENOMEM, "out of memory for meta.json");
    for (int i = 0; i < MR_SPLITS && !err; i++) {
        err = about(w, i, &said);
        if (!err)
            err = mr_json_set(meta, mr_split_name(i), said);
    }
    snprintf(path, sizeof path, "%s/meta.json", w->folder);
    if (!err)
        err = mr_json_save(meta, path);
    json_decref(meta);
    return err;
}

/* meta.json comes last: until then the old one's digests show that the files are not its own. */
int mr_token_writer_commit(mr_token_writer *w)
{
    int err = 0;
    for (int i = 0; i < MR_SPLITS && !err; i++) {
        mr_writer *file = w->split[i].file;
        w->split[i].file = NULL;
        err = mr_writer_commit(file);
    }
    for (int i = 0; i < MR_SPLITS && !err && w->masks; i++) {
        mr_writer *file = w->split[i].mask;
        w->split[i].mask = NULL;
        err = mr_writer_commit(file);
    }
    if (!err)
        err = write_meta(w);
    mr_token_writer_discard(w);
    return err;
}

void mr_token_writer_discard(mr_token_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < MR_SPLITS; i++) {
        mr_writer_discard(w->split[i].file);
        mr_writer_discard(w->split[i].mask);
    }
    free(w->folder);
    free(w);
}
