/* SPDX-License-Identifier: Apache-2.0 */
/* What addresses are, what a server's name may be, and that silence ends in time and is no evidence. Answers of a real
 * server: tests/live/dns.sh. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qsurgeon/dns.h"
#include "unit.h"

static int64_t now;

static int64_t step(void)           /* a clock that runs faster than any */
{
    return now += 50;
}

static enum qs_mx of(const char *text)
{
    struct qs_network address;
    assert_int_equal(qs_network_parse(qs_span_of(text), &address, NULL), QS_OK);
    return qs_mx_of_address(&address);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum qs_mx mx;
    } table[] = {
        {"127.0.0.1", QS_MX_LOOPBACK}, {"127.255.0.9", QS_MX_LOOPBACK}, {"0.0.0.0", QS_MX_LOOPBACK},
        {"::1", QS_MX_LOOPBACK}, {"::", QS_MX_LOOPBACK}, {"::ffff:127.0.0.1", QS_MX_LOOPBACK},
        {"10.1.2.3", QS_MX_PRIVATE}, {"172.31.0.1", QS_MX_PRIVATE}, {"192.168.0.1", QS_MX_PRIVATE},
        {"169.254.1.1", QS_MX_PRIVATE}, {"100.127.255.255", QS_MX_PRIVATE}, {"224.0.0.1", QS_MX_PRIVATE},
        {"255.255.255.255", QS_MX_PRIVATE}, {"fd00::1", QS_MX_PRIVATE}, {"fe80::1", QS_MX_PRIVATE}, {"ff02::1", QS_MX_PRIVATE},
        {"126.0.0.1", QS_MX_OK}, {"128.0.0.1", QS_MX_OK}, {"172.32.0.1", QS_MX_OK}, {"100.128.0.1", QS_MX_OK},
        {"192.0.2.1", QS_MX_OK}, {"2001:db8::1", QS_MX_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (of(table[i].address) != table[i].mx)
            fail_msg("%s is %s", table[i].address, qs_mx_name(of(table[i].address)));
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QS_MX_KINDS; i++) {
        enum qs_mx mx = i ? QS_MX_UNKNOWN : QS_MX_OK;
        assert_true(qs_mx_parse(qs_span_of(qs_mx_name((enum qs_mx)i)), &mx) && (unsigned)mx == i);
    }
    enum qs_mx mx = QS_MX_OK;
    assert_false(qs_mx_parse(QS_SPAN("Loopback"), &mx));
    assert_false(qs_mx_parse(QS_SPAN(""), &mx));
}

static void test_server(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "localhost", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:", "127.0.0.1:5x",
                                        "127.0.0.1,127.0.0.2", "127.0.0.0/8", "[::1", "::1%lo", "127.0.0.1:53:53"};
    char *domain[] = {NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct qs_dns *dns = NULL;
        struct qs_error err;
        const struct qs_dns_options how = {.server = wrong[i], .clock = step, .limit = 1000};
        if (qs_dns_ask(root, &how, domain, 0, &dns, &err) != QS_USAGE || dns)
            fail_msg("%s was taken for a server", wrong[i]);
    }
}

/* A socket that takes questions and never answers. */
static void test_silence(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, len) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    char server[32], *domain[] = {"One.example", "one.example.", "two.example", "", "nodot", "b\377d.example", "ours.example",
                                  "a.relay.example"};
    char *local[] = {"ours.example"}, *relay[] = {"relay.example"};
    struct qs_site site = {.local_domains = local, .local_count = 1, .relay_domains = relay, .relay_count = 1};
    snprintf(server, sizeof server, "127.0.0.1:%u", ntohs(a.sin_port));
    const struct qs_dns_options how = {.server = server, .clock = step, .limit = 200, .site = &site};
    struct qs_dns *dns = NULL;
    struct qs_error err = {""};
    assert_int_equal(qs_dns_ask(root, &how, domain, sizeof domain / sizeof *domain, &dns, &err), QS_OK);
    assert_int_equal(dns->count, 6);
    assert_int_equal(dns->late, 2);
    assert_true(dns->silent);
    assert_int_equal(dns->failed, 0);
    assert_ptr_equal(qs_dns_find(dns, QS_SPAN("ONE.example")), &dns->route[0]);
    assert_null(qs_dns_find(dns, QS_SPAN("three.example")));
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@one.example")), QS_MX_UNKNOWN);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@three.example")), QS_MX_UNKNOWN);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@ours.example")), QS_MX_OK);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@a.relay.example")), QS_MX_OK);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@[127.0.0.1]")), QS_MX_LOOPBACK);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@[IPv6:fd00::1]")), QS_MX_PRIVATE);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x@[what]")), QS_MX_UNKNOWN);
    assert_int_equal(qs_dns_of(dns, QS_SPAN("x")), QS_MX_UNKNOWN);
    assert_int_equal(qs_dns_of(NULL, QS_SPAN("x@[127.0.0.1]")), QS_MX_UNKNOWN);
    talloc_free(dns);
    /* the time for the first word may be shorter than that for all */
    const struct qs_dns_options soon = {.server = server, .clock = step, .limit = INT64_MAX / 4, .silence = 200, .site = &site};
    assert_int_equal(qs_dns_ask(root, &soon, domain, sizeof domain / sizeof *domain, &dns, &err), QS_OK);
    assert_int_equal(dns->late, 2);
    assert_true(dns->silent);
    talloc_free(dns);
    /* and where nothing is asked, nobody is silent */
    assert_int_equal(qs_dns_ask(root, &soon, domain + 3, sizeof domain / sizeof *domain - 3, &dns, &err), QS_OK);
    assert_int_equal(dns->late, 0);
    assert_false(dns->silent);
    talloc_free(dns);
    close(fd);
}

