/* SPDX-License-Identifier: GPL-3.0-or-later
 * What torch.save wrote before version 1.6, and the names that its pickles ask for. */
#include "fuzz.h"

#include <stdlib.h>

#include "io/torch_file.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file("a.pt", data, size);
    struct mr_pickle_asked asked = {0};
    mr_tensor_file *file = NULL;
    int err = mr_torch_globals(&asked, path);
    free(asked.list);
    if (!mr_torch_is_old(data, size))
        return err;
    int opened = mr_torch_old_open(&file, path);
    fuzz_must(opened || !err); /* a pickle that is read is also listed */
    return opened ? opened : fuzz_read_tensors(file);
}
