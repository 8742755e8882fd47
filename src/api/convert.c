/* SPDX-License-Identifier: GPL-3.0-or-later
 * From one kind of model file to another. */
#include "api/exporting_parts.h"
#include "base/options.h"
#include "base/file.h"
#include "formats/adapter.h"
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
    MR_GO(mr_config_words(how->config, &overrides));
    MR_GO(mr_exporting_options(out, how, &options));
    MR_GO(check_paths(in, out, options.target));
    MR_GO(mr_model_open_file(&source, in, &overrides, &cfg, &naming));
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
