/* SPDX-License-Identifier: GPL-3.0-or-later
 * generate: continues a prompt, token by token. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "cli/generate.h"
#include "infer/sampler.h"

/* `--model_name=ckpt-500` means out/ckpt-500.mrw, .pt or .pth. */
static int find_by_name(const char *name, char *path, size_t size)
{
    const char *endings[] = {"mrw", "pt", "pth"};
    for (size_t i = 0; i < MR_COUNT(endings); i++) {
        snprintf(path, size, "out/%s.%s", name, endings[i]);
        if (mr_is_file(path))
            return 0;
    }
    return mr_fail(MR_EFILE, "there is no out/%s.mrw, out/%s.pt or out/%s.pth", name, name, name);
}

/* Asked between the chunks of a prompt, and while weights are read. */
static int wants_to_stop(void *context, double part)
{
    const struct mr_generate *r = context;
    (void)part;
    return *r->stopped != 0;
}

/* One text, which appears while it is generated. */
static int generate(const struct mr_generate *r, mr_sequence *s, mr_lm *lm, struct mr_answer *a)
{
    struct mr_sampling how = r->sampling;
    how.logprobs = a->likely;
    if (r->state_in)
        MR_TRY(mr_sequence_restore(s, r->state_in));
    if (a->prompt)
        MR_TRY(mr_sequence_prompt(s, a->text.text, a->prompt));
    a->begun = true;
    a->total_s = mr_now() - a->began;
    mr_answer_stream(a, r);
    while (!a->ended && a->count < r->max_tokens && !*r->stopped) {
        int32_t id = 0;
        int more = mr_sequence_next(s, &how, &id);
        MR_TRY(more);
        MR_TRY(mr_answer_take(a, r, lm, id, more));
        mr_answer_stream(a, r);
        if (ferror(stdout) && !r->state_out)
            break; /* nobody will see the rest */
    }
    return 0;
}

/* Prints and saves what there is; the first error is the one that is reported. */
static int finish(const struct mr_generate *r, mr_sequence *s, struct mr_answer *a, int err)
{
    struct mr_error_kept kept;
    bool whole = !err;
    if (!a->begun || (err && !a->count))
        return err;
    for (int i = 0; i < 2; i++) {
        mr_error_keep(&kept);
        int failed = i == 0 ? mr_answer_finish(a, r) : r->state_out && whole ? mr_sequence_save(s, r->state_out) : 0;
        if (err)
            mr_error_restore(&kept);
        else
            err = failed;
    }
    if (!err)
        fprintf(stderr, "length: %lld tokens, inference time: %.3f s, first token after %.1f ms\n", (long long)a->count,
                a->total_s, a->first_token_ms);
    return err;
}

/* What --echo says of the prompt. */
static int echo(const struct mr_generate *r, mr_lm *lm, const struct mr_str *prompt, struct mr_echo *to)
{
    mr_sequence *scorer = NULL;
    int err = 0;
    if (mr_echo_scores(r)) {
        MR_GO(mr_sequence_open(&scorer, lm));
        if (r->state_in)
            MR_GO(mr_sequence_restore(scorer, r->state_in));
    }
    err = mr_echo_read(to, r, lm, prompt, scorer);
fail:
    mr_sequence_close(scorer);
    return err;
}

static int generate_one(const struct mr_generate *r, mr_lm *lm, const struct mr_prompts *prompts)
{
    struct mr_answer a = {0};
    mr_sequence *s = NULL;
    int err;
    MR_GO(echo(r, lm, prompts->list, &a.echo));
    MR_GO(mr_sequence_open(&s, lm));
    MR_GO(mr_answer_begin(&a, r, prompts->list));
    err = finish(r, s, &a, generate(r, s, lm, &a));
    if (!err && *r->stopped)
        err = mr_fail(MR_EINTERRUPTED, "stopped");
fail:
    mr_sequence_close(s);
    mr_answer_free(&a);
    return err;
}

static int run(struct mr_generate *r, const struct mr_words *config, const struct mr_words *lora)
{
    mr_runtime *rt = NULL;
    mr_lm *lm = NULL;
    struct mr_lm_options options;
    struct mr_prompts prompts = {0};
    char path[4096];
    bool many = r->prompts || r->samples > 1;
    int err = 0;
    if (r->model_name)
        MR_GO(find_by_name(r->model_name, path, sizeof path));
    else
        snprintf(path, sizeof path, "%s", r->model);
    MR_GO(r->prompts ? mr_prompts_read(&prompts, r) : mr_prompt_read(&prompts, r));
    MR_GO(mr_common_open(&r->common, &rt));
    mr_lm_defaults(&options, sizeof options);
    options.tokenizer = r->tokenizer;
    options.precision = r->precision;
    options.special = r->special;
    options.progress = wants_to_stop;
    options.context = r;
    options.sequences = many ? mr_generate_many_sequences(r, &prompts) : 1 + mr_echo_scores(r);
    options.config = config->word;
    options.lora = lora->word;
    MR_GO(mr_lm_open(&lm, rt, path, &options));
    MR_GO(mr_sampling_check(&r->sampling, mr_lm_vocab_size(lm)));
    err = many ? mr_generate_many(r, lm, &prompts) : generate_one(r, lm, &prompts);
fail:
    mr_lm_close(lm);
    mr_common_close(&r->common, rt);
    mr_prompts_free(&prompts);
    return err;
}

