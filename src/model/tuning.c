/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/tuning.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "model/lora.h"

/* Whether one of the patterns fits; unmatched[k] becomes false where it is pattern k. */
static bool fits(const char *patterns, const char *name, bool *unmatched)
{
    char pattern[MR_NAME];
    bool any = false;
    for (int k = 0; *patterns; k++) {
        size_t n = strcspn(patterns, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)n, patterns);
        if (fnmatch(pattern, name, 0) == 0) {
            any = true;
            unmatched[k] = false;
        }
        patterns += n + (patterns[n] == ',');
    }
    return any;
}

static int freeze(struct mr_params *params, const char *patterns)
{
    enum { MOST = 64 };
    bool unmatched[MOST];
    int count = 0;
    for (const char *at = patterns; *at; count++) {
        size_t n = strcspn(at, ",");
        if (n == 0 || n >= MR_NAME || count == MOST)
            return mr_fail(MR_EINVAL,
                           "train_only=%s: it takes at most %d patterns of 1 to %d characters, with commas "
                           "between them",
                           patterns, MOST, MR_NAME - 1);
        unmatched[count] = true;
        at += n + (at[n] == ',');
    }
    for (int i = 0; i < params->count; i++)
        params->list[i]->frozen = !fits(patterns, params->list[i]->name, unmatched);
    const char *at = patterns;
    for (int k = 0; k < count; k++) {
        size_t n = strcspn(at, ",");
        if (unmatched[k])
            return mr_fail(MR_EINVAL,
                           "train_only: no parameter's name fits \"%.*s\"; names are like %s (`microrwkv info MODEL "
                           "--tensors` lists a file's)",
                           (int)n, at, params->list[params->count / 2]->name);
        at += n + 1;
    }
    return count ? 0 : mr_fail(MR_EINVAL, "train_only is empty: leave it out to train everything");
}

/* blocks.N.att.initial_state [H,N,N], indexed by key, then value. Where they lie and how large they are, r_k [H,N]
 * says.
 */
static int declare_states(struct mr_params *params)
{
    int before = params->count;
    for (int i = 0; i < before; i++) {
        const struct mr_param *p = params->list[i];
        size_t n = strlen(p->name);
        char prefix[MR_NAME];
        if (n < 8 || strcmp(p->name + n - 8, ".att.r_k") != 0)
            continue;
        snprintf(prefix, sizeof prefix, "%.*s", (int)n - 3, p->name);
        struct mr_param *state =
            mr_declare(params, prefix, "initial_state", mr_shape(p->shape[0], p->shape[1], p->shape[1]));
        if (!state)
            return params->error;
        state->adapter = true;
    }
    return params->count > before
               ? 0
               : mr_fail(MR_EINVAL, "adapter=state trains the first states of RWKV-7, and this model has none");
}

int mr_tuning_apply(const struct mr_tuning *tuning, struct mr_params *params)
{
    if (!tuning)
        return 0;
    if (tuning->train_only)
        MR_TRY(freeze(params, tuning->train_only));
    if (!mr_tuning_adapts(tuning))
        return 0;
    for (int i = 0; i < params->count && !tuning->train_only; i++)
        params->list[i]->frozen = true;
    return tuning->state ? declare_states(params) : mr_lora_declare(params, tuning);
}
