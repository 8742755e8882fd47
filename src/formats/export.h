/* SPDX-License-Identifier: GPL-3.0-or-later
 * Writing a model into a file of another kind: first a plan, which says what the file will hold and what cannot be
 * kept, then the run, which streams: no tensor is ever whole in memory. No device is needed. */
#ifndef MR_FORMATS_EXPORT_H
#define MR_FORMATS_EXPORT_H

#include <signal.h>

#include "formats/names.h"
#include "formats/recipe.h"
#include "text/stored.h"

enum mr_target {
    MR_TARGET_MRW,
    MR_TARGET_SAFETENSORS,
    MR_TARGET_HF,      /* a folder: config.json, model.safetensors */
    MR_TARGET_RWKV,    /* official RWKV, .pth */
    MR_TARGET_NANOGPT, /* .pt: {"model", "optimizer", "model_args", "iter_num", …} */
    MR_TARGET_BIN,     /* .bin */
    MR_TARGET_ST,      /* RWKV for web-rwkv and its kin, .st */
    MR_TARGET_GGUF,    /* llama.cpp, .gguf */
    MR_TARGET_FLA,     /* a folder: RWKV-7 of flash-linear-attention */
    MR_TARGETS
};

const char *mr_target_name(int target);
bool mr_target_is_folder(int target);
/* The target of that name, or MR_EINVAL naming the known ones. */
int mr_target_by_name(const char *name);
/* The target that a path's ending asks for: none is a folder; MR_EINVAL: an ending that is not known. */
int mr_target_by_path(const char *path);

enum mr_output_kind { MR_OUTPUT_WEIGHT, MR_OUTPUT_MOMENT, MR_OUTPUT_STATE, MR_OUTPUT_NUMBER, MR_OUTPUT_SHARED };

#define MR_PARTS 6

/* A tensor of the file to come. */
struct mr_output {
    int kind;
    char name[MR_NAME + 48];
    int parts;                         /* tensors that make it, one behind the other */
    struct mr_recipe recipe[MR_PARTS]; /* count 0: zeros */
    size_t count[MR_PARTS];            /* elements of each part */
    int param[MR_PARTS];               /* the parameter that each part is */
    float number;
};

struct mr_export {
    int target, layout; /* layout: enum mr_layout_id */
    struct mr_config cfg;
    struct mr_params params;
    struct mr_output *outputs;
    struct mr_file_tensor *tensors; /* names point into outputs */
    size_t count, capacity;
    json_t *metadata, *config; /* config: of a config.json, or NULL */
    char **notes;              /* what is not kept, for people */
    size_t note_count, note_capacity;
    bool keeps_tokenizer; /* inside of the file */
    bool saturate;
};

struct mr_export_options {
    int target;
    int dtype;                            /* enum mr_dtype, or -1: as it is */
    bool saturate;                        /* see struct mr_tensor_writer */
    const mr_stored_tokenizer *tokenizer; /* what the file is to carry, or NULL */
};

/* MR_EINVAL: the target has no names for the family or cannot hold the dtype. */
int mr_export_plan(struct mr_export *e, mr_tensor_file *source, const struct mr_naming *naming,
                   const struct mr_config *cfg, const struct mr_export_options *options);
void mr_export_free(struct mr_export *e); /* {0} is fine */
int mr_export_note(struct mr_export *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether the target can hold a dtype at all. */
bool mr_target_holds(int target, enum mr_dtype dtype);

struct mr_export_events {
    void *context;
    void (*progress)(void *context, uint64_t done, uint64_t all); /* bytes; may be NULL */
    /* Writes more files into the folder of a Hugging Face model before it gets its name; may be NULL. */
    int (*files)(void *context, const char *folder);
    const volatile sig_atomic_t *stop; /* may be NULL */
};

/* Writes it: the path appears whole or not at all. */
int mr_export_run(const struct mr_export *e, mr_tensor_file *source, const char *path,
                  const struct mr_export_events *events);

/* ---- its parts ------------------------------------------------------------------------------------------------ */

/* One more tensor of the file, f32 and of no dimensions yet; NULL: out of memory. */
struct mr_output *mr_export_add(struct mr_export *e, const char *name, int kind);
/* Leaves the dimensions of 1 out of a shape, all but the last one; how many remain. */
int mr_export_drop_ones(int64_t *shape, int ndim);
/* Metadata, and the config.json of a folder. */
int mr_export_metadata(struct mr_export *e, mr_tensor_file *source, const struct mr_export_options *options);

#endif
