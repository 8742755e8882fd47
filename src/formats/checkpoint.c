/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/checkpoint.h"

#include "formats/config_json.h"
#include "io/mrw.h"
#include "model/layer.h"

static int header_of(const struct mr_checkpoint *c, json_t **out)
{
    json_t *header = json_object();
    int err;
    MR_GO(mr_json_set(header, "family", json_string(mr_family_name(c->cfg->family))));
    MR_GO(mr_json_set(header, "config", mr_config_to_json(c->cfg)));
    MR_GO(mr_json_set(header, "training", mr_training_to_json(c->training)));
    if (c->tokenizer)
        MR_GO(mr_json_set(header, "tokenizer", json_incref(mr_stored_tokenizer_json(c->tokenizer))));
    if (c->adapter)
        MR_GO(mr_json_set(header, "adapter", json_incref(c->adapter)));
    *out = header;
    return 0;
fail:
    json_decref(header);
    return err;
}

int mr_checkpoint_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                        const struct mr_checkpoint *checkpoint)
{
    json_t *header;
    MR_TRY(header_of(checkpoint, &header));
    int err = mr_mrw_begin(writer, path, tensors, count, header, MR_MRW_LEVEL);
    json_decref(header);
    if (!err)
        mr_mrw_verify(*writer);
    return err;
}
