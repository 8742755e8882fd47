/* SPDX-License-Identifier: GPL-3.0-or-later
 * Opening a MODEL of the command line: recognised by its content, never by its name. */
#ifndef MR_FORMATS_LOAD_H
#define MR_FORMATS_LOAD_H

#include "io/tensor_file.h"
#include "model/param_set.h"
#include "formats/names.h"
#include "formats/training.h"
#include "text/stored.h"

/* The file of a MODEL: a folder that training wrote stands for its best.mrw, else its ckpt.mrw. */
int mr_model_open_source(mr_tensor_file **source, const char *path);

/* The file itself, recognised: its configuration with `overrides` (or NULL) laid over it, and how it names the
 * parameters. The caller closes the source. */
int mr_model_open_file(mr_tensor_file **source, const char *path, const struct mr_settings *overrides,
                       struct mr_config *cfg, struct mr_naming *naming);

/* The tokenizer that a file carries; *tokenizer NULL: none. The caller frees it. */
int mr_model_tokenizer(const mr_tensor_file *source, mr_stored_tokenizer **tokenizer);

/* The configuration alone of the model at `path`. */
int mr_model_read_config(const char *path, struct mr_config *cfg);

/* The training state of the model at `path`; *found false: it has none. */
int mr_model_read_training(const char *path, struct mr_training *training, bool *found);

/* How the matrices of a model are held on the device: an enum mr_element, or as the file has them. */
enum { MR_PRECISION_OF_FILE = -1 };
/* "f16", …; NULL is MR_PRECISION_OF_FILE. */
int mr_precision_by_name(const char *name, int *precision);

/* What an opener of a model may want to know and to stop. */
struct mr_opening {
    int precision;                  /* enum mr_element, or MR_PRECISION_OF_FILE */
    const struct mr_tuning *tuning; /* see mr_model_create_tuned; or NULL */
    const char *const *lora;        /* FILE[:scale] of adapters to merge, the last one NULL; or NULL */
    /* Called before memory is allocated, choose and chooser as for mr_model_create; or NULL. Not 0 is the result. */
    int (*planned)(void *context, const struct mr_config *cfg, mr_format_choice *choose, void *chooser);
    /* Called while weights are read, with the part that is done; or NULL. Not 0 is the result. */
    int (*progress)(void *context, double part);
    void *context;
};
int mr_model_open_as(mr_model **model, mr_runtime *rt, const char *path, const struct mr_settings *overrides,
                     const struct mr_opening *how, mr_stored_tokenizer **tokenizer);
/* The chooser of mr_model_create that gives matrices the wanted format, or the file's; in rows that are no whole blocks
 * numbers are kept in 16 bits. */
struct mr_precision {
    mr_tensor_file *source; /* NULL: there is no file */
    const struct mr_naming *naming;
    int wanted; /* enum mr_element, or MR_PRECISION_OF_FILE */
};
mr_format_choice mr_precision_choose;

/* The model itself on a device, weights read. Models that train are opened in MR_F32. *tokenizer (or NULL) as
 * mr_model_tokenizer. */
int mr_model_open(mr_model **model, mr_runtime *rt, const char *path, const struct mr_settings *overrides,
                  int precision, mr_stored_tokenizer **tokenizer);
/* The optimizer's moments (of gradients, of their squares) that the file at `path` has beside the model's weights;
 * those that it lacks stay 0. */
int mr_model_read_moments(const char *path, const struct mr_settings *overrides, const struct mr_param_set *first,
                          const struct mr_param_set *second);
/* Reads the weights once more into a model that mr_model_open made from a file of the same kind. */
int mr_model_reload(mr_model *model, const char *path);

#endif
