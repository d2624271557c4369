/* SPDX-License-Identifier: Apache-2.0 */
/* Mining rules: how messages come apart in lines and tokens, that whatever is quoted compiles, matches what was meant and cannot
 * stall PCRE2 or POSIX matching, and which rules storms of a queue in memory give. */
#include "unit.h"

#include <regex.h>
#include <stdlib.h>

#include "../../qsurgeon/prevent/tokens.h"
#include "../../qsurgeon/select/pattern.h"
#include "qsurgeon/mine.h"

/* --- lines ------------------------------------------------------------------------------------------- */

static const char parts[] = "Received: from a\n\tby b\nSubject: x\n y\nContent-Type: multipart/mixed; boundary=\"bb\"\n\n"
    "preamble\n--bb\nContent-Type: text/plain\nX-Foo: bar\n\nhello\n--bb\nContent-Type: message/rfc822\n\n"
    "Subject: nested\n\nnested body\n--bb\nContent-Type: message/delivery-status\n\nAction: failed\n--bb--\nepilogue\n";

static void test_lines(void **state)
{
    /* as `postmap -hm` and `-bm` of Postfix 3.7 show them */
    static const struct { enum qs_line_kind kind; const char *text; } want[] = {
        {QS_LINE_HEADER, "Received: from a\n\tby b"}, {QS_LINE_HEADER, "Subject: x\n y"},
        {QS_LINE_HEADER, "Content-Type: multipart/mixed; boundary=\"bb\""}, {QS_LINE_BODY, "preamble"},
        {QS_LINE_BODY, "--bb"}, {QS_LINE_PART_HEADER, "Content-Type: text/plain"}, {QS_LINE_PART_HEADER, "X-Foo: bar"},
        {QS_LINE_BODY, "hello"}, {QS_LINE_BODY, "--bb"}, {QS_LINE_PART_HEADER, "Content-Type: message/rfc822"},
        {QS_LINE_PART_HEADER, "Subject: nested"}, {QS_LINE_BODY, "nested body"}, {QS_LINE_BODY, "--bb"},
        {QS_LINE_PART_HEADER, "Content-Type: message/delivery-status"}, {QS_LINE_BODY, "Action: failed"},
        {QS_LINE_BODY, "--bb--"}, {QS_LINE_BODY, "epilogue"}};
    struct qs_lines at = {.rest = qs_span_of(parts)};
    struct qs_line line;
    size_t n = 0;
    (void)state;
    while (qs_lines_next(&at, &line)) {
        assert_true(n < sizeof want / sizeof *want);
        if (line.kind != want[n].kind || !qs_span_is(line.text, want[n].text))
            fail_msg("line %zu is '%.*s' of kind %d", n, (int)line.text.len, line.text.ptr, (int)line.kind);
        n++;
    }
    assert_int_equal(n, sizeof want / sizeof *want);
}

/* Cut anywhere, with CRLF, and with any byte replaced: it ends, and hands out no byte twice. */
static void test_lines_hostile(void **state)
{
    char copy[sizeof parts];
    (void)state;
    for (size_t i = 0; i < sizeof parts; i++) {
        static const char put[] = {0, '\n', ' ', ':', '-', '"', '\xff', 'b'};
        for (size_t p = 0; p < sizeof put; p++) {
            memcpy(copy, parts, sizeof parts);
            copy[i] = put[p];
            struct qs_lines at = {.rest = {copy, p == 0 ? i : sizeof parts - 1}};
            struct qs_line line;
            const char *last = copy;
            while (qs_lines_next(&at, &line)) {
                assert_true(line.text.ptr >= last && line.text.ptr + line.text.len <= copy + sizeof parts);
                last = line.text.ptr + line.text.len;
            }
        }
    }
}

/* --- tokens ------------------------------------------------------------------------------------------ */

