/* SPDX-License-Identifier: GPL-3.0-or-later
 * The loss curve of a run as a picture. */
#ifndef MR_TRAIN_PLOT_H
#define MR_TRAIN_PLOT_H

/* Draws OUT_DIR/log.jsonl as OUT_DIR/loss.svg with gnuplot. 1: drawn; 0: the log has too few points; MR_ENODEV: there
 * is no gnuplot. */
int mr_plot_loss(const char *out_dir);

#endif