static int check(struct mr_generate *r, const struct mr_sampling_words *sampling, const struct mr_words *words)
{
    if (!r->model_name && words->count != 1)
        return mr_fail(MR_EINVAL, "generate: a MODEL or --model-name is required (see generate --help)");
    if (r->max_tokens < 0)
        return mr_fail(MR_EINVAL, "--max-tokens must not be negative, but is %lld", (long long)r->max_tokens);
    if (r->samples < 1 || r->samples > 1 << 20 || r->batch < 1 || r->batch > 1 << 12)
        return mr_fail(MR_EINVAL, "--num-samples and --batch are at least 1 (and at most 2^20 and 4096)");
    if (r->prompts && r->samples > 1)
        return mr_fail(MR_EINVAL, "--num-samples continues one prompt: it does not go with --prompts");
    if ((r->prompts || r->samples > 1) && r->state_out)
        return mr_fail(MR_EINVAL, "--state-out saves one text: it does not go with --prompts or --num-samples");
    r->model = words->count ? words->word[0] : NULL;
    if (r->echo && !r->common.json)
        mr_log(MR_LOG_WARNING, "--echo adds the prompt's tokens to --json; without it, it changes nothing: the text "
                               "begins with the prompt anyway");
    return mr_sampling_words_take(r, sampling);
}

int mr_command_generate(int argc, char **argv)
{
    struct mr_generate r = {
        .prompt = "\n", .max_tokens = 200, .samples = 1, .batch = 8, .logprobs = -1, .stopped = mr_catch_signals()};
    struct mr_words words = {0}, config = {0}, lora = {0};
    struct mr_sampling_words sampling;
    mr_sampling_defaults(&r.sampling, sizeof r.sampling);
    mr_sampling_words_init(&sampling);
    const struct mr_option options[] = {
        {"prompt", MR_OPTION_TEXT, &r.prompt, "TEXT", "text to continue; - reads it from standard input (a newline)"},
        {"prompts", MR_OPTION_TEXT, &r.prompts, "FILE",
         "many of them: one a line, or a .jsonl with field prompt or text"},
        {"num-samples", MR_OPTION_INT, &r.samples, "N", "continue the prompt N times, with seeds S, S+1, ... (1)"},
        {"batch", MR_OPTION_INT, &r.batch, "B", "texts that run at a time (8)"},
        {"max-tokens", MR_OPTION_INT, &r.max_tokens, "N", "tokens to generate (200)"},
        {"max-num-tokens", MR_OPTION_INT, &r.max_tokens, "N", NULL},
        MR_SAMPLING_OPTIONS(&sampling),
        {"seed", MR_OPTION_SEED, &r.sampling.seed, "S", "random seed; the same seed gives the same text (1337)"},
        {"stop", MR_OPTION_LIST, &r.stops, "TEXT", "stop before this text; may be repeated"},
        {"logprobs", MR_OPTION_INT, &r.logprobs, "N", "with --json: how likely each token was, and the N likeliest"},
        {"echo", MR_OPTION_FLAG, &r.echo, NULL, "with --json: the prompt's tokens too"},
        {"state-in", MR_OPTION_TEXT, &r.state_in, "F",
         "continue from a saved state, or begin with a trained one (time_state)"},
        {"state-out", MR_OPTION_TEXT, &r.state_out, "F", "save the state at the end"},
        {"model-name", MR_OPTION_TEXT, &r.model_name, "NAME", "use out/NAME.mrw, .pt or .pth instead of MODEL"},
        {"tokenizer", MR_OPTION_TEXT, &r.tokenizer, "T", "tokenizer, for models that carry none"},
        {"special", MR_OPTION_FLAG, &r.special, NULL, "<|endoftext|> in a prompt is the token, not text"},
        {"precision", MR_OPTION_TEXT, &r.precision, "P", MR_PRECISION_HELP},
        {"lora", MR_OPTION_LIST, &lora, "F[:S]", MR_LORA_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "override a configuration key of the model"},
        MR_COMMON_OPTIONS(&r.common),
    };
    const struct mr_syntax syntax = {.name = "generate",
                                     .words = "MODEL",
                                     .about = "Continues a prompt, or several at once.",
                                     .example = "microrwkv generate out/best.mrw --prompt 'One day' --max-tokens 300",
                                     .options = options,
                                     .option_count = MR_COUNT(options),
                                     .min_words = 0,
                                     .max_words = 1};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err)
        err = check(&r, &sampling, &words);
    if (!err)
        err = run(&r, &config, &lora);
    mr_words_free(&words);
    mr_words_free(&config);
    mr_words_free(&r.stops);
    mr_sampling_words_free(&sampling);
    free(r.stop_tokens);
    free(r.biases);
    mr_words_free(&lora);
    return err;
}
