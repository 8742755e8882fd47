/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/nearest.h"
#include "text/tokenizer_kind.h"

enum { FIRST_WAIT = 1 << 16 };

static const struct mr_tokenizer_kind *const kinds[] = {&mr_tokenizer_byte, &mr_tokenizer_char,  &mr_tokenizer_gpt2,
                                                        &mr_tokenizer_json, &mr_tokenizer_world, &mr_tokenizer_bpe};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static const struct mr_tokenizer_kind *find_kind(const char *name, size_t size)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strlen(kinds[i]->name) == size && !memcmp(kinds[i]->name, name, size))
            return kinds[i];
    const char *names[KIND_COUNT];
    char given[32];
    for (int i = 0; i < KIND_COUNT; i++)
        names[i] = kinds[i]->name;
    memcpy(given, name, size < sizeof given ? size : sizeof given - 1);
    given[size < sizeof given ? size : sizeof given - 1] = 0;
    mr_fail(MR_EINVAL, "unknown tokenizer \"%s\": did you mean %s?", given, mr_nearest(given, names, KIND_COUNT));
    return NULL;
}

static int new_tokenizer(mr_tokenizer **out, const struct mr_tokenizer_kind *kind)
{
    mr_tokenizer *t = mr_alloc(1, sizeof *t);
    if (!t)
        return MR_ENOMEM;
    t->kind = kind;
    t->end = -1;
    *out = t;
    return 0;
}

static int build_specials(mr_tokenizer *t)
{
    struct mr_trie_entry *entries = mr_alloc(t->special_count, sizeof *entries);
    if (!entries)
        return MR_ENOMEM;
    for (size_t i = 0; i < t->special_count; i++)
        entries[i] = (struct mr_trie_entry){t->special[i].text, t->special[i].size, t->special[i].id};
    int err = mr_trie_build(&t->special_trie, entries, t->special_count);
    free(entries);
    return err < 0 ? mr_fail_in(err, "special tokens") : 0;
}

int mr_tokenizer_open(mr_tokenizer **out, const char *spec)
{
    const char *colon = strchr(spec, ':');
    mr_tokenizer *t = NULL;
    *out = NULL;
    const struct mr_tokenizer_kind *kind = find_kind(spec, colon ? (size_t)(colon - spec) : strlen(spec));
    if (!kind)
        return MR_EINVAL;
    if (!kind->open)
        return mr_fail(MR_EINVAL, "tokenizer \"%s\" is built from a text by prepare: it cannot be opened by name",
                       spec);
    if (!kind->argument && colon)
        return mr_fail(MR_EINVAL, "tokenizer \"%s\": %s takes no argument", spec, kind->name);
    if (kind->argument && (!colon || !colon[1]))
        return mr_fail(MR_EINVAL, "tokenizer \"%s\" needs a path: %s:%s", spec, kind->name, kind->argument);
    MR_TRY(new_tokenizer(&t, kind));
    int err = kind->open(t, colon ? colon + 1 : NULL);
    if (!err)
        err = build_specials(t);
    if (err < 0) {
        mr_tokenizer_close(t);
        return mr_fail_in(err, "tokenizer %s", spec);
    }
    *out = t;
    return 0;
}

int mr_tokenizer_open_json(mr_tokenizer **out, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "kind"));
    mr_tokenizer *t = NULL;
    *out = NULL;
    if (!name)
        return mr_fail(MR_EFILE, "the stored tokenizer has no \"kind\": the file is damaged");
    const struct mr_tokenizer_kind *kind = find_kind(name, strlen(name));
    if (!kind)
        return MR_EFILE;
    MR_TRY(new_tokenizer(&t, kind));
    int err = kind->load(t, json);
    if (!err)
        err = build_specials(t);
    if (err < 0) {
        mr_tokenizer_close(t);
        return mr_fail_in(err, "the stored tokenizer (%s)", kind->name);
    }
    *out = t;
    return 0;
}

