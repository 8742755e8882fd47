/* SPDX-License-Identifier: GPL-3.0-or-later
 * Which windows of the data make a batch: drawn anew each time, or every one once an epoch. Both follow from the seed
 * and the micro-step alone. */
#include <string.h>

#include "base/philox.h"
#include "train/order.h"
#include "train/trainer.h"

static bool is_epochs(const mr_trainer *t, uint32_t stream)
{
    return stream == MR_STREAM_TRAIN && strcmp(t->cfg->sampling, "epoch") == 0;
}

uint64_t mr_trainer_windows(const mr_trainer *t)
{
    return (mr_token_data_count(t->data, MR_SPLIT_TRAIN) - 1) / (uint64_t)t->cfg->block_size;
}

/* The first token of sequence b of a micro-batch. */
static uint64_t place(const mr_trainer *t, int split, uint32_t stream, uint64_t micro_step, int b)
{
    const struct mr_philox draws = {.seed = t->seed, .stream = stream, .step = micro_step};
    uint64_t block = (uint64_t)t->cfg->block_size;
    if (!is_epochs(t, stream))
        return mr_philox_below(&draws, (uint64_t)b, mr_token_data_count(t->data, split) - block);
    uint64_t windows = mr_trainer_windows(t), number = micro_step * (uint64_t)t->cfg->batch_size + (uint64_t)b;
    return mr_order_at(t->seed, number / windows, windows, number % windows) * block;
}

int mr_trainer_batch(mr_trainer *t, int split, uint32_t stream, uint64_t micro_step)
{
    size_t block = (size_t)t->cfg->block_size;
    for (int b = 0; b < t->cfg->batch_size; b++) {
        uint64_t at = place(t, split, stream, micro_step, b);
        int32_t *targets = t->targets + (size_t)b * block;
        MR_TRY(mr_token_data_read(t->data, split, at, block, t->tokens + (size_t)b * block));
        MR_TRY(mr_token_data_read(t->data, split, at + 1, block, targets));
        mr_token_data_mask(t->data, split, at + 1, block, targets);
    }
    return 0;
}
