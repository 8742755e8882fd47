/* SPDX-License-Identifier: GPL-3.0-or-later
 * info --list-globals: what a pickle asks for. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/info.h"
#include "io/torch_file.h"

static const char *use_name(enum mr_pickle_use use)
{
    static const char *const names[] = {[MR_PICKLE_AS_TENSOR] = "tensor",
                                        [MR_PICKLE_AS_DATA] = "data",
                                        [MR_PICKLE_LEFT_OUT] = "left out",
                                        [MR_PICKLE_REFUSED] = "refused"};
    return names[use];
}

static int print_table(const struct mr_pickle_asked *asked)
{
    for (size_t i = 0; i < asked->count; i++)
        printf("%-10s %s\n", use_name(asked->list[i].use), asked->list[i].name);
    return 0;
}

static int print_list(const struct mr_pickle_asked *asked)
{
    json_t *list = json_array(), *out = json_object();
    int err = 0;
    for (size_t i = 0; i < asked->count && !err; i++) {
        const struct mr_pickle_global *g = &asked->list[i];
        err = mr_json_append(
            list, json_pack("{ss ss sI}", "name", g->name, "use", use_name(g->use), "count", (json_int_t)g->count));
    }
    if (err)
        json_decref(list);
    else
        err = mr_json_set(out, "globals", list);
    if (!err)
        return mr_print_json(out);
    json_decref(out);
    return err;
}

int mr_info_globals(const char *path, bool text)
{
    struct mr_pickle_asked asked = {0};
    int err = mr_torch_globals(&asked, path);
    if (!err)
        err = text ? print_table(&asked) : print_list(&asked);
    free(asked.list);
    return err;
}