json_t *mr_tokenizer_to_json(const mr_tokenizer *t)
{
    json_t *json = json_pack("{s:s}", "kind", t->kind->name);
    if (!json) {
        mr_fail(MR_ENOMEM, "out of memory while storing the tokenizer");
        return NULL;
    }
    if (t->kind->save(t, json) < 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

void mr_tokenizer_close(mr_tokenizer *t)
{
    if (!t)
        return;
    t->kind->close(t);
    for (size_t i = 0; i < t->special_count; i++)
        free(t->special[i].text);
    free(t->special);
    mr_trie_free(&t->special_trie);
    free(t->source);
    free(t);
}

const char *mr_tokenizer_name(const mr_tokenizer *t)
{
    return t->kind->name;
}

size_t mr_tokenizer_vocab_size(const mr_tokenizer *t)
{
    return t->vocab_size;
}

int64_t mr_tokenizer_end(const mr_tokenizer *t)
{
    return t->end;
}

const uint32_t *mr_tokenizer_start(const mr_tokenizer *t, size_t *count)
{
    *count = t->start_count;
    return t->start;
}

int mr_tokenizer_fingerprint(const mr_tokenizer *t, uint64_t *hash)
{
    json_t *json = mr_tokenizer_to_json(t);
    if (!json)
        return MR_ENOMEM;
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(json);
    if (!text)
        return mr_fail(MR_ENOMEM, "out of memory while hashing the tokenizer");
    *hash = XXH64(text, strlen(text), 0);
    free(text);
    return 0;
}

bool mr_tokenizer_equal(const mr_tokenizer *a, const mr_tokenizer *b)
{
    uint64_t x, y;
    if (a == b)
        return true;
    return a->kind == b->kind && a->vocab_size == b->vocab_size && a->end == b->end &&
           !mr_tokenizer_fingerprint(a, &x) && !mr_tokenizer_fingerprint(b, &y) && x == y;
}

int mr_tokenizer_decode(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size)
{
    if (id >= t->vocab_size)
        return mr_fail(MR_EFILE, "token %u is outside the vocabulary of %s (%zu tokens)", id, t->kind->name,
                       t->vocab_size);
    t->kind->decode(t, id, bytes, size);
    return 0;
}

int mr_tokenizer_add_special(mr_tokenizer *t, const char *text, size_t size, uint32_t id)
{
    struct mr_special *grown = mr_realloc(t->special, t->special_count + 1, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    t->special = grown;
    char *copy = mr_alloc(size + 1, 1);
    if (!copy)
        return MR_ENOMEM;
    memcpy(copy, text, size);
    grown[t->special_count++] = (struct mr_special){copy, size, id};
    return 0;
}

int mr_tokenizer_keep_source(mr_tokenizer *t, const json_t *object)
{
    t->source = json_dumps(object, JSON_COMPACT);
    return t->source ? 0 : mr_fail(MR_ENOMEM, "out of memory while storing the tokenizer");
}

int mr_tokenizer_save_source(const mr_tokenizer *t, json_t *json)
{
    json_t *object = json_loads(t->source, 0, NULL);
    int err = object && !json_object_update(json, object)
                  ? 0
                  : mr_fail(MR_ENOMEM, "out of memory while storing the tokenizer");
    json_decref(object);
    return err;
}

/* ---- encoders ------------------------------------------------------------------------------------------ */

int mr_encoder_open(mr_encoder **out, const mr_tokenizer *t, bool special)
{
    mr_encoder *e = mr_alloc(1, sizeof *e);
    *out = NULL;
    if (!e)
        return MR_ENOMEM;
    e->tokenizer = t;
    e->special = special;
    e->wait = FIRST_WAIT;
    if (t->kind->scratch_open) {
        int err = t->kind->scratch_open(e);
        if (err < 0) {
            mr_encoder_close(e);
            return err;
        }
    }
    *out = e;
    return 0;
}

void mr_encoder_close(mr_encoder *e)
{
    if (!e)
        return;
    if (e->scratch)
        e->tokenizer->kind->scratch_close(e->scratch);
    mr_str_free(&e->pending);
    free(e);
}

/* Where a stretch of text between special tokens stands. */
struct stretch {
    mr_encoder *e;
    const char *bytes; /* at position `start` */
    uint64_t start;
};

static int encode_stretch(void *context, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    struct stretch *s = context;
    mr_encoder *e = s->e;
    *used = 0;
    e->position = s->start + (uint64_t)(bytes - s->bytes);
    if (size || (!more && e->begun)) {
        int err = e->tokenizer->kind->encode(e, bytes, size, more, ids, used);
        if (err < 0) {
            e->begun = false;
            return err;
        }
    }
    e->begun = more && (e->begun || *used);
    return 0;
}

/* Encodes what is certain (all, if nothing follows) and sets *used. */
static int encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    static const struct mr_trie nothing;
    struct stretch s = {e, bytes, e->position};
    MR_TRY(mr_trie_cut(e->special ? &e->tokenizer->special_trie : &nothing, bytes, size, more, encode_stretch, &s, ids,
                       used));
    e->position = s.start + *used;
    return 0;
}

int mr_encoder_feed(mr_encoder *e, const char *bytes, size_t size, struct mr_ids *ids)
{
    size_t used = 0;
    if (e->pending.size) {
        MR_TRY(mr_str_append(&e->pending, bytes, size));
        if (e->pending.size < e->wait)
            return 0;
        MR_TRY(encode(e, e->pending.text, e->pending.size, true, ids, &used));
        e->pending.size -= used;
        memmove(e->pending.text, e->pending.text + used, e->pending.size);
    } else if (size) {
        MR_TRY(encode(e, bytes, size, true, ids, &used));
        MR_TRY(mr_str_append(&e->pending, bytes + used, size - used));
    }
    /* An attempt costs as much as the bytes it looks at: wait until there are twice as many. */
    e->wait = e->pending.size > FIRST_WAIT / 2 ? e->pending.size * 2 : FIRST_WAIT;
    return 0;
}

int mr_encoder_finish(mr_encoder *e, struct mr_ids *ids)
{
    size_t used;
    int err = e->pending.size || e->begun ? encode(e, e->pending.text, e->pending.size, false, ids, &used) : 0;
    e->pending.size = 0;
    e->position = 0;
    e->wait = FIRST_WAIT;
    return err;
}

int mr_tokenizer_encode(const mr_tokenizer *t, const char *bytes, size_t size, bool special, struct mr_ids *ids)
{
    mr_encoder *e = NULL;
    size_t used;
    MR_TRY(mr_encoder_open(&e, t, special));
    int err = size ? encode(e, bytes, size, false, ids, &used) : 0;
    mr_encoder_close(e);
    return err;
}
