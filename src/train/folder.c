/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/folder.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"

static const char *const run_files[] = {"ckpt.mrw", "best.mrw", "ckpt.pt", "log.jsonl"};
enum { RUN_FILES = sizeof run_files / sizeof run_files[0], MODELS = RUN_FILES - 1 };

static bool there(const char *folder, const char *name, struct stat *st)
{
    char path[PATH_MAX];
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && stat(path, st) == 0;
}

/* The iteration in a name like ckpt-500.mrw, or -1. */
static int64_t number_of(const char *name)
{
    char *end;
    if (strncmp(name, "ckpt-", 5) || name[5] < '0' || name[5] > '9')
        return -1;
    errno = 0;
    long long n = strtoll(name + 5, &end, 10);
    return errno || strcmp(end, ".mrw") ? -1 : n;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The numbers of the checkpoints that are kept in the folder, up to `iter`, ascending. */
static int numbers_in(const char *folder, int64_t iter, int64_t **numbers, size_t *count)
{
    size_t capacity = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return mr_fail(MR_EFILE, "cannot read %s: %s", folder, strerror(errno));
    int err = 0;
    for (struct dirent *entry; !err && (entry = readdir(dir));) {
        int64_t n = number_of(entry->d_name);
        if (n < 0 || n > iter || (err = mr_grow(numbers, &capacity, *count + 1, sizeof **numbers)) < 0)
            continue;
        (*numbers)[(*count)++] = n;
    }
    closedir(dir);
    if (*count)
        qsort(*numbers, *count, sizeof **numbers, by_number);
    return err;
}

/* A checkpoint in the folder, or NULL; a log alone is no run. */
static const char *model_in(const char *folder)
{
    struct stat st;
    int64_t *numbers = NULL;
    size_t count = 0;
    for (int i = 0; i < MODELS; i++)
        if (there(folder, run_files[i], &st))
            return run_files[i];
    numbers_in(folder, INT64_MAX, &numbers, &count);
    free(numbers);
    return count ? "ckpt-ITERATION.mrw" : NULL;
}

/* What will be replaced must be a file now, not at the first save. */
static int check_files(const char *folder)
{
    struct stat st;
    for (int i = 0; i < RUN_FILES; i++)
        if (there(folder, run_files[i], &st) && !S_ISREG(st.st_mode))
            return mr_fail(
                MR_EFILE,
                "%s/%s is %s, but training writes a file of that name: move it away or choose another out_dir", folder,
                run_files[i], S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");
    return 0;
}

static bool goes_on(const struct mr_train_config *cfg)
{
    struct stat from, own;
    return strcmp(cfg->init_from, "resume") == 0 ||
           (stat(cfg->init_from, &from) == 0 && there(cfg->out_dir, "ckpt.mrw", &own) && from.st_ino == own.st_ino &&
            from.st_dev == own.st_dev);
}

int mr_run_folder_open(struct mr_run_folder *f, const struct mr_train_config *cfg)
{
    const char *folder = cfg->out_dir;
    *f = (struct mr_run_folder){.cfg = cfg, .made = !mr_is_folder(folder)};
    if (cfg->eval_only)
        return 0;
    f->continues = goes_on(cfg);
    if (f->continues && cfg->overwrite)
        return mr_fail(MR_EINVAL,
                       "overwrite=True starts a new run, init_from=%s continues the old one: use one or the other",
                       cfg->init_from);
    if (f->continues && f->made)
        return 0; /* reading the checkpoint says that there is none */
    MR_TRY(mr_make_folder(folder, 0777));
    MR_TRY(mr_lock_take(&f->lock, folder));
    MR_TRY(check_files(folder));
    const char *model = f->continues || cfg->overwrite ? NULL : model_in(folder);
    if (!model)
        return 0;
    return mr_fail(MR_EFILE,
                   "%s already holds a run (%s): continue it with init_from=resume, start anew with overwrite=True "
                   "(the old run is moved to %s.old), or choose another out_dir",
                   folder, model, folder);
}

/* Whether the folder `inner`, a real path, is `outer` or lies in it. */
static bool within(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || !inner[n]);
}

/* Renames the folder to the first of FOLDER.old, FOLDER.old2, … that is free. */
static int move_aside(const char *folder, struct mr_str *aside)
{
    char real[PATH_MAX], here[PATH_MAX];
    struct stat st;
    if (!realpath(folder, real))
        return mr_fail(MR_EFILE, "cannot find %s: %s", folder, strerror(errno));
    if (there(folder, "train.bin", &st))
        return mr_fail(MR_EFILE, "%s also holds a data set, so it is not moved aside: choose another out_dir", folder);
    if (getcwd(here, sizeof here) && within(here, real))
        return mr_fail(MR_EFILE, "%s is the working folder, so it is not moved aside: choose another out_dir", folder);
    for (int i = 1;; i++) {
        aside->size = 0;
        MR_TRY(i == 1 ? mr_str_printf(aside, "%s.old", real) : mr_str_printf(aside, "%s.old%d", real, i));
        if (lstat(aside->text, &st))
            break;
    }
    if (stat(real, &st) || rename(real, aside->text))
        return mr_fail(MR_EFILE, "cannot move %s to %s: %s; choose another out_dir", folder, aside->text,
                       strerror(errno));
    /* by its real path: `folder` may be a symbolic link, which stays */
    return mkdir(real, st.st_mode & 07777) ? mr_fail(MR_EFILE, "cannot create %s: %s", real, strerror(errno)) : 0;
}

/* The log of a run that was killed before its first save. */
static int remove_log(const char *folder)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/log.jsonl", folder);
    return unlink(path) && errno != ENOENT ? mr_fail(MR_EFILE, "cannot remove %s: %s", path, strerror(errno)) : 0;
}

