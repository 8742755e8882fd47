/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tells a story with a trained model:
 *
 *     cc tell.c $(pkg-config --cflags --libs microrwkv) -o tell
 *     ./tell out/demo "One day"
 */
#include <stdio.h>
#include <string.h>

#include <microrwkv/microrwkv.h>

static int tell(mr_lm *lm, mr_sequence *story, const char *prompt)
{
    struct mr_sampling sampling;
    int32_t id;
    int more, err;

    mr_sampling_defaults(&sampling, sizeof sampling);
    fputs(prompt, stdout);
    if ((err = mr_sequence_prompt(story, prompt, strlen(prompt))) < 0)
        return err;
    for (int i = 0; i < 300 && (more = mr_sequence_next(story, &sampling, &id)) != 0; i++) {
        const char *bytes;
        size_t size;
        if (more < 0 || (more = mr_lm_token_text(lm, id, &bytes, &size)) < 0)
            return more;
        fwrite(bytes, 1, size, stdout);
        fflush(stdout); /* the story appears as it is told */
    }
    putchar('\n');
    return 0;
}

int main(int argc, char **argv)
{
    mr_runtime *rt = NULL; /* the device: NULL below means the fastest */
    mr_lm *lm = NULL;      /* the model */
    mr_sequence *story = NULL;
    const char *model = argc > 1 ? argv[1] : "out/demo", *prompt = argc > 2 ? argv[2] : "One day";

    int err = mr_runtime_open(&rt, NULL);
    if (!err)
        err = mr_lm_open(&lm, rt, model, NULL);
    if (!err)
        err = mr_sequence_open(&story, lm);
    if (!err)
        err = tell(lm, story, prompt);
    if (err)
        fprintf(stderr, "tell: %s\n", mr_error_text());
    mr_sequence_close(story);
    mr_lm_close(lm);
    mr_runtime_close(rt);
    return err ? 1 : 0;
}
