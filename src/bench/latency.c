/* SPDX-License-Identifier: GPL-3.0-or-later
 * Lines are handed on about once a second: who reads them shares the processor with what is timed. */
#include "bench/latency.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/progress.h"
#include "bench/facts.h"
#include "bench/statistics.h"
#include "formats/config_json.h"
#include "formats/load.h"
#include "rt/span.h"

struct sample {
    int64_t token;
    double wall_ms, device_ms; /* device_ms negative: not known */
    size_t device_bytes, resident_bytes;
};

struct run {
    const struct mr_latency *l;
    mr_runtime *rt;
    mr_model *model;
    mr_lm *lm;
    mr_sequence **sequences;
    struct mr_feed *feeds;
    int32_t *tokens;
    int texts;
    struct sample *samples;
    size_t count, capacity, put;
    double began, handed_on;
    bool out_of_time;
    int (*hand)(void *to, json_t *line);
    void *to;
};

/* ---- lines --------------------------------------------------------------------------------------------------- */

static json_t *line_of(const struct run *r)
{
    json_t *line = mr_bench_line("latency", mr_runtime_info(r->rt));
    size_t parameters = 0;
    const char *precision = r->l->precision != MR_PRECISION_OF_FILE ? mr_element_name((enum mr_element)r->l->precision)
                            : r->l->model->path                     ? "file"
                                                                    : "f32";
    if (r->model)
        parameters = mr_params_elements(&r->model->params);
    int err = mr_json_set(line, "model", json_string(r->l->model->label));
    if (!err)
        err = mr_json_set(line, "family", json_string(mr_family_name(r->l->model->cfg.family)));
    if (!err)
        err = mr_json_set(line, "parameters", json_integer((json_int_t)parameters));
    if (!err)
        err = mr_json_set(line, "precision", json_string(precision));
    if (!err)
        err = mr_json_set(line, "texts", json_integer(r->texts));
    if (!err)
        return line;
    json_decref(line);
    return NULL;
}

static json_t *maybe(double number)
{
    return number < 0 ? json_null() : mr_json_finite(number);
}

static int put_sample(const struct run *r, const struct sample *s)
{
    json_t *line = line_of(r);
    int err = mr_json_set(line, "token", json_integer((json_int_t)s->token));
    if (!err)
        err = mr_json_set(line, "wall_ms", json_real(s->wall_ms));
    if (!err)
        err = mr_json_set(line, "device_ms", maybe(s->device_ms));
    if (!err)
        err = mr_json_set(line, "device_bytes", json_integer((json_int_t)s->device_bytes));
    if (!err)
        err = mr_json_set(line, "resident_bytes", json_integer((json_int_t)s->resident_bytes));
    if (!err)
        return r->hand(r->to, line);
    json_decref(line);
    return err;
}

static int hand_on(struct run *r, bool all)
{
    if (!all && mr_now() - r->handed_on < 1)
        return 0;
    for (; r->put < r->count; r->put++)
        MR_TRY(put_sample(r, &r->samples[r->put]));
    r->handed_on = mr_now();
    return 0;
}

/* The first call is left out of all but first_token_ms: it finds kernels. */
static int add_numbers(const struct run *r, json_t *line)
{
    size_t n = r->count > 1 ? r->count - 1 : r->count, from = r->count - n, peak = 0;
    double *x = mr_alloc(n, sizeof *x), *y = mr_alloc(n, sizeof *y), total = 0;
    int err = x && y ? 0 : MR_ENOMEM;
    for (size_t i = 0; !err && i < r->count; i++)
        total += r->samples[i].wall_ms / 1e3;
    for (size_t i = 0; !err && i < n; i++) {
        x[i] = (double)r->samples[from + i].token;
        y[i] = r->samples[from + i].wall_ms;
    }
    mr_device_bytes(r->rt, NULL, &peak);
    if (!err)
        err = mr_json_set(line, "tokens", json_integer((json_int_t)r->count));
    if (!err)
        err = mr_json_set(line, "first_token_ms", json_real(r->samples[0].wall_ms));
    if (!err)
        err = mr_json_set(line, "slope_ms_per_1000", json_real(1000 * mr_slope(x, y, n)));
    if (!err)
        err = mr_json_set(line, "noise", json_real(mr_noise(y, n)));
    if (!err)
        err = mr_json_set(line, "median_ms", json_real(mr_quantile(y, n, 0.5)));
    if (!err)
        err = mr_json_set(line, "p99_ms", json_real(mr_quantile(y, n, 0.99)));
    if (!err)
        err = mr_json_set(line, "total_s", json_real(total));
    if (!err)
        err = mr_json_set(line, "device_bytes", json_integer((json_int_t)r->samples[r->count - 1].device_bytes));
    if (!err)
        err = mr_json_set(line, "peak_device_bytes", json_integer((json_int_t)peak));
    if (!err)
        err = mr_json_set(line, "resident_bytes", json_integer((json_int_t)r->samples[r->count - 1].resident_bytes));
    free(x);
    free(y);
    return err;
}

