/* SPDX-License-Identifier: GPL-3.0-or-later
 * Before the first iteration ranks compare what they are about to do. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/settings_json.h"
#include "train/trainer.h"

enum { SAMPLES = 64, SAMPLE = 16 };

/* In words, so that a difference can be shown. */
struct card {
    char version[24], data[160], state[200], device[300];
    char settings[4096]; /* JSON */
    int continues;
};

/* FNV-1a over tokens that are spread over the data. */
static int fingerprint(mr_trainer *t, uint64_t *hash)
{
    int32_t tokens[SAMPLE];
    *hash = 14695981039346656037u;
    for (int split = 0; split < MR_SPLITS; split++) {
        uint64_t count = mr_token_data_count(t->data, split), n = count < SAMPLE ? count : SAMPLE;
        for (uint64_t i = 0; i < SAMPLES; i++) {
            MR_TRY(mr_token_data_read(t->data, split, (count - n) / SAMPLES * i, n, tokens));
            for (uint64_t k = 0; k < n; k++)
                *hash = (*hash ^ (uint64_t)tokens[k]) * 1099511628211u;
        }
    }
    return 0;
}

static int describe_settings(const mr_trainer *t, char *text, size_t size)
{
    json_t *all = mr_settings_to_json(&t->cfg->given);
    if (!all)
        return MR_ENOMEM;
    json_object_del(all, "device"); /* each has its own */
    char *line = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
    if (!line)
        return mr_fail(MR_ENOMEM, "out of memory for the settings");
    snprintf(text, size, "%s", line);
    free(line);
    return 0;
}

static int describe(mr_trainer *t, struct card *card)
{
    const struct mr_device_info *device = mr_runtime_info(t->rt);
    uint64_t hash;
    MR_TRY(fingerprint(t, &hash));
    snprintf(card->version, sizeof card->version, "%s", MR_VERSION);
    snprintf(card->data, sizeof card->data, "%" PRIu64 " + %" PRIu64 " tokens of %" PRIu64 " kinds (%08" PRIx64 ")",
             mr_token_data_count(t->data, MR_SPLIT_TRAIN), mr_token_data_count(t->data, MR_SPLIT_VAL),
             mr_token_data_vocab_size(t->data), hash & 0xffffffff);
    snprintf(card->state, sizeof card->state,
             "iteration %" PRId64 ", micro-step %" PRIu64 ", seed %" PRIu64 ", %zu parameters", t->iter, t->micro_step,
             t->seed, mr_params_elements(&t->model->params));
    snprintf(card->device, sizeof card->device, "%s (%s)", device->name, device->driver);
    return describe_settings(t, card->settings, sizeof card->settings);
}

static int other(int rank, const char *what, const char *has, const char *first)
{
    return mr_fail(MR_EINVAL, "rank %d has another %s than rank 0: %s, not %s", rank, what, has, first);
}

/* The first key that differs. */
static int other_settings(int rank, const char *has, const char *first)
{
    json_t *a = json_loads(has, 0, NULL), *b = json_loads(first, 0, NULL);
    const char *key = NULL, *name;
    json_t *value;
    json_object_foreach(a, name, value)
        key = key || json_equal(value, json_object_get(b, name)) ? key : name;
    json_object_foreach(b, name, value)
        key = key || json_object_get(a, name) ? key : name;
    char *x = key ? json_dumps(json_object_get(a, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
    char *y = key ? json_dumps(json_object_get(b, key), JSON_ENCODE_ANY | JSON_REAL_PRECISION(12)) : NULL;
    int err = other(rank, key ? key : "list of settings", x ? x : "none", y ? y : "none");
    free(x);
    free(y);
    json_decref(a);
    json_decref(b);
    return err;
}

static int compare(const mr_trainer *t, const struct card *cards)
{
    for (int r = 1; r < t->ranks; r++) {
        const struct card *c = &cards[r];
        if (strcmp(c->version, cards->version))
            return other(r, "version of the program", c->version, cards->version);
        if (strcmp(c->settings, cards->settings))
            return other_settings(r, c->settings, cards->settings);
        if (strcmp(c->data, cards->data))
            return other(r, "data set", c->data, cards->data);
        if (strcmp(c->state, cards->state))
            return other(r, "state", c->state, cards->state);
        if (!t->parts && !t->cfg->eval_only && strcmp(c->device, cards->device))
            return mr_fail(MR_EINVAL,
                           "rank %d runs on %s, rank 0 on %s: with zero=0 their weights would drift apart; "
                           "use zero=1",
                           r, c->device, cards->device);
    }
    return 0;
}

static void report(const mr_trainer *t, const struct card *cards)
{
    for (int r = 0; r < t->ranks; r++) {
        int last = r;
        while (last + 1 < t->ranks && !strcmp(cards[last + 1].device, cards[r].device))
            last++;
        if (last > r)
            mr_log(MR_LOG_INFO, "ranks %d to %d: %s", r, last, cards[r].device);
        else
            mr_log(MR_LOG_INFO, "rank %d: %s", r, cards[r].device);
        r = last;
    }
}

int mr_trainer_meet(mr_trainer *t, bool *continues)
{
    if (t->ranks == 1)
        return 0;
    struct card *cards = mr_alloc((size_t)t->ranks + 1, sizeof *cards), *mine = cards ? &cards[t->ranks] : NULL;
    int err = cards ? describe(t, mine) : MR_ENOMEM;
    if (!err) {
        mine->continues = *continues;
        err = mr_ranks_gather(t->cfg->ranks, mine, sizeof *mine, cards);
    }
    if (!err)
        err = compare(t, cards);
    if (!err) {
        *continues = cards->continues;
        if (t->rank == 0)
            report(t, cards);
    }
    free(cards);
    return err;
}