int mr_run_folder_begin(struct mr_run_folder *f)
{
    const char *folder = f->cfg->out_dir;
    struct mr_str aside = {0};
    struct mr_lock old = f->lock;
    int err;
    if (f->cfg->eval_only || f->continues)
        return 0;
    if (!model_in(folder))
        return remove_log(folder);
    MR_GO(move_aside(folder, &aside));
    f->made = true;
    mr_log(MR_LOG_INFO, "moved the run in %s to %s", folder, aside.text);
    err = mr_lock_take(&f->lock, folder);
    mr_lock_drop_in(&old, aside.text);
fail:
    mr_str_free(&aside);
    return err;
}

void mr_run_folder_close(struct mr_run_folder *f)
{
    if (!f->lock.path)
        return;
    mr_lock_drop(&f->lock);
    if (f->made)
        rmdir(f->cfg->out_dir); /* fails where something was written, as it should */
}

int mr_run_folder_keep(const struct mr_train_config *cfg, int64_t iter)
{
    char from[PATH_MAX], to[PATH_MAX];
    int64_t *numbers = NULL;
    size_t count = 0, most = (size_t)cfg->keep_checkpoints;
    if (!most)
        return 0;
    snprintf(from, sizeof from, "%s/ckpt.mrw", cfg->out_dir);
    snprintf(to, sizeof to, "%s/ckpt-%lld.mrw", cfg->out_dir, (long long)iter);
    unlink(to);
    if (link(from, to)) /* saving replaces the name ckpt.mrw, never the file behind it */
        return mr_fail(MR_EFILE, "cannot keep %s as %s: %s", from, to, strerror(errno));
    int err = numbers_in(cfg->out_dir, iter, &numbers, &count);
    for (size_t i = 0; !err && i + most < count; i++) {
        snprintf(to, sizeof to, "%s/ckpt-%lld.mrw", cfg->out_dir, (long long)numbers[i]);
        if (unlink(to))
            err = mr_fail(MR_EFILE, "cannot remove %s: %s", to, strerror(errno));
    }
    free(numbers);
    return err;
}
