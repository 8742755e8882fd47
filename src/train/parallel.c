/* SPDX-License-Identifier: GPL-3.0-or-later
 * One iteration on several ranks. Each segment of memory is cut into as many slices as there are ranks, at blocks of
 * the norm's partial sums. Every rank sends its gradients of a slice to the slice's owner, who adds them in an order
 * that the number of ranks fixes. With zero=1 the owner updates its slice, and the parameters go round; with zero=0 the
 * sums go round, and every rank updates everything. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "comm/tree.h"
#include "formats/load.h"
#include "io/numbers.h"
#include "ops/adamw.h"
#include "rt/plan.h"
#include "train/trainer.h"
#include "train/tuned.h"

enum { TRAVEL = 1 << 22 }; /* elements that a rank receives at a time, from all together */

/* What is on its way: `piece` elements of each slice at a time. */
struct trade {
    mr_trainer *t;
    size_t piece;
    float *room, **parts;       /* [ranks][piece] */
    uint16_t *halves;           /* [2 ranks][piece]: sent, received; comm=bf16 */
    struct mr_parcel *out, *in; /* [ranks] */
    const float *mapped;        /* the segment's gradients */
    float *result;              /* [slice] */
};

static void trade_close(struct trade *trade)
{
    free(trade->room);
    free(trade->parts);
    free(trade->halves);
    free(trade->out);
    free(trade->in);
    free(trade->result);
}

static int trade_open(struct trade *trade, mr_trainer *t, size_t slice, bool halves)
{
    size_t ranks = (size_t)t->ranks, most = TRAVEL / ranks > MR_SQUARE_SUM_BLOCK ? TRAVEL / ranks : MR_SQUARE_SUM_BLOCK;
    *trade = (struct trade){.t = t, .piece = slice < most ? slice : most};
    trade->room = mr_alloc(ranks * trade->piece, sizeof(float));
    trade->parts = mr_alloc(ranks, sizeof(float *));
    trade->out = mr_alloc(ranks, sizeof *trade->out);
    trade->in = mr_alloc(ranks, sizeof *trade->in);
    trade->result = mr_alloc(slice, sizeof(float));
    if (halves)
        trade->halves = mr_alloc(2 * ranks * trade->piece, sizeof(uint16_t));
    if (!trade->room || !trade->parts || !trade->out || !trade->in || !trade->result || (halves && !trade->halves)) {
        trade_close(trade);
        return MR_ENOMEM;
    }
    for (size_t r = 0; r < ranks; r++)
        trade->parts[r] = trade->room + r * trade->piece;
    return 0;
}

struct slice {
    size_t first, end;
};

static struct slice slice_of(size_t count, int rank, int ranks)
{
    size_t blocks = mr_square_sum_partials(count), n = (size_t)ranks, r = (size_t)rank;
    size_t first = blocks * r / n * MR_SQUARE_SUM_BLOCK, end = blocks * (r + 1) / n * MR_SQUARE_SUM_BLOCK;
    return (struct slice){first < count ? first : count, end < count ? end : count};
}

static size_t largest_slice(size_t count, int ranks)
{
    size_t largest = 0;
    for (int r = 0; r < ranks; r++) {
        struct slice s = slice_of(count, r, ranks);
        largest = s.end - s.first > largest ? s.end - s.first : largest;
    }
    return largest;
}

/* The piece of a slice from `at` on. */
static size_t piece_of(const struct trade *trade, struct slice s, size_t at)
{
    size_t left = s.end - s.first > at ? s.end - s.first - at : 0;
    return left < trade->piece ? left : trade->piece;
}

/* ---- gradients to their owners ---------------------------------------------------------------------------------- */

/* Adds up one piece of this rank's slice, and gives the others theirs. */
static int add_piece(struct trade *trade, size_t count, size_t at)
{
    const mr_trainer *t = trade->t;
    struct slice own = slice_of(count, t->rank, t->ranks);
    size_t n = piece_of(trade, own, at), size = trade->halves ? sizeof(uint16_t) : sizeof(float);
    for (int r = 0; r < t->ranks; r++) {
        struct slice s = slice_of(count, r, t->ranks);
        const float *from = trade->mapped + s.first + at;
        size_t m = piece_of(trade, s, at);
        trade->out[r] = (struct mr_parcel){(void *)from, m * size};
        trade->in[r] = (struct mr_parcel){trade->parts[r], n * size};
        if (r == t->rank && m)
            memcpy(trade->parts[r], from, m * sizeof(float));
        if (!trade->halves)
            continue;
        trade->out[r].data = trade->halves + (size_t)r * trade->piece;
        trade->in[r].data = trade->halves + (size_t)(t->ranks + r) * trade->piece;
        if (m)
            mr_from_f32(MR_DTYPE_BF16, from, trade->out[r].data, m);
    }
    MR_TRY(mr_ranks_exchange(t->cfg->ranks, trade->out, trade->in));
    for (int r = 0; trade->halves && n && r < t->ranks; r++) /* its own are rounded like the others' */
        mr_to_f32(MR_DTYPE_BF16, r == t->rank ? trade->out[r].data : trade->in[r].data, trade->parts[r], n);
    mr_tree_sum(trade->parts, t->ranks, n);
    if (n)
        memcpy(trade->result + at, trade->parts[0], n * sizeof(float));
    return 0;
}

