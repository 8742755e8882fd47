/* SPDX-License-Identifier: GPL-3.0-or-later
 * Trains a small model on a text file, then lets it continue the text's first words:
 *
 *     cc learn.c $(pkg-config --cflags --libs microrwkv) -o learn
 *     ./learn book.txt out/book max_iters=500
 *
 * What follows the folder are settings of `microrwkv train`.
 */
#include <stdio.h>
#include <string.h>

#include <microrwkv/microrwkv.h>

enum { MOST_SETTINGS = 32 };

static void on_evaluation(void *context, int64_t iteration, double train_loss, double val_loss, int best)
{
    (void)context, (void)best;
    fprintf(stderr, "iteration %lld: train loss %.3f, validation loss %.3f\n", (long long)iteration, train_loss,
            val_loss);
}

/* Characters of the text to tokens, in FOLDER/data; then the training run. */
static int learn(mr_runtime *rt, const char *text, const char *folder, char **more, int count)
{
    char data[512], dataset[560], out_dir[560];
    const char *inputs[] = {text, NULL};
    const char *settings[MOST_SETTINGS + 16] = {
        dataset,           out_dir,         "n_layer=2",         "n_head=4",
        "n_embd=64",       "block_size=64", "batch_size=8",      "learning_rate=2e-3",
        "warmup_iters=20", "max_iters=300", "eval_interval=100", "eval_iters=5"};
    struct mr_prepare_options preparing;
    struct mr_train_options training;
    int n = 0;

    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(dataset, sizeof dataset, "dataset=%s", data);
    snprintf(out_dir, sizeof out_dir, "out_dir=%s/run", folder);
    mr_prepare_defaults(&preparing, sizeof preparing);
    preparing.tokenizer = "char";
    int err = mr_prepare_run(inputs, data, &preparing);
    if (err)
        return err;
    while (settings[n])
        n++;
    for (int i = 0; i < count && i < MOST_SETTINGS; i++)
        settings[n++] = more[i]; /* later ones win */
    mr_train_defaults(&training, sizeof training);
    training.evaluation = on_evaluation;
    return mr_train_run(rt, settings, &training);
}

static int tell(mr_runtime *rt, const char *folder, const char *prompt)
{
    char run[560];
    mr_lm *lm = NULL;
    mr_sequence *story = NULL;
    struct mr_sampling sampling;
    int32_t id;
    int more = 1;

    snprintf(run, sizeof run, "%s/run", folder);
    mr_sampling_defaults(&sampling, sizeof sampling);
    int err = mr_lm_open(&lm, rt, run, NULL);
    if (!err)
        err = mr_sequence_open(&story, lm);
    if (!err)
        err = mr_sequence_prompt(story, prompt, strlen(prompt));
    if (!err)
        fputs(prompt, stdout);
    for (int i = 0; i < 200 && !err && more; i++) {
        const char *bytes;
        size_t size;
        more = mr_sequence_next(story, &sampling, &id);
        err = more < 0 ? more : more ? mr_lm_token_text(lm, id, &bytes, &size) : 0;
        if (!err && more)
            fwrite(bytes, 1, size, stdout);
    }
    putchar('\n');
    mr_sequence_close(story);
    mr_lm_close(lm);
    return err;
}

int main(int argc, char **argv)
{
    mr_runtime *rt = NULL;
    char prompt[9] = "";
    FILE *file;

    if (argc < 3) {
        fprintf(stderr, "usage: learn TEXT FOLDER [key=value ...]\n");
        return 2;
    }
    if ((file = fopen(argv[1], "rb"))) {
        prompt[fread(prompt, 1, sizeof prompt - 1, file)] = 0;
        fclose(file);
    }
    int err = mr_runtime_open(&rt, NULL);
    if (!err)
        err = learn(rt, argv[1], argv[2], argv + 3, argc - 3);
    if (!err)
        err = tell(rt, argv[2], prompt);
    if (err)
        fprintf(stderr, "learn: %s\n", mr_error_text());
    mr_runtime_close(rt);
    return err ? 1 : 0;
}
