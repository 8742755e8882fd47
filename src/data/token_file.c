/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/token_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "data/foreign_tokens.h"
#include "data/nanogpt_meta.h"
#include "data/token_parts.h"

enum { DIGEST_PLACES = 256, DIGEST_BYTES = 4096 };

struct mr_token_data {
    char *folder;
    json_t *meta;                   /* NULL where there is none */
    mr_stored_tokenizer *tokenizer; /* NULL where it is not known */
    uint64_t vocab_size, limit;     /* limit: ids must be below */
    int width;                      /* bytes of a token */
    struct {
        struct mr_map map;
        const uint8_t *tokens; /* in the map, behind a header where there is one */
        uint64_t count, bytes;
        const char *digest;      /* in meta; NULL: an older program wrote it */
        const char *mask_digest; /* in meta; NULL: all tokens are targets */
        struct mr_map mask;
    } split[MR_SPLITS];
};

const char *mr_split_name(int split)
{
    return split == MR_SPLIT_TRAIN ? "train" : "val";
}

void mr_token_path(char path[PATH_MAX], const char *folder, int split)
{
    snprintf(path, PATH_MAX, "%s/%s.bin", folder, mr_split_name(split));
}

void mr_token_mask_path(char path[PATH_MAX], const char *folder, int split)
{
    snprintf(path, PATH_MAX, "%s/%s.mask", folder, mr_split_name(split));
}

static int read_nanogpt_meta(mr_token_data *d)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/meta.pkl", d->folder);
    if (!mr_is_file(path))
        return 0;
    json_t *tokenizer;
    MR_TRY(mr_nanogpt_meta_load(path, &d->vocab_size, &tokenizer));
    d->limit = d->vocab_size;
    int err = tokenizer ? mr_stored_tokenizer_from_json(&d->tokenizer, tokenizer) : 0;
    json_decref(tokenizer);
    return err;
}

static int read_meta(mr_token_data *d)
{
    char path[PATH_MAX];
    const char *dtype;
    int64_t format, number;
    json_t *tokenizer;
    int err;
    snprintf(path, sizeof path, "%s/meta.json", d->folder);
    d->width = 2;
    d->limit = INT32_MAX;
    if (!mr_is_file(path))
        return read_nanogpt_meta(d);
    MR_TRY(mr_json_load(&d->meta, path));
    MR_GO(mr_json_int(d->meta, "format", 1, INT64_MAX, &format));
    if (format > MR_TOKENS_FORMAT) {
        err =
            mr_fail(MR_EFILE, "format %lld is newer than this program knows (%d)", (long long)format, MR_TOKENS_FORMAT);
        goto fail;
    }
    MR_GO(mr_json_int(d->meta, "vocab_size", 1, INT32_MAX, &number));
    d->vocab_size = d->limit = (uint64_t)number;
    MR_GO(mr_json_string(d->meta, "dtype", &dtype));
    if (strcmp(dtype, "uint16") && strcmp(dtype, "uint32")) {
        err = mr_fail(MR_EFILE, "dtype \"%s\" is neither uint16 nor uint32", dtype);
        goto fail;
    }
    d->width = strcmp(dtype, "uint16") ? 4 : 2;
    MR_GO(mr_json_object(d->meta, "tokenizer", &tokenizer));
    MR_GO(mr_stored_tokenizer_from_json(&d->tokenizer, tokenizer));
    for (int i = 0; i < MR_SPLITS; i++) {
        json_t *about;
        MR_GO(mr_json_object(d->meta, mr_split_name(i), &about));
        MR_GO(mr_json_int(about, "tokens", 0, INT64_MAX, &number));
        d->split[i].count = (uint64_t)number;
        MR_GO(mr_json_int_or(about, "bytes", 0, INT64_MAX, 0, &number));
        d->split[i].bytes = (uint64_t)number;
        MR_GO(mr_json_string_or(about, "digest", NULL, &d->split[i].digest));
        MR_GO(mr_json_string_or(about, "mask", NULL, &d->split[i].mask_digest));
    }
    return 0;
fail:
    return mr_fail_in(err, "%s", path);
}

int mr_token_digest(const struct mr_map *map, char hex[33])
{
    uint64_t size = map->size;
    XXH3_state_t *hash = XXH3_createState();
    XXH128_canonical_t bytes;
    if (!hash)
        return mr_fail(MR_ENOMEM, "out of memory for a digest");
    XXH3_128bits_reset(hash);
    XXH3_128bits_update(hash, &size, sizeof size);
    if (size <= DIGEST_PLACES * DIGEST_BYTES)
        XXH3_128bits_update(hash, map->data, map->size);
    else
        for (uint64_t i = 0; i < DIGEST_PLACES; i++)
            XXH3_128bits_update(hash, map->data + (size - DIGEST_BYTES) / (DIGEST_PLACES - 1) * i, DIGEST_BYTES);
    XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(hash));
    XXH3_freeState(hash);
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes.digest[i]);
    return 0;
}

