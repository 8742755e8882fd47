/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/time_mix.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

/* How a sequence is cut on a device: what the kernels get as -D, chosen so that a chunk's products, CHUNK^2 floats, and
 * a panel of N x PANEL fit into 32 KiB of local memory. */
struct cut {
    int chunk, panel, chunks, panels;
    size_t pairs, square; /* B*H, N*N */
    char defines[64];
};

static struct cut cut_of(const mr_runtime *rt, const struct mr_time_mix *s)
{
    struct cut c = {.pairs = (size_t)s->batch * (size_t)s->heads, .square = (size_t)s->width * (size_t)s->width};
    c.chunk = mr_runtime_info(rt)->lanes == 1 && s->width <= 112 ? 64 : 32;
    c.panel = s->width > 16 && s->width <= 184 ? 32 : 16;
    c.chunks = (int)mr_ceil_div(s->time, c.chunk);
    c.panels = (int)mr_ceil_div(s->width, c.panel);
    snprintf(c.defines, sizeof c.defines, "-DN=%d -DCHUNK=%d -DPANEL=%d", s->width, c.chunk, c.panel);
    return c;
}

static size_t states_count(const struct cut *c)
{
    return c->pairs * (size_t)c->chunks * c->square + 32; /* a tile's vectors more */
}

size_t mr_time_mix_kept(const mr_runtime *rt, const struct mr_time_mix *s)
{
    struct cut c = cut_of(rt, s);
    return c.chunks > 1 ? states_count(&c) : 0;
}

size_t mr_time_mix_scratch(const mr_runtime *rt, const struct mr_time_mix *s, bool training)
{
    struct cut c = cut_of(rt, s);
    return states_count(&c) + (training ? mr_round_up(2 * c.pairs * (size_t)c.chunks, 64) : 0);
}

static int need_inputs(const char *op, const mr_runtime *rt, const struct mr_time_mix *s, const mr_tensor *r,
                       const mr_tensor *k, const mr_tensor *v, const mr_tensor *decay, const mr_tensor *faaaa,
                       size_t *n)
{
    if (s->batch < 1 || s->time < 1 || s->heads < 1 || s->width < 1 || s->width > MR_TIME_MIX_WIDTH)
        return mr_fail(MR_EINVAL,
                       "%s: batch %d, time %d, %d heads of width %d: all must be positive, the width at most %d", op,
                       s->batch, s->time, s->heads, s->width, MR_TIME_MIX_WIDTH);
    size_t rows, limit = (size_t)1 << 30;
    if (!mr_mul((size_t)s->batch, (size_t)s->time, &rows) || !mr_mul(rows, (size_t)s->heads, n) ||
        !mr_mul(*n, (size_t)s->width, n) || *n > limit || mr_time_mix_scratch(rt, s, false) > limit)
        return mr_fail(MR_EINVAL, "%s: batch %d, time %d, %d heads of width %d exceed 2^30 elements, split the batch",
                       op, s->batch, s->time, s->heads, s->width);
    MR_TRY(mr_need_f32(op, "r", r, *n));
    MR_TRY(mr_need_f32(op, "k", k, *n));
    MR_TRY(mr_need_f32(op, "v", v, *n));
    MR_TRY(mr_need_f32(op, "decay", decay, (size_t)s->heads));
    return mr_need_f32(op, "faaaa", faaaa, (size_t)s->heads);
}

static struct mr_range groups(const mr_runtime *rt, const struct cut *c, size_t x, size_t y, size_t z)
{
    return (struct mr_range){{x, y, z}, (size_t)mr_runtime_info(rt)->lanes, c->defines};
}

/* The states before all chunks (reverse: the gradients of those after them). One launch where heads and panels keep
 * the device busy, else the chunks by themselves and a scan over them. */
static int run_states(mr_runtime *rt, const struct mr_time_mix *s, const struct cut *c, const mr_tensor *a,
                      const mr_tensor *b, const mr_tensor *decay, const mr_tensor *state, const mr_tensor *states,
                      bool reverse)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t columns = (size_t)c->panels * c->pairs, enough = (size_t)info->compute_units * (info->lanes > 1 ? 8 : 2);
    int together = c->chunks == 1 || columns >= enough;
    double products = (double)s->batch * s->time * s->heads * (double)c->square;
    mr_profile_note(rt, 4.0 * (double)c->square * (double)c->pairs * c->chunks, 2 * products);
    MR_TRY(mr_launch(rt, "time_mix_states",
                     groups(rt, c, (size_t)c->panels, together ? 1 : (size_t)c->chunks, c->pairs), mr_in(a), mr_in(b),
                     mr_in(decay), mr_out(state), mr_out(states), mr_int(s->time), mr_int(s->heads), mr_int(c->chunks),
                     mr_int(together), mr_int(reverse)));
    if (together)
        return 0;
    mr_profile_note(rt, 8.0 * (double)c->square * (double)c->pairs * c->chunks, 0);
    size_t blocks = (size_t)mr_ceil_div((int64_t)c->square, info->lanes == 1 ? 1024 : info->lanes * info->vec);
    return mr_launch(rt, "time_mix_scan", groups(rt, c, blocks, c->pairs, 1), mr_in(decay), mr_out(state),
                     mr_out(states), mr_int(s->time), mr_int(s->heads), mr_int(c->chunks), mr_int(reverse));
}

