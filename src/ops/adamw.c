/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/adamw.h"

#include <math.h>

#include "ops/check.h"

enum { BLOCK = MR_SQUARE_SUM_BLOCK }; /* as in cl/adamw.cl */

int mr_adamw(mr_runtime *rt, const struct mr_adamw *s, const mr_tensor *p, const mr_tensor *g, const mr_tensor *m,
             const mr_tensor *v, size_t offset, size_t count, const mr_tensor *clip)
{
    if (s->step < 1)
        return mr_fail(MR_EINVAL, "adamw: step %lld, the first one is 1", (long long)s->step);
    MR_TRY(mr_need_count("adamw", count));
    MR_TRY(mr_need_count("adamw", offset + count));
    MR_TRY(mr_need_f32("adamw", "p", p, offset + count));
    MR_TRY(mr_need_f32("adamw", "g", g, offset + count));
    MR_TRY(mr_need_f32("adamw", "m", m, offset + count));
    MR_TRY(mr_need_f32("adamw", "v", v, offset + count));
    if (mr_given(clip))
        MR_TRY(mr_need_f32("adamw", "clip", clip, 1));
    double rate = s->lr / (1 - pow(s->beta1, (double)s->step));
    double root = 1 / sqrt(1 - pow(s->beta2, (double)s->step));
    mr_profile_note(rt, 28.0 * (double)count, 14.0 * (double)count);
    return mr_launch(rt, "adamw", mr_vectors(rt, count), mr_out(p), mr_in(g), mr_out(m), mr_out(v), mr_in(clip),
                     mr_int((int)offset), mr_int((int)count), mr_float((float)(1 - s->beta1)),
                     mr_float((float)s->beta2), mr_float((float)(1 - s->beta2)), mr_float((float)rate),
                     mr_float((float)root), mr_float((float)s->eps), mr_float((float)(1 - s->lr * s->weight_decay)));
}

size_t mr_square_sum_partials(size_t count)
{
    return (count + BLOCK - 1) / BLOCK;
}

int mr_square_sum(mr_runtime *rt, const mr_tensor *g, size_t offset, size_t count, const mr_tensor *partial, size_t at)
{
    static const char op[] = "square_sum";
    size_t blocks = mr_square_sum_partials(count);
    MR_TRY(mr_need_count(op, count));
    MR_TRY(mr_need_count(op, offset + count));
    MR_TRY(mr_need_f32(op, "g", g, offset + count));
    MR_TRY(mr_need_f32(op, "partial", partial, at + blocks));
    mr_profile_note(rt, 4.0 * (double)count, 2.0 * (double)count);
    return mr_launch(rt, "square_sum", mr_row_shares(rt, blocks, BLOCK), mr_in(g), mr_int((int)offset),
                     mr_int((int)count), mr_out(partial), mr_int((int)at));
}

int mr_clip_factor(mr_runtime *rt, const mr_tensor *partial, size_t n, float max_norm, const mr_tensor *norm,
                   const mr_tensor *factor)
{
    static const char op[] = "clip_factor";
    MR_TRY(mr_need_count(op, n));
    MR_TRY(mr_need_f32(op, "partial", partial, n));
    MR_TRY(mr_need_f32(op, "norm", norm, 1));
    MR_TRY(mr_need_f32(op, "factor", factor, 1));
    return mr_launch(rt, "clip_factor", mr_rows(rt, 1), mr_in(partial), mr_int((int)n), mr_float(max_norm),
                     mr_out(norm), mr_out(factor));
}

int mr_gather_loss(mr_runtime *rt, const mr_tensor *cross_entropy, const mr_tensor *aux, const mr_tensor *loss,
                   bool first)
{
    static const char op[] = "gather_loss";
    MR_TRY(mr_need_f32(op, "cross_entropy", cross_entropy, 1));
    MR_TRY(mr_need_f32(op, "aux", aux, 1));
    MR_TRY(mr_need_f32(op, "loss", loss, 1));
    return mr_launch(rt, "gather_loss", mr_rows(rt, 1), mr_in(cross_entropy), mr_in(aux), mr_out(loss), mr_int(first));
}

int mr_guard_update(mr_runtime *rt, const mr_tensor *loss, const mr_tensor *norm, const mr_tensor *factor,
                    const mr_tensor *report)
{
    static const char op[] = "guard_update";
    MR_TRY(mr_need_f32(op, "loss", loss, 1));
    MR_TRY(mr_need_f32(op, "norm", norm, 1));
    MR_TRY(mr_need_f32(op, "factor", factor, 1));
    MR_TRY(mr_need_f32(op, "report", report, 4));
    return mr_launch(rt, "guard_update", mr_rows(rt, 1), mr_in(loss), mr_in(norm), mr_out(factor), mr_out(report));
}
