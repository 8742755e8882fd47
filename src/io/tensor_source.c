/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/tensor_source.h"

#include <string.h>

#include "base/error.h"
#include "io/mrw.h"
#include "io/safetensors.h"
#include "io/torch_file.h"

int mr_tensor_source_open(mr_tensor_file **file, const char *path)
{
    mr_reader *in;
    uint8_t head[9] = {0};
    MR_TRY(mr_reader_open(&in, path));
    uint64_t size = mr_reader_size(in);
    int err = mr_reader_read(in, 0, head, size < sizeof head ? (size_t)size : sizeof head);
    mr_reader_close(in);
    if (err)
        return err;
    if (memcmp(head, MR_MRW_MAGIC, 8) == 0)
        return mr_mrw_open(file, path);
    if (head[8] == '{')
        return mr_safetensors_open(file, path);
    if (memcmp(head, "PK\3\4", 4) == 0)
        return mr_torch_open(file, path);
    return mr_fail(MR_EFILE, "%s is of no known format: it is neither .mrw nor safetensors nor torch", path);
}