int mr_time_mix_forward(mr_runtime *rt, const struct mr_time_mix *s, const mr_tensor *r, const mr_tensor *k,
                        const mr_tensor *v, const mr_tensor *decay, const mr_tensor *faaaa, const mr_tensor *state,
                        const mr_tensor *y, const mr_tensor *kept, const mr_tensor *scratch)
{
    static const char op[] = "time_mix";
    size_t n;
    MR_TRY(need_inputs(op, rt, s, r, k, v, decay, faaaa, &n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    struct cut c = cut_of(rt, s);
    const mr_tensor *states = NULL;
    if (c.chunks > 1 || mr_given(state)) {
        states = mr_given(kept) && kept->count >= states_count(&c) ? kept : scratch;
        MR_TRY(mr_need_f32(op, "kept or scratch", states, states_count(&c)));
        if (mr_given(state))
            MR_TRY(mr_need_f32(op, "state", state, c.pairs * c.square));
        MR_TRY(run_states(rt, s, &c, k, v, decay, state, states, false));
    }
    double flops = (double)n * (c.chunk + (states ? 2.0 * s->width : 0));
    mr_profile_note(rt, 16.0 * (double)n, flops);
    return mr_launch(rt, "time_mix_forward", groups(rt, &c, (size_t)c.chunks, c.pairs, 1), mr_in(r), mr_in(k), mr_in(v),
                     mr_in(decay), mr_in(faaaa), mr_in(states), mr_out(y), mr_int(s->time), mr_int(s->heads),
                     mr_int(c.chunks), mr_int(mr_given(state)));
}

int mr_time_mix_backward(mr_runtime *rt, const struct mr_time_mix *s, const mr_tensor *r, const mr_tensor *k,
                         const mr_tensor *v, const mr_tensor *decay, const mr_tensor *faaaa, const mr_tensor *kept,
                         const struct mr_time_mix_gradients *g, const mr_tensor *scratch)
{
    static const char op[] = "time_mix backward";
    size_t n;
    MR_TRY(need_inputs(op, rt, s, r, k, v, decay, faaaa, &n));
    MR_TRY(mr_need_f32(op, "dy", g->dy, n));
    MR_TRY(mr_need_f32(op, "dr", g->dr, n));
    MR_TRY(mr_need_f32(op, "dk", g->dk, n));
    MR_TRY(mr_need_f32(op, "dv", g->dv, n));
    MR_TRY(mr_need_f32(op, "ddecay", g->ddecay, (size_t)s->heads));
    MR_TRY(mr_need_f32(op, "dfaaaa", g->dfaaaa, (size_t)s->heads));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_time_mix_scratch(rt, s, true)));
    struct cut c = cut_of(rt, s);
    bool several = c.chunks > 1;
    if (several) {
        MR_TRY(mr_need_f32(op, "kept", kept, states_count(&c)));
        MR_TRY(run_states(rt, s, &c, r, g->dy, decay, NULL, scratch, true));
    }
    /* scratch: the gradients of the states after chunks, then the partial sums */
    int sums = (int)states_count(&c);
    mr_profile_note(rt, 28.0 * (double)n, (double)n * (2.5 * c.chunk + (several ? 6.0 * s->width : 0)));
    MR_TRY(mr_launch(rt, "time_mix_backward", groups(rt, &c, (size_t)c.chunks, c.pairs, 1), mr_in(r), mr_in(k),
                     mr_in(v), mr_in(g->dy), mr_in(decay), mr_in(faaaa), mr_in(several ? kept : NULL),
                     mr_in(several ? scratch : NULL), mr_out(g->dr), mr_out(g->dk), mr_out(g->dv), mr_out(scratch),
                     mr_int(sums), mr_int(s->time), mr_int(s->heads), mr_int(c.chunks)));
    return mr_launch(rt, "time_mix_backward_sum", groups(rt, &c, (size_t)s->heads, 1, 1), mr_in(decay), mr_in(scratch),
                     mr_int(sums), mr_out(g->ddecay), mr_out(g->dfaaaa), mr_int(s->batch), mr_int(s->heads),
                     mr_int(c.chunks));
}
