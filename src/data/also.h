/* SPDX-License-Identifier: GPL-3.0-or-later
 * Prepared data once more, as other programs read it. */
#ifndef MR_DATA_ALSO_H
#define MR_DATA_ALSO_H

/* Whether it is "llm.c" or "megatron": MR_EINVAL else. */
int mr_also_check(const char *format);
/* llm.c: FOLDER/llm.c/train.bin and val.bin, with their headers. megatron: train.idx and val.idx beside the .bin files,
 * where the tokenizer's end token ends a document. */
int mr_also_write(const char *folder, const char *format);

#endif
