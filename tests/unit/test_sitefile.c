/* SPDX-License-Identifier: Apache-2.0 */
/* The site file: what it may say, and that everything else is refused with its line. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qsurgeon/site.h"
#include "unit.h"

static char path[] = "/tmp/qsurgeon-test-site.XXXXXX";

static int setup(void **state)
{
    int fd = mkstemp(path);
    if (fd >= 0)
        (void)close(fd);
    return fd < 0 ? -1 : root_setup(state);
}

static int teardown(void **state)
{
    (void)unlink(path);
    return root_teardown(state);
}

static struct qs_site *site;
static struct qs_error err;

static enum qs_status read_bytes(const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    talloc_free(site);
    site = qs_site_new(root);
    assert_non_null(site);
    err.text[0] = '\0';
    enum qs_status status = qs_site_read(site, path, &err);
    if (status == QS_OK)
        assert_string_equal(err.text, "");
    return status;
}

static enum qs_status read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void done(void)
{
    talloc_free(site);
    site = NULL;
}

static void test_everything(void **state)
{
    (void)state;
    assert_int_equal(read_text("; what this host is\n"
                               "# and serves\n"
                               "[site]\n"
                               "hostname = MX1.Example.org.\n"
                               "local_domains = Example.org, example.net   ; ours\n"
                               "    lists.example.org\n"
                               "relay_domains: customer.example\n"
                               "networks = 192.0.2.0/24 2001:db8::/32,203.0.113.7\r\n"
                               "\n"
                               "trusted_relays = 198.51.100.1\n"
                               "honeypots = Trap@Example.org\n"
                               "honeypots = other@example.org\n"
                               "good_senders = @partner.example, boss@home.example"), QS_OK);
    assert_string_equal(site->hostname, "mx1.example.org");
    assert_int_equal(site->local_count, 3);
    assert_string_equal(site->local_domains[0], "example.org");
    assert_string_equal(site->local_domains[1], "example.net");
    assert_string_equal(site->local_domains[2], "lists.example.org");
    assert_int_equal(site->relay_count, 1);
    assert_string_equal(site->relay_domains[0], "customer.example");
    assert_int_equal(site->network_count, 3);
    assert_string_equal(site->networks[1], "2001:db8::/32");
    assert_string_equal(site->networks[2], "203.0.113.7");
    assert_int_equal(site->trusted_relay_count, 1);
    assert_string_equal(site->trusted_relays[0], "198.51.100.1");
    assert_int_equal(site->honeypot_count, 2);
    assert_string_equal(site->honeypots[0], "trap@example.org");
    assert_string_equal(site->honeypots[1], "other@example.org");
    assert_int_equal(site->good_sender_count, 2);
    assert_string_equal(site->good_senders[0], "@partner.example");
    assert_string_equal(site->good_senders[1], "boss@home.example");
    done();
}

/* The file comes after the MTA: its name replaces, its lists add. */
static void test_adds_to_what_is_known(void **state)
{
    (void)state;
    assert_int_equal(read_text("[site]\nhostname = a.example\nnetworks = 10.0.0.0/8\n"), QS_OK);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs("[site]\nhostname = b.example\nnetworks = 192.0.2.1\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(qs_site_read(site, path, &err), QS_OK);
    assert_string_equal(site->hostname, "b.example");
    assert_int_equal(site->network_count, 2);
    assert_string_equal(site->networks[0], "10.0.0.0/8");
    assert_string_equal(site->networks[1], "192.0.2.1");
    done();
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(read_text(""), QS_OK);
    assert_int_equal(read_text("\n; nothing\n[site]\n"), QS_OK);
    assert_int_equal(read_text("[site]\nhoneypots =\nnetworks = ,,\n"), QS_OK);
    assert_null(site->hostname);
    assert_int_equal(site->honeypot_count + site->network_count, 0);
    done();
}

/* wrong(TEXT, LINE, WORDS): refused as CONFIG, "FILE:LINE: ...WORDS..." */
static void wrong_bytes(const char *text, size_t len, unsigned line, const char *words)
{
    char where[100];
    if (read_bytes(text, len) != QS_CONFIG)
        fail_msg("taken: %s", text);
    (void)snprintf(where, sizeof where, "%s:%u: ", path, line);
    if (strncmp(err.text, where, strlen(where)) != 0 || !strstr(err.text, words))
        fail_msg("'%s', not '%s...%s'", err.text, where, words);
}

static void wrong(const char *text, unsigned line, const char *words)
{
    wrong_bytes(text, strlen(text), line, words);
}

static void test_refused(void **state)
{
    static const char zero[] = "[site]\nhostname = a\0b\n";
    char text[1000];
    (void)state;
    wrong("hostname = a.example\n", 1, "in front of [site]");
    wrong("[site]\n\n[stie]\nhostname = a\n", 4, "unknown section [stie]");
    wrong("[site]\nhost = a\n", 2, "unknown setting host");
    wrong("[site]\nhostname = a b\n", 2, "hostname was given already");
    wrong("[site]\nhostname = a\nhostname = b\n", 3, "hostname was given already");
    wrong("[site]\nhostname = a..b\n", 2, "a..b is no name");
    wrong("[site]\nlocal_domains = example.org, .example.net\n", 2, ".example.net is no name");
    wrong("[site]\nlocal_domains = a\n  b\n  c!\n", 4, "c! is no name");
    wrong("[site]\nnetworks = 10.0.0.0/33\n", 2, "10.0.0.0/33 is no address or network");
    wrong("[site]\ntrusted_relays = mx.example\n", 2, "mx.example is no address or network");
    wrong("[site]\nhoneypots = trap\n", 2, "trap is no address");
    wrong("[site]\nhoneypots = @example.org\n", 2, "@example.org is no address");
    wrong("[site]\ngood_senders = example.org\n", 2, "example.org is neither");
    wrong("[site]\ngood_senders = @\n", 2, "@ is neither");
    wrong("[site]\nhostname\n", 2, "neither a section");
    wrong("[site\nhostname = a\n", 1, "neither a section");
    wrong("[site]\nhostname = \x1b[2J\n", 2, "\\x1b[2j is no name");
    wrong_bytes(zero, sizeof zero - 1, 2, "zero byte");
    (void)snprintf(text, sizeof text, "[site]\nlocal_domains = %0400d.example\n", 1);
    wrong(text, 2, "too long a line");
    done();
}

static void test_no_file(void **state)
{
    (void)state;
    site = qs_site_new(root);
    assert_int_equal(qs_site_read(site, "/nonexistent/site", &err), QS_GONE);
    assert_non_null(strstr(err.text, "/nonexistent/site"));
    assert_int_equal(qs_site_read(site, "/", &err), QS_IO);     /* a directory */
    done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_adds_to_what_is_known),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
