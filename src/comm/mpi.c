/* SPDX-License-Identifier: GPL-3.0-or-later
 * The module: everything that is said to MPI. Only the main thread calls it. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/module.h"

static char error_text[MPI_MAX_ERROR_STRING + 64];

static int failed(const char *what, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "out of memory";
    int size;
    if (code != MPI_SUCCESS)
        MPI_Error_string(code, text, &size);
    snprintf(error_text, sizeof error_text, "%s: %s", what, text);
    return -1;
}

static int start(int *rank, int *count, int *local)
{
    MPI_Comm host;
    int given, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
    if (code)
        return failed("MPI_Init_thread", code);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, rank);
    MPI_Comm_size(MPI_COMM_WORLD, count);
    code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, *rank, MPI_INFO_NULL, &host);
    if (code)
        return failed("MPI_Comm_split_type", code);
    MPI_Comm_rank(host, local);
    MPI_Comm_free(&host);
    return 0;
}

static void *begun(MPI_Request *request, const char *what, int code)
{
    if (code == MPI_SUCCESS)
        return request;
    failed(what, code);
    free(request);
    return NULL;
}

static void *send(const void *data, size_t bytes, int to, int tag)
{
    MPI_Request *request = malloc(sizeof *request);
    if (!request)
        return begun(NULL, "MPI_Isend", MPI_ERR_NO_MEM);
    return begun(request, "MPI_Isend", MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag, MPI_COMM_WORLD, request));
}

static void *receive(void *data, size_t bytes, int from, int tag)
{
    MPI_Request *request = malloc(sizeof *request);
    if (!request)
        return begun(NULL, "MPI_Irecv", MPI_ERR_NO_MEM);
    from = from == MR_MPI_ANY ? MPI_ANY_SOURCE : from;
    return begun(request, "MPI_Irecv", MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag, MPI_COMM_WORLD, request));
}

static int done(void *message)
{
    int flag, code = MPI_Test(message, &flag, MPI_STATUS_IGNORE);
    if (code)
        return failed("MPI_Test", code);
    if (flag)
        free(message);
    return flag;
}

static void drop(void *message)
{
    MPI_Cancel(message);
    MPI_Request_free(message);
    free(message);
}

static void stop(void)
{
    MPI_Finalize();
}

static void end_all(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
}

static const char *error(void)
{
    return error_text;
}

static const char *library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int size;
    if (MPI_Get_library_version(text, &size))
        return "MPI";
    text[strcspn(text, ",\n")] = 0;
    return text;
}

__attribute__((visibility("default"))) extern const struct mr_mpi mr_mpi;
const struct mr_mpi mr_mpi = {start, send, receive, done, drop, stop, end_all, error, library};