/* What an earlier run was told, and what nobody can have been told. Nobody answers here: only what is taken from the text is
 * known. */
static void test_earlier(void **state)
{
    (void)state;
    static const char head[] = "qsurgeon-dns 1 [127.0.0.1]:1\n", host[] = "h 1900 1 2 mx.good.example 192.0.2.1\n";
    static const struct {
        const char *lines;
        enum qs_mx mx;
    } table[] = {
        {"d 1900 1 0 one.example 10 mx.good.example\n", QS_MX_OK},
        {"d 1001 1 0 one.example 10 mx.good.example 20 127.0.0.1\n", QS_MX_OK},
        {"d 1900 1 0 one.example 10 127.0.0.1\n", QS_MX_LOOPBACK},
        {"d 1900 1 0 one.example 0 ::1\n", QS_MX_LOOPBACK},
        {"d 1900 1 0 one.example 65535 localhost\n", QS_MX_LOOPBACK},
        {"d 1900 2 0 one.example\n", QS_MX_NONE},
        {"d 1900 3 0 one.example\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 mx.other.example\n", QS_MX_UNKNOWN},         /* whose address has to be asked for */
        {"d 1900 1 0 one.example 10 mx.other.example\nh 1900 2 2 mx.other.example\n", QS_MX_NONE},
        {"d 1900 1 0 one.example 10 mx.other.example\nh 1900 1 2 mx.other.example\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 mx.other.example\nh 1900 2 2 mx.other.example 192.0.2.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 mx.other.example\nh 1900 1 2 mx.other.example 192.0.2.0/24\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 mx.other.example\nh 1900 1 2 mx.other.example 192.0.2.1 x\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example\n", QS_MX_UNKNOWN},
        {"d 1000 1 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},                /* over */
        {"d 1901 1 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},                /* nothing holds for so long */
        {"d 99999999999999999999 1 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d -1 1 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 0 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 4 0 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 2 one.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 65536 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 127.0.0.1 x\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 127.0.0.1 20\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example  10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 One.example 10 127.0.0.1\n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 10 127.0.0.1", QS_MX_UNKNOWN},                  /* cut off */
        {"d 1900 1 0\nd\n\n d\nd 1900\nx 1900 1 0 one.example 10 127.0.0.1\nh\nh 1900 1 1 \n", QS_MX_UNKNOWN},
        {"d 1900 1 0 one.example 1 1.1 1 1.2 1 1.3 1 1.4 1 1.5 1 1.6 1 1.7 1 1.8 1 1.9 1 1.10 1 1.11 1 1.12 1 1.13 1 1.14 1 1.15 "
         "1 1.16 1 127.0.0.1\n", QS_MX_UNKNOWN},                                /* more than is ever written */
    };
    char *domain[] = {"one.example"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (unsigned other = 0; other < 2; other++) {      /* of other servers nothing is taken */
            char *text = talloc_asprintf(root, "%s%s%s", other ? "qsurgeon-dns 1 [127.0.0.1]:2\n" : head, host, table[i].lines);
            const struct qs_dns_options how = {.server = "127.0.0.1:1", .clock = step, .limit = 200, .now = 1000,
                                               .earlier = qs_span_of(text)};
            struct qs_dns *dns = NULL;
            struct qs_error err = {""};
            assert_int_equal(qs_dns_ask(root, &how, domain, 1, &dns, &err), QS_OK);
            enum qs_mx want = other ? QS_MX_UNKNOWN : table[i].mx;
            if (dns->route[0].mx != want)
                fail_msg("%s: %s, not %s", table[i].lines, qs_mx_name(dns->route[0].mx), qs_mx_name(want));
            talloc_free(dns);
            talloc_free(text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_server),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_earlier),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