static const char *kinds_of(const char *text, bool quoted_printable)
{
    static const char letter[] = "wnxs.chb|";
    static char kinds[QS_TOKENS + 1];
    struct qs_token t[QS_TOKENS];
    const struct qs_line line = {.text = qs_span_of(text), .kind = QS_LINE_BODY, .quoted_printable = quoted_printable};
    const unsigned n = qs_tokens(&line, t);
    for (unsigned i = 0; i < n; i++)
        kinds[i] = letter[t[i].kind];
    kinds[n] = '\0';
    return kinds;
}

static void test_tokens(void **state)
{
    (void)state;
    assert_string_equal(kinds_of("Buy 20 pills4u!", false), "wsnsx.");
    assert_string_equal(kinds_of("m=D0=B0il =3D", true), "wcws.");
    assert_string_equal(kinds_of("m=D0", false), "w.x");
    assert_string_equal(kinds_of("Fri, 20 Nov 2026 05:47:17 +0000", false), "|.sns|sns" "n|n|n" "s.n");
    assert_string_equal(kinds_of("ratio 3:4", false), "wsn.n");
    assert_string_equal(kinds_of("a          b\x01", false), "w|w|");
    assert_string_equal(kinds_of("iVBORw0KGgoAAAANSUhEUgAAALYAAABbCAAA", false), "bbbbbbbbb");
    assert_string_equal(kinds_of("PGh0bWw+PGJvZHk+PHA+RGVhciBmcmllbmQs", false), "");   /* text: see qs_decode_line */
    assert_string_equal(kinds_of("abcdefghijklmnopqrstuvwx", false), "w");       /* no capitals: a word */
    assert_string_equal(kinds_of("gr\xc3\xbc\xc3\x9f" "e", false), "whw");
}

/* --- quoting ----------------------------------------------------------------------------------------- */

static bool posix_finds(const char *pattern, const char *text)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_ICASE | REG_NOSUB), 0);
    const bool found = regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return found;
}

static bool pcre_finds(const char *pattern, struct qs_span text)
{
    struct qs_pattern *compiled = NULL;
    struct qs_error err = {""};
    bool found = false;
    if (qs_pattern_new_raw(root, pattern, &compiled, &err) != QS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(qs_pattern_find(compiled, text, &found, &err), QS_OK);     /* within the limits on steps */
    talloc_free(compiled);
    return found;
}

static const char *quoted(struct qs_buffer *to, struct qs_span text)
{
    to->len = 0;
    assert_true(qs_quote(to, text) && qs_buffer_add_char(to, '\0'));
    return to->data;
}

static unsigned random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(*seed >> 33);
}

static void test_quoting(void **state)
{
    static const char special[] = ".[](){}*+?|^$\\/-#'\"&%@!=~` abcXYZ019\n\t\x7f\x01\xff\x80";
    static char big[40000];
    uint64_t seed = 5;
    struct qs_buffer buffer;
    (void)state;
    qs_buffer_init(&buffer, root);
    memset(big, 'a', sizeof big);
    for (unsigned round = 0; round < 20000; round++) {
        char text[24];
        const size_t len = 1 + random_next(&seed) % (sizeof text - 1);
        for (size_t i = 0; i < len; i++)
            text[i] = round % 2 ? special[random_next(&seed) % (sizeof special - 1)] : (char)(1 + random_next(&seed) % 255);
        text[len] = '\0';
        const char *pattern = quoted(&buffer, (struct qs_span){text, len});
        for (const char *p = pattern; *p; p++)
            assert_true(*p >= ' ' && *p <= '~');
        assert_true(pcre_finds(pattern, (struct qs_span){text, len}));
        assert_true(posix_finds(pattern, text));
        if (round % 100 == 0)
            assert_false(pcre_finds(pattern, (struct qs_span){big, sizeof big}) && len > 2 && text[0] != 'a');
        char *letter = memchr(text, 'X', len);
        if (letter) {               /* something else does not match */
            *letter = 'Q';
            assert_false(pcre_finds(pattern, (struct qs_span){text, len}));
            assert_false(posix_finds(pattern, text));
        }
    }
    talloc_free(buffer.data);
}