static int reduce_segment(mr_trainer *t, const mr_tensor *grad)
{
    struct trade trade;
    struct slice own = slice_of(grad->count, t->rank, t->ranks);
    size_t largest = largest_slice(grad->count, t->ranks);
    void *mapped;
    MR_TRY(trade_open(&trade, t, largest, strcmp(t->cfg->comm, "bf16") == 0));
    int err = mr_tensor_map(t->rt, grad, 0, grad->count, false, &mapped);
    if (!err) {
        trade.mapped = mapped;
        for (size_t at = 0; !err && at < largest; at += trade.piece)
            err = add_piece(&trade, grad->count, at);
        int unmapped = mr_tensor_unmap(t->rt, grad, mapped);
        err = err ? err : unmapped;
    }
    if (!err && own.first < own.end)
        err = mr_write(t->rt, grad, own.first, own.end - own.first, trade.result);
    trade_close(&trade);
    return err;
}

/* ---- what owners made of them, to all --------------------------------------------------------------------------- */

/* Of the first `count` elements, as many as have gradients. */
static int spread_segment(mr_trainer *t, const mr_tensor *tensor, size_t count)
{
    struct trade trade;
    struct slice own = slice_of(count, t->rank, t->ranks);
    size_t largest = largest_slice(count, t->ranks);
    MR_TRY(trade_open(&trade, t, largest, false));
    int err = 0;
    for (size_t at = 0; !err && at < largest; at += trade.piece) {
        size_t n = piece_of(&trade, own, at);
        for (int r = 0; r < t->ranks; r++) {
            size_t m = piece_of(&trade, slice_of(count, r, t->ranks), at);
            trade.out[r] = (struct mr_parcel){trade.parts[t->rank], n * sizeof(float)};
            trade.in[r] = (struct mr_parcel){trade.parts[r], m * sizeof(float)};
        }
        if (n)
            err = mr_read(t->rt, tensor, own.first + at, n, trade.parts[t->rank]);
        if (!err)
            err = mr_ranks_exchange(t->cfg->ranks, trade.out, trade.in);
        for (int r = 0; !err && r < t->ranks; r++)
            if (r != t->rank && trade.in[r].bytes)
                err = mr_write(t->rt, tensor, slice_of(count, r, t->ranks).first + at,
                               trade.in[r].bytes / sizeof(float), trade.parts[r]);
    }
    trade_close(&trade);
    return err;
}

static int spread(mr_trainer *t, const mr_tensor *tensors)
{
    int segments;
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &segments);
    for (int i = 0; i < segments; i++)
        MR_TRY(spread_segment(t, &tensors[i], grad[i].count));
    return 0;
}

/* ---- the norm --------------------------------------------------------------------------------------------------- */

/* Every rank sums the squares of its slices; the partial sums, and so the norm, are those of one rank. */
int mr_trainer_norm_of_parts(mr_trainer *t)
{
    int segments;
    size_t at = 0, count = (size_t)t->partial_count;
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &segments);
    if (!t->parts)
        return 0;
    float *partials = mr_alloc(count, sizeof *partials);
    struct mr_parcel *parcels = mr_alloc(2 * (size_t)t->ranks, sizeof *parcels);
    int err = partials && parcels ? 0 : MR_ENOMEM;
    for (int i = 0; !err && i < segments; at += mr_square_sum_partials(grad[i++].count)) {
        for (int r = 0; !err && r < t->ranks; r++) {
            struct slice s = slice_of(grad[i].count, r, t->ranks);
            size_t first = at + s.first / MR_SQUARE_SUM_BLOCK, n = mr_square_sum_partials(s.end - s.first);
            parcels[t->ranks + r] = (struct mr_parcel){partials + first, n * sizeof(float)};
            if (r != t->rank || !n)
                continue;
            err = mr_square_sum(t->rt, &grad[i], s.first, s.end - s.first, &t->norm_partials, first);
            if (!err)
                err = mr_read(t->rt, &t->norm_partials, first, n, partials + first);
        }
        for (int r = 0; r < t->ranks; r++)
            parcels[r] = parcels[t->ranks + t->rank];
        if (!err)
            err = mr_ranks_exchange(t->cfg->ranks, parcels, parcels + t->ranks);
    }
    if (!err)
        err = mr_write(t->rt, &t->norm_partials, 0, count, partials);
    free(partials);
    free(parcels);
    return err;
}

