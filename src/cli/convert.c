/* SPDX-License-Identifier: GPL-3.0-or-later
 * convert: a model from one kind of file to another; works without a device. */
#include "cli/comparing.h"
#include "cli/exporting.h"

struct request {
    const char *in, *out, *dtype, *to, *tokenizer;
    bool json, saturate, verify;
    const char *device;
    const struct mr_words *lora;
    const struct mr_words *config;
};

/* The same tokens through both files. */
static int verify(const struct request *r)
{
    const struct mr_comparing how = {
        .path = {r->in, r->out}, .config = r->config->word, .lora = r->lora->word, .tolerance = -1};
    const struct mr_common common = {.device = r->device, .json = r->json};
    return mr_print_comparison(&how, &common);
}

static int run(const struct request *r)
{
    struct mr_exporting_view view = {.out = r->out, .label = "convert", .json = r->json};
    struct mr_convert_options how;
    mr_convert_defaults(&how, sizeof how);
    how.to = r->to;
    how.dtype = r->dtype;
    how.tokenizer = r->tokenizer;
    how.saturate = r->saturate;
    how.lora = r->lora->word;
    how.config = r->config->word;
    mr_exporting_listen(&view, &how);
    int err = mr_exporting_convert(r->in, r->out, &how, mr_exporting_report);
    mr_progress_end(&view.bar);
    return !err && r->verify ? verify(r) : err;
}

int mr_command_convert(int argc, char **argv)
{
    struct request r = {0};
    struct mr_words words = {0}, config = {0}, lora = {0};
    const struct mr_option options[] = {
        {"dtype", MR_OPTION_TEXT, &r.dtype, "D", "f32, f16, bf16, q8_0, q5_1, q5_0, q4_1 or q4_0 (as it is)"},
        {"saturate", MR_OPTION_FLAG, &r.saturate, NULL, "numbers too large for D become its largest, not errors"},
        {"verify", MR_OPTION_FLAG, &r.verify, NULL, "then run the same tokens through both; exit 1 where they differ"},
        {"to", MR_OPTION_TEXT, &r.to, "LAYOUT",
         "mrw, safetensors, hf, rwkv, nanogpt, bin, st, gguf or fla (OUT's ending)"},
        {"tokenizer", MR_OPTION_TEXT, &r.tokenizer, "T", "tokenizer to store in OUT (default: IN's own)"},
        {"lora", MR_OPTION_LIST, &lora, "F[:S]", MR_LORA_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of the model"},
        MR_DEVICE_OPTION(&r),
        MR_JSON_OPTION(&r),
    };
    const struct mr_syntax syntax = {
        .name = "convert",
        .words = "IN OUT",
        .about = "Writes a model into another kind of file: .mrw, .safetensors, a Hugging Face folder (no ending), "
                 ".pth (official\n"
                 "RWKV), .pt (nanoGPT), .bin or .st (RWKV, f16), .gguf (llama.cpp), or with --to fla a folder of "
                 "RWKV-7 for\n"
                 "flash-linear-attention. What cannot be kept is said first. Models may be larger than memory.",
        .example = "microrwkv convert ckpt.pt out/ckpt.mrw",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 2,
        .max_words = 2};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err) {
        r.lora = &lora;
        r.config = &config;
        r.in = words.word[0];
        r.out = words.word[1];
        err = run(&r);
    }
    mr_words_free(&words);
    mr_words_free(&config);
    mr_words_free(&lora);
    return err;
}
