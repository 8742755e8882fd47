/* SPDX-License-Identifier: GPL-3.0-or-later
 * Writing models into files: what `convert` and `new` add to the public interface. */
#ifndef MR_API_EXPORTING_H
#define MR_API_EXPORTING_H

#include "microrwkv/microrwkv.h"

/* What was written. */
struct mr_exported {
    const char *layout, *family;
    uint64_t parameters, bytes; /* bytes: of the tensors' numbers */
    const char *const *notes;   /* [note_count]: what the new file does not keep */
    size_t note_count;
};
/* Called after the file was written, with the context of mr_convert_options; its result becomes that of the call. */
typedef int mr_exporting_done(void *context, const struct mr_exported *exported);

/* mr_convert with `done` (or NULL). `how` has its full size. */
int mr_exporting_convert(const char *in, const char *out, const struct mr_convert_options *how,
                         mr_exporting_done *done);
/* Random weights of a model known by name ("gpt2-xl"), changed by how->config. The same seed, name and configuration
 * give the same weights. Needs no device. */
int mr_exporting_new(const char *name, uint64_t seed, const char *out, const struct mr_convert_options *how,
                     mr_exporting_done *done);

#endif