static void test_ranges(void **state)
{
    struct qs_buffer buffer;
    struct qs_range range = {0};
    (void)state;
    qs_buffer_init(&buffer, root);
    qs_range_add(&range, QS_SPAN("12345"));
    assert_true(qs_quote_range(&buffer, &range) && qs_buffer_add_char(&buffer, '\0'));
    assert_string_equal(buffer.data, "[0-9]{2,10}");
    buffer.len = 0;
    qs_range_add(&range, QS_SPAN("aF3"));
    assert_true(qs_quote_range(&buffer, &range) && qs_buffer_add_char(&buffer, '\0'));
    assert_string_equal(buffer.data, "[0-9a-f]{1,10}");
    talloc_free(buffer.data);
}

static char *base64_of(TALLOC_CTX *parent, struct qs_span text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = talloc_strdup(parent, "");
    for (size_t i = 0; out && i < text.len; i += 3) {
        unsigned bits = 0;
        char four[5] = "====";
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < text.len ? (unsigned char)text.ptr[i + k] : 0);
        for (size_t k = 0; k < 4 && (k < 2 || i + k - 1 < text.len); k++)
            four[k] = alphabet[bits >> (18 - 6 * k) & 63];
        out = talloc_strdup_append(out, four);
    }
    assert_non_null(out);
    return out;
}

/* What is decoded is what was encoded, and a pattern for a phrase finds it wherever in a line it stands, and nowhere else. */
static void test_base64(void **state)
{
    static const char phrase[] = "genuine replica watches", text[] = "Dear xx, genuine replica watches for you. \xc3\xa9\xff\x01 Bye!";
    struct qs_buffer pattern;
    char to[QS_DECODED];
    (void)state;
    qs_buffer_init(&pattern, root);
    assert_true(qs_quote_phrase(&pattern, QS_SPAN(phrase)) && qs_buffer_add_char(&pattern, '\0'));
    for (size_t skip = 0; skip < 10; skip++)
        for (size_t cut = 0; cut < 24; cut++) {
            const struct qs_span part = {text + skip, sizeof text - 1 - skip - cut};
            char *line = base64_of(root, part);
            struct qs_line decoded, raw = {.text = qs_span_of(line), .kind = QS_LINE_BODY};
            assert_true(qs_decode_line(&raw, to, &decoded));
            assert_true(decoded.text.len == part.len && memcmp(decoded.text.ptr, part.ptr, part.len) == 0);
            const bool there = memmem(part.ptr, part.len, phrase, sizeof phrase - 1) != NULL;
            assert_int_equal(pcre_finds(pattern.data, raw.text), there);
            assert_int_equal(posix_finds(pattern.data, line), there);
            assert_true(qs_may_hold_phrase(raw.text));
            talloc_free(line);
        }
    char big[996], words[] = "Nothing here is base64 at all.";
    memset(big, 'a', sizeof big);
    big[0] = 'A';
    const struct qs_line long_line = {.text = {big, sizeof big}, .kind = QS_LINE_BODY};
    const struct qs_line prose = {.text = qs_span_of(words), .kind = QS_LINE_BODY};
    struct qs_line decoded;
    assert_true(qs_decode_line(&long_line, to, &decoded) && decoded.text.len == sizeof big / 4 * 3 && decoded.text.len <= sizeof to);
    assert_false(qs_decode_line(&prose, to, &decoded));
    assert_false(qs_may_hold_phrase(prose.text));
    talloc_free(pattern.data);
}

/* --- a queue in memory --------------------------------------------------------------------------------- */

enum { STORM = 200, REAL = 120 };
static char *contents[STORM + REAL];

static struct qs_recipient_text asked[STORM + REAL];        /* the one recipient, where that is set */

static enum qs_status fake_read(const struct qs_queue *queue, struct qs_entry *e, struct qs_reader *reader,
                                struct qs_envelope *out, struct qs_error *err)
{
    (void)queue, (void)reader, (void)err;
    *out = (struct qs_envelope){.recipients = &asked[e->inode], .recipient_count = asked[e->inode].original.len > 0};
    return QS_OK;
}

