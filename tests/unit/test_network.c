/* SPDX-License-Identifier: Apache-2.0 */
/* Address ranges: what is one, what is in it, at every edge of a prefix. */
#include "unit.h"

#include "qsurgeon/network.h"

static enum qs_status parse(const char *text, struct qs_network *out, struct qs_error *err)
{
    return qs_network_parse(qs_span_of(text), out, err);
}

static bool has(const char *range, const char *address)
{
    struct qs_network n;
    struct qs_error err = {""};
    assert_int_equal(parse(range, &n, &err), QS_OK);
    return qs_network_has(&n, qs_span_of(address));
}

static void test_members(void **state)
{
    static const struct {
        const char *range, *address;
        bool in;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {" 192.0.2.1 ", "192.0.2.1", true},
        {"[192.0.2.1]", "[192.0.2.1]", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"10.1.2.3/8", "10.9.9.9", true},           /* bits behind the prefix do not count */
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.252/31", "192.0.2.253", true},
        {"192.0.2.252/31", "192.0.2.254", false},
        {"192.0.2.7/32", "192.0.2.7", true},
        {"192.0.2.7/32", "192.0.2.6", false},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "2001:db8::1", false},        /* a range is of one family */
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.1", false},
        {"2001:db8::/32", "2001:db8:ffff::", true},
        {"2001:db8::/32", "2001:db9::", false},
        {"2001:db8::/127", "2001:db8::1", true},
        {"2001:db8::/127", "2001:db8::2", false},
        {"2001:db8::1/128", "2001:DB8:0:0:0:0:0:1", true},
        {"[2001:db8::]/32", "IPv6:2001:db8::5", true},
        {"2001:db8::1", "ipv6:2001:db8::1", true},
        {"::ffff:192.0.2.0/120", "192.0.2.9", true},
        {"::ffff:192.0.2.0/120", "192.0.3.9", false},
        {"192.0.2.0/24", "::ffff:192.0.2.9", true},
        {"fe80::/10", "fe80::1%eth0", true},
        {"fe80::1", "fe80::1%eth0", true},
        {"192.0.2.0/24", "", false},
        {"192.0.2.0/24", "unknown", false},
        {"192.0.2.0/24", "192.0.2.1.example", false},
        {"192.0.2.0/24", "192.0.2", false},
        {"192.0.2.0/24", "192.0.2.1 ", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (has(cases[i].range, cases[i].address) != cases[i].in)
            fail_msg("%s in %s: not %d", cases[i].address, cases[i].range, cases[i].in);
}

static void test_not_addresses(void **state)
{
    static const char *const words[] = {
        "", "/", "/8", "example.org", "10.0.0", "10.0.0.0.0", "10.0.0.256", "10.0.0.0-10.0.0.9", "10\\.0\\.",
        "0x0a.0.0.1", "010.0.0.1.", "2001:db8", ":::", "2001:db8::1::2", "host/24", "[192.0.2.1",
        "192.0.2.1]", "[]", "IPv6:", "%eth0", "1111:2222:3333:4444:5555:6666:7777:8888:9999",
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaa"),
    };
    struct qs_network n = {{1}, 2, true}, before = n;
    struct qs_error err = {""};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (parse(words[i], &n, &err) != QS_SKIP)
            fail_msg("'%s' was taken for an address", words[i]);
    assert_int_equal(qs_network_parse((struct qs_span){NULL, 0}, &n, &err), QS_SKIP);
    assert_int_equal(qs_network_parse((struct qs_span){"192.0.2.1\0x", 11}, &n, &err), QS_SKIP);
    assert_memory_equal(&n, &before, sizeof n);
}

static void test_wrong_prefixes(void **state)
{
    static const char *const words[] = {
        "10.0.0.0/33",        "10.0.0.0/",      "10.0.0.0/-1",         "10.0.0.0/8x",
        "10.0.0.0/255.0.0.0", "10.0.0.0/8/8",   "10.0.0.0/ 8",         "10.0.0.0/99999999999999999999",
        "2001:db8::/129",     "[2001:db8::]/x", "::ffff:10.0.0.0/129",
    };
    struct qs_network n;
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct qs_error err = {""};
        if (parse(words[i], &n, &err) != QS_USAGE)
            fail_msg("'%s' was not refused", words[i]);
        assert_non_null(strstr(err.text, "prefix length"));
    }
}

/* Each bit of the prefix counts, each behind it does not. */
static void test_every_bit(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits <= 32; bits++) {
        char range[64], address[64];
        struct qs_network n;
        (void)snprintf(range, sizeof range, "170.85.170.85/%u", bits);
        assert_int_equal(parse(range, &n, NULL), QS_OK);
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t value = 0xAA55AA55u ^ UINT32_C(1) << (31 - bit);
            (void)snprintf(address, sizeof address, "%u.%u.%u.%u", value >> 24, value >> 16 & 255,
                           value >> 8 & 255, value & 255);
            if (qs_network_has(&n, qs_span_of(address)) != (bit >= bits))
                fail_msg("%s in %s", address, range);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_not_addresses),
        cmocka_unit_test(test_wrong_prefixes),
        cmocka_unit_test(test_every_bit),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
