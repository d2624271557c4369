/* SPDX-License-Identifier: Apache-2.0 */
/* What the output may look like: see terminal.h. */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_PIPE = 80, ROWS_UNKNOWN = 24, COLUMNS_LEAST = 40, COLUMNS_MOST = 500 };

bool qs_is_terminal(FILE *out)
{
    return isatty(fileno(out));
}

static bool set_in_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0];
}

static bool is_dumb(void)
{
    const char *term = getenv("TERM");
    return !term || !term[0] || strcmp(term, "dumb") == 0;
}

bool qs_is_rewritable(FILE *out)
{
    return qs_is_terminal(out) && !is_dumb();
}

/* By name alone: the program never calls setlocale(), so that numbers and sorting are the same everywhere. */
static bool locale_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (set_in_environment(names[i])) {
            const char *value = getenv(names[i]);
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
        }
    return false;
}

struct qs_style qs_terminal_style(FILE *out)
{
    struct qs_style style = {
        .columns = COLUMNS_PIPE, .utf8 = locale_is_utf8(), .program = "qsurgeon", .selection = ""};
    struct winsize size = {0};
    uint64_t columns = 0;
    if (qs_is_terminal(out)) {
        bool known = ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
        style.columns = known ? size.ws_col : COLUMNS_PIPE;
        style.rows = known ? size.ws_row : ROWS_UNKNOWN;
        style.colour = !set_in_environment("NO_COLOR") && !is_dumb();
    }
    if (set_in_environment("COLUMNS") && qs_parse_u64(qs_span_of(getenv("COLUMNS")), &columns))
        style.columns = columns < COLUMNS_MOST ? (unsigned)columns : COLUMNS_MOST;
    if (style.columns < COLUMNS_LEAST)
        style.columns = COLUMNS_LEAST;
    return style;
}
