/* SPDX-License-Identifier: GPL-3.0-or-later
 * The state of a sequence as bytes: head, state of the layers, logits of the last token, the tokens of models that may
 * read them again, a byte for each token of the vocabulary (seen or not), and up to the end the tokens drawn with their
 * counts. */
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/file.h"
#include "formats/initial_state.h"
#include "formats/config_json.h"
#include "infer/lm.h"

struct state_head {
    char magic[8];     /* "MRSTATE2" */
    uint64_t checksum; /* XXH3 of all that follows */
    uint64_t model;    /* of the configuration and the weights */
    uint64_t count, drawn, state_size;
};

/* Sizes of the parts behind the head, and of all but the last, the tokens drawn. */
struct state_parts {
    size_t state, logits, seen, tokens, total;
};

static struct state_parts parts_of(const mr_sequence *s, size_t count)
{
    size_t vocab = (size_t)s->lm->model->cfg.vocab_size;
    struct state_parts parts = {.state = mr_states_size(s->lm->states),
                                .logits = vocab * sizeof(float),
                                .seen = vocab,
                                .tokens = mr_lm_is_limited(s->lm) ? count * sizeof *s->tokens : 0};
    parts.total = sizeof(struct state_head) + parts.state + parts.logits + parts.seen + parts.tokens;
    return parts;
}

static uint64_t checksum_of(const void *bytes, size_t size)
{
    size_t skip = offsetof(struct state_head, model);
    return XXH3_64bits((const char *)bytes + skip, size - skip);
}

/* What a state must agree with: the model's configuration and weights. */
static int model_of(const mr_sequence *s, uint64_t *hash)
{
    char *text = mr_config_text(&s->lm->model->cfg);
    if (!text)
        return MR_ENOMEM;
    *hash = XXH3_64bits_withSeed(text, strlen(text), s->lm->model->digest);
    free(text);
    return 0;
}

static int no_state(void)
{
    return mr_fail(MR_EINVAL, "no state to save or restore: a model in reference mode, or past its learned positions, "
                              "rereads the text for every token");
}

static int check_has_state(const mr_sequence *s)
{
    MR_TRY(mr_sequence_check(s));
    return s->rereads ? no_state() : 0;
}

size_t mr_sequence_state_size(const mr_sequence *s)
{
    size_t drawn;
    mr_sampler_drawn(s->sampler, &drawn);
    return s->rereads ? 0 : parts_of(s, s->count).total + drawn * sizeof(struct mr_drawn);
}

int mr_sequence_state(mr_sequence *s, void *bytes)
{
    MR_TRY(check_has_state(s));
    MR_TRY(mr_waiting_fetch(s->lm));
    if (!s->count)
        return mr_fail(MR_EINVAL, "nothing was read yet: there is no state to save");
    size_t count;
    struct state_parts parts = parts_of(s, s->count);
    struct state_head head = {.magic = "MRSTATE", .count = s->count, .drawn = s->drawn, .state_size = parts.state};
    char *at = bytes;
    head.magic[7] = '2';
    MR_TRY(model_of(s, &head.model));
    memcpy(at, &head, sizeof head);
    MR_TRY(mr_states_read(s->lm->states, s->slot, at += sizeof head));
    memcpy(at += parts.state, s->logits, parts.logits);
    at += parts.logits;
    if (parts.tokens)
        memcpy(at, s->tokens, parts.tokens);
    memcpy(at += parts.tokens, mr_sampler_seen(s->sampler), parts.seen);
    const struct mr_drawn *drawn = mr_sampler_drawn(s->sampler, &count);
    if (count)
        memcpy(at + parts.seen, drawn, count * sizeof *drawn);
    head.checksum = checksum_of(bytes, parts.total + count * sizeof *drawn);
    memcpy(bytes, &head, sizeof head);
    return 0;
}

/* Whether the bytes are tokens of the vocabulary with possible counts. */
static int check_drawn(const mr_sequence *s, const char *bytes, size_t size)
{
    struct mr_drawn one;
    for (size_t at = 0; at < size; at += sizeof one) {
        memcpy(&one, bytes + at, sizeof one);
        if (one.id < 0 || one.id >= s->lm->model->cfg.vocab_size || !isfinite(one.count) || one.count < 0)
            return mr_fail(MR_EFILE, "the state is damaged: token %d is said to have been drawn %g times", one.id,
                           (double)one.count);
    }
    return 0;
}

