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

enum { META_FORMAT = 1, LARGEST_UINT16_VOCAB = 65536, WRITE_TOKENS = 4096 };
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
        const char *digest; /* in meta; NULL: an older program wrote it */
    } split[MR_SPLITS];
};

const char *mr_split_name(int split)
{
    return split == MR_SPLIT_TRAIN ? "train" : "val";
}

static void split_path(char path[PATH_MAX], const char *folder, int split)
{
    snprintf(path, PATH_MAX, "%s/%s.bin", folder, mr_split_name(split));
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
    if (format > META_FORMAT) {
        err = mr_fail(MR_EFILE, "format %lld is newer than this program knows (%d)", (long long)format, META_FORMAT);
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
    }
    return 0;
fail:
    return mr_fail_in(err, "%s", path);
}

/* Of the size and of what stands at evenly spaced places (of all, in a small file): tells at once whether a file is
 * the one that meta.json is about. */
static int digest(const struct mr_map *map, char hex[33])
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

static int check_digest(const mr_token_data *d, int split, const char *path)
{
    char hex[33];
    if (!d->split[split].digest)
        return 0;
    MR_TRY(digest(&d->split[split].map, hex));
    return strcmp(hex, d->split[split].digest)
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

static int map_split(mr_token_data *d, int split)
{
    char path[PATH_MAX];
    split_path(path, d->folder, split);
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
    return check_digest(d, split, path);
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
    for (int i = 0; i < MR_SPLITS; i++)
        mr_map_close(&d->split[i].map);
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

/* ---- writing ------------------------------------------------------------------------------------------- */

struct mr_token_writer {
    char *folder;
    const mr_tokenizer *tokenizer;
    int width;
    struct {
        mr_writer *file;
        uint64_t count, bytes;
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
    w->width = mr_tokenizer_vocab_size(tokenizer) > LARGEST_UINT16_VOCAB ? 4 : 2;
    w->folder = mr_strdup(folder);
    err = w->folder ? mr_make_folder(folder, 0777) : MR_ENOMEM;
    for (int i = 0; i < MR_SPLITS && !err; i++) {
        char path[PATH_MAX];
        split_path(path, folder, i);
        err = mr_writer_open(&w->split[i].file, path);
    }
    if (err) {
        mr_token_writer_discard(w);
        return err;
    }
    *out = w;
    return 0;
}

int mr_token_writer_write(mr_token_writer *w, int split, const uint32_t *ids, size_t count, uint64_t text_bytes)
{
    unsigned char bytes[4 * WRITE_TOKENS];
    w->split[split].count += count;
    w->split[split].bytes += text_bytes;
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

/* What meta.json says of a split, whose file is in its place. */
static int about(const mr_token_writer *w, int split, json_t **json)
{
    char path[PATH_MAX], hex[33];
    struct mr_map map;
    split_path(path, w->folder, split);
    MR_TRY(mr_map_open(&map, path));
    int err = digest(&map, hex);
    mr_map_close(&map);
    *json = err ? NULL
                : json_pack("{sI sI ss}", "tokens", (json_int_t)w->split[split].count, "bytes",
                            (json_int_t)w->split[split].bytes, "digest", hex);
    return err;
}

static int write_meta(const mr_token_writer *w)
{
    char path[PATH_MAX];
    json_t *said = NULL;
    json_t *tokenizer = mr_tokenizer_to_json(w->tokenizer);
    if (!tokenizer)
        return MR_ENOMEM;
    json_t *meta =
        json_pack("{si so sI ss}", "format", META_FORMAT, "tokenizer", tokenizer, "vocab_size",
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
    if (!err)
        err = write_meta(w);
    mr_token_writer_discard(w);
    return err;
}

void mr_token_writer_discard(mr_token_writer *w)
{
    if (!w)
        return;
    for (int i = 0; i < MR_SPLITS; i++)
        mr_writer_discard(w->split[i].file);
    free(w->folder);
    free(w);
}
