/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models of random weights. */
#include "api/exporting_parts.h"
#include "formats/overrides.h"
#include "formats/random_file.h"
#include "model/sizes.h"

int mr_exporting_new(const char *name, uint64_t seed, const char *out, const struct mr_convert_options *how,
                     mr_exporting_done *done)
{
    mr_tensor_file *source = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_settings overrides = {0};
    struct mr_export_options options;
    struct mr_export e = {0};
    mr_stored_tokenizer *tokenizer = NULL;
    int err;
    MR_GO(mr_config_words(how->config, &overrides));
    MR_GO(mr_config_by_name(&cfg, name, &overrides));
    MR_GO(mr_exporting_options(out, how, &options));
    MR_GO(mr_exporting_tokenizer(how, name, NULL, &cfg, &tokenizer));
    options.tokenizer = tokenizer;
    MR_GO(mr_random_open(&source, &cfg, seed, &naming));
    MR_GO(mr_export_plan(&e, source, &naming, &cfg, &options));
    err = mr_exporting_write(&e, source, out, tokenizer, how, done);
fail:
    mr_export_free(&e);
    mr_settings_free(&overrides);
    mr_stored_tokenizer_free(tokenizer);
    mr_tensor_file_close(source);
    return err;
}
