/* SPDX-License-Identifier: GPL-3.0-or-later
 * For tools/faults.py, by LD_PRELOAD: the FAULT_NTH-th call of the function FAULT_NAME, or of any in a group of that
 * name ("memory", "opencl"), fails with FAULT_ERRNO, and all later ones too where FAULT_ON is set (a full disk, a lost
 * device). Of calls on files those below FAULT_BELOW count, of the others those made by the program and the libraries
 * that it calls for data. FAULT_MARK is a file that is made then; FAULT_COUNT one that gets the number of such calls.
 */
#ifndef FAIL_CALLS_H
#define FAIL_CALLS_H

/* path: NULL where the call is not on a file. errno is set. */
int fault_here(const char *name, const char *group, const char *path);
/* FAULT_ERRNO */
int fault_number(void);
/* Whether the code at this address belongs to the program or to a library that it calls for data: memory that a driver
 * or its compiler asks for is not counted, since they end the process without it. */
int fault_caller_counts(const void *address);

#endif
