/* SPDX-License-Identifier: GPL-3.0-or-later
 * A loss that is not a number: which tensor it comes from, and which state of the run is still good. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "train/trainer.h"

enum { PIECE = 1 << 18 };

/* 1: all elements are finite; 0: not; an error where they cannot be read. */
static int finite_tensor(mr_trainer *t, const mr_tensor *tensor, float *buffer)
{
    for (size_t at = 0; at < tensor->count; at += PIECE) {
        size_t n = tensor->count - at < PIECE ? tensor->count - at : PIECE;
        MR_TRY(mr_read(t->rt, tensor, at, n, buffer));
        for (size_t i = 0; i < n; i++)
            if (!isfinite(buffer[i]))
                return 0;
    }
    return 1;
}

/* The first parameter (in the order of files) whose value, else whose gradient, is not finite, in words. */
static int first_not_finite(mr_trainer *t, char *text, size_t size)
{
    float *buffer = mr_alloc(PIECE, sizeof *buffer);
    int finite = buffer ? 1 : MR_ENOMEM;
    for (int grad = 0; grad < 2; grad++) {
        for (int i = 0; finite > 0 && i < t->model->params.count; i++) {
            const struct mr_param *p = t->model->params.list[i];
            if (grad && p->frozen)
                continue;
            finite = finite_tensor(t, grad ? &t->gradients.list[i] : &p->value, buffer);
            snprintf(text, size, "%s%s", grad ? "the gradient of " : "", p->name);
        }
    }
    if (finite > 0)
        snprintf(text, size, "an activation (all parameters and gradients are finite)");
    free(buffer);
    return finite < 0 ? finite : 0;
}

int mr_trainer_not_finite(mr_trainer *t, const char *format, ...)
{
    char what[160], culprit[MR_NAME + 40], kept[4200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    MR_TRY(mr_trainer_saved(t, true)); /* which state is saved is told below */
    if (first_not_finite(t, culprit, sizeof culprit) < 0)
        snprintf(culprit, sizeof culprit, "unknown (%.80s)", mr_error_text());
    if (t->cfg->eval_only)
        return mr_fail(MR_ENUMERIC, "iteration %lld: %s; the first tensor that is not finite: %s", (long long)t->iter,
                       what, culprit);
    if (t->saved >= 0)
        snprintf(kept, sizeof kept, "the last good state is iteration %lld, saved in %s", (long long)t->saved,
                 t->cfg->out_dir);
    else
        snprintf(kept, sizeof kept, "nothing has been saved in this run yet");
    return mr_fail(MR_ENUMERIC,
                   "iteration %lld: %s; the first tensor that is not finite: %s; %s. Try a smaller learning_rate or "
                   "grad_clip",
                   (long long)t->iter, what, culprit, kept);
}