/* Whether the bytes are a whole state of this sequence's model. */
static int check_state(const mr_sequence *s, const void *bytes, size_t size, struct state_head *head)
{
    uint64_t model;
    size_t total = 0;
    if (size < sizeof *head || memcmp(bytes, "MRSTATE", 7) != 0)
        return mr_fail(MR_EFILE, "not a saved state");
    memcpy(head, bytes, sizeof *head);
    if (head->magic[7] != '2')
        return mr_fail(MR_EFILE, "the state was saved in an older format: read the text again and save a new one");
    if (head->checksum != checksum_of(bytes, size))
        return mr_fail(MR_EFILE, "the state is damaged: its checksum does not match its %zu bytes", size);
    MR_TRY(model_of(s, &model));
    if (head->model != model || head->state_size != mr_states_size(s->lm->states))
        return mr_fail(MR_EFILE,
                       "state does not match this model: it was saved with different weights or another configuration");
    if (head->count < 1 || (mr_lm_is_limited(s->lm) && head->count > (uint64_t)s->lm->model->cfg.block_size) ||
        head->count > INT64_MAX / 2 || size < (total = parts_of(s, (size_t)head->count).total) ||
        (size - total) % sizeof(struct mr_drawn))
        return mr_fail(MR_EFILE, "state does not match this model: %llu tokens do not fit its %zu bytes",
                       (unsigned long long)head->count, size);
    return check_drawn(s, (const char *)bytes + total, size - total);
}

int mr_sequence_set_state(mr_sequence *s, const void *bytes, size_t size)
{
    struct state_head head;
    int64_t position;
    const char *at = (const char *)bytes + sizeof head;
    if (!s->lm->states)
        return no_state();
    MR_TRY(check_state(s, bytes, size, &head));
    memcpy(&position, at, sizeof position);
    if (position != (int64_t)head.count)
        return mr_fail(MR_EFILE, "the state is damaged: its position is not %llu", (unsigned long long)head.count);
    struct state_parts parts = parts_of(s, (size_t)head.count);
    if (parts.tokens) {
        int32_t *tokens = mr_alloc((size_t)head.count, sizeof *tokens);
        if (!tokens)
            return MR_ENOMEM;
        free(s->tokens);
        memcpy(s->tokens = tokens, at + parts.state + parts.logits, parts.tokens);
        s->capacity = (size_t)head.count;
    }
    s->lost = true;
    mr_waiting_drop(s);
    MR_TRY(mr_states_write(s->lm->states, s->slot, at, parts.state));
    memcpy(s->logits, at + parts.state, parts.logits);
    memcpy(mr_sampler_seen(s->sampler), at + parts.state + parts.logits + parts.tokens, parts.seen);
    MR_TRY(mr_sampler_set_drawn(s->sampler, (const char *)bytes + parts.total,
                                (size - parts.total) / sizeof(struct mr_drawn)));
    s->rereads = false;
    s->lost = false;
    s->count = (size_t)head.count;
    s->drawn = head.drawn;
    return 0;
}

int mr_sequence_save(mr_sequence *s, const char *path)
{
    MR_TRY(check_has_state(s));
    size_t size = mr_sequence_state_size(s);
    void *bytes = mr_alloc(size, 1);
    if (!bytes)
        return MR_ENOMEM;
    int err = mr_sequence_state(s, bytes);
    if (!err)
        err = mr_file_write(path, bytes, size);
    free(bytes);
    return err;
}

/* A text that begins with a state that was trained. */
static int begin_with(mr_sequence *s, const char *path)
{
    float *state = NULL;
    if (!s->lm->states)
        return no_state();
    MR_TRY(mr_initial_state_open(path, &s->lm->model->cfg, &state));
    size_t size = mr_states_size(s->lm->states);
    char *bytes = mr_alloc(size, 1); /* with its position, 0 */
    int err = bytes ? mr_sequence_rewind(s) : MR_ENOMEM;
    if (!err) {
        memcpy(bytes + sizeof(int64_t), state, size - sizeof(int64_t));
        s->lost = true;
        err = mr_states_write(s->lm->states, s->slot, bytes, size);
        s->lost = err != 0;
    }
    free(bytes);
    free(state);
    return err;
}

int mr_sequence_restore(mr_sequence *s, const char *path)
{
    struct mr_map map;
    MR_TRY(mr_map_open(&map, path));
    bool trained = map.size >= 8 && memcmp(map.data, "MRSTATE", 7) != 0;
    int err = trained ? 0 : mr_sequence_set_state(s, map.data, map.size);
    mr_map_close(&map);
    if (trained)
        return begin_with(s, path);
    return err < 0 ? mr_fail_in(err, "%s", path) : 0;
}