static int check_digest(const struct mr_map *map, const char *expected, const char *path)
{
    char hex[33];
    if (!expected)
        return 0;
    MR_TRY(mr_token_digest(map, hex));
    return strcmp(hex, expected)
               ? mr_fail(MR_EFILE,
                         "%s is not the file that meta.json beside it is about: was prepare stopped while it put its "
                         "files in place, or one of them replaced? Prepare the data again",
                         path)
               : 0;
}

/* Megatron's index beside a token file tells what its numbers are. */
static int read_index(mr_token_data *d, int split)
{
    enum { MAGIC = 9, VERSION = 8, KIND = MAGIC + VERSION };
    static const char *const kinds[] = {"", "uint8", "int8", "int16", "int32", "int64", "float32", "float64", "uint16"};
    char path[PATH_MAX];
    uint8_t head[KIND + 1] = {0};
    mr_reader *in;
    snprintf(path, sizeof path, "%s/%s.idx", d->folder, mr_split_name(split));
    if (!mr_is_file(path))
        return 0;
    MR_TRY(mr_reader_open(&in, path));
    int err = mr_reader_read(in, 0, head, sizeof head);
    mr_reader_close(in);
    MR_TRY(err);
    if (memcmp(head, "MMIDIDX\0\0", MAGIC))
        return mr_fail(MR_EFILE, "%s is no index of Megatron's, as its name says", path);
    const char *kind = head[KIND] < sizeof kinds / sizeof *kinds ? kinds[head[KIND]] : "";
    if (strcmp(kind, "uint16") && strcmp(kind, "int32") && strcmp(kind, "int16"))
        return mr_fail(MR_EFILE, "%s: tokens of kind %d (%s) are not supported: uint16 and int32 are", path, head[KIND],
                       kind);
    d->width = strcmp(kind, "int32") ? 2 : 4;
    return 0;
}

/* Files that prepare did not write: llm.c's begin with a header, others may be no token files at all. */
static int find_tokens(mr_token_data *d, int split, const char *path)
{
    const struct mr_map *map = &d->split[split].map;
    int32_t header[3] = {0};
    d->split[split].tokens = map->data;
    if (d->meta)
        return 0;
    MR_TRY(read_index(d, split));
    if (map->size >= MR_LLM_C_HEADER)
        memcpy(header, map->data, sizeof header);
    if (header[0] == MR_LLM_C_UINT16 || header[0] == MR_LLM_C_UINT32) {
        d->width = header[0] == MR_LLM_C_UINT32 ? 4 : 2;
        d->split[split].tokens += MR_LLM_C_HEADER;
        if (header[2] < 0 || (uint64_t)header[2] != (map->size - MR_LLM_C_HEADER) / (size_t)d->width)
            return mr_fail(MR_EFILE, "%s: its header, of llm.c, says %d tokens, but %zu bytes follow", path, header[2],
                           map->size - MR_LLM_C_HEADER);
        mr_log(MR_LOG_INFO, "%s begins with a header of llm.c, which is passed over", path);
        return 0;
    }
    const char *kind = mr_file_kind(map->data, map->size < MR_FILE_HEAD ? map->size : MR_FILE_HEAD);
    if (!kind)
        kind = mr_text_kind(map->data, map->size < MR_FILE_HEAD ? map->size : MR_FILE_HEAD);
    return kind ? mr_fail(MR_EFILE, "%s cannot be read as tokens: it is %s", path, kind) : 0;
}

static int map_mask(mr_token_data *d, int split)
{
    char path[PATH_MAX];
    struct mr_map *mask = &d->split[split].mask;
    mr_token_mask_path(path, d->folder, split);
    MR_TRY(mr_map_open(mask, path));
    if (mask->size != d->split[split].count)
        return mr_fail(MR_EFILE, "%s says of %zu tokens whether they are targets, but there are %llu", path, mask->size,
                       (unsigned long long)d->split[split].count);
    return check_digest(mask, d->split[split].mask_digest, path);
}

static int map_split(mr_token_data *d, int split)
{
    char path[PATH_MAX];
    mr_token_path(path, d->folder, split);
    if (!mr_is_file(path) && !(d->meta && d->split[split].count)) {
        if (!d->meta)
            mr_log(MR_LOG_WARNING, "there is no %s", path);
        return 0;
    }
    MR_TRY(mr_map_open(&d->split[split].map, path));
    MR_TRY(find_tokens(d, split, path));
    size_t size = d->split[split].map.size - (size_t)(d->split[split].tokens - d->split[split].map.data);
    uint64_t count = size / (size_t)d->width;
    if (size % (size_t)d->width)
        return mr_fail(MR_EFILE, "%s: %zu bytes are no whole number of %d-byte tokens: the file is cut short", path,
                       size, d->width);
    if (d->meta && count != d->split[split].count)
        return mr_fail(MR_EFILE, "%s holds %llu tokens, meta.json beside it says %llu: prepare the data again", path,
                       (unsigned long long)count, (unsigned long long)d->split[split].count);
    d->split[split].count = count;
    MR_TRY(check_digest(&d->split[split].map, d->split[split].digest, path));
    return d->split[split].mask_digest ? map_mask(d, split) : 0;
}