/* ---- one iteration ---------------------------------------------------------------------------------------------- */

int mr_trainer_gather(mr_trainer *t, float mine)
{
    return mr_ranks_gather(t->cfg->ranks, &mine, sizeof mine, t->gathered);
}

int mr_trainer_stops(mr_trainer *t, const volatile sig_atomic_t *stop)
{
    MR_TRY(t->stopping ? 0 : mr_trainer_gather(t, *stop != 0));
    for (int r = 0; r < t->ranks; r++)
        t->stopping = t->stopping || t->gathered[r] != 0;
    return t->stopping;
}

/* The loss of all ranks from what each has; a warning where it is no number on some ranks only. */
static int combine_losses(mr_trainer *t)
{
    int wrong = 0, which = 0;
    float loss, **parts = mr_alloc((size_t)t->ranks, sizeof *parts);
    int err = parts ? mr_read(t->rt, &t->loss, 0, 1, &loss) : MR_ENOMEM;
    double began = mr_now();
    if (!err)
        err = mr_trainer_gather(t, loss);
    t->wait_ms = 1e3 * (mr_now() - began);
    for (int r = t->ranks - 1; !err && r >= 0; r--) {
        parts[r] = &t->gathered[r];
        if (!isfinite(t->gathered[r])) {
            wrong++;
            which = r;
        }
    }
    if (!err && wrong && wrong < t->ranks && t->rank == 0)
        mr_log(MR_LOG_WARNING, "iteration %lld: the loss is %g on rank %d", (long long)t->iter,
               fabs((double)t->gathered[which]), which);
    if (!err) {
        mr_tree_sum(parts, t->ranks, 1);
        err = mr_write(t->rt, &t->loss, 0, 1, t->gathered);
    }
    free(parts);
    return err;
}

int mr_trainer_combine(mr_trainer *t)
{
    int segments;
    if (t->ranks == 1)
        return 0;
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &segments);
    MR_TRY(combine_losses(t));
    double began = mr_now();
    for (int i = 0; i < segments; i++)
        MR_TRY(reduce_segment(t, &grad[i]));
    if (!t->parts)
        MR_TRY(spread(t, grad));
    t->comm_ms = 1e3 * (mr_now() - began);
    return 0;
}

int mr_trainer_spread(mr_trainer *t)
{
    int segments;
    if (!t->parts)
        return 0;
    const mr_tensor *value = mr_arena_segments(t->model->arena, MR_PARAMETERS, &segments);
    MR_TRY(mr_finish(t->rt));
    double began = mr_now();
    MR_TRY(spread(t, value));
    t->comm_ms += 1e3 * (mr_now() - began);
    return 0;
}

/* ---- moments ---------------------------------------------------------------------------------------------------- */

struct mr_part mr_trainer_part(const mr_trainer *t, int i)
{
    int segments;
    if (t->parts)
        return t->parts[i];
    struct mr_part part = {.value = mr_arena_segments(t->model->arena, MR_PARAMETERS, &segments)[i],
                           .grad = mr_param_set_segments(&t->gradients, &segments)[i]};
    for (int m = 0; m < 2; m++)
        part.moments[m] = mr_param_set_segments(&t->moments[m], &segments)[i];
    part.end = part.grad.count;
    return part;
}

static int open_moments(mr_trainer *t)
{
    MR_TRY(mr_param_set_create(&t->moments[0], t->model, MR_MOMENTS, false));
    return mr_param_set_create(&t->moments[1], t->model, MR_SECOND_MOMENTS, false);
}

static void close_moments(mr_trainer *t)
{
    mr_param_set_free(&t->moments[1]);
    mr_param_set_free(&t->moments[0]);
}

