/* SPDX-License-Identifier: Apache-2.0 */
/* The roles of this host, as a table and as JSON. */
#include "qsurgeon/role.h"

#include <arpa/inet.h>

#include "json.h"
#include "table.h"

struct roles {
    const struct qs_served *list;
    const struct qs_style *style;
};

static void fill(void *data, size_t row, struct qs_cells *cells)
{
    const struct roles *roles = data;
    const struct qs_served *s = &roles->list[row];
    size_t at = 0;
    qs_safe(cells->text[0], QS_CELL, qs_span_of(s->domain), roles->style);
    snprintf(cells->text[1], QS_CELL, "%s", s->relay ? "relayed" : "local");
    snprintf(cells->text[2], QS_CELL, "%s", qs_role_name(s->role));
    for (size_t i = 0; i < s->route->exchanger_count && at + 1 < QS_CELL; i++) {
        char name[QS_CELL];
        const struct qs_exchanger *x = &s->route->exchanger[i];
        qs_safe(name, sizeof name, qs_span_of(x->name), roles->style);
        int n = snprintf(cells->text[3] + at, QS_CELL - at, "%s%u %s (%s)", i ? ", " : "", x->preference, name, qs_mx_name(x->mx));
        at += n < 0 ? 0 : (size_t)n;
    }
    if (!s->route->exchanger_count)
        snprintf(cells->text[3], QS_CELL, "%s", qs_mx_name(s->route->mx));
    qs_safe(cells->note, QS_CELL, qs_span_of(s->warning), roles->style);
    cells->whole = true;
}

enum qs_status qs_report_roles_text(FILE *out, const struct qs_served *list, size_t count, const struct qs_style *style,
                                    struct qs_error *err)
{
    static const struct qs_heading headings[] = {
        {"DOMAIN", false, false}, {"KIND", false, false}, {"ROLE", false, false}, {"MX", false, true},
    };
    struct roles roles = {list, style};
    if (count)
        qs_table_print(out, style, headings, sizeof headings / sizeof headings[0], count, fill, &roles);
    else
        fputs("No domain is known that this host serves.\n", out);
    return qs_written(out, err);
}

enum qs_status qs_report_roles_json(FILE *out, const struct qs_served *list, size_t count, struct qs_error *err)
{
    enum qs_status status = QS_OK;
    for (size_t i = 0; status == QS_OK && i < count; i++) {
        const struct qs_served *s = &list[i];
        struct qs_json json = qs_json_new();
        json_t *exchangers = json_array();
        qs_json_text(&json, "domain", qs_span_of(s->domain));
        qs_json_bool(&json, "relayed", s->relay);
        qs_json_text(&json, "role", qs_span_of(qs_role_name(s->role)));
        qs_json_text(&json, "mx", qs_span_of(qs_mx_name(s->route->mx)));
        for (size_t k = 0; k < s->route->exchanger_count; k++) {
            const struct qs_exchanger *x = &s->route->exchanger[k];
            struct qs_json item = qs_json_new();
            json_t *addresses = json_array();
            qs_json_text(&item, "name", qs_span_of(x->name));
            qs_json_count(&item, "preference", x->preference);
            qs_json_text(&item, "mx", qs_span_of(qs_mx_name(x->mx)));
            for (size_t a = 0; a < x->address_count; a++) {
                char address[INET6_ADDRSTRLEN];
                inet_ntop(x->address[a].v6 ? AF_INET6 : AF_INET, x->address[a].address, address, sizeof address);
                qs_json_append_text(&item, addresses, qs_span_of(address));
            }
            qs_json_value(&item, "addresses", addresses);
            qs_json_append(&json, exchangers, item);
        }
        qs_json_value(&json, "exchangers", exchangers);
        qs_json_text_or_null(&json, "warning", qs_span_of(s->warning));
        status = qs_json_line(out, &json, err);
    }
    return status;
}
