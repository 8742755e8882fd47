/* SPDX-License-Identifier: GPL-3.0-or-later
 * The training loop. Iterations count optimizer steps from 0; before iteration k, where k is a multiple of
 * eval_interval or the end, the model is evaluated and saved. Everything random depends on numbers alone (seed,
 * micro-step), so that a resumed run goes on bit for bit. */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "base/progress.h"
#include "train/schedule.h"
#include "train/trainer.h"

/* Mean cross-entropy over eval_iters batches of a split: the same ones at every evaluation. */
static int evaluate_split(mr_trainer *t, int split, const struct mr_train_events *events,
                          const volatile sig_atomic_t *stop, double *loss)
{
    uint32_t stream = split == MR_SPLIT_TRAIN ? MR_STREAM_EVAL_TRAIN : MR_STREAM_EVAL_VAL;
    double sum = 0;
    for (int i = 0; i < t->cfg->eval_iters; i++) {
        if (*stop)
            return MR_EINTERRUPTED;
        float cross_entropy, aux;
        MR_TRY(mr_trainer_batch(t, split, stream, (uint64_t)i));
        mr_workspace_set_training(t->ws, false, 1, t->seed, 0);
        MR_TRY(mr_run(t->ws, NULL, t->pieces, t->cfg->batch_size));
        MR_TRY(mr_loss(t->ws, t->targets, NULL));
        MR_TRY(mr_read_loss(t->ws, &cross_entropy, &aux));
        sum += cross_entropy;
        if (events->evaluating)
            events->evaluating(events->context, (split == MR_SPLIT_TRAIN ? 0 : t->cfg->eval_iters) + i + 1,
                               2 * t->cfg->eval_iters);
    }
    *loss = sum / t->cfg->eval_iters;
    return 0;
}

static int evaluate(mr_trainer *t, const struct mr_train_events *events, const volatile sig_atomic_t *stop)
{
    double train_loss, val_loss;
    MR_TRY(evaluate_split(t, MR_SPLIT_TRAIN, events, stop, &train_loss));
    MR_TRY(evaluate_split(t, MR_SPLIT_VAL, events, stop, &val_loss));
    MR_TRY(mr_trainer_log(
        t, json_pack("{sI sf sf}", "iter", (json_int_t)t->iter, "train_loss", train_loss, "val_loss", val_loss)));
    bool best = val_loss < t->best_val_loss;
    if (events->evaluation)
        events->evaluation(events->context, t->iter, train_loss, val_loss, best);
    if (best) {
        t->best_val_loss = val_loss;
        if (t->iter > 0 && !t->cfg->eval_only)
            MR_TRY(mr_trainer_save(t, true));
    }
    return 0;
}

static int not_finite(mr_trainer *t, float loss, float norm)
{
    const char *bad = mr_trainer_first_bad(t);
    return mr_fail(
        MR_ENUMERIC,
        "iteration %lld: the loss is %g and the gradient's norm %g; the first tensor that is not finite is %s. "
        "The parameters were not changed by this iteration: try a smaller learning_rate or grad_clip",
        (long long)t->iter, loss, norm, bad ? bad : "none of the parameters or gradients (an activation)");
}

/* One iteration: all micro-batches forward and backward, then the update. */
static int iterate(mr_trainer *t, double lr, float *loss, float *grad_norm)
{
    int micro_batches = t->cfg->gradient_accumulation_steps;
    *loss = 0;
    MR_TRY(mr_param_set_zero(&t->gradients));
    for (int i = 0; i < micro_batches; i++) {
        float cross_entropy, aux;
        mr_workspace_set_training(t->ws, true, 1.0f / (float)micro_batches, t->seed, t->micro_step);
        MR_TRY(mr_trainer_batch(t, MR_SPLIT_TRAIN, MR_STREAM_TRAIN, t->micro_step));
        MR_TRY(mr_run(t->ws, NULL, t->pieces, t->cfg->batch_size));
        MR_TRY(mr_loss(t->ws, t->targets, NULL));
        MR_TRY(mr_backward(t->ws));
        if (i == micro_batches - 1)
            MR_TRY(mr_trainer_grad_norm(t, grad_norm));
        MR_TRY(mr_read_loss(t->ws, &cross_entropy, &aux));
        *loss += cross_entropy + aux;
        t->micro_step++;
    }
    if (!isfinite(*loss) || !isfinite(*grad_norm)) {
        t->micro_step -= (uint64_t)micro_batches;
        return not_finite(t, *loss, *grad_norm);
    }
    return mr_trainer_update(t, lr);
}

static int save(mr_trainer *t, const struct mr_train_events *events)
{
    MR_TRY(mr_trainer_save(t, false));
    if (events->saved)
        events->saved(events->context, t->cfg->out_dir, t->iter);
    return 0;
}

static bool every(int64_t iter, int interval)
{
    return interval > 0 && iter % interval == 0;
}

static int loop(mr_trainer *t, const struct mr_train_events *events, const volatile sig_atomic_t *stop)
{
    const struct mr_train_config *cfg = t->cfg;
    int checkpoint_interval = cfg->checkpoint_interval ? cfg->checkpoint_interval : cfg->eval_interval;
    double tokens = (double)cfg->batch_size * cfg->block_size * cfg->gradient_accumulation_steps, average = 0;
    int64_t start = t->iter, saved = -1;
    for (;; t->iter++) {
        bool last = t->iter >= cfg->max_iters;
        int err = 0;
        if (cfg->eval_only || last || every(t->iter, cfg->eval_interval))
            err = evaluate(t, events, stop);
        if (cfg->eval_only || (err && err != MR_EINTERRUPTED))
            return err;
        if (last || *stop || (t->iter > start && every(t->iter, checkpoint_interval))) {
            MR_TRY(save(t, events));
            saved = t->iter;
        }
        if (*stop)
            return mr_fail(MR_EINTERRUPTED,
                           "stopped at iteration %lld and saved in %s: go on with "
                           "`microrwkv train out_dir=%s init_from=resume`",
                           (long long)saved, cfg->out_dir, cfg->out_dir);
        if (last)
            return 0;
        float loss, grad_norm;
        double lr = mr_learning_rate(cfg, t->iter), began = mr_now();
        MR_TRY(iterate(t, lr, &loss, &grad_norm));
        double ms = 1e3 * (mr_now() - began);
        average = average == 0 ? ms : 0.95 * average + 0.05 * ms;
        if (!every(t->iter, cfg->log_interval))
            continue;
        MR_TRY(mr_trainer_log(t, json_pack("{sI sf sf sf sf sf}", "iter", (json_int_t)t->iter, "loss", (double)loss,
                                           "lr", lr, "grad_norm", (double)grad_norm, "ms", ms, "tokens_per_s",
                                           tokens / ms * 1e3)));
        if (events->iteration)
            events->iteration(events->context, t->iter, loss, lr, grad_norm, ms, tokens / ms * 1e3,
                              1e-3 * average * (double)(cfg->max_iters - t->iter - 1));
    }
}

int mr_train(mr_runtime *rt, struct mr_train_config *cfg, const struct mr_train_events *events,
             const volatile sig_atomic_t *stop)
{
    mr_trainer t = {0};
    int err = mr_trainer_open(&t, rt, cfg);
    if (!err && !cfg->eval_only)
        err = mr_trainer_log_open(&t);
    if (!err && events->start)
        events->start(events->context, &t.model_cfg, mr_params_elements(&t.model->params), t.iter);
    if (!err)
        err = loop(&t, events, stop);
    mr_trainer_close(&t);
    return err;
}