static enum qs_status fake_content(const struct qs_queue *queue, const struct qs_entry *e, struct qs_reader *reader, size_t cap,
                                   struct qs_span *out, bool *whole, struct qs_error *err)
{
    (void)queue, (void)reader, (void)err;
    *out = qs_span_of(contents[e->inode]);
    *whole = out->len <= cap;
    out->len = *whole ? out->len : cap;
    return contents[e->inode][0] ? QS_OK : QS_GONE;
}

/* STORM messages of one group, then REAL ones that are legit. */
static struct qs_view *queue_view(void)
{
    static const struct qs_format format = {.name = "fake", .read = fake_read, .content = fake_content};
    static const struct qs_instance instance = {.format = &format, .name = "fake"};
    static const struct qs_scan_options options = {.threads = 1};
    struct qs_view *view = talloc_zero(root, struct qs_view);
    uint16_t queue;
    assert_non_null(view);
    view->scan = qs_scan_new(view, &options);
    assert_non_null(view->scan);
    assert_int_equal(qs_scan_add_saved(view->scan, "mx1", &queue, NULL), QS_OK);
    view->scan->queues[0].instance = &instance;
    view->scan->queues[0].queue = (struct qs_queue *)view;
    struct qs_site *site = qs_site_new(view);
    struct qs_judgement *j = talloc_zero(view, struct qs_judgement);
    assert_true(site && j);
    site->hostname = "mx.ours.example";
    site->local_domains = talloc_array(site, char *, 1);
    site->local_domains[0] = talloc_strdup(site->local_domains, "customers.example");
    site->local_count = 1;
    j->of = talloc_zero_array(view, struct qs_finding, STORM + REAL);
    j->group = talloc_zero_array(view, struct qs_group, 1);
    j->member = talloc_array(view, uint32_t, STORM);
    j->group_count = 1;
    j->group[0] = (struct qs_group){.name = "C-00000001", .verdict = QS_STORM, .cause = QS_CAUSE_BOTNET_CAMPAIGN, .count = STORM};
    j->site = site;
    view->judgement = j;
    struct qs_message *m = qs_scan_append(view->scan, STORM + REAL);
    struct qs_recipient *to = qs_scan_recipients(view->scan, 1);
    assert_true(m && to);
    to[0] = (struct qs_recipient){.address = qs_intern(view->scan->strings, QS_SPAN("victor@customers.example"))};
    for (uint32_t i = 0; i < STORM + REAL; i++) {
        char id[16];
        snprintf(id, sizeof id, "M%u", i);
        m[i].id = qs_scan_strdup(view->scan, qs_span_of(id));
        m[i].inode = i;
        m[i].arrival = 1700000000 + i;
        m[i].recipients = to;
        m[i].recipient_count = 1;
        j->of[i].verdict = i < STORM ? QS_STORM : QS_LEGIT;
        if (i < STORM)
            j->member[i] = i;
        contents[i] = NULL;
    }
    return view;
}

static void put_real(void)
{
    for (uint32_t i = STORM; i < STORM + REAL; i++)
        contents[i] = talloc_asprintf(root, "From: u%u@friend.example\nSubject: Minutes of meeting %u\n\nHello, the report "
                                            "of week %u is ready for the team.\nBest wishes\n", i, i % 7, i % 50);
}

static struct qs_mined *mine(struct qs_view *view, double train)
{
    const struct qs_mine_how how = {.train = train};
    struct qs_mined *mined = NULL;
    struct qs_error err = {""};
    if (qs_mine(view, view, &how, &mined, &err) != QS_OK)
        fail_msg("%s", err.text);
    return mined;
}

static void done(struct qs_view *view)
{
    talloc_free(view);
    for (uint32_t i = 0; i < STORM + REAL; i++)
        talloc_free(contents[i]);
}

