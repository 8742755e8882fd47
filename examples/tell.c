/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tells a story with a trained model:
 *
 *     cc tell.c $(pkg-config --cflags --libs microrwkv) -o tell
 *     ./tell out/demo "One day"
 */
#include <stdio.h>
#include <string.h>

#include <microrwkv/microrwkv.h>

static int tell(mr_session *session, const char *prompt)
{
    struct mr_sampling sampling;
    int32_t id;
    int more, err;

    mr_sampling_defaults(&sampling);
    fputs(prompt, stdout);
    if ((err = mr_session_prompt(session, prompt, strlen(prompt))) < 0)
        return err;
    for (int i = 0; i < 300 && (more = mr_session_next(session, &sampling, &id)) != 0; i++) {
        const char *bytes;
        size_t size;
        if (more < 0 || (more = mr_session_text(session, id, &bytes, &size)) < 0)
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
    mr_session *session = NULL;
    const char *model = argc > 1 ? argv[1] : "out/demo", *prompt = argc > 2 ? argv[2] : "One day";

    int err = mr_runtime_open(&rt, NULL);
    if (!err)
        err = mr_session_open(&session, rt, model);
    if (!err)
        err = tell(session, prompt);
    if (err)
        fprintf(stderr, "tell: %s\n", mr_error_text());
    mr_session_close(session);
    mr_runtime_close(rt);
    return err ? 1 : 0;
}