static int add_nothing(json_t *line)
{
    static const char *const keys[] = {"first_token_ms", "median_ms",         "p99_ms",        "slope_ms_per_1000",
                                       "total_s",        "peak_device_bytes", "resident_bytes"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        MR_TRY(mr_json_set(line, keys[i], json_null()));
    return 0;
}

/* reason: why it is not whole, or NULL. */
static int put_summary(const struct run *r, const char *reason)
{
    json_t *line = line_of(r);
    int err = mr_json_set(line, "summary", json_true());
    if (!err)
        err = r->count ? add_numbers(r, line) : add_nothing(line);
    if (!err && reason)
        err = mr_json_set(line, "reason", json_string(reason));
    if (!err)
        err = mr_json_set(line, "config", mr_config_to_json(&r->l->model->cfg));
    if (!err)
        err = mr_bench_facts(line, mr_runtime_info(r->rt), r->l->command);
    if (!err)
        return r->hand(r->to, line);
    json_decref(line);
    return err;
}

/* ---- timing -------------------------------------------------------------------------------------------------- */

static bool ended(const struct run *r)
{
    return *r->l->stop || r->out_of_time;
}

/* One more token of every text; `token` is its number in the text. */
static int take_token(struct run *r, int64_t token)
{
    const struct mr_philox draws = {.seed = 1, .step = (uint64_t)token};
    struct mr_span span = {0};
    double device = -1;
    for (int i = 0; i < r->texts; i++) {
        r->tokens[i] = (int32_t)mr_philox_below(&draws, (uint64_t)i, (uint64_t)mr_lm_vocab_size(r->lm));
        r->feeds[i] = (struct mr_feed){r->sequences[i], &r->tokens[i], 1};
    }
    if (!r->l->wall_only)
        MR_TRY(mr_span_begin(r->rt, &span));
    double from = mr_now();
    MR_TRY(mr_sequences_feed(r->feeds, r->texts));
    double wall = mr_now() - from;
    if (!r->l->wall_only)
        MR_TRY(mr_span_end(r->rt, &span, &device));
    MR_TRY(mr_grow(&r->samples, &r->capacity, r->count + 1, sizeof *r->samples));
    struct sample *s = &r->samples[r->count++];
    /* The end is marked after the logits are here, some microseconds late. */
    *s = (struct sample){.token = token, .wall_ms = 1e3 * wall, .device_ms = 1e3 * (device < wall ? device : wall)};
    mr_device_bytes(r->rt, &s->device_bytes, NULL);
    s->resident_bytes = mr_bench_resident();
    r->out_of_time = r->l->seconds > 0 && mr_now() - r->began > r->l->seconds;
    return hand_on(r, false);
}

static int take_at(struct run *r, int64_t position)
{
    for (int i = 0; i < r->texts; i++)
        MR_TRY(mr_sequence_pretend(r->sequences[i], position - 1));
    MR_TRY(mr_finish(r->rt));
    for (int64_t i = 0; i < MR_BENCH_AT && !ended(r); i++)
        MR_TRY(take_token(r, position + i));
    return 0;
}

static int take_all(struct run *r)
{
    MR_TRY(mr_finish(r->rt)); /* memory that is still being zeroed is not the first token's */
    r->began = r->handed_on = mr_now();
    for (int i = 0; i < r->l->at_count && !ended(r); i++)
        MR_TRY(take_at(r, r->l->at[i]));
    for (int64_t i = 1; !r->l->at_count && i <= r->l->tokens && !ended(r); i++)
        MR_TRY(take_token(r, i));
    return hand_on(r, true);
}

static int open_sequences(struct run *r)
{
    size_t n = (size_t)r->texts;
    MR_TRY(mr_lm_open_model(&r->lm, r->model, r->texts));
    r->sequences = mr_alloc(n, sizeof *r->sequences);
    r->feeds = mr_alloc(n, sizeof *r->feeds);
    r->tokens = mr_alloc(n, sizeof *r->tokens);
    if (!r->sequences || !r->feeds || !r->tokens)
        return MR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        MR_TRY(mr_sequence_open(&r->sequences[i], r->lm));
    return 0;
}

static void close_sequences(struct run *r)
{
    for (int i = 0; r->sequences && i < r->texts; i++)
        mr_sequence_close(r->sequences[i]);
    free(r->sequences);
    free(r->feeds);
    free(r->tokens);
    r->sequences = NULL;
    r->feeds = NULL;
    r->tokens = NULL;
    mr_lm_close(r->lm);
    r->lm = NULL;
}

static int measure_texts(struct run *r, int64_t texts)
{
    r->texts = (int)texts;
    r->count = r->put = 0;
    r->out_of_time = false;
    int err = open_sequences(r);
    if (!err)
        err = take_all(r);
    if (err == MR_ENOMEM) {
        struct mr_error_kept why;
        mr_error_keep(&why);
        err = put_summary(r, why.text);
    } else if (!err) {
        err = put_summary(r, *r->l->stop ? "stopped" : r->out_of_time ? "the time set by --seconds is over" : NULL);
    }
    close_sequences(r);
    return err;
}

int mr_latency_measure(mr_runtime *rt, const struct mr_latency *l, int (*put)(void *to, json_t *line), void *to)
{
    struct run r = {.l = l, .rt = rt, .hand = put, .to = to};
    struct mr_error_kept why;
    int64_t most = 1;
    for (int i = 0; i < l->texts_count; i++)
        most = l->texts[i] > most ? l->texts[i] : most;
    if (!l->wall_only)
        MR_TRY(mr_span_start(rt));
    int err = mr_bench_model_open(&r.model, rt, l->model, l->precision, (int)most);
    if (err == MR_ENOMEM) {
        mr_error_keep(&why);
        r.texts = (int)most;
        return put_summary(&r, why.text);
    }
    for (int i = 0; i < l->texts_count && !err && !*l->stop; i++)
        err = measure_texts(&r, l->texts[i]);
    free(r.samples);
    mr_model_free(r.model);
    return err;
}