static const char *written(struct qs_view *view, const struct qs_mined *mined, enum qs_mine_format format)
{
    struct qs_buffer text;
    struct qs_error err = {""};
    qs_buffer_init(&text, view);
    assert_int_equal(qs_mine_write(&text, view, mined, format, QS_MINE_ALL, QS_MINE_REJECT, NULL, &err), QS_OK);
    assert_true(qs_buffer_add_char(&text, '\0'));
    for (const char *p = text.data; *p; p++)
        if (*p != '\n' && *p != '\t' && (*p < ' ' || *p > '~'))
            fail_msg("not plain ASCII at %td of format %d", p - text.data, (int)format);
    return text.data;
}

static void test_storm(void **state)
{
    struct qs_view *view = queue_view();
    (void)state;
    put_real();
    for (uint32_t i = 0; i < STORM; i++)
        contents[i] = talloc_asprintf(root, "From: s%u@spam%u.example\nSubject: Replica chronographs for %u dollars\nDate: Fri, "
            "20 Nov 2026 05:47:%02u +0000\nTo: victor@customers.example\n\nHello victor of customers.example,\nHello, the report "
            "of week %u is ready for the team.\nOrder genuine replica chronographs x%xz today\n", i, i * 7, i, i % 60, i % 50, i * 77);
    const struct qs_mined *mined = mine(view, 30);
    assert_int_equal(mined->group_count, 1);
    assert_int_equal(mined->good_queue, REAL);
    assert_int_equal(mined->group[0].train, STORM * 3 / 10);
    assert_int_equal(mined->group[0].later, STORM * 7 / 10);
    assert_int_equal(mined->group[0].later_caught, STORM * 7 / 10);
    assert_true(mined->rule_count > 0);
    for (size_t i = 0; i < mined->rule_count; i++) {
        const char *p = mined->rule[i].pattern;
        assert_null(strcasestr(p, "customers"));        /* a domain of ours */
        assert_null(strcasestr(p, "victor"));           /* a recipient */
        assert_null(strcasestr(p, "2026"));             /* a date */
        assert_null(strcasestr(p, "report"));           /* in real mail, too */
        assert_true(mined->rule[i].later > 0);
    }
    for (unsigned f = 0; f < QS_MINE_FORMATS; f++)
        assert_non_null(strstr(written(view, mined, (enum qs_mine_format)f), "of 140 that came later (100.0%)"));
    done(view);
}

/* Text that would mean something else in a pattern, in a table, in m4, in Lua or in Sieve. */
static void test_hostile_storm(void **state)
{
    static const char evil[] = "(a+)+$ [z]{2,}|.* \\Q/ REJECT ]==] `include(/etc)' $(x) \"; stop; # (?{1}) \xff\xfe m\xc3\xbcller";
    struct qs_view *view = queue_view();
    (void)state;
    put_real();
    for (uint32_t i = 0; i < STORM; i++)
        contents[i] = talloc_asprintf(root, "From: s@spam.example\nSubject: %s chronographs %u\nX-Ev(i.l*: replica %s zirconium\n\n"
            "genuine %s chronographs replica\nzirconium %s %u\n", evil, i, evil, evil, evil, i);
    const struct qs_mined *mined = mine(view, 30);
    assert_true(mined->rule_count > 0);
    assert_int_equal(mined->group[0].later_caught, mined->group[0].later);
    for (size_t i = 0; i < mined->rule_count; i++) {
        const struct qs_mined_rule *rule = &mined->rule[i];
        assert_int_equal(rule->train, mined->group[0].train);
        assert_true(pcre_finds(rule->pattern, qs_span_of(contents[0])));
        assert_true(posix_finds(rule->pattern, contents[0]));
        assert_false(pcre_finds(rule->pattern, qs_span_of(contents[STORM])));
    }
    for (unsigned f = 0; f < QS_MINE_FORMATS; f++)
        written(view, mined, (enum qs_mine_format)f);
    assert_null(strstr(written(view, mined, QS_MINE_SENDMAIL), "include("));
    done(view);
}

