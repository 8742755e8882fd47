/* SPDX-License-Identifier: GPL-3.0-or-later
 * Saving while training goes on: the state is copied, and the copy is packed and written by a thread. */
#ifndef MR_TRAIN_SAVING_H
#define MR_TRAIN_SAVING_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/str.h"
#include "formats/training.h"
#include "io/tensor_file.h"
#include "model/params.h"

/* The tensors of a checkpoint: the weights by name; then adamw.m.NAME and adamw.v.NAME of each that is
 * trained. */
struct mr_listing {
    struct mr_file_tensor *tensors;
    char (*names)[MR_NAME + 16];
    struct mr_source {
        const mr_tensor *value; /* of a parameter; NULL: a moment (0 or 1) of parameter `index` */
        int moment, index;
        size_t count;
    } * sources;
    size_t count, weights; /* all; the weights, which come first */
};

/* One save at a time. */
struct mr_saving {
    struct mr_listing list;
    struct mr_training state;
    bool best, whole; /* writes best.mrw; writes ckpt.mrw */
    float *copy;      /* [elements] of all tensors in their order, kept for the next save; NULL: read from the device */
    size_t elements;
    bool told; /* that there is no memory for the copy */
    bool running;
    pthread_t thread;
    atomic_bool done;
    int error;
    char text[2048];     /* of the error */
    struct mr_str lines; /* that it logged, each with its end */
};

#endif
