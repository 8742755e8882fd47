/* SPDX-License-Identifier: GPL-3.0-or-later
 * The training loop. Iterations count optimizer steps from 0; before iteration k, where k is a multiple of
 * eval_interval or the end, the model is evaluated and saved. Everything random depends on numbers alone (seed,
 * micro-step), so that a resumed run goes on bit for bit. */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "ops/adamw.h"
#include "train/folder.h"
#include "train/schedule.h"
#include "train/trainer.h"

static int evaluate_batch(mr_trainer *t, int split, int batch, float *loss_and_weight)
{
    uint32_t stream = split == MR_SPLIT_TRAIN ? MR_STREAM_EVAL_TRAIN : MR_STREAM_EVAL_VAL;
    float aux;
    MR_TRY(mr_trainer_batch(t, split, stream, (uint64_t)batch));
    mr_workspace_set_training(t->ws, false, 1, t->seed, 0);
    MR_TRY(mr_run(t->ws, NULL, t->pieces, t->cfg->batch_size));
    MR_TRY(mr_loss(t->ws, t->targets, NULL));
    loss_and_weight[1] = mr_token_data_is_masked(t->data) ? (float)t->ws->valid_targets : 1;
    return mr_read_loss(t->ws, loss_and_weight, &aux);
}

/* Mean cross-entropy over the first batches of a split: the same ones at every evaluation. Ranks take turns. stop NULL:
 * it is not stopped. */
static int evaluate_split(mr_trainer *t, int split, int batches, const struct mr_train_events *events,
                          const volatile sig_atomic_t *stop, double *loss)
{
    double sum = 0, all = 0; /* where targets are masked, batches count by how many they have */
    for (int i = 0; i < batches; i += t->ranks) {
        float loss_and_weight[2] = {0};
        int stops = stop ? mr_trainer_stops(t, stop) : 0, done = i;
        if (stops)
            return stops < 0 ? stops : MR_EINTERRUPTED;
        if (i + t->rank < batches)
            MR_TRY(evaluate_batch(t, split, i + t->rank, loss_and_weight));
        MR_TRY(mr_ranks_gather(t->cfg->ranks, loss_and_weight, sizeof loss_and_weight, t->gathered));
        for (; done < batches && done < i + t->ranks; done++) {
            const float *of = t->gathered + 2 * (done - i);
            sum += (double)of[1] * of[0];
            all += of[1];
        }
        if (events->evaluating)
            events->evaluating(events->context, (split == MR_SPLIT_TRAIN ? 0 : t->cfg->eval_iters) + done,
                               2 * t->cfg->eval_iters);
    }
    *loss = all > 0 ? sum / all : 0;
    return 0;
}

/* printf knows a -nan, readers do not. */
static double shown(double x)
{
    return isnan(x) ? fabs(x) : x;
}

/* *best: the val loss was never lower. */
static int evaluate(mr_trainer *t, const struct mr_train_events *events, const volatile sig_atomic_t *stop, bool *best)
{
    double train_loss, val_loss;
    MR_TRY(evaluate_split(t, MR_SPLIT_TRAIN, t->cfg->eval_iters, events, stop, &train_loss));
    MR_TRY(evaluate_split(t, MR_SPLIT_VAL, t->cfg->eval_iters, events, stop, &val_loss));
    MR_TRY(mr_trainer_log(t, json_pack("{sI so so}", "iter", (json_int_t)t->iter, "train_loss",
                                       mr_json_finite(train_loss), "val_loss", mr_json_finite(val_loss))));
    bool lower = val_loss < t->best_val_loss;
    if (events->evaluation)
        events->evaluation(events->context, t->iter, train_loss, val_loss, lower);
    if (!isfinite(train_loss) || !isfinite(val_loss))
        return mr_trainer_not_finite(t, "the train loss is %g, the val loss %g", shown(train_loss), shown(val_loss));
    t->proven = t->iter;
    if (lower) {
        t->best_val_loss = val_loss;
        t->best_iter = t->iter;
    }
    *best = lower;
    return 0;
}

/* A state is saved only after it gave a finite loss, so that it never replaces a better one: an evaluation showed it,
 * or one batch does now. */
static int prove(mr_trainer *t)
{
    struct mr_train_events silent = {0};
    double loss;
    if (t->proven == t->iter)
        return 0;
    MR_TRY(evaluate_split(t, MR_SPLIT_VAL, 1, &silent, NULL, &loss));
    if (!isfinite(loss))
        return mr_trainer_not_finite(t, "the val loss is %g, so this state is not saved", shown(loss));
    t->proven = t->iter;
    return 0;
}

