/* SPDX-License-Identifier: GPL-3.0-or-later
 * Training configurations: a file, and behind the line "====" one assignment of the command line per line. */
#include "fuzz.h"

#include "train/config.h"

static int assign_lines(struct mr_train_config *cfg, char *text)
{
    int err = 0;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line && !err; line = strtok_r(NULL, "\n", &rest))
        err = mr_train_config_assign(cfg, line);
    return err;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    struct mr_train_config cfg;
    fuzz_parts(data, size, parts, 2);
    char *lines = fuzz_text(parts[1].bytes, parts[1].size);
    fuzz_must(!mr_train_config_defaults(&cfg));
    int err = mr_train_config_file(&cfg, fuzz_part_file("a.py", &parts[0]));
    if (!err)
        err = assign_lines(&cfg, lines);
    if (!err) { /* what was given can be remembered and recalled */
        struct mr_train_config again;
        fuzz_must(!mr_train_config_defaults(&again));
        err = mr_train_config_recall(&again, &cfg.given);
        mr_train_config_free(&again);
    }
    mr_train_config_free(&cfg);
    free(lines);
    return err;
}
