/* SPDX-License-Identifier: GPL-3.0-or-later
 * From one kind of model file to another. */
#include "api/exporting_parts.h"

#include <stdio.h>
#include "base/options.h"
#include "base/file.h"
#include "formats/adapter.h"
#include "formats/adapter_convert.h"
#include "formats/overrides.h"

void mr_convert_defaults(struct mr_convert_options *options, size_t size)
{
    const struct mr_convert_options defaults = {0};
    mr_give_defaults(options, size, &defaults, sizeof defaults);
}

static int check_paths(const char *in, const char *out, int target)
{
    if (!mr_is_file(in) && !mr_is_folder(in))
        return mr_fail(MR_EFILE, "there is no file or folder %s", in);
    if (mr_target_is_folder(target) && mr_is_file(out))
        return mr_fail(MR_EINVAL, "%s is a file, and the layout %s is a folder: name another place or use --to", out,
                       mr_target_name(target));
    return 0;
}

/* What the model's conversion takes has no meaning here. */
static int convert_adapter(const char *in, const char *out, const struct mr_convert_options *how,
                           mr_exporting_done *done)
{
    struct mr_adapter_written written;
    char scale[160];
    const char *note = scale;
    int layout = mr_adapter_layout_of(out);
    if (layout < 0)
        return layout;
    if (how->to || how->dtype || how->tokenizer || (how->lora && how->lora[0]) || (how->config && how->config[0]))
        return mr_fail(MR_EINVAL, "%s is an adapter: --to, --dtype, --tokenizer, --lora and --config are for models",
                       in);
    MR_TRY(mr_adapter_convert(in, out, layout, &written));
    snprintf(scale, sizeof scale, "alpha / rank = %.6g: give it behind the file's name, --lora %s:%.6g", written.scale,
             out, written.scale);
    bool lost = layout == MR_ADAPTER_PTH && written.scale != 1;
    if (lost && how->note)
        how->note(how->context, note);
    const struct mr_exported exported = {.layout = layout == MR_ADAPTER_PEFT ? "peft" : "pth",
                                         .family = "an adapter",
                                         .parameters = written.numbers,
                                         .bytes = written.bytes,
                                         .notes = &note,
                                         .note_count = lost};
    return done ? done(how->context, &exported) : 0;
}

int mr_exporting_convert(const char *in, const char *out, const struct mr_convert_options *how, mr_exporting_done *done)
{
    mr_tensor_file *source = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    mr_stored_tokenizer *stored = NULL, *tokenizer = NULL;
    struct mr_settings overrides = {0};
    struct mr_export_options options;
    struct mr_export e = {0};
    int err;
    bool adapter = false;
    if (!mr_is_file(in)) { /* a folder, or FILE:scale */
        MR_GO(mr_is_adapter(in, &adapter));
        if (adapter)
            return convert_adapter(in, out, how, done);
    }
    MR_GO(mr_config_words(how->config, &overrides));
    MR_GO(mr_exporting_options(out, how, &options));
    MR_GO(check_paths(in, out, options.target));
    if ((err = mr_model_open_file(&source, in, &overrides, &cfg, &naming)) < 0) {
        struct mr_error_kept kept;
        mr_error_keep(&kept);
        if (mr_is_adapter(in, &adapter) == 0 && adapter)
            err = convert_adapter(in, out, how, done);
        else
            mr_error_restore(&kept);
        goto fail;
    }
    MR_GO(mr_model_tokenizer(source, &stored));
    MR_GO(mr_adapters_merge(&source, &naming, how->lora));
    MR_GO(mr_exporting_tokenizer(how, in, stored, &cfg, &tokenizer));
    options.tokenizer = tokenizer;
    if ((err = mr_export_plan(&e, source, &naming, &cfg, &options)) < 0) {
        err = mr_fail_in(err, "%s", in);
        goto fail;
    }
    err = mr_exporting_write(&e, source, out, tokenizer, how, done);
fail:
    mr_export_free(&e);
    mr_settings_free(&overrides);
    mr_stored_tokenizer_free(tokenizer);
    mr_stored_tokenizer_free(stored);
    mr_tensor_file_close(source);
    return err;
}

int mr_convert(const char *in, const char *out, const struct mr_convert_options *options)
{
    struct mr_convert_options how;
    mr_convert_defaults(&how, sizeof how);
    MR_TRY(mr_take_options(&how, sizeof how, options, "mr_convert_options"));
    return mr_exporting_convert(in, out, &how, NULL);
}