/* Base64 that begins with a name of another length in each message: no line is the same, what it encodes is. */
static void test_base64_storm(void **state)
{
    struct qs_view *view = queue_view();
    (void)state;
    put_real();
    for (uint32_t i = 0; i < STORM; i++) {
        static const char names[] = "Maximilian";
        char *text = talloc_asprintf(root, "%.*s%u, genuine replica watches cost nothing here today", (int)(1 + i % 10),
                                     names, i * 7919 % 1000 * 31);
        char *line = base64_of(text, qs_span_of(text));
        contents[i] = talloc_asprintf(root, "From: s@spam%u.example\nSubject: %u\nContent-Transfer-Encoding: base64\n\n%s\n",
                                      i * 7, i, line);
        talloc_free(text);
    }
    const struct qs_mined *mined = mine(view, 30);
    bool phrases = false;
    assert_int_equal(mined->group[0].later_caught, mined->group[0].later);
    for (size_t i = 0; i < mined->rule_count; i++)
        phrases |= strchr(mined->rule[i].pattern, '|') != NULL;
    assert_true(phrases);
    for (unsigned f = 0; f < QS_MINE_FORMATS; f++)
        written(view, mined, (enum qs_mine_format)f);
    done(view);
}

/* A small storm shows its text plainly at first and in base64 later, or the other way about. */
static void test_other_encoding(void **state)
{
    static const char *const offers[] = {"Discreet chronographs delivered overnight", "Genuine replica watches half price"};
    (void)state;
    for (unsigned plain_first = 0; plain_first < 2; plain_first++) {
        struct qs_view *view = queue_view();
        put_real();
        for (uint32_t i = 0; i < STORM; i++) {
            const char *offer = offers[i % 2];
            char *line = base64_of(view, qs_span_of(offer));
            contents[i] = talloc_asprintf(root, "From: s%u@spam%u.example\nSubject: %u\n\n%s\n", i * 3, i * 7, i,
                                          (i < STORM / 10) == (plain_first == 1) ? offer : line);
        }
        const struct qs_mined *mined = mine(view, 10);
        assert_int_equal(mined->group[0].train, STORM / 10);
        assert_int_equal(mined->group[0].later_caught, mined->group[0].later);
        for (size_t i = 0; i < mined->rule_count; i++)
            assert_true(mined->rule[i].train + mined->rule[i].later > 0);
        assert_int_equal(mined->group[0].first_rule + mined->group[0].rules, mined->rule_count);
        done(view);
    }
}

/* Few real messages teach little; what HTML and MIME are made of is no rule all the same. */
static void test_markup(void **state)
{
    struct qs_view *view = queue_view();
    (void)state;
    put_real();
    for (uint32_t i = 0; i < STORM; i++)
        contents[i] = talloc_asprintf(root, "Content-Type: multipart/alternative; boundary=\"----=_NextPart_000_%04X_01D6%04X\"\n"
            "\n------=_NextPart_000_%04X_01D6%04X\nContent-Type: text/html\nContent-Disposition: attachment; filename=\"a%u.txt\"\n\n"
            "<div style=\"font-size:1px;color:#ffffff\">%u</div>\n"
            "For further assistance, please send mail to postmaster.\n", i * 37, i * 53, i * 37, i * 53, i, i * 79);
    const struct qs_mined *mined = mine(view, 30);
    for (size_t i = 0; i < mined->rule_count; i++)
        fail_msg("a rule: %s", mined->rule[i].pattern);
    done(view);
}

/* What a storm shares with even one real message is no rule; a storm that shares nothing has none; nor has one too small. */
static void test_nothing(void **state)
{
    struct qs_view *view = queue_view();
    (void)state;
    put_real();
    for (uint32_t i = 0; i < STORM; i++)
        contents[i] = talloc_strdup(root, "Subject: Genuine replica chronographs\n\nGenuine replica chronographs today\n");
    talloc_free(contents[STORM + 3]);
    contents[STORM + 3] = talloc_strdup(root, contents[0]);
    assert_int_equal(mine(view, 30)->rule_count, 0);
    talloc_free(contents[STORM + 3]);
    contents[STORM + 3] = talloc_strdup(root, "");      /* left the queue */
    const struct qs_mined *mined = mine(view, 30);
    assert_int_equal(mined->good_unread, 1);
    assert_true(mined->rule_count > 0);
    assert_int_equal(mine(view, 1)->rule_count, 0);     /* two messages teach nothing */
    done(view);
}

