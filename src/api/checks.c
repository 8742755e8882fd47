/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "api/checks.h"

#include <limits.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "data/token_file.h"
#include "formats/load.h"
#include "formats/overrides.h"

int mr_check_precision(const char *precision)
{
    int found;
    return mr_precision_by_name(precision, &found);
}

int mr_check_config(const char *const *config)
{
    struct mr_settings overrides = {0};
    int err = mr_config_words(config, &overrides);
    mr_settings_free(&overrides);
    return err;
}

int mr_check_model(const char *model)
{
    mr_tensor_file *source;
    if (mr_is_file(model) || mr_is_folder(model))
        return 0;
    MR_TRY(mr_model_open_source(&source, model)); /* which says why not */
    mr_tensor_file_close(source);
    return 0;
}

int mr_check_data(const char *folder)
{
    mr_token_data *data;
    char path[PATH_MAX];
    for (int split = 0; split < MR_SPLITS; split++) {
        snprintf(path, sizeof path, "%s/%s.bin", folder, mr_split_name(split));
        if (mr_is_file(path))
            return 0;
    }
    MR_TRY(mr_token_data_open(&data, folder)); /* which says why not */
    mr_token_data_close(data);
    return 0;
}
