/* SPDX-License-Identifier: Apache-2.0 */
/* What a message costs, in CPU time: ordinary mail from the directories given, then messages made to be
 * slow, as ratios of the cost of a byte. Prints a table; ends with 1 when one costs more than BAR times an
 * ordinary byte.
 *
 * usage: adversarial [-n MESSAGES] [-r ROUNDS] DIRECTORY... */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"

enum { LONGEST = 256 * 1024 };
static const double BAR = 4;

struct set {
    struct qs_span *message;    /* talloc array */
    unsigned count;
    size_t bytes;
};

struct bench {
    struct qs_mail_scanner *scanner;
    struct qs_fingerprinter *printer;
    struct qs_mail *mail;
    unsigned rounds;
    uint64_t sink;              /* so that nothing is optimised away */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add(struct set *set, const char *bytes, size_t len)
{
    if ((set->count & (set->count - 1)) == 0) {
        set->message = talloc_realloc(NULL, set->message, struct qs_span, 2 * set->count + 1);
    }
    char *copy = talloc_memdup(set->message, bytes, len + 1);
    if (set->message == NULL || copy == NULL) {
        abort();
    }
    set->message[set->count++] = (struct qs_span){ copy, len };
    set->bytes += len;
}

static void add_directory(struct set *set, const char *path, unsigned most)
{
    static char bytes[LONGEST + 1];
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && set->count < most && (entry = readdir(dir)) != NULL;) {
        char name[4096];
        int n = snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        FILE *file = entry->d_name[0] == '.' || n >= (int)sizeof(name) ? NULL : fopen(name, "rb");
        if (file != NULL) {
            add(set, bytes, fread(bytes, 1, LONGEST, file));
            fclose(file);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* The least time of several rounds, for the walk alone or with the fingerprint. */
static double measure(struct bench *b, const struct set *set, bool print)
{
    double best = 1e9;
    for (unsigned round = 0; round < b->rounds; round++) {
        double start = now();
        for (unsigned i = 0; i < set->count; i++) {
            qs_mail_scan(b->scanner, set->message[i], false, true, b->mail);
            b->sink += b->mail->structure;
            if (print) {
                struct qs_fingerprint f;
                qs_fingerprint_text(b->printer, b->mail->text, &f);
                b->sink += f.body_hash;
            }
        }
        double time = now() - start;
        best = time < best ? time : best;
    }
    return best;
}

/* Cost of a byte looked at, in ns. */
static double report(struct bench *b, const char *name, const struct set *set, double ordinary)
{
    double walk = measure(b, set, false), all = measure(b, set, true), bytes = 0;
    for (unsigned i = 0; i < set->count; i++) {
        size_t len = set->message[i].len;
        bytes += (double)(len < QS_CAP_CONTENT ? len : QS_CAP_CONTENT);
    }
    double each = all * 1e9 / bytes;
    printf("| %-34s | %9.0f | %9.0f | %9.0f | %6.2f | %5.1f |\n", name, bytes / set->count,
           walk * 1e9 / set->count, (all - walk) * 1e9 / set->count, each,
           ordinary > 0 ? each / ordinary : 1);
    return each;
}

static const struct {
    const char *name, *head, *piece;
    size_t size;                /* of the whole */
} cases[] = {
    { "one letter, 10 MB", "\n", "a", 10 << 20 },
    { "short words", "\n", "a ", 300000 },
    { "digits", "\n", "1 a2", 300000 },
    { "addresses", "\n", "a@a ", 300000 },
    { "addresses without blanks", "\n", "a@", 300000 },
    { "links", "\n", "http://a.b/ ", 300000 },
    { "link beginnings", "\n", "a://", 300000 },
    { "www", "\n", "www.", 300000 },
    { "invalid UTF-8", "\n", "\x80\xff\xc3", 300000 },
    { "invisible characters", "\n", "a\xe2\x80\x8b", 300000 },
    { "Chinese", "\n", "\xe4\xbd\xa0", 300000 },
    { "Russian", "\n", "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 ", 300000 },
    { "koi8-r", "Content-Type: text/plain; charset=koi8-r\n\n", "\xf0\xd2\xc9\xd7\xc5\xd4 ", 300000 },
    { "utf-7", "Content-Type: text/plain; charset=utf-7\n\n", "+AOQ-", 300000 },
    { "header of one field", "Subject: ", "x", 1 << 20 },
    { "header of many fields", "", "Subject: x\n", 1 << 20 },
    { "field names only", "", "a:\n", 1 << 20 },
    { "lines without a colon", "", "x\n", 1 << 20 },
    { "Received", "", "Received: from [ ( [ by by by [\n", 1 << 20 },
    { "encoded words", "Subject: ", "=?utf-8?q?=41?= ", 300000 },
    { "openings of encoded words", "Subject: ", "=?a?q?", 300000 },
    { "quotes in From", "From: ", "\"", 60000 },
    { "escaped quotes in From", "From: \"", "\\\"", 60000 },
    { "parameters", "Content-Type: text/plain", ";charset=x", 60000 },
    { "50,000 parts", "Content-Type: multipart/mixed; boundary=b\n\n", "--b\n\nx\n", 350000 },
    { "near boundaries", "Content-Type: multipart/mixed; boundary=bbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\n",
      "--bbbbbbbbbbbbbbbbbbbbbbbbbbb\n", 300000 },
    { "dashes", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n", "--\n", 300000 },
    { "1,000 nested multiparts", "Content-Type: multipart/mixed; boundary=b\n\n",
      "--b\nContent-Type: multipart/mixed; boundary=b\n\n", 48000 },
    { "returned headers that are none", "\n", "From: a\nTo: b\n\n", 300000 },
    { "quoted header lines", "\n", "> a: b\n>> a: b\n", 300000 },
    { "base64 garbage", "Content-Transfer-Encoding: base64\n\n", "!?", 300000 },
    { "base64, a letter a line", "Content-Transfer-Encoding: base64\n\n", "Q\n", 300000 },
    { "quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n", "=41=", 300000 },
    { "tags", "Content-Type: text/html\n\n", "<p>", 300000 },
    { "openings of tags", "Content-Type: text/html\n\n", "<a ", 300000 },
    { "openings of comments", "Content-Type: text/html\n\n", "<!--", 300000 },
    { "attributes", "Content-Type: text/html\n\n<p ", "a=b ", 300000 },
    { "open quotes", "Content-Type: text/html\n\n", "<a b=\"<a b='", 300000 },
    { "styles", "Content-Type: text/html\n\n", "<b style=color:red;font-size:1px>", 300000 },
    { "style declarations", "Content-Type: text/html\n\n<b style=\"", "c:0;", 300000 },
    { "style sheets", "Content-Type: text/html\n\n", "<style>.a{color:red}</style><b class='a b c d'>",
      300000 },
    { "class names",
      "Content-Type: text/html\n\n<style>.a{color:red}.b{color:red}.c{color:red}.d{color:red}.e{color:red}"
      ".f{color:red}.g{color:red}.h{color:red}.i{color:red}.j{color:red}.k{color:red}.l{color:red}.m{color:"
      "red}"
      ".n{color:red}.o{color:red}.p{color:red}.q{color:red}.r{color:red}.s{color:red}.t{color:red}.u{color:"
      "red}"
      ".v{color:red}.w{color:red}.x{color:red}.y{color:red}.z{color:red}.aa{color:red}.ab{color:red}</"
      "style><b class='",
      "z y x w v u t s r q p o n m l k j i h g f e d c b a ", 300000 },
    { "stacked elements", "Content-Type: text/html\n\n", "<b hidden></i></u></s>", 300000 },
    { "tables", "Content-Type: text/html\n\n", "<table><td hidden>", 300000 },
    { "entities", "Content-Type: text/html\n\n", "&zwj;", 300000 },
    { "openings of entities", "Content-Type: text/html\n\n", "&", 300000 },
    { "links in HTML", "Content-Type: text/html\n\n", "<a href=//a.b>", 300000 },
};

int main(int argc, char **argv)
{
    unsigned most = 5000;
    uint64_t number;
    struct bench b = { qs_mail_scanner_new(NULL), qs_fingerprinter_new(NULL), talloc(NULL, struct qs_mail), 5,
                       0 };
    struct set ordinary = { NULL, 0, 0 };
    for (int option; (option = getopt(argc, argv, "n:r:")) != -1;) {
        if (option == '?' || !qs_parse_u64(qs_span_of(optarg), &number) || number == 0 || number > 1000000) {
            fputs("usage: adversarial [-n MESSAGES] [-r ROUNDS] DIRECTORY...\n", stderr);
            return 64;
        }
        *(option == 'n' ? &most : &b.rounds) = (unsigned)number;
    }
    for (int i = optind; i < argc; i++) {
        add_directory(&ordinary, argv[i], most);
    }
    if (ordinary.count == 0) {
        fputs("adversarial: no ordinary messages\n", stderr);
        return 64;
    }
    printf("| %-34s | %9s | %9s | %9s | %6s | %5s |\n", "messages", "bytes", "mail ns", "print ns", "ns/B",
           "ratio");
    puts("| ---------------------------------- | --------: | --------: | --------: | -----: | ----: |");
    double each = report(&b, "ordinary", &ordinary, 0), worst = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct set set = { NULL, 0, 0 };
        size_t head = strlen(cases[i].head), piece = strlen(cases[i].piece), n = head;
        char *text = talloc_size(NULL, cases[i].size + head + piece + 1);
        if (text == NULL) {
            abort();
        }
        memcpy(text, cases[i].head, head);
        for (; n < cases[i].size; n += piece) {
            memcpy(text + n, cases[i].piece, piece);
        }
        text[n] = '\0';
        add(&set, text, n);
        double ratio = report(&b, cases[i].name, &set, each) / each;
        worst = ratio > worst ? ratio : worst;
        talloc_free(text);
        talloc_free(set.message);
    }
    printf("\nworst: %.1f times an ordinary byte (bar %.0f); check %016llx\n", worst, BAR,
           (unsigned long long)b.sink);
    talloc_free(ordinary.message);
    talloc_free(b.mail);
    talloc_free(b.printer);
    talloc_free(b.scanner);
    return worst > BAR ? 1 : 0;
}
