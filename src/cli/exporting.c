/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/exporting.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "text/folder.h"

int mr_exporting_options(const char *out, const char *to, const char *dtype, struct mr_export_options *options)
{
    static const char *const known[] = {"f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"};
    *options = (struct mr_export_options){.dtype = -1};
    options->target = to ? mr_target_by_name(to) : mr_target_by_path(out);
    if (options->target < 0)
        return options->target;
    for (size_t i = 0; dtype && i < MR_COUNT(known); i++)
        if (strcmp(dtype, known[i]) == 0)
            options->dtype = mr_dtype_from_name(dtype);
    if (!dtype && options->target == MR_TARGET_ST)
        options->dtype = MR_DTYPE_F16; /* all that its readers know */
    if (dtype && options->dtype < 0)
        return mr_fail(MR_EINVAL, "there is no --dtype '%s': it is one of f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0",
                       dtype);
    if (dtype && !mr_target_holds(options->target, (enum mr_dtype)options->dtype))
        return mr_fail(MR_EINVAL, "the layout %s cannot hold %s", mr_target_name(options->target), dtype);
    return 0;
}

int mr_exporting_tokenizer(const char *spec, const char *in, const struct mr_model_file *file,
                           const struct mr_config *cfg, json_t **json)
{
    mr_tokenizer *t = NULL;
    *json = NULL;
    if (!spec && file->tokenizer) {
        *json = json_incref(file->tokenizer);
        return 0;
    }
    if (spec)
        MR_TRY(mr_tokenizer_open(&t, spec));
    else if (mr_is_folder(in))
        MR_TRY(mr_folder_tokenizer(&t, in));
    if (!t)
        return 0;
    size_t size = mr_tokenizer_vocab_size(t);
    int err = 0;
    if (size > (size_t)cfg->vocab_size)
        err = mr_fail(MR_EFILE, "the tokenizer %s has %zu tokens, the model %s only %d", spec ? spec : "in the folder",
                      size, in, cfg->vocab_size);
    else if (!(*json = mr_tokenizer_to_json(t)))
        err = MR_ENOMEM;
    mr_tokenizer_close(t);
    return err;
}

struct view {
    struct mr_progress bar;
    const json_t *tokenizer;
};

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    struct view *v = context;
    char text[24];
    v->bar.total = all;
    mr_progress_update(&v->bar, done, "of %s", mr_format_bytes(text, all));
}

static int on_files(void *context, const char *folder)
{
    const struct view *v = context;
    return mr_folder_tokenizer_write(v->tokenizer, folder);
}

/* Notes are said before anything is written. */
static void say_notes(const struct mr_export *e, const char *out)
{
    size_t i;
    json_t *note;
    json_array_foreach(e->notes, i, note)
        fprintf(stderr, "microrwkv: not kept in %s: %s\n", out, json_string_value(note));
}

static int say_result(const struct mr_export *e, const char *out, uint64_t bytes, double seconds, bool as_json)
{
    char text[24];
    size_t parameters = mr_params_elements(&e->params);
    if (as_json)
        return mr_print_json(json_pack("{ss ss ss sI sI sf sO}", "out", out, "layout", mr_target_name(e->target),
                                       "family", mr_family_name(e->cfg.family), "parameters", (json_int_t)parameters,
                                       "bytes", (json_int_t)bytes, "seconds", seconds, "not_kept", e->notes));
    fprintf(stderr, "%s: %s of %.1f M parameters, %s of numbers in %.1f s (%.0f MB/s)\n", out,
            mr_family_name(e->cfg.family), 1e-6 * (double)parameters, mr_format_bytes(text, bytes), seconds,
            1e-6 * (double)bytes / (seconds > 1e-9 ? seconds : 1e-9));
    return 0;
}

static uint64_t bytes_of(const struct mr_export *e)
{
    uint64_t all = 0;
    for (size_t i = 0; i < e->count; i++) {
        size_t count, bytes;
        if (e->tensors[i].shares < 0 && mr_file_tensor_size(&e->tensors[i], &count, &bytes) == 0)
            all += bytes;
    }
    return all;
}

int mr_exporting_run(struct mr_export *e, mr_tensor_file *source, const char *out, const char *label,
                     const json_t *tokenizer, bool as_json)
{
    struct view v = {.tokenizer = tokenizer};
    struct mr_export_events events = {
        .context = &v, .progress = on_progress, .files = on_files, .stop = mr_catch_signals()};
    if (tokenizer && !e->keeps_tokenizer && !(e->target == MR_TARGET_HF && mr_folder_tokenizer_writes(tokenizer)))
        MR_TRY(mr_export_note(e, "the tokenizer: give it with --tokenizer wherever %s is used", out));
    say_notes(e, out);
    double start = mr_now();
    mr_progress_begin(&v.bar, stderr, label, 0);
    int err = mr_export_run(e, source, out, &events);
    mr_progress_end(&v.bar);
    return err ? err : say_result(e, out, bytes_of(e), mr_now() - start, as_json);
}
