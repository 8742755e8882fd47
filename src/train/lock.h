/* SPDX-License-Identifier: GPL-3.0-or-later
 * An advisory lock on a folder: OUT_DIR/run.lock, held by one process at a time, with its number in it. */
#ifndef MR_TRAIN_LOCK_H
#define MR_TRAIN_LOCK_H

struct mr_lock {
    int fd;     /* while path is set; -1: the file system knows no locks */
    char *path; /* NULL: not taken */
};

/* MR_EFILE when another process holds it, naming that process. The system drops a lock when its owner dies, so that
 * what a killed run left is simply taken over. */
int mr_lock_take(struct mr_lock *lock, const char *folder);
/* Removes the file and lets go; {0} is fine. */
void mr_lock_drop(struct mr_lock *lock);
/* The same after the folder got another name. */
void mr_lock_drop_in(struct mr_lock *lock, const char *folder);

#endif
