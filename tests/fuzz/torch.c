/* SPDX-License-Identifier: GPL-3.0-or-later
 * torch.save's zip archives. Their checksums hide the pickle from changes: torch_pickle.c and pickle.c go
 * behind them. */
#include "fuzz.h"

#include "io/torch_file.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_tensor_file *file = NULL;
    int err = mr_torch_open(&file, fuzz_file("a.pt", data, size));
    return err ? err : fuzz_read_tensors(file);
}
