/* SPDX-License-Identifier: GPL-3.0-or-later
 * compare: how far two models are apart. */
#include "cli/comparing.h"

int mr_command_compare(int argc, char **argv)
{
    struct mr_comparing how = {.tolerance = -1, .tensors = true};
    struct mr_common common = {0};
    struct mr_words words = {0}, config = {0}, lora = {0};
    const struct mr_option options[] = {
        {"tolerance", MR_OPTION_FLOAT, &how.tolerance, "X",
         "exit 1 where logits differ by more than X of the largest (what the formats of the files allow)"},
        {"lora", MR_OPTION_LIST, &lora, "F[:S]", MR_LORA_HELP},
        {"config", MR_OPTION_LIST, &config, "K=V", "overrides a configuration key of both models"},
        MR_COMMON_OPTIONS(&common),
    };
    const struct mr_syntax syntax = {
        .name = "compare",
        .words = "A B",
        .about = "Runs the same tokens through two models of one vocabulary and says by how much their logits differ;\n"
                 "of one family, also which tensors differ, and by how much. An adapter is merged into A.",
        .example = "microrwkv compare model.pth model-q8_0.mrw",
        .options = options,
        .option_count = MR_COUNT(options),
        .min_words = 2,
        .max_words = 2};
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (!err) {
        how.path[0] = words.word[0];
        how.path[1] = words.word[1];
        how.config = config.word;
        how.lora = lora.word;
        err = mr_print_comparison(&how, &common);
    }
    mr_words_free(&words);
    mr_words_free(&config);
    mr_words_free(&lora);
    return err;
}
