/* SPDX-License-Identifier: GPL-3.0-or-later
 * Adapters, merged into the weights while those are read. LoRA: W + s B A, of RWKV-PEFT's .pth files (whose alpha
 * stands nowhere: s is what the caller says, or 1) and of Hugging Face PEFT's folders (alpha / r times what the caller
 * says). PiSSA's first values are taken away: W - B A. DiSHA (Bone): one (r,out) block added to each r columns. */
#ifndef MR_FORMATS_ADAPTER_H
#define MR_FORMATS_ADAPTER_H

#include "formats/names.h"

/* Puts a file in the place of *source that reads as the same file with the adapters merged, in the number formats of
 * *source, which it takes over. specs: FILE[:scale], the last one NULL; NULL changes nothing. */
int mr_adapters_merge(mr_tensor_file **source, const struct mr_naming *naming, const char *const *specs);

#endif
