/* SPDX-License-Identifier: GPL-3.0-or-later
 * new: random weights of any family and size, straight to disk; works without a device. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/exporting.h"

struct request {
    const char *name, *out, *dtype, *to, *tokenizer;
    uint64_t seed;
    bool json;
    const char *const *config;
};

static int run(const struct request *r)
{
    struct mr_exporting_view view = {.out = r->out, .label = "new", .json = r->json};
    struct mr_convert_options how;
    mr_convert_defaults(&how, sizeof how);
    how.to = r->to;
    how.dtype = r->dtype;
    how.tokenizer = r->tokenizer;
    how.config = r->config;
    mr_exporting_listen(&view, &how);
    int err = mr_exporting_new(r->name, r->seed, r->out, &how, mr_exporting_report);
    mr_progress_end(&view.bar);
    return err;
}

static int parse(struct request *r, const struct mr_words *words)
{
    if (strchr(words->word[0], '='))
        return mr_fail(MR_EINVAL, "new: give the model's name before %s (see new --help)", words->word[0]);
    if (!r->out)
        return mr_fail(MR_EINVAL, "new: --out is required (see new --help)");
    r->name = words->word[0];
    r->config = words->word + 1;
    return 0;
}

int mr_command_new(int argc, char **argv)
{
    struct request r = {.seed = 1337};
    struct mr_words words = {0};
    const struct mr_option options[] = {
        {"out", MR_OPTION_TEXT, &r.out, "MODEL",
         "file to write (.mrw, .safetensors, .pth, .pt, .bin, .st, .gguf) or folder"},
        {"seed", MR_OPTION_SEED, &r.seed, "S", "random seed (1337)"},
        {"dtype", MR_OPTION_TEXT, &r.dtype, "D", "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0 (f32)"},
        {"to", MR_OPTION_TEXT, &r.to, "LAYOUT",
         "mrw, safetensors, hf, rwkv, nanogpt, bin, st, gguf or fla (OUT's ending)"},
        {"tokenizer", MR_OPTION_TEXT, &r.tokenizer, "T", "tokenizer to store in the model"},
        MR_JSON_OPTION(&r),
    };
    const struct mr_syntax syntax = {.name = "new",
                                     .words = "NAME [key=value ...]",
                                     .about =
                                         "Writes a model of random weights: microrwkv, nanorwkv, gpt2, "
                                         "gpt2-medium, gpt2-large, gpt2-xl, rwkv4-169m to rwkv4-14b,\n"
                                         "rwkv5-0b1 to rwkv5-7b, rwkv6-1b6 to rwkv6-14b, rwkv7-0b1 to rwkv7-13b3,\n"
                                         "opt-125m to opt-2.7b, gpt-neo-125m to gpt-neo-2.7b, pythia-70m to "
                                         "pythia-2.8b; key=value changes its configuration.",
                                     .example = "microrwkv new rwkv6-1b6 n_layer=2 --seed 1 --out small.mrw",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 1,
                                     .max_words = INT_MAX,
                                     .key_values = true};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err)
        err = parse(&r, &words);
    if (!err)
        err = run(&r);
    mr_words_free(&words);
    return err;
}
