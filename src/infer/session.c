/* SPDX-License-Identifier: GPL-3.0-or-later
 * A session: a model reading and continuing one text. Prompts are read in chunks, then token by token with a state
 * of constant size. Models that have no such state (reference mode), or have learned positions and are past the
 * last, read the last block again for every token, as published. */
#include "infer/session.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"
#include "infer/sampler.h"
#include "formats/load.h"
#include "text/folder.h"

#define CHUNK 256 /* positions of a prompt read in one call */

struct mr_session {
    mr_runtime *rt;
    mr_model *model;
    mr_pass *pass;           /* with a state, CHUNK positions a call; or without, a whole block */
    bool recomputes;         /* no state: the last block is read again */
    mr_tokenizer *tokenizer; /* NULL: ids only */
    mr_sampler *sampler;
    float *logits;   /* [V] of the last token read */
    int32_t *tokens; /* all read so far, when they may be needed again */
    size_t count, capacity;
    uint64_t drawn;
};

static bool limited(const struct mr_session *s)
{
    return s->model->cfg.positions == MR_POSITIONS_LEARNED;
}

static int open_pass(struct mr_session *s, bool recomputes)
{
    const struct mr_config *cfg = &s->model->cfg;
    mr_pass_free(s->pass);
    s->pass = NULL;
    s->recomputes = recomputes;
    struct mr_pass_options options = {
        .batch = 1, .time = recomputes ? cfg->block_size : CHUNK, .with_state = !recomputes};
    if (limited(s) && options.time > cfg->block_size)
        options.time = cfg->block_size;
    return mr_pass_create(&s->pass, s->model, &options);
}

int mr_session_open_with(mr_session **out, mr_runtime *rt, const char *path, const json_t *overrides,
                         const char *tokenizer)
{
    int err = MR_ENOMEM;
    struct mr_model_file file = {0};
    mr_session *s = mr_alloc(1, sizeof *s);
    if (!s)
        return err;
    s->rt = rt;
    MR_GO(mr_model_open(&s->model, rt, path, overrides, false, &file));
    if (tokenizer)
        MR_GO(mr_tokenizer_open(&s->tokenizer, tokenizer));
    else if (file.tokenizer)
        MR_GO(mr_tokenizer_open_json(&s->tokenizer, file.tokenizer));
    else if (mr_is_folder(path))
        MR_GO(mr_folder_tokenizer(&s->tokenizer, path));
    if (s->tokenizer && mr_tokenizer_vocab_size(s->tokenizer) > (size_t)s->model->cfg.vocab_size) {
        err = mr_fail(MR_EINVAL,
                      "the tokenizer has %zu tokens, the model %s knows only %d: give the one it was trained with",
                      mr_tokenizer_vocab_size(s->tokenizer), path, s->model->cfg.vocab_size);
        goto fail;
    }
    MR_GO(open_pass(s, s->model->cfg.family == MR_MICRORWKV && s->model->cfg.mode == MR_REFERENCE));
    MR_GO(mr_sampler_create(&s->sampler, s->model->cfg.vocab_size));
    err = MR_ENOMEM;
    s->logits = mr_alloc((size_t)s->model->cfg.vocab_size, sizeof *s->logits);
    if (!s->logits)
        goto fail;
    mr_model_file_free(&file);
    *out = s;
    return 0;
fail:
    mr_model_file_free(&file);
    mr_session_close(s);
    return err;
}

int mr_session_open(mr_session **session, mr_runtime *rt, const char *model)
{
    return mr_session_open_with(session, rt, model, NULL, NULL);
}

void mr_session_close(mr_session *s)
{
    if (!s)
        return;
    free(s->tokens);
    free(s->logits);
    mr_sampler_free(s->sampler);
    mr_tokenizer_close(s->tokenizer);
    mr_pass_free(s->pass);
    mr_model_free(s->model);
    free(s);
}

const mr_tokenizer *mr_session_tokenizer(const mr_session *s)
{
    return s->tokenizer;
}

int mr_session_reset(mr_session *s)
{
    s->count = 0;
    s->drawn = 0;
    mr_sampler_reset(s->sampler);
    bool reference = s->model->cfg.family == MR_MICRORWKV && s->model->cfg.mode == MR_REFERENCE;
    return s->recomputes && !reference ? open_pass(s, false) : mr_pass_reset(s->pass);
}

static bool remembers(const struct mr_session *s)
{
    return s->recomputes || limited(s);
}

