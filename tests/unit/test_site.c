/* SPDX-License-Identifier: Apache-2.0 */
/* What the judge knows of the site: given, or learnt from the queue; addresses and the names of access networks. */
#include "../../qsurgeon/judge/judge.h"
#include "unit.h"

static struct qs_scan *scan;

static int setup(void **state)
{
    struct qs_scan_options options = {0};
    (void)state;
    scan = qs_scan_new(root, &options);
    return scan ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    talloc_free(scan);
    return 0;
}

static void add(const char *by, const char *sender, const char *to, const char *address, const char *name)
{
    struct qs_message *m = qs_scan_append(scan, 1);
    struct qs_recipient *r = qs_scan_recipients(scan, 1);
    assert_true(m && r);
    m->id = "ID";
    m->local_uid = -1;
    m->first_by = qs_intern(scan->strings, qs_span_of(by));
    m->sender = qs_intern(scan->strings, qs_span_of(sender));
    m->client_address = qs_intern(scan->strings, qs_span_of(address));
    m->client_name = qs_intern(scan->strings, qs_span_of(name));
    *r = (struct qs_recipient){.address = qs_intern(scan->strings, qs_span_of(to))};
    m->recipients = r;
    m->recipient_count = 1;
}

static struct qs_site *given(const char *hostname, const char *local, const char *relay, const char *network)
{
    struct qs_site *site = qs_site_new(scan);
    assert_non_null(site);
    site->hostname = hostname;
    if (local) {
        site->local_domains = talloc_array(site, char *, 1);
        site->local_domains[site->local_count++] = talloc_strdup(site, local);
    }
    if (relay) {
        site->relay_domains = talloc_array(site, char *, 1);
        site->relay_domains[site->relay_count++] = talloc_strdup(site, relay);
    }
    if (network) {
        site->networks = talloc_array(site, char *, 1);
        site->networks[site->network_count++] = talloc_strdup(site, network);
    }
    return site;
}

static bool own_address(const struct qs_known *known, const char *text)
{
    struct qs_network address;
    return qs_read_address(text, &address) && qs_is_own_address(known, &address);
}

static bool own_domain(const struct qs_known *known, const char *name)
{
    return qs_is_own_domain(known, qs_span_of(name));
}

static void test_given(void **state)
{
    (void)state;
    struct qs_known *known = qs_know_site(scan, scan, given("mx.ours.org", "ours.org", "client.net", "192.0.2.0/25"));
    assert_non_null(known);
    assert_true(own_domain(known, "ours.org"));
    assert_true(own_domain(known, "OURS.ORG"));
    assert_true(own_domain(known, "lists.ours.org"));
    assert_true(own_domain(known, "client.net"));
    assert_true(own_domain(known, "mx.ours.org"));
    assert_false(own_domain(known, "yours.org"));
    assert_false(own_domain(known, "org"));
    assert_false(own_domain(known, ""));
    assert_true(qs_is_own_host(known, qs_span_of("MX.ours.org.")));
    assert_false(qs_is_own_host(known, qs_span_of("other.ours.org")));
    assert_true(own_address(known, "192.0.2.1"));
    assert_false(own_address(known, "192.0.2.200"));
    assert_true(own_address(known, "127.0.0.1"));
    assert_true(own_address(known, "::1"));
    assert_false(own_address(known, "127.4.5.6"));
    assert_false(own_address(known, "10.1.2.3"));       /* the networks are known, and it is in none */
    assert_true(qs_is_own_name(known, qs_span_of("pc7.ours.org")));
    assert_false(qs_is_own_name(known, qs_span_of("mail.client.net")));     /* a customer's host is not ours */
    assert_false(qs_is_own_name(known, qs_span_of("")));
}

static void test_private_when_networks_are_unknown(void **state)
{
    (void)state;
    struct qs_known *known = qs_know_site(scan, scan, given("mx.ours.org", "ours.org", NULL, NULL));
    assert_non_null(known);
    assert_true(own_address(known, "10.1.2.3"));
    assert_true(own_address(known, "172.16.0.1"));
    assert_false(own_address(known, "172.32.0.1"));
    assert_true(own_address(known, "192.168.4.4"));
    assert_true(own_address(known, "fe80::1"));
    assert_true(own_address(known, "IPv6:fd00::7"));
    assert_false(own_address(known, "2001:db8::1"));
    assert_false(own_address(known, "not an address"));
    assert_false(own_address(known, ""));
}

static void test_learnt(void **state)
{
    char sender[64], name[64];
    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        snprintf(sender, sizeof sender, "a@firm%u.com", n);
        snprintf(name, sizeof name, "mail.firm%u.com", n);
        add(n % 50 ? "mx.ours.org" : "stray.elsewhere.net", sender, n % 2 ? "b@ours.org" : "c@Second.org", "198.51.100.4", name);
    }
    for (unsigned n = 0; n < 20; n++)       /* many messages, but from one organisation */
        add("mx.ours.org", "x@firm1.com", "y@faraway.com", "198.51.100.4", "mail.firm1.com");
    struct qs_known *known = qs_know_site(scan, scan, NULL);
    assert_non_null(known);
    assert_string_equal(known->site->hostname, "mx.ours.org");
    assert_true(qs_is_own_host(known, qs_span_of("mx.ours.org")));
    assert_false(qs_is_own_host(known, qs_span_of("stray.elsewhere.net")));
    assert_int_equal(known->site->local_count, 2);
    assert_true(own_domain(known, "ours.org"));
    assert_true(own_domain(known, "second.org"));
    assert_false(own_domain(known, "faraway.com"));
    assert_false(known->names_missing);
}

