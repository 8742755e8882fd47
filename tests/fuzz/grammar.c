/* SPDX-License-Identifier: GPL-3.0-or-later
 * Story grammars; each that is accepted tells some stories. */
#include "fuzz.h"

#include "data/stories.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_stories *stories = NULL;
    char *text = fuzz_text(data, size);
    int err = mr_stories_open_grammar(&stories, text, 1);
    for (uint64_t i = 0; i < 4 && !err; i++) {
        struct mr_str story = {0};
        err = mr_stories_tell(stories, i, &story);
        mr_str_free(&story);
    }
    mr_stories_close(stories);
    free(text);
    return err;
}