int mr_token_data_open(mr_token_data **out, const char *folder)
{
    mr_token_data *d = mr_alloc(1, sizeof *d);
    int err;
    *out = NULL;
    if (!d)
        return MR_ENOMEM;
    d->folder = mr_strdup(folder);
    err = d->folder ? read_meta(d) : MR_ENOMEM;
    for (int i = 0; i < MR_SPLITS && !err; i++)
        err = map_split(d, i);
    if (!err && !d->split[MR_SPLIT_TRAIN].map.data && !d->split[MR_SPLIT_VAL].map.data)
        err = mr_fail(MR_EFILE,
                      "%s holds neither train.bin nor val.bin with tokens: make them with `microrwkv prepare`", folder);
    if (err) {
        mr_token_data_close(d);
        return err;
    }
    *out = d;
    return 0;
}

void mr_token_data_close(mr_token_data *d)
{
    if (!d)
        return;
    for (int i = 0; i < MR_SPLITS; i++) {
        mr_map_close(&d->split[i].map);
        mr_map_close(&d->split[i].mask);
    }
    json_decref(d->meta);
    mr_stored_tokenizer_free(d->tokenizer);
    free(d->folder);
    free(d);
}

uint64_t mr_token_data_count(const mr_token_data *d, int split)
{
    return d->split[split].count;
}

uint64_t mr_token_data_bytes(const mr_token_data *d, int split)
{
    return d->split[split].bytes;
}

int mr_token_data_find_bytes(mr_token_data *d, const mr_stored_tokenizer *tokenizer)
{
    mr_tokenizer *t = NULL;
    const mr_stored_tokenizer *known = d->tokenizer ? d->tokenizer : tokenizer;
    int err = 0;
    if (d->meta || !known)
        return 0;
    MR_GO(mr_tokenizer_open_stored(&t, known));
    for (int i = 0; i < MR_SPLITS; i++) {
        d->split[i].bytes = 0;
        for (uint64_t at = 0; at < d->split[i].count; at++) {
            const char *bytes;
            size_t size;
            int32_t id;
            MR_GO(mr_token_data_read(d, i, at, 1, &id));
            if ((size_t)id >= mr_tokenizer_vocab_size(t)) { /* made by another one */
                d->split[i].bytes = 0;
                break;
            }
            MR_GO(mr_tokenizer_decode(t, (uint32_t)id, &bytes, &size));
            d->split[i].bytes += id == mr_tokenizer_end(t) ? 0 : size;
        }
    }
fail:
    mr_tokenizer_close(t);
    return err;
}

uint64_t mr_token_data_vocab_size(const mr_token_data *d)
{
    return d->vocab_size;
}

const mr_stored_tokenizer *mr_token_data_tokenizer(const mr_token_data *d)
{
    return d->tokenizer;
}

void mr_token_data_limit(mr_token_data *d, uint64_t vocab_size)
{
    d->limit = vocab_size;
}

int mr_token_data_read(const mr_token_data *d, int split, uint64_t at, size_t count, int32_t *tokens)
{
    if (at > d->split[split].count || count > d->split[split].count - at)
        return mr_fail(MR_EFILE, "%s/%s.bin has %llu tokens: %zu from %llu on are not there", d->folder,
                       mr_split_name(split), (unsigned long long)d->split[split].count, count, (unsigned long long)at);
    const uint8_t *p = d->split[split].tokens;
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *b = p + (at + i) * (uint64_t)d->width;
        uint32_t id = (uint32_t)b[0] | (uint32_t)b[1] << 8;
        if (d->width == 4)
            id |= (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        largest = id > largest ? id : largest;
        tokens[i] = (int32_t)id;
    }
    for (size_t i = 0; largest >= d->limit && i < count; i++)
        if ((uint32_t)tokens[i] >= d->limit)
            return mr_fail(MR_EFILE, "%s/%s.bin: token %llu is %u, outside the vocabulary of %llu", d->folder,
                           mr_split_name(split), (unsigned long long)(at + i), (uint32_t)tokens[i],
                           (unsigned long long)d->limit);
    return 0;
}

bool mr_token_data_is_masked(const mr_token_data *d)
{
    return d->split[MR_SPLIT_TRAIN].mask.data || d->split[MR_SPLIT_VAL].mask.data;
}

void mr_token_data_mask(const mr_token_data *d, int split, uint64_t at, size_t count, int32_t *targets)
{
    const uint8_t *mask = d->split[split].mask.data;
    for (size_t i = 0; mask && i < count; i++)
        if (!mask[at + i])
            targets[i] = -1;
}
