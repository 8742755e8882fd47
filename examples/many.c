/* SPDX-License-Identifier: GPL-3.0-or-later
 * Continues eight prompts at once, which takes hardly longer than one:
 *
 *     cc many.c $(pkg-config --cflags --libs microrwkv) -o many
 *     ./many out/demo
 */
#include <stdio.h>
#include <string.h>

#include <microrwkv/microrwkv.h>

enum { TEXTS = 8, TOKENS = 100 };

static const char *const prompts[TEXTS] = {"One day",  "The dog",   "Once upon a time", "The sun",
                                           "A little", "In spring", "The old man",      "At night"};

struct text {
    mr_sequence *sequence;
    char bytes[16 * TOKENS]; /* what was generated */
    size_t size;
};

static int append(mr_lm *lm, struct text *t, int32_t id)
{
    const char *bytes;
    size_t size;
    int err = mr_lm_token_text(lm, id, &bytes, &size);
    if (err)
        return err;
    if (size > sizeof t->bytes - t->size)
        size = sizeof t->bytes - t->size;
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
    return 0;
}

/* Every call gives each text that has not ended its next token. */
static int continue_all(mr_lm *lm, struct text *texts)
{
    struct text *running[TEXTS];
    int err = 0, count = TEXTS;
    for (int i = 0; i < TEXTS && !err; i++) {
        running[i] = &texts[i];
        err = mr_sequence_open(&texts[i].sequence, lm);
        if (!err)
            err = mr_sequence_prompt(texts[i].sequence, prompts[i], strlen(prompts[i]));
    }
    for (int n = 0; n < TOKENS && count && !err; n++) {
        mr_sequence *sequences[TEXTS];
        struct mr_sampling sampling[TEXTS];
        int32_t ids[TEXTS];
        int more[TEXTS], left = 0;
        for (int i = 0; i < count; i++) {
            sequences[i] = running[i]->sequence;
            mr_sampling_defaults(&sampling[i], sizeof sampling[i]);
        }
        err = mr_sequences_next(sequences, sampling, ids, more, count);
        for (int i = 0; i < count && !err; i++) {
            if (!more[i])
                continue; /* the model ended this one */
            err = append(lm, running[i], ids[i]);
            running[left++] = running[i];
        }
        count = left;
    }
    return err;
}

int main(int argc, char **argv)
{
    static struct text texts[TEXTS];
    struct mr_lm_options options;
    mr_runtime *rt = NULL;
    mr_lm *lm = NULL;

    mr_lm_defaults(&options, sizeof options);
    options.sequences = TEXTS;
    int err = mr_runtime_open(&rt, NULL);
    if (!err)
        err = mr_lm_open(&lm, rt, argc > 1 ? argv[1] : "out/demo", &options);
    if (!err)
        err = continue_all(lm, texts);
    for (int i = 0; i < TEXTS && !err; i++) {
        fputs(prompts[i], stdout);
        fwrite(texts[i].bytes, 1, texts[i].size, stdout);
        putchar('\n');
    }
    if (err)
        fprintf(stderr, "many: %s\n", mr_error_text());
    for (int i = 0; i < TEXTS; i++)
        mr_sequence_close(texts[i].sequence);
    mr_lm_close(lm);
    mr_runtime_close(rt);
    return err ? 1 : 0;
}
