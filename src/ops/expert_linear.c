/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/expert_linear.h"

#include "base/alloc.h"
#include "ops/check.h"

enum {
    EXPERTS_A_LAUNCH = 4, /* whose weights are arguments of one kernel */
    WIDEST_PANEL = 64,
    FEW = 16, /* assignments up to which packing the weights does not pay */
};

/* The constants of cl/expert_linear.cl. */
struct shape {
    size_t panel, rows, stretch, lanes; /* rows: of a weight's gradient that are one group's */
};

static struct shape shape_of(const mr_runtime *rt)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t lanes = (size_t)info->lanes, vec = (size_t)info->vec;
    if (lanes == 1)
        return (struct shape){2 * vec, vec == 16 ? 32 : 16, 64, 1};
    return (struct shape){lanes > 32 ? lanes : 32, 8, 16, lanes};
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static size_t assignments(const struct mr_expert_linear *s)
{
    return (size_t)s->topk.rows * (size_t)s->topk.active;
}

size_t mr_expert_linear_forward_scratch(const struct mr_expert_linear *s)
{
    return (size_t)s->topk.experts * mr_round_up((size_t)s->out, WIDEST_PANEL) * ((size_t)s->in + 1);
}

size_t mr_expert_linear_backward_scratch(const struct mr_expert_linear *s)
{
    return assignments(s) * (size_t)s->in;
}

/* Stretches that `experts` experts can have together, however the assignments fall. */
static size_t stretches(const struct mr_expert_linear *s, struct shape c, int experts)
{
    return assignments(s) / c.stretch + (size_t)experts;
}

static int need(const char *op, const struct mr_expert_linear *s, const mr_tensor *x, const char *x_name,
                const mr_tensor *o, const char *o_name, const mr_tensor *routes, const mr_tensor *const w[],
                const mr_tensor *const b[])
{
    const struct mr_topk *t = &s->topk;
    size_t weight, rows_in, rows_out;
    if (t->experts < 1 || t->experts > MR_TOPK_EXPERTS || t->active < 1 || t->active > t->experts)
        return mr_fail(MR_EINVAL, "%s: %d active of %d experts, expected 1 to %d of at most %d", op, t->active,
                       t->experts, t->experts, MR_TOPK_EXPERTS);
    MR_TRY(mr_need_shape(op, s->out, s->in, &weight));
    MR_TRY(mr_need_shape(op, t->rows, s->in, &rows_in));
    MR_TRY(mr_need_shape(op, t->rows, t->active, &rows_out));
    MR_TRY(mr_need_shape(op, (int)rows_out, s->out, &rows_out));
    MR_TRY(mr_need_f32(op, x_name, x, rows_in));
    MR_TRY(mr_need_f32(op, o_name, o, rows_out));
    MR_TRY(mr_need_i32(op, "routes", routes, mr_topk_routes(t)));
    for (int e = 0; e < t->experts; e++) {
        MR_TRY(mr_need_f32(op, "an expert's weight", w[e], weight));
        if (b)
            MR_TRY(mr_need_f32(op, "an expert's bias", b[e], (size_t)s->out));
    }
    return 0;
}

/* The experts from `from` on that share a launch: their count, and their tensors as arguments, NULL beyond.
 */
static int arguments(const struct mr_expert_linear *s, int from, const mr_tensor *const t[], bool out,
                     struct mr_arg args[EXPERTS_A_LAUNCH])
{
    int left = s->topk.experts - from, count = left < EXPERTS_A_LAUNCH ? left : EXPERTS_A_LAUNCH;
    for (int i = 0; i < EXPERTS_A_LAUNCH; i++) {
        const mr_tensor *tensor = i < count ? t[from + i] : NULL;
        args[i] = out ? mr_out(tensor) : mr_in(tensor);
    }
    return count;
}

static void note(mr_runtime *rt, const struct mr_expert_linear *s)
{
    size_t in = assignments(s) * (size_t)s->in, out = assignments(s) * (size_t)s->out;
    size_t weights = (size_t)s->topk.experts * (size_t)s->in * (size_t)s->out;
    mr_profile_note(rt, 4.0 * (double)(in + out + weights), 2.0 * (double)in * (double)s->out);
}

static int forward_few(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *x, const mr_tensor *routes,
                       const mr_tensor *const w[], const mr_tensor *const b[], const mr_tensor *o)
{
    struct mr_arg v[EXPERTS_A_LAUNCH], c[EXPERTS_A_LAUNCH];
    for (int from = 0; from < s->topk.experts; from += EXPERTS_A_LAUNCH) {
        int count = arguments(s, from, w, false, v);
        arguments(s, from, b, false, c);
        struct mr_range range = mr_row_shares(rt, (size_t)s->out, (size_t)s->in);
        range.groups[1] = (size_t)count;
        MR_TRY(mr_launch(rt, "expert_linear_few", range, mr_in(x), mr_in(routes), v[0], v[1], v[2], v[3], c[0], c[1],
                         c[2], c[3], mr_out(o), mr_int((int)assignments(s)), mr_int(from), mr_int(s->in),
                         mr_int(s->out)));
    }
    return 0;
}