static void test_no_name_lookups(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 60; n++)
        add("mx.ours.org", "a@b.com", "c@ours.org", "198.51.100.4", "unknown");
    struct qs_known *known = qs_know_site(scan, scan, NULL);
    assert_non_null(known);
    assert_true(known->names_missing);
}

static bool generic(const char *name, const char *text)
{
    struct qs_network address;
    return qs_name_is_generic(qs_span_of(name), qs_read_address(text, &address) ? &address : NULL);
}

static void test_generic_names(void **state)
{
    (void)state;
    assert_true(generic("c-24-5-6-7.hsd1.ca.comcast.net", "24.5.6.7"));
    assert_true(generic("7.6.5.24.dyn.isp.com", "24.5.6.7"));
    assert_true(generic("host7-6.pool524.provider.it", "24.5.6.7"));
    assert_true(generic("ip024005006007.mobile.net", "24.5.6.7"));
    assert_true(generic("p18050607.dip0.provider.de", "24.5.6.7"));
    assert_true(generic("customer-44812.uninet.mx", "24.5.6.7"));
    assert_true(generic("24-5-6-7.static.business.net", "24.5.6.7"));
    assert_false(generic("mail.firm.com", "24.5.6.7"));
    assert_false(generic("mx7.firm.com", "24.5.6.7"));
    assert_false(generic("o7.ptr1234.sender.net", "24.5.6.7"));
    assert_false(generic("mail-ej1-f54.google.com", "209.85.218.54"));
    assert_false(generic("pool.firm.com", "24.5.6.7"));
    assert_false(generic("", "24.5.6.7"));
    assert_true(generic("dsl-pool-20014.provider.net", "2001:db8::1"));
    assert_false(generic("mail6.firm.com", "2001:db8::1"));
}

static void test_digests(void **state)
{
    (void)state;
    struct qs_network a, b;
    assert_true(qs_read_address("192.0.2.1", &a) && qs_read_address("192.0.2.99", &b));
    assert_int_equal(qs_net_digest(&a), qs_net_digest(&b));
    assert_true(qs_read_address("192.0.3.1", &b));
    assert_int_not_equal(qs_net_digest(&a), qs_net_digest(&b));
    assert_true(qs_read_address("2001:db8:1:2::1", &a) && qs_read_address("IPv6:2001:db8:1:9::5", &b));
    assert_int_equal(qs_net_digest(&a), qs_net_digest(&b));
    assert_true(qs_name_digest(qs_span_of("Mx.Ours.org.")) == qs_name_digest(qs_span_of("mx.ours.org")));
    assert_true(qs_name_digest(qs_span_of("")) == 0);
}

static void test_subjects(void **state)
{
    (void)state;
    uint32_t plain = qs_subject_digest(qs_span_of("Cheap watches for everyone"));
    assert_int_not_equal(plain, 0);
    assert_int_equal(plain, qs_subject_digest(qs_span_of("Re: [x7k2] Cheap watches for everyone! 88123 (hj3k)")));
    assert_int_equal(plain, qs_subject_digest(qs_span_of("FW: cheap WATCHES for everyone id5")));
    assert_int_not_equal(plain, qs_subject_digest(qs_span_of("Cheap clocks for everyone")));
    assert_int_equal(qs_subject_digest(qs_span_of("Hello")), 0);
    assert_int_equal(qs_subject_digest(qs_span_of("((((((")), 0);
    assert_int_equal(qs_subject_digest(qs_span_of("")), 0);
}

/* Average linkage: two tight groups and a point between them that is half like one member of each. */
static void test_linkage(void **state)
{
    (void)state;
    struct qs_linkage *l = qs_linkage_new(scan, 20);
    assert_non_null(l);
    qs_linkage_start(l, 9);
    for (uint32_t i = 0; i < 9; i++)
        for (uint32_t k = 0; k < i; k++)
            qs_linkage_set(l, i, k, i / 4 == k / 4 ? 10 : 0);
    qs_linkage_set(l, 8, 0, 9);         /* a chain: 0 and 4 are both like 8 */
    qs_linkage_set(l, 8, 4, 9);
    qs_linkage_run(l, 3, 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(l->group[i], l->group[i / 4 * 4]);
    assert_int_not_equal(l->group[0], l->group[4]);
    assert_int_not_equal(l->group[8], l->group[0]);
    assert_int_not_equal(l->group[8], l->group[4]);
    qs_linkage_start(l, 0);
    qs_linkage_run(l, 3, 0);
    qs_linkage_start(l, 1);
    qs_linkage_run(l, 3, 0);
    assert_int_equal(l->group[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_given, setup, teardown),
        cmocka_unit_test_setup_teardown(test_private_when_networks_are_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_learnt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_name_lookups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generic_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_digests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subjects, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linkage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
