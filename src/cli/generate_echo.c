/* SPDX-License-Identifier: GPL-3.0-or-later
 * What --json shows of tokens: log-probabilities, and those of the prompt. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "cli/generate.h"

static json_t *one_json(mr_lm *lm, const struct mr_logprob *p)
{
    const char *bytes = "";
    size_t size = 0;
    mr_lm_token_text(lm, p->id, &bytes, &size); /* its id is one of the vocabulary */
    return json_pack("{si so so}", "id", p->id, "text", mr_json_repaired(bytes, size), "logprob",
                     mr_json_finite((double)p->logprob));
}

json_t *mr_logprobs_json(const struct mr_generate *r, mr_lm *lm, const struct mr_logprob *list)
{
    json_t *json = one_json(lm, list), *top = json_array();
    int err = json && top ? 0 : MR_ENOMEM;
    for (int64_t i = 0; i < r->logprobs && !err; i++)
        err = mr_json_append(top, one_json(lm, &list[1 + i]));
    if (!err)
        err = mr_json_set(json, "top", json_incref(top));
    json_decref(top);
    if (err)
        json_decref(json);
    return err ? NULL : json;
}

bool mr_echo_scores(const struct mr_generate *r)
{
    return r->echo && r->common.json && r->logprobs >= 0;
}

void mr_echo_free(struct mr_echo *echo)
{
    json_decref(echo->tokens);
    json_decref(echo->logprobs);
    *echo = (struct mr_echo){0};
}

/* The token is the next one of the text that the scorer reads. */
static int score(struct mr_echo *echo, const struct mr_generate *r, mr_lm *lm, mr_sequence *scorer, int32_t id,
                 struct mr_logprob *buffer)
{
    if (*r->stopped)
        return mr_fail(MR_EINTERRUPTED, "stopped while reading the prompt");
    if (mr_sequence_position(scorer) > 0) {
        MR_TRY(mr_sequence_logprobs(scorer, id, buffer, (int)r->logprobs));
        MR_TRY(mr_json_append(echo->logprobs, mr_logprobs_json(r, lm, buffer)));
    } else { /* nothing comes before the first one */
        MR_TRY(mr_json_append(echo->logprobs, json_null()));
    }
    return mr_sequence_feed(scorer, &id, 1);
}

int mr_echo_read(struct mr_echo *echo, const struct mr_generate *r, mr_lm *lm, const struct mr_str *prompt,
                 mr_sequence *scorer)
{
    struct mr_logprob *buffer = NULL;
    int32_t *ids = NULL;
    size_t count, again;
    int err;
    if (!r->echo || !r->common.json)
        return 0;
    MR_TRY(mr_lm_tokenize(lm, prompt->text, prompt->size, r->special, NULL, 0, &count));
    err = MR_ENOMEM;
    ids = mr_alloc(count, sizeof *ids);
    buffer = scorer ? mr_alloc((size_t)r->logprobs + 1, sizeof *buffer) : NULL;
    echo->tokens = json_array();
    echo->logprobs = scorer ? json_array() : NULL;
    if (!ids || !echo->tokens || (scorer && (!buffer || !echo->logprobs)))
        goto fail;
    MR_GO(mr_lm_tokenize(lm, prompt->text, prompt->size, r->special, ids, count, &again));
    for (size_t i = 0; i < count; i++) {
        MR_GO(mr_json_append(echo->tokens, json_integer(ids[i])));
        if (scorer)
            MR_GO(score(echo, r, lm, scorer, ids[i], buffer));
    }
    err = 0;
fail:
    free(buffer);
    free(ids);
    return err;
}