int mr_trainer_queue(mr_trainer *t, double lr)
{
    int micro_batches = t->cfg->gradient_accumulation_steps;
    if (t->unread++ == 0) {
        t->seen = (struct mr_counts){t->iter, t->optimizer_steps, t->micro_step};
        MR_TRY(mr_zero(t->rt, &t->report));
    }
    MR_TRY(mr_param_set_zero(&t->gradients));
    for (int i = t->rank; i < micro_batches; i += t->ranks) {
        uint64_t micro_step = t->micro_step + (uint64_t)i;
        mr_workspace_set_training(t->ws, true, 1.0f / (float)micro_batches, t->seed, micro_step);
        MR_TRY(mr_trainer_batch(t, MR_SPLIT_TRAIN, MR_STREAM_TRAIN, micro_step));
        MR_TRY(mr_run(t->ws, NULL, t->pieces, t->cfg->batch_size));
        MR_TRY(mr_loss(t->ws, t->targets, NULL));
        MR_TRY(mr_backward(t->ws));
        MR_TRY(mr_gather_loss(t->rt, &t->ws->cross_entropy, &t->ws->aux, &t->loss, i == t->rank));
    }
    MR_TRY(mr_trainer_combine(t));
    t->micro_step += (uint64_t)micro_batches;
    return mr_trainer_update(t, lr);
}

int mr_trainer_iterate(mr_trainer *t, double lr, float *loss, float *grad_norm)
{
    bool bad;
    MR_TRY(mr_trainer_queue(t, lr));
    MR_TRY(mr_trainer_look(t, loss, grad_norm, &bad));
    if (bad)
        return mr_trainer_not_finite(t, "the loss is %g, the gradient norm %g", shown(*loss), shown(*grad_norm));
    return 0;
}

static bool every(int64_t iter, int interval)
{
    return interval > 0 && iter % interval == 0;
}

enum { MOST_UNREAD = 64 }; /* iterations that may be queued before the host looks at them */

/* How fast a run goes. */
struct pace {
    double tokens, average; /* of an iteration; its milliseconds, smoothed */
    double since;           /* when the first iteration began that was not looked at */
    int64_t start;
};

/* The line of the iteration t->iter, also of one that failed with `err`, which stays what it is. */
static int log_iteration(mr_trainer *t, const struct mr_train_events *events, const struct pace *pace, double ms,
                         float loss, float grad_norm, int err)
{
    double lr = mr_learning_rate(t->cfg, t->iter), tokens_per_s = pace->tokens / ms * 1e3;
    struct mr_error_kept kept;
    mr_error_keep(&kept);
    json_t *line = json_pack("{sI so sf so so so}", "iter", (json_int_t)t->iter, "loss", mr_json_finite((double)loss),
                             "lr", lr, "grad_norm", mr_json_finite((double)grad_norm), "ms", mr_json_finite(ms),
                             "tokens_per_s", mr_json_finite(tokens_per_s));
    if (line && t->ranks > 1) {
        json_object_set_new(line, "wait_ms", mr_json_finite(t->wait_ms));
        json_object_set_new(line, "comm_ms", mr_json_finite(t->comm_ms));
    }
    int log_err = mr_trainer_log(t, line);
    if (log_err && !err)
        return log_err;
    if (log_err)
        mr_log(MR_LOG_WARNING, "%s", mr_error_text());
    if (events->iteration)
        events->iteration(events->context, t->iter, loss, lr, grad_norm, ms, tokens_per_s,
                          1e-3 * pace->average * (double)(t->cfg->max_iters - t->iter - 1));
    mr_error_restore(&kept);
    return 0;
}

/* Waits for what was queued. An iteration that was not finite is made again, alone: its gradients tell the culprit.
 * `log`: t->iter is to be logged, if all went well. 1: t->iter is not where it was, its iteration is done. */
static int look(mr_trainer *t, const struct mr_train_events *events, struct pace *pace, bool log)
{
    float loss = NAN, grad_norm = NAN;
    int count = t->unread, err = 0;
    int64_t first = t->seen.iter;
    bool bad;
    if (!count)
        return 0;
    MR_TRY(mr_trainer_look(t, &loss, &grad_norm, &bad));
    double ms = 1e3 * (mr_now() - pace->since) / count, old = pow(0.95, count);
    pace->average = pace->average == 0 ? ms : old * pace->average + (1 - old) * ms;
    if (!bad || t->iter > first)
        t->skipped = 0;
    if (bad)
        err = mr_trainer_iterate(t, mr_learning_rate(t->cfg, t->iter), &loss, &grad_norm);
    if (err && err != MR_ENUMERIC)
        return err;
    if (err || (bad ? every(t->iter, t->cfg->log_interval) : log))
        MR_TRY(log_iteration(t, events, pace, ms, loss, grad_norm, err));
    if (err)
        MR_TRY(mr_trainer_skip(t, err));
    return bad;
}

static int iterate(mr_trainer *t, const struct mr_train_events *events, struct pace *pace)
{
    bool log = every(t->iter, t->cfg->log_interval);
    if (!t->unread)
        pace->since = mr_now();
    MR_TRY(mr_trainer_queue(t, mr_learning_rate(t->cfg, t->iter)));
    if (!log && t->unread < MOST_UNREAD)
        return 0;
    int again = look(t, events, pace, log);
    return again < 0 ? again : 0;
}