static int remember(struct mr_session *s, const int32_t *tokens, int count)
{
    for (int i = 0; i < count; i++)
        mr_sampler_see(s->sampler, tokens[i]);
    s->count += (size_t)count;
    if (!remembers(s))
        return 0;
    if (s->count > s->capacity) {
        size_t capacity = 2 * s->count + 64;
        int32_t *grown = mr_realloc(s->tokens, capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        s->tokens = grown;
        s->capacity = capacity;
    }
    memcpy(s->tokens + s->count - (size_t)count, tokens, (size_t)count * sizeof *tokens);
    return 0;
}

/* The last block of the text from the start, logits of its last token. */
static int read_block_again(struct mr_session *s)
{
    size_t block = (size_t)s->model->cfg.block_size, n = s->count < block ? s->count : block;
    MR_TRY(mr_pass_forward(s->pass, s->tokens + s->count - n, 1, (int)n, false, 1));
    return mr_pass_logits(s->pass, (int)n - 1, 1, s->logits);
}

int mr_session_feed(mr_session *s, const int32_t *tokens, int count)
{
    if (count < 1)
        return 0;
    for (int i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= s->model->cfg.vocab_size)
            return mr_fail(MR_EINVAL, "token %d is outside the vocabulary of %d", tokens[i], s->model->cfg.vocab_size);
    MR_TRY(remember(s, tokens, count));
    if (!s->recomputes && limited(s) && s->count > (size_t)s->model->cfg.block_size)
        MR_TRY(open_pass(s, true));
    if (s->recomputes)
        return read_block_again(s);
    for (int at = 0, n; at < count; at += n) {
        int most = limited(s) && s->model->cfg.block_size < CHUNK ? s->model->cfg.block_size : CHUNK;
        n = count - at < most ? count - at : most;
        MR_TRY(mr_pass_forward(s->pass, tokens + at, 1, n, false, 1));
        if (at + n == count)
            MR_TRY(mr_pass_logits(s->pass, n - 1, 1, s->logits));
    }
    return 0;
}

int mr_session_prompt(mr_session *s, const char *text, size_t size)
{
    if (!s->tokenizer)
        return mr_fail(MR_EINVAL, "this model has no tokenizer inside: give one (--tokenizer)");
    struct mr_ids ids = {0};
    int err = mr_tokenizer_encode(s->tokenizer, text, size, false, &ids);
    int32_t *tokens = err ? NULL : mr_alloc(ids.count, sizeof *tokens);
    if (!err && !tokens)
        err = MR_ENOMEM;
    for (size_t i = 0; !err && i < ids.count; i++)
        tokens[i] = (int32_t)ids.id[i];
    if (!err && ids.count > 1 << 30)
        err = mr_fail(MR_EINVAL, "a prompt of %zu tokens is too long", ids.count);
    if (!err)
        err = mr_session_feed(s, tokens, (int)ids.count);
    free(tokens);
    mr_ids_free(&ids);
    return err;
}

int mr_session_next(mr_session *s, const struct mr_sampling *sampling, int32_t *id)
{
    MR_TRY(mr_sampling_check(sampling));
    if (s->count == 0)
        return mr_fail(MR_EINVAL, "nothing was read yet: a text needs a prompt of at least one token to go on from");
    *id = mr_sampler_draw(s->sampler, sampling, s->logits, s->drawn++);
    if (s->tokenizer && *id == mr_tokenizer_end(s->tokenizer))
        return 0;
    MR_TRY(mr_session_feed(s, id, 1));
    return 1;
}

int mr_session_text(mr_session *s, int32_t id, const char **bytes, size_t *size)
{
    if (!s->tokenizer)
        return mr_fail(MR_EINVAL, "this model has no tokenizer inside: give one (--tokenizer)");
    *bytes = "";
    *size = 0;
    if (id >= 0 && (size_t)id >= mr_tokenizer_vocab_size(s->tokenizer))
        return 0; /* the model's vocabulary is padded */
    return mr_tokenizer_decode(s->tokenizer, (uint32_t)id, bytes, size);
}

int64_t mr_session_position(const mr_session *s)
{
    return (int64_t)s->count;
}

/* ---- the state in a file ----------------------------------------------------------------------------------------
 * Head, state of the pass, logits of the last token, the tokens of models that may read them again, and a byte per
 * token of the vocabulary (seen or not). */

struct state_head {
    char magic[8];     /* "MRSTATE1" */
    uint64_t checksum; /* XXH3 of all that follows */
    uint64_t model;    /* XXH3 of the model's configuration */
    uint64_t count, drawn, state_size;
};

/* Sizes of a state's parts behind its head. */
struct state_parts {
    size_t state, logits, seen, tokens, total;
};

static struct state_parts parts_of(const struct mr_session *s, size_t count)
{
    size_t vocab = (size_t)s->model->cfg.vocab_size;
    struct state_parts parts = {.state = mr_pass_state_size(s->pass),
                                .logits = vocab * sizeof(float),
                                .seen = vocab,
                                .tokens = remembers(s) ? count * sizeof *s->tokens : 0};
    parts.total = sizeof(struct state_head) + parts.state + parts.logits + parts.seen + parts.tokens;
    return parts;
}

static uint64_t checksum_of(const void *file, size_t size)
{
    size_t skip = offsetof(struct state_head, model);
    return XXH3_64bits((const char *)file + skip, size - skip);
}

/* What a state must agree with: the model's configuration. */
static int model_of(const struct mr_session *s, uint64_t *hash)
{
    json_t *json = mr_config_json(&s->model->cfg);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        return mr_fail(MR_ENOMEM, "out of memory");
    *hash = XXH3_64bits(text, strlen(text));
    free(text);
    return 0;
}

static int check_has_state(const struct mr_session *s)
{
    if (s->recomputes)
        return mr_fail(
            MR_EINVAL,
            "there is no state to save or restore: a model in reference mode, or past its learned positions, "
            "reads the text again for every token");
    return 0;
}

int mr_session_save(mr_session *s, const char *path)
{
    MR_TRY(check_has_state(s));
    struct state_parts parts = parts_of(s, s->count);
    struct state_head head = {.count = s->count, .drawn = s->drawn, .state_size = parts.state};
    memcpy(head.magic, "MRSTATE1", sizeof head.magic);
    MR_TRY(model_of(s, &head.model));
    char *file = mr_alloc(parts.total, 1), *at = file;
    if (!file)
        return MR_ENOMEM;
    at = (char *)mempcpy(at, &head, sizeof head);
    int err = mr_pass_state_read(s->pass, at);
    at = (char *)mempcpy(at + parts.state, s->logits, parts.logits);
    if (parts.tokens)
        at = (char *)mempcpy(at, s->tokens, parts.tokens);
    memcpy(at, mr_sampler_seen(s->sampler), parts.seen);
    head.checksum = checksum_of(file, parts.total);
    memcpy(file, &head, sizeof head);
    if (!err)
        err = mr_file_write(path, file, parts.total);
    free(file);
    return err;
}

/* Whether the file is a whole state of this session's model. */
static int check_state(const struct mr_session *s, const struct mr_map *map, const char *path, struct state_head *head)
{
    uint64_t model;
    if (map->size < sizeof *head || memcmp(map->data, "MRSTATE1", 8) != 0)
        return mr_fail(MR_EFILE, "%s is not a saved state", path);
    memcpy(head, map->data, sizeof *head);
    if (head->checksum != checksum_of(map->data, map->size))
        return mr_fail(MR_EFILE, "%s is a damaged state: its checksum does not fit its %zu bytes", path, map->size);
    MR_TRY(model_of(s, &model));
    if (head->model != model || head->state_size != mr_pass_state_size(s->pass))
        return mr_fail(MR_EFILE, "%s is the state of another model: its configuration differs", path);
    if (head->count < 1 || (limited(s) && head->count > (uint64_t)s->model->cfg.block_size) ||
        head->count > INT64_MAX / 2 || map->size != parts_of(s, (size_t)head->count).total)
        return mr_fail(MR_EFILE, "%s is no state of this model: %llu tokens do not fit its %zu bytes", path,
                       (unsigned long long)head->count, map->size);
    return 0;
}

int mr_session_restore(mr_session *s, const char *path)
{
    struct mr_map map;
    struct state_head head;
    int err;
    MR_TRY(check_has_state(s));
    MR_TRY(mr_map_open(&map, path));
    MR_GO(check_state(s, &map, path, &head));
    struct state_parts parts = parts_of(s, (size_t)head.count);
    const uint8_t *at = map.data + sizeof head;
    MR_GO(mr_session_reset(s));
    if ((err = mr_pass_state_restore(s->pass, at, parts.state)) < 0) {
        err = mr_fail_in(err == MR_EINVAL ? MR_EFILE : err, "%s", path);
        goto fail;
    }
    if (mr_pass_position(s->pass) != (int64_t)head.count) {
        MR_GO(mr_session_reset(s));
        err = mr_fail(MR_EFILE, "%s is no state of this model: its position is not %llu", path,
                      (unsigned long long)head.count);
        goto fail;
    }
    memcpy(s->logits, at += parts.state, parts.logits);
    at += parts.logits;
    if (parts.tokens)
        MR_GO(remember(s, (const int32_t *)(const void *)at, (int)head.count));
    memcpy(mr_sampler_seen(s->sampler), at + parts.tokens, parts.seen);
    s->count = (size_t)head.count;
    s->drawn = head.drawn;
fail:
    mr_map_close(&map);
    return err;
}