int mr_expert_linear_forward(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *x,
                             const mr_tensor *routes, const mr_tensor *const w[], const mr_tensor *const b[],
                             const mr_tensor *o, const mr_tensor *scratch)
{
    MR_TRY(need("expert linear", s, x, "x", o, "o", routes, w, b));
    MR_TRY(mr_need_f32("expert linear", "scratch", scratch, mr_expert_linear_forward_scratch(s)));
    MR_TRY(mr_need_count("expert linear", mr_expert_linear_forward_scratch(s)));
    if (assignments(s) <= FEW)
        return forward_few(rt, s, x, routes, w, b, o);
    struct shape c = shape_of(rt);
    struct mr_arg v[EXPERTS_A_LAUNCH], u[EXPERTS_A_LAUNCH];
    size_t panels = divide_up((size_t)s->out, c.panel);
    for (int from = 0; from < s->topk.experts; from += EXPERTS_A_LAUNCH) {
        int count = arguments(s, from, w, false, v);
        arguments(s, from, b, false, u);
        struct mr_range range = {.groups = {panels, (size_t)count}, .local_size = c.lanes};
        MR_TRY(mr_launch(rt, "expert_linear_pack", range, v[0], v[1], v[2], v[3], u[0], u[1], u[2], u[3],
                         mr_out(scratch), mr_int(from), mr_int(s->in), mr_int(s->out)));
    }
    struct mr_range range = {.groups = {panels, stretches(s, c, s->topk.experts)}, .local_size = c.lanes};
    note(rt, s);
    return mr_launch(rt, "expert_linear_forward", range, mr_in(x), mr_in(routes), mr_in(scratch), mr_out(o),
                     mr_int((int)assignments(s)), mr_int(s->topk.experts), mr_int(s->in), mr_int(s->out));
}

int mr_expert_linear_backward_input(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *d_o,
                                    const mr_tensor *routes, const mr_tensor *const w[], const mr_tensor *dx,
                                    bool accumulate, const mr_tensor *scratch)
{
    const char *op = "expert linear backward input";
    MR_TRY(need(op, s, dx, "dx", d_o, "d_o", routes, w, NULL));
    MR_TRY(mr_need_count(op, mr_expert_linear_backward_scratch(s)));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_expert_linear_backward_scratch(s)));
    struct shape c = shape_of(rt);
    struct mr_arg v[EXPERTS_A_LAUNCH];
    for (int from = 0; from < s->topk.experts; from += EXPERTS_A_LAUNCH) {
        int count = arguments(s, from, w, false, v);
        struct mr_range range = {.groups = {divide_up((size_t)s->in, c.panel), stretches(s, c, count)},
                                 .local_size = c.lanes};
        note(rt, s);
        MR_TRY(mr_launch(rt, "expert_linear_backward_input", range, mr_in(d_o), mr_in(routes), v[0], v[1], v[2], v[3],
                         mr_out(scratch), mr_int((int)assignments(s)), mr_int(from), mr_int(from + count),
                         mr_int(s->in), mr_int(s->out)));
    }
    return mr_launch(rt, "expert_linear_sum",
                     mr_row_shares(rt, (size_t)s->topk.rows, (size_t)s->topk.active * (size_t)s->in), mr_in(scratch),
                     mr_out(dx), mr_int(s->topk.rows), mr_int(s->topk.active), mr_int(s->in), mr_int(accumulate));
}

int mr_expert_linear_backward_weight(mr_runtime *rt, const struct mr_expert_linear *s, const mr_tensor *x,
                                     const mr_tensor *d_o, const mr_tensor *routes, const mr_tensor *const dw[],
                                     const mr_tensor *const db[])
{
    MR_TRY(need("expert linear backward weight", s, x, "x", d_o, "d_o", routes, dw, db));
    struct shape c = shape_of(rt);
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct mr_arg v[EXPERTS_A_LAUNCH];
    for (int from = 0; from < s->topk.experts; from += EXPERTS_A_LAUNCH) {
        size_t count = (size_t)arguments(s, from, dw, true, v);
        struct mr_range range = {
            .groups = {divide_up((size_t)s->in, c.panel), divide_up((size_t)s->out, c.rows), count},
            .local_size = c.lanes};
        note(rt, s);
        MR_TRY(mr_launch(rt, "expert_linear_backward_weight", range, mr_in(x), mr_in(d_o), mr_in(routes), v[0], v[1],
                         v[2], v[3], mr_int((int)assignments(s)), mr_int(from), mr_int(s->in), mr_int(s->out)));
        arguments(s, from, db, true, v);
        range = (struct mr_range){.groups = {divide_up((size_t)s->out, c.lanes * (size_t)info->vec), count},
                                  .local_size = c.lanes};
        MR_TRY(mr_launch(rt, "expert_linear_backward_bias", range, mr_in(d_o), mr_in(routes), v[0], v[1], v[2], v[3],
                         mr_int((int)assignments(s)), mr_int(from), mr_int(s->out)));
    }
    return 0;
}