/* Told by iterations alone, so that a resumed run ends where an unbroken one does. */
static bool out_of_patience(const mr_trainer *t)
{
    int64_t waited = t->iter - t->best_iter;
    bool over = t->cfg->patience > 0 && every(t->iter, t->cfg->eval_interval) &&
                waited >= (int64_t)t->cfg->patience * t->cfg->eval_interval;
    if (over)
        mr_log(MR_LOG_INFO, "patience=%d: the lowest val loss, %.4f, was %lld iterations ago", t->cfg->patience,
               t->best_val_loss, (long long)waited);
    return over;
}

/* Evaluates and saves where it is time, then runs one iteration. 1: the run is at its end. */
static int advance(mr_trainer *t, const struct mr_train_events *events, const volatile sig_atomic_t *stop,
                   struct pace *pace)
{
    const struct mr_train_config *cfg = t->cfg;
    int checkpoint_interval = cfg->checkpoint_interval ? cfg->checkpoint_interval : cfg->eval_interval;
    bool last = t->iter >= cfg->max_iters, best = false;
    int stopping = mr_trainer_stops(t, stop);
    MR_TRY(stopping);
    bool whole = last || stopping || (t->iter > pace->start && every(t->iter, checkpoint_interval));
    bool evaluates = cfg->eval_only || last || every(t->iter, cfg->eval_interval);
    MR_TRY(mr_trainer_saved(t, false));
    int err = whole || evaluates ? look(t, events, pace, false) : 0;
    if (err)
        return err < 0 ? err : 0;
    if (evaluates)
        err = evaluate(t, events, stop, &best);
    if (cfg->eval_only || (err && err != MR_EINTERRUPTED))
        return err ? err : 1;
    if (evaluates) /* asked for meanwhile */
        MR_TRY(stopping = mr_trainer_stops(t, stop));
    last = last || (evaluates && !err && out_of_patience(t));
    whole = whole || last || stopping;
    if (whole)
        MR_TRY(prove(t));
    if (whole || (best && t->iter > 0))
        MR_TRY(mr_trainer_save(t, best && t->iter > 0, whole));
    if (last || stopping)
        MR_TRY(mr_trainer_saved(t, true));
    char buffer[4100];
    if (stopping)
        return mr_fail(
            MR_EINTERRUPTED,
            "stopped at iteration %lld, saved in %s: continue with `microrwkv train out_dir=%s init_from=resume`",
            (long long)t->iter, cfg->out_dir, mr_shell_word(cfg->out_dir, buffer, sizeof buffer));
    return last ? 1 : iterate(t, events, pace);
}

static int loop(mr_trainer *t, const struct mr_train_events *events, const volatile sig_atomic_t *stop)
{
    struct pace pace = {.start = t->iter};
    pace.tokens = (double)t->cfg->batch_size * t->cfg->block_size * t->cfg->gradient_accumulation_steps;
    for (;;) {
        int end = advance(t, events, stop, &pace);
        if (end == MR_ENUMERIC)
            MR_TRY(mr_trainer_rollback(t, end));
        else if (end)
            return end < 0 ? end : 0;
        else
            t->iter++;
        if (events->iterated)
            events->iterated(events->context);
    }
}

/* The save that runs is waited for however the run ended; `err` stays what is told of it. */
static int end_saving(mr_trainer *t, int err)
{
    struct mr_error_kept kept;
    mr_error_keep(&kept);
    int late = mr_trainer_saved(t, true);
    if (!err)
        return late;
    if (late)
        mr_log(MR_LOG_WARNING, "%s", mr_error_text());
    mr_error_restore(&kept);
    return err;
}

int mr_train(mr_runtime *rt, struct mr_train_config *cfg, const struct mr_train_events *events,
             const volatile sig_atomic_t *stop)
{
    static const struct mr_train_events silent;
    bool first = mr_ranks_index(cfg->ranks) == 0; /* the one that writes and reports */
    events = first ? events : &silent;
    mr_trainer t = {.saved = -1, .proven = -1, .events = events};
    struct mr_run_folder folder = {0};
    mr_ranks_set_patience(cfg->ranks, cfg->rank_timeout);
    int err = mr_train_config_check(cfg);
    if (!err && first)
        err = mr_run_folder_open(&folder, cfg);
    if (!err)
        err = mr_trainer_open(&t, rt, cfg);
    if (!err)
        err = mr_trainer_meet(&t, &folder.continues);
    if (!err && folder.continues)
        t.saved = t.iter;
    if (!err && first)
        err = mr_run_folder_begin(&folder);
    if (!err && first && !cfg->eval_only)
        err = mr_trainer_log_open(&t);
    if (!err && events->start)
        events->start(events->context, &t.model_cfg, mr_params_elements(&t.model->params),
                      mr_params_trained(&t.model->params), t.iter);
    if (!err)
        err = loop(&t, events, stop);
    err = end_saving(&t, err);
    mr_trainer_close(&t);
    mr_run_folder_close(&folder);
    return err;
}
