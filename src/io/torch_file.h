/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files of torch.save (.pt, .pth, pytorch_model.bin): a zip archive with a pickle, data.pkl, and one stored
 * file per storage; or what torch wrote before version 1.6.
 *
 * Names are the keys on the way to a tensor, joined by dots: "model.transformer.wte.weight",
 * "optimizer.state.0.exp_avg", and for a plain state dictionary "blocks.0.att.key.weight". The metadata is
 * all else, as JSON: dictionary keys become texts, tuples arrays, infinite numbers "inf" and so on
 * (mr_json_number takes them back), bytes null. A tensor without dimensions in the outermost dictionary
 * (best_val_loss) also stands there as a number. */
#ifndef MR_IO_TORCH_FILE_H
#define MR_IO_TORCH_FILE_H

#include "io/pickle.h"
#include "io/tensor_file.h"

int mr_torch_open(mr_tensor_file **file, const char *path);

/* The format before version 1.6: pickles of a number, a version, of what machine wrote it, of the object and of the
 * storages' keys; then each storage as its count of 8 bytes and its numbers. */
bool mr_torch_is_old(const uint8_t *head, size_t size);
int mr_torch_old_open(mr_tensor_file **file, const char *path);

/* Adds the names that a file's pickles ask for, of whichever format it is, or those of a bare pickle. The caller frees
 * asked->list. */
int mr_torch_globals(struct mr_pickle_asked *asked, const char *path);
int mr_torch_zip_globals(struct mr_pickle_asked *asked, const char *path);

/* With metadata NULL or empty: one dictionary of all tensors. Otherwise as training scripts save it: the
 * outermost dictionary holds "model" (the tensors "model.*", by their remaining names), "optimizer" ("state":
 * the tensors "optimizer.state.N.*" by the integer N, and what metadata["optimizer"] says, the betas as a
 * tuple), then the rest of the metadata and of the tensors. So what mr_torch_open gives can be written again.
 * Tensors may share. */
int mr_torch_begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                   const json_t *metadata);

#endif
