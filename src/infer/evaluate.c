/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "infer/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/philox.h"

struct run {
    mr_workspace *ws;
    mr_states *states; /* of a stream, or of texts that begin with a state; or NULL */
    struct mr_piece *pieces;
    mr_token_data *data;
    const struct mr_evaluation *how;
    int32_t *tokens, *targets;
    double sum; /* of the losses of all predicted tokens */
    uint64_t tokens_done;
};

/* Windows one by one, each from the state that the model gives its texts. */
static int run_from_initial(struct run *r, int batch, int time)
{
    float loss, aux;
    for (int b = 0; b < batch; b++) {
        const size_t row = (size_t)b * (size_t)time;
        const struct mr_piece piece = {.slot = 0, .tokens = r->tokens + row, .count = time};
        MR_TRY(mr_states_zero(r->states, 0));
        MR_TRY(mr_run(r->ws, r->states, &piece, 1));
        MR_TRY(mr_loss(r->ws, r->targets + row, NULL));
        MR_TRY(mr_read_loss(r->ws, &loss, &aux));
        r->sum += (double)loss * time;
    }
    return 0;
}

static int run_pieces(struct run *r, int batch, int time)
{
    float loss, aux;
    if (r->states && !r->how->stream)
        return run_from_initial(r, batch, time);
    for (int b = 0; b < batch; b++)
        r->pieces[b] = (struct mr_piece){
            .slot = r->states ? 0 : -1, .tokens = r->tokens + (size_t)b * (size_t)time, .count = time};
    MR_TRY(mr_run(r->ws, r->states, r->pieces, batch));
    MR_TRY(mr_loss(r->ws, r->targets, NULL));
    MR_TRY(mr_read_loss(r->ws, &loss, &aux));
    r->sum += (double)loss * batch * time;
    return 0;
}

/* A batch of windows [batch, time]; window b starts at `at[b]`. */
static int run_batch(struct run *r, const uint64_t *at, int batch, int time)
{
    for (int b = 0; b < batch; b++) {
        size_t row = (size_t)b * (size_t)time;
        MR_TRY(mr_token_data_read(r->data, r->how->split, at[b], (size_t)time, r->tokens + row));
        MR_TRY(mr_token_data_read(r->data, r->how->split, at[b] + 1, (size_t)time, r->targets + row));
    }
    MR_TRY(run_pieces(r, batch, time));
    r->tokens_done += (uint64_t)batch * (uint64_t)time;
    if (r->how->stop && *r->how->stop)
        return mr_fail(MR_EINTERRUPTED, "stopped after %llu tokens", (unsigned long long)r->tokens_done);
    return 0;
}

static void report(const struct run *r, uint64_t done, uint64_t all)
{
    if (r->how->progress)
        r->how->progress(r->how->context, done, all);
}

static int run_sample(struct run *r, uint64_t *at, uint64_t count)
{
    uint64_t windows = count - (uint64_t)r->how->block;
    for (int64_t i = 0; i < r->how->iters; i++) {
        struct mr_philox draws = {.seed = r->how->seed,
                                  .step = (uint64_t)i,
                                  .stream =
                                      r->how->split == MR_SPLIT_TRAIN ? MR_STREAM_EVAL_TRAIN : MR_STREAM_EVAL_VAL};
        for (int b = 0; b < r->how->batch; b++)
            at[b] = mr_philox_below(&draws, (uint64_t)b, windows);
        MR_TRY(run_batch(r, at, r->how->batch, r->how->block));
        report(r, (uint64_t)i + 1, (uint64_t)r->how->iters);
    }
    return 0;
}

static int run_all(struct run *r, uint64_t *at, uint64_t count)
{
    uint64_t block = (uint64_t)r->how->block, next = 0;
    while (next + 1 < count) {
        int batch = 0;
        for (; batch < r->how->batch && next + block < count; batch++, next += block)
            at[batch] = next;
        if (batch) {
            MR_TRY(run_batch(r, at, batch, r->how->block));
        } else { /* what is left is shorter than a block */
            at[0] = next;
            MR_TRY(run_batch(r, at, 1, (int)(count - 1 - next)));
            next = count;
        }
        report(r, next < count ? next : count, count);
    }
    return 0;
}

int mr_evaluate(mr_model *model, mr_token_data *data, const struct mr_evaluation *how, struct mr_evaluated *result)
{
    uint64_t count = mr_token_data_count(data, how->split), bytes = mr_token_data_bytes(data, how->split), *at = NULL;
    const struct mr_workspace_options options = {.batch = how->batch, .time = how->block};
    struct run r = {.data = data, .how = how};
    size_t rows;
    int err;
    if (how->block < 1 || how->batch < 1 || (how->stream && (how->batch != 1 || how->iters)))
        return mr_fail(MR_EINVAL, "a stream is evaluated whole, as one text; block and batch must be at least 1");
    if (count < 2 || (how->iters && count <= (uint64_t)how->block))
        return mr_fail(MR_EFILE, "split %s has only %llu tokens: too few to evaluate", mr_split_name(how->split),
                       (unsigned long long)count);
    mr_token_data_limit(data, (uint64_t)model->cfg.vocab_size);
    MR_GO(mr_workspace_create(&r.ws, model, &options));
    if (how->stream || model->initial)
        MR_GO(mr_states_create(&r.states, model, 1, false));
    rows = (size_t)how->batch * (size_t)how->block;
    err = MR_ENOMEM;
    if (!(r.tokens = mr_alloc(rows, sizeof *r.tokens)) || !(r.targets = mr_alloc(rows, sizeof *r.targets)) ||
        !(at = mr_alloc((size_t)how->batch, sizeof *at)) ||
        !(r.pieces = mr_alloc((size_t)how->batch, sizeof *r.pieces)))
        goto fail;
    MR_GO(how->iters ? run_sample(&r, at, count) : run_all(&r, at, count));
    result->loss = r.sum / (double)r.tokens_done;
    result->tokens = r.tokens_done;
    /* A token stands for as many bytes as on average in the split. */
    result->bits_per_byte = bytes ? result->loss / log(2) * (double)count / (double)bytes : -1;
fail:
    free(at);
    free(r.tokens);
    free(r.targets);
    free(r.pieces);
    mr_states_free(r.states);
    mr_workspace_free(r.ws);
    return err;
}