int mr_trainer_sets_open(mr_trainer *t)
{
    int segments;
    MR_TRY(mr_param_set_create(&t->gradients, t->model, MR_GRADIENTS, false));
    if (t->ranks == 1 || !t->cfg->zero || mr_trainer_adapts(t)) /* an adapter has few */
        return open_moments(t);
    const mr_tensor *grad = mr_param_set_segments(&t->gradients, &t->part_count);
    const mr_tensor *value = mr_arena_segments(t->model->arena, MR_PARAMETERS, &segments);
    if (!(t->parts = mr_alloc((size_t)t->part_count, sizeof *t->parts)))
        return MR_ENOMEM;
    for (int i = 0; i < t->part_count; i++) {
        struct mr_part *part = &t->parts[i];
        struct slice own = slice_of(grad[i].count, t->rank, t->ranks);
        size_t n = own.end - own.first;
        part->first = own.first;
        part->end = own.end;
        if (!n)
            continue;
        MR_TRY(mr_tensor_view(t->rt, &part->value, &value[i], own.first, n));
        MR_TRY(mr_tensor_view(t->rt, &part->grad, &grad[i], own.first, n));
        for (int m = 0; m < 2; m++) {
            MR_TRY(mr_tensor_alloc(t->rt, &part->moments[m], MR_F32, n));
            MR_TRY(mr_zero(t->rt, &part->moments[m]));
        }
    }
    return 0;
}

int mr_trainer_read_moments(mr_trainer *t, const char *path, const struct mr_settings *overrides)
{
    int segments;
    if (!t->parts)
        return mr_model_read_moments(path, overrides, &t->moments[0], &t->moments[1]);
    int err = open_moments(t); /* all of them, for a moment */
    if (!err)
        err = mr_model_read_moments(path, overrides, &t->moments[0], &t->moments[1]);
    for (int i = 0; !err && i < 2 * t->part_count; i++) {
        const struct mr_part *part = &t->parts[i / 2];
        const mr_tensor *all = mr_param_set_segments(&t->moments[i % 2], &segments);
        if (part->first < part->end)
            err = mr_copy(t->rt, &all[i / 2], part->first, &part->moments[i % 2], 0, part->end - part->first);
    }
    if (!err)
        err = mr_finish(t->rt);
    close_moments(t);
    return err;
}

/* The rank that owns a piece sends it to rank 0. */
static int moment_of_parts(mr_trainer *t, int which, const struct mr_param *p, struct slice wanted, float *buffer)
{
    int segment, err = 0;
    size_t offset;
    MR_TRY(mr_arena_place(t->model->arena, &p->value, &segment, &offset));
    const struct mr_part *part = &t->parts[segment];
    struct mr_parcel *parcels = mr_alloc(2 * (size_t)t->ranks, sizeof *parcels);
    if (!parcels)
        return MR_ENOMEM;
    int segments;
    size_t count = mr_param_set_segments(&t->gradients, &segments)[segment].count;
    for (int r = 0; !err && r < t->ranks; r++) {
        struct slice s = slice_of(count, r, t->ranks);
        size_t first = offset + wanted.first > s.first ? offset + wanted.first : s.first;
        size_t end = offset + wanted.end < s.end ? offset + wanted.end : s.end;
        if (first >= end)
            continue;
        struct mr_parcel parcel = {buffer + (first - offset - wanted.first), (end - first) * sizeof(float)};
        if (r == t->rank)
            err = mr_read(t->rt, &part->moments[which], first - part->first, end - first, parcel.data);
        if (t->rank == 0)
            parcels[t->ranks + r] = parcel;
        else if (r == t->rank)
            parcels[0] = parcel;
    }
    if (!err)
        err = mr_ranks_exchange(t->cfg->ranks, parcels, parcels + t->ranks);
    free(parcels);
    return err;
}

int mr_trainer_moment(mr_trainer *t, int which, int index, size_t at, size_t n, float *buffer)
{
    if (t->parts)
        return moment_of_parts(t, which, t->model->params.list[index], (struct slice){at, at + n}, buffer);
    return t->rank ? 0 : mr_read(t->rt, &t->moments[which].list[index], at, n, buffer);
}

int mr_trainer_ranks_open(mr_trainer *t)
{
    t->rank = mr_ranks_index(t->cfg->ranks);
    t->ranks = mr_ranks_count(t->cfg->ranks);
    t->gathered = mr_alloc(2 * (size_t)t->ranks, sizeof *t->gathered);
    return t->gathered ? 0 : MR_ENOMEM;
}

void mr_trainer_ranks_close(mr_trainer *t)
{
    for (int i = 0; t->parts && i < t->part_count; i++) {
        struct mr_part *part = &t->parts[i];
        mr_tensor_free(t->rt, &part->moments[1]);
        mr_tensor_free(t->rt, &part->moments[0]);
        mr_tensor_free(t->rt, &part->grad);
        mr_tensor_free(t->rt, &part->value);
    }
    free(t->parts);
    free(t->gathered);
}
