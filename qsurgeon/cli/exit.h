/* SPDX-License-Identifier: Apache-2.0 */
/* Exit codes: those of sysexits(3), the convention of mail programs. They are part of the official interface.
 * A caller must treat any other code as a failure. */
#ifndef QSURGEON_CLI_EXIT_H
#define QSURGEON_CLI_EXIT_H

#include "qsurgeon/status.h"

enum qs_exit {
    QS_EXIT_OK = 0,
    QS_EXIT_LEFT_OUT = 2,           /* done, but for some messages; each is named on standard error */
    QS_EXIT_USAGE = 64,             /* the command line is wrong */
    QS_EXIT_DATA = 65,              /* a file that was named is damaged */
    QS_EXIT_NOQUEUE = 69,           /* no queue here */
    QS_EXIT_MEMORY = 71,            /* out of memory */
    QS_EXIT_IO = 74,                /* the system failed to read or write */
    QS_EXIT_BUSY = 75,              /* try again */
    QS_EXIT_NOPERM = 77,            /* a privilege is missing */
    QS_EXIT_CONFIG = 78,            /* a configuration file is wrong */
};

/* The one mapping. */
enum qs_exit qs_exit_of(enum qs_status status);

#endif