/* The storm has words of a real notice, and is padded with a text which that notice returns. */
static void test_real_notice(void **state)
{
    struct qs_view *view = queue_view();
    struct qs_message *m = view->scan->messages;
    struct qs_returned *returned = qs_scan_returned(view->scan, 0);
    (void)state;
    assert_non_null(returned);
    put_real();
    for (uint32_t i = 0; i < STORM; i++) {
        m[i].print = (struct qs_fingerprint){.shingles = 100, .words = 100};
        contents[i] = talloc_asprintf(root, "From: s%u@spam%u.example\nSubject: %u\n\nAutomatically created notification "
            "concerning undeliverable correspondence\nOrder genuine replica chronographs today\n", i, i * 7, i);
    }
    returned->print = m[0].print;
    m[STORM + 5].returned = returned;
    talloc_free(contents[STORM + 5]);
    contents[STORM + 5] = talloc_strdup(root, "Subject: Undeliverable\n\nAutomatically created notification concerning "
                                        "undeliverable correspondence\n");
    const struct qs_mined *mined = mine(view, 30);
    assert_int_equal(mined->good_queue, REAL);
    assert_int_equal(mined->group[0].later_caught, mined->group[0].later);
    for (size_t i = 0; i < mined->rule_count; i++)
        assert_false(pcre_finds(mined->rule[i].pattern, qs_span_of(contents[STORM + 5])));
    view->judgement->of[STORM + 5].verdict = QS_UNSURE;         /* as where the storm itself is returned */
    assert_int_equal(mine(view, 30)->good_queue, REAL - 1);
    done(view);
}

