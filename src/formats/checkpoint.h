/* SPDX-License-Identifier: GPL-3.0-or-later
 * Writing a run's checkpoint, .mrw: what it holds beside the tensors. formats/load.h and formats/training.h read
 * it. */
#ifndef MR_FORMATS_CHECKPOINT_H
#define MR_FORMATS_CHECKPOINT_H

#include "formats/training.h"
#include "text/stored.h"

struct mr_checkpoint {
    const struct mr_config *cfg;
    const struct mr_training *training;
    const mr_stored_tokenizer *tokenizer; /* or NULL */
    json_t *adapter;                      /* where it holds one, what an adapter_config.json would say; or NULL */
};

/* The tensors follow in the order of the list, as for every writer; the file is read back before it gets its name. */
int mr_checkpoint_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                        const struct mr_checkpoint *checkpoint);

#endif
