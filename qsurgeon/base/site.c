/* SPDX-License-Identifier: Apache-2.0 */
/* The empty site. Drivers, a site file and the scan fill it. */
#include "qsurgeon/site.h"

struct qs_site *qs_site_new(TALLOC_CTX *parent)
{
    return talloc_zero(parent, struct qs_site);
}