/* Notices that bring nothing back: a table of whom they go to, unless one of those gets other notices, too. */
static void test_victims(void **state)
{
    static const char *const addresses[] = {"victor@customers.example", "A.b+c@customers.example", "x|y@customers.example",
                                            "rare@customers.example", "fine@customers.example"};
    struct qs_view *view = queue_view();
    struct qs_message *m = view->scan->messages;
    struct qs_recipient *to = qs_scan_recipients(view->scan, 5);
    char dir[] = "/tmp/qs-mine-XXXXXX", *good[] = {dir};
    struct qs_mine_how how = {.train = 30};
    struct qs_mined *mined = NULL;
    struct qs_error err = {""};
    (void)state;
    put_real();
    view->judgement->group[0].verdict = QS_BACKSCATTER;
    view->judgement->group[0].cause = QS_CAUSE_BACKSCATTER_IN;
    for (uint32_t i = 0; i < 5; i++)
        to[i] = (struct qs_recipient){.address = qs_intern(view->scan->strings, qs_span_of(addresses[i]))};
    for (uint32_t i = 0; i < STORM + REAL; i++) {
        if (i >= STORM)
            m[i].sender = to[0].address;
        else
            contents[i] = talloc_asprintf(root, "Subject: %u\n\n%x\n", i * 7919, i * 104729);
        m[i].recipients = &to[i < 2 ? 3 : i < STORM ? i % 3 : 4];
    }
    m[0].recipients = m[3].recipients = to;             /* five of them: no table answers for that */
    m[0].recipient_count = m[3].recipient_count = 5;
    const struct qs_mined *found = mine(view, 30);
    assert_int_equal(found->victim_count, 2);
    assert_string_equal(found->victim[0].address, addresses[1]);        /* by arrival; x|y cannot be named, rare is too rare */
    assert_string_equal(found->victim[1].address, addresses[0]);
    assert_int_equal(found->victim[0].train, 19);
    assert_int_equal(found->victim[1].train + found->victim[1].later, 65);
    assert_int_equal(found->group[0].train_caught, 0);
    assert_int_equal(found->group[0].train_either, found->victim[0].train + found->victim[1].train);
    assert_int_equal(found->group[0].later_either, found->victim[0].later + found->victim[1].later);
    assert_non_null(strstr(written(view, found, QS_MINE_POSTFIX_REGEXP), "/^A\\.b\\+c@customers\\.example$/ qsurgeon_notices\n"));

    m[STORM].sender = 0;
    m[STORM].recipients = to;
    m[STORM].recipient_count = 1;
    for (unsigned verdict = 0; verdict < QS_VERDICTS; verdict++) {      /* one that may be real, however it is written */
        const bool known = verdict == QS_STORM || verdict == QS_BACKSCATTER;
        view->judgement->of[STORM].verdict = (uint8_t)verdict;
        assert_int_equal(mine(view, 30)->victim_count, known ? 2 : 1);
    }
    m[STORM].sender = to[0].address;
    view->judgement->of[STORM].verdict = QS_LEGIT;
    assert_int_equal(mine(view, 30)->victim_count, 2);

    assert_non_null(mkdtemp(dir));
    char *path = talloc_asprintf(view, "%s/1", dir);
    for (unsigned with = 0; with < 2; with++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "From x\nDelivered-To: a.B+C@customers.example\nReturn-Path: <%s>\n\nvictor@customers.example\n",
                with ? "" : "u@friend.example");
        assert_int_equal(fclose(f), 0);
        how.good = good;
        how.good_count = 1;
        assert_int_equal(qs_mine(view, view, &how, &mined, &err), QS_OK);
        assert_int_equal(mined->victim_count, with ? 1 : 2);
        assert_string_equal(mined->victim[0].address, addresses[with ? 0 : 1]);
    }
    assert_int_equal(remove(path) | remove(dir), 0);

    /* victor is an alias of somebody's, who is named as the notices ask for him; what a client claims besides names nobody */
    for (uint32_t i = 0; i < STORM; i += 3)
        asked[i] = (struct qs_recipient_text){.original = QS_SPAN("Vic.Tor@customers.example"), .asked = i % 2};
    found = mine(view, 30);
    assert_int_equal(found->victim_count, 3);
    unsigned named = 0;
    for (size_t v = 0; v < 3; v++)
        if (strcmp(found->victim[v].address, "Vic.Tor@customers.example") == 0)
            named = found->victim[v].train + found->victim[v].later;
    assert_int_equal(named, 32);                         /* all odd multiples of 3 but the third message */
    assert_int_equal(found->group[0].later_either, found->victim[0].later + found->victim[1].later + found->victim[2].later);
    view->judgement->of[STORM].verdict = QS_LEGIT;
    m[STORM].sender = 0;
    m[STORM].recipients = to;
    assert_int_equal(mine(view, 30)->victim_count, 1);  /* he gets one that may be real, under whatever name */
    m[STORM].sender = to[0].address;
    memset(asked, 0, sizeof asked);

    view->judgement->group[0].cause = QS_CAUSE_BACKSCATTER_OUT;         /* bounces of this host: to anybody */
    found = mine(view, 30);
    assert_int_equal(found->victim_count, 0);
    assert_null(strstr(written(view, found, QS_MINE_POSTFIX_REGEXP), "qsurgeon_notices"));
    done(view);
}

static void test_words(void **state)
{
    enum qs_mine_format format = QS_MINE_POSTFIX_PCRE;
    enum qs_mine_action action = QS_MINE_REJECT;
    (void)state;
    assert_true(qs_mine_format_parse(QS_SPAN("sieve"), &format) && format == QS_MINE_SIEVE);
    assert_false(qs_mine_format_parse(QS_SPAN("exim"), &format));
    assert_true(qs_mine_action_parse(QS_SPAN("hold"), &action) && action == QS_MINE_HOLD);
    assert_false(qs_mine_action_parse(QS_SPAN("DUNNO"), &action));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_lines_hostile), cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_quoting), cmocka_unit_test(test_ranges), cmocka_unit_test(test_storm),
        cmocka_unit_test(test_hostile_storm), cmocka_unit_test(test_base64), cmocka_unit_test(test_base64_storm),
        cmocka_unit_test(test_other_encoding), cmocka_unit_test(test_markup),
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_real_notice),
        cmocka_unit_test(test_victims),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
