/* SPDX-License-Identifier: GPL-3.0-or-later
 * convert: a model from one kind of file to another; works without a device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/exporting.h"
#include "formats/load.h"

struct request {
    const char *in, *out, *dtype, *to, *tokenizer;
    bool json, saturate;
    json_t *overrides;
};

static int check_paths(const struct request *r, int target)
{
    if (!mr_is_file(r->in) && !mr_is_folder(r->in))
        return mr_fail(MR_EFILE, "there is no file or folder %s", r->in);
    if (target == MR_TARGET_HF && mr_is_file(r->out))
        return mr_fail(MR_EINVAL, "%s is a file, and the layout hf is a folder: name another place or use --to",
                       r->out);
    return 0;
}

static int convert(const struct request *r, const struct mr_export_options *wanted)
{
    mr_tensor_file *source = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_model_file file = {0};
    struct mr_export_options options = *wanted;
    json_t *tokenizer = NULL;
    struct mr_export e = {0};
    int err;
    MR_GO(mr_model_open_file(&source, r->in, r->overrides, &cfg, &naming, &file));
    MR_GO(mr_exporting_tokenizer(r->tokenizer, r->in, &file, &cfg, &tokenizer));
    options.tokenizer = tokenizer;
    if ((err = mr_export_plan(&e, source, &naming, &cfg, &options)) < 0) {
        err = mr_fail_in(err, "%s", r->in);
        goto fail;
    }
    err = mr_exporting_run(&e, source, r->out, "convert", tokenizer, r->json);
fail:
    mr_export_free(&e);
    json_decref(tokenizer);
    mr_model_file_free(&file);
    mr_tensor_file_close(source);
    return err;
}

static int run(const struct request *r)
{
    struct mr_export_options options;
    MR_TRY(mr_exporting_options(r->out, r->to, r->dtype, &options));
    options.saturate = r->saturate;
    MR_TRY(check_paths(r, options.target));
    return convert(r, &options);
}

int mr_command_convert(int argc, char **argv)
{
    struct request r = {0};
    struct mr_words words = {0}, config = {0};
    const struct mr_option options[] = {
        {"dtype", MR_OPTION_TEXT, &r.dtype, "D", "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0 (as it is)"},
        {"saturate", MR_OPTION_FLAG, &r.saturate, NULL, "numbers too large for D become its largest, not errors"},
        {"to", MR_OPTION_TEXT, &r.to, "LAYOUT", "mrw, safetensors, hf, rwkv, nanogpt, bin or st (OUT's ending)"},
        {"tokenizer", MR_OPTION_TEXT, &r.tokenizer, "T", "the tokenizer that OUT shall carry (the one of IN)"},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        MR_JSON_OPTION(&r),
    };
    const struct mr_syntax syntax = {
        .name = "convert",
        .words = "IN OUT",
        .about = "Writes a model into another kind of file: .mrw, .safetensors, a Hugging Face folder (no ending), "
                 ".pth (official\n"
                 "RWKV), .pt (nanoGPT), .bin or .st (RWKV, f16). What cannot be kept is said first. Models may be "
                 "larger than memory.",
        .example = "microrwkv convert ckpt.pt out/ckpt.mrw",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 2,
        .max_words = 2};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err)
        err = mr_overrides(&config, &r.overrides);
    if (!err) {
        r.in = words.word[0];
        r.out = words.word[1];
        err = run(&r);
    }
    json_decref(r.overrides);
    mr_words_free(&words);
    mr_words_free(&config);
    return err;
}
