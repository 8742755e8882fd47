/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/exporting_parts.h"

#include <string.h>

#include "base/file.h"
#include "text/folder.h"

int mr_exporting_options(const char *out, const struct mr_convert_options *how, struct mr_export_options *options)
{
    const char *to = how->to, *dtype = how->dtype;
    static const char *const known[] = {"f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"};
    *options = (struct mr_export_options){.dtype = -1, .saturate = how->saturate};
    options->target = to ? mr_target_by_name(to) : mr_target_by_path(out);
    if (options->target < 0)
        return options->target;
    for (size_t i = 0; dtype && i < sizeof known / sizeof *known; i++)
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

int mr_exporting_tokenizer(const struct mr_convert_options *how, const char *in, const mr_stored_tokenizer *stored,
                           const struct mr_config *cfg, mr_stored_tokenizer **tokenizer)
{
    const char *spec = how->tokenizer;
    mr_tokenizer *t = NULL;
    *tokenizer = NULL;
    if (!spec && stored)
        return mr_stored_tokenizer_copy(tokenizer, stored);
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
    else
        err = mr_tokenizer_store(t, tokenizer);
    mr_tokenizer_close(t);
    return err;
}

struct observer {
    const struct mr_convert_options *how;
    const mr_stored_tokenizer *tokenizer;
    volatile sig_atomic_t stop;
};

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    struct observer *a = context;
    if (a->how->progress && a->how->progress(a->how->context, all ? (double)done / (double)all : 1))
        a->stop = 1;
}

static int on_files(void *context, const char *folder)
{
    const struct observer *a = context;
    return a->tokenizer ? mr_folder_tokenizer_write(a->tokenizer, folder) : 0;
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

int mr_exporting_write(struct mr_export *e, mr_tensor_file *source, const char *out,
                       const mr_stored_tokenizer *tokenizer, const struct mr_convert_options *how,
                       mr_exporting_done *done)
{
    struct observer a = {.how = how, .tokenizer = tokenizer};
    struct mr_export_events events = {.context = &a, .progress = on_progress, .files = on_files, .stop = &a.stop};
    if (tokenizer && !e->keeps_tokenizer && !(mr_target_is_folder(e->target) && mr_folder_tokenizer_writes(tokenizer)))
        MR_TRY(mr_export_note(e, "the tokenizer: give it with --tokenizer wherever %s is used", out));
    for (size_t i = 0; how->note && i < e->note_count; i++)
        how->note(how->context, e->notes[i]);
    MR_TRY(mr_export_run(e, source, out, &events));
    const struct mr_exported exported = {.layout = mr_target_name(e->target),
                                         .family = mr_family_name(e->cfg.family),
                                         .parameters = mr_params_elements(&e->params),
                                         .bytes = bytes_of(e),
                                         .notes = (const char *const *)e->notes,
                                         .note_count = e->note_count};
    return done ? done(how->context, &exported) : 0;
}
