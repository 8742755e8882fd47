/* SPDX-License-Identifier: GPL-3.0-or-later
 * The pickle machine alone: plain data. */
#include "fuzz.h"

#include "io/pickle.h"
#include "io/torch_tree.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    struct mr_pickle pickle;
    int err = mr_pickle_read(&pickle, data, size, "a.pkl");
    if (err)
        return err;
    json_t *json = mr_pickled_json(&pickle, pickle.root, "a.pkl");
    err = json ? 0 : MR_EFILE;
    json_decref(json);
    mr_pickle_free(&pickle);
    return err;
}
