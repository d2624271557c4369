/* SPDX-License-Identifier: Apache-2.0 */
/* HTML to what a reader sees of it. */
#include "unit.h"

#include <stdlib.h>

#include "qsurgeon/fingerprint.h"
#include "qsurgeon/mail.h"

struct links {
    char text[512];
    size_t len;
    unsigned count;
};

static void note_link(void *data, struct qs_span url)
{
    struct links *links = data;
    links->count++;
    if (url.len + 2 < sizeof(links->text) - links->len) {
        memcpy(links->text + links->len, url.ptr, url.len);
        links->len += url.len;
        links->text[links->len++] = ' ';
        links->text[links->len] = '\0';
    }
}

/* The text in a block of its own, its hidden bytes and its links. */
static char *text_of(struct qs_span html, uint32_t *hidden, struct links *links)
{
    struct qs_buffer out;
    qs_buffer_init(&out, root);
    assert_true(qs_html_text(&out, html, hidden, note_link, links));
    assert_true(out.len <= html.len && out.len <= QS_CAP_TEXT);
    char *text = talloc_strndup(root, out.data == NULL ? "" : out.data, out.len);
    talloc_free(out.data);
    return text;
}

static void assert_text(const char *html, const char *expected, bool hides)
{
    struct links links = { "", 0, 0 };
    uint32_t hidden = 0;
    char *text = text_of(qs_span_of(html), &hidden, &links);
    assert_string_equal(text, expected);
    if (hides != (hidden > 0)) {
        fail_msg("%u hidden bytes in %s", hidden, html);
    }
    talloc_free(text);
}

static void shown(void **state)
{
    (void)state;
    assert_text("", "", false);
    assert_text("plain", "plain", false);
    assert_text("<p>one</p><p>two</p>", "one\ntwo\n", false);
    assert_text("<html><head><title>T</title></head><body>x</body></html>", "x\n", false);
    assert_text("a<br>b<br/>c<hr>d", "a\nb\nc\nd", false);
    assert_text("Via<b></b>gra <i>Ci</i>al<!-- x -->is", "Viagra Cialis", false);
    assert_text("<td>a</td><td>b</td>", "a b ", false);
    assert_text("un<img src=x>glued", "un glued", false);
    assert_text("a\n   b", "a\n   b", false);
    assert_text("<p>\n   a", "a", false);
    assert_text("5 < 6 > 4 <3", "5 < 6 > 4 <3", false);
    assert_text("<script>if (a<b) x();</script>y<style>p {}</style>z", "yz", false);
    assert_text("<SCRIPT></scripty></SCRIPT >y", "y", false);
    assert_text("<unknown-tag x=1>a</unknown-tag>b", "ab", false);
    assert_text("<a title='>'>x</a><a title=\">\">y</a>", "xy", false);
    assert_text("<!DOCTYPE html><?xml?>x<![if !mso]>y<![endif]>", "xy", false);
    assert_text("<!--[if mso]>a<![endif]-->b<!--[if !mso]><!-->c<!--<![endif]-->d", "bcd", false);
    assert_text("<!-->a--><!---->b", "a-->b", false);
}

static void entities(void **state)
{
    (void)state;
    assert_text("a&nbsp;b&#160;&nbsp;c", "a b c", false);
    assert_text("&lt;p&gt; &amp;&quot;&apos;", "<p> &\"'", false);
    assert_text("caf&eacute; &Eacute;&szlig;&euro;", "caf\xc3\xa9 \xc3\x89\xc3\x9f\xe2\x82\xac", false);
    assert_text("&#72;&#x65;&#X6C;lo", "Hello", false);
    assert_text("&eacute&amp", "\xc3\xa9&", false);
    assert_text("&#0;&#xd800;&#x110000;&#99999999999;",
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                "99;",
                false);
    assert_text("&unknown; & &; &#; &#x; &", "&unknown; & &; &#; &#x; &", false);
    assert_text("&zwnj;", "\xe2\x80\x8c", false);
}

static void hidden(void **state)
{
    (void)state;
    static const char *const hiding[] = {
        "style=\"display:none\"",
        "style='DISPLAY : NONE !important'",
        "style=display:none",
        "hidden",
        "style=\"color:red;visibility:hidden\"",
        "style=\"font-size:0\"",
        "style=\"font-size: 1px\"",
        "style=\"font-size:0.5pt\"",
        "style=\"font-size:.05em\"",
        "style=\"font:1px/2px Arial\"",
        "style=\"color:#fff\"",
        "style=\"color:#fefefe\"",
        "style=\"color: white\"",
        "style=\"color:rgb(255,254,255)\"",
        "style=\"opacity:0\"",
        "style=\"color:transparent\"",
        "style=\"max-height:0;overflow:hidden\"",
        "style=\"overflow:hidden;height:0px;width:0px\"",
        "style=\"text-indent:-9999px\"",
        "style=\"position:absolute;left:-5000px\"",
        "style=\"background:#123456;color:#123457\"",
        "style=\"background-color:black;color:#010101\"",
        "color=#ffffff",
        "bgcolor=blue color=\"#0000ff\"",
    };
    static const char *const showing[] = {
        "style=\"display:block\"",
        "style=\"color:#333\"",
        "style=\"color:red;font-size:11px\"",
        "style=\"background:#222;color:#fff\"",
        "bgcolor=\"#000000\" style=\"color:white\"",
        "style=\"background-image:url(x.png);color:white\"",
        "background=x.png style=\"color:#fff\"",
        "style=\"opacity:0.9\"",
        "style=\"height:0\"",
        "style=\"overflow:hidden\"",
        "style=\"font-size:80%\"",
        "style=\"font-size:0.8em\"",
        "style=\"font:bold 12px/14px Arial\"",
        "style=\"left:-5px\"",
        "style=\"\"",
        "style=\"color:\"",
        "style=\"color:inherit\"",
        "style=\":;:;display\"",
        "class=x id=y",
    };
    char html[300];
    for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++) {
        snprintf(html, sizeof(html), "<p>see<div %s>not <b>this</b></div>but this", hiding[i]);
        assert_text(html, "see\nbut this", true);
    }
    for (size_t i = 0; i < sizeof(showing) / sizeof(showing[0]); i++) {
        snprintf(html, sizeof(html), "<p>see<div %s>also <b>this</b></div>and this", showing[i]);
        assert_text(html, "see\nalso this\nand this", false);
    }
}

static void nested(void **state)
{
    (void)state;
    /* the same element inside a hidden one */
    assert_text("<div style='display:none'>a<div>b</div>c</div>d", "d", true);
    /* a child undoes size and colour, but not absence */
    assert_text("<td style='font-size:0'>a<p style='font-size:14px'>b</p>c</td>d", "b\nd", true);
    assert_text("<td style='font-size:0'><p style='font-size:9px'>b</p><p style='font-size:9px'>c</p></td>",
                "b\nc\n", false);
    assert_text("<div style='color:white'>a<span style='color:black'>b</span></div>c", "b\nc", true);
    assert_text("<div hidden>a<span style='display:block'>b</span></div>c", "c", true);
    /* white on dark, restored behind */
    assert_text(
        "<table bgcolor=black><tr><td><font color=white>a</font></td></tr></table><font color=white>b</font>",
        "a \n", true);
    /* cells and rows without end tags do not pass their look on */
    assert_text("<table><tr><td style='display:none'>a<td>b<tr><td>c</table>d", "b\nc\nd", true);
    assert_text("<table><tr style='display:none'><td>a<tr><td>b</table>", "b\n", true);
    /* an inner table's cell ends nothing of the outer one */
    assert_text("<table><tr><td hidden>a<table><tr><td>b</td></tr></table>c</td><td>d</td></tr></table>",
                "d \n", true);
    /* the end of a table ends what was left open in it */
    assert_text("<table><tr><td><div style='display:none'>a</table>b", "b", true);
    /* end tags without a beginning */
    assert_text("</div></table></td></p>a<div hidden>b</div></div>c", "a\nc", true);
    assert_text("<template>a</template>b", "b", true);
}

static void style_sheets(void **state)
{
    (void)state;
    assert_text("<style>.x {display:none} #y{font-size:0;} p{display:none}</style>"
                "a<i class=\"b x\">c</i><i id=y>d</i><p>e</p>", "a\ne\n", true);
    assert_text("<style>@media print { .x {display:none} } .y:hover{display:none} .a .z{display:none}</style>"
                "<i class=x>a</i><i class=y>b</i><i class=z>c</i>", "abc", false);
    assert_text("<style>.x {color:#fff} .dark { background : #000 }</style>"
                "<p class=dark><i class=x>a</i></p><i class=x>b</i>", "a\n", true);
    assert_text("<style>.x {display:none", "", false);
}

static void links(void **state)
{
    (void)state;
    struct links seen = { "", 0, 0 };
    uint32_t hides;
    char *text = text_of(
        QS_SPAN("<a href=\"http://one.example/?a=1&amp;b=2\">x</a><a href=http://two.example>"
                "<img src='http://three.example/i.gif'><a href=''><a href><form action=http://four/>"
                "<a href=\"&#104;ttp://fi&#x76;e.example/\">"),
        &hides, &seen);
    assert_string_equal(seen.text,
                        "http://one.example/?a=1&b=2 http://two.example http://three.example/i.gif "
                        "http://four/ http://five.example/ ");
    assert_int_equal(seen.count, 5);
    talloc_free(text);
}

static void damaged(void **state)
{
    (void)state;
    assert_text("a<b", "a", false);
    assert_text("a<", "a<", false);
    assert_text("a</", "a", false);
    assert_text("a<!-- b", "a", false);
    assert_text("a<script>b", "a", false);
    assert_text("<a href=\"x>b</a>c", "bc", false);
    assert_text("<p style=\"display:none>b<p title='x>c</p>", "b\nc\n", false);
    assert_text("<p =\"\" /// <b>x", "x", false);
}

/* One document with everything, cut at each byte, in a block of its own size. */
static void cut_anywhere(void **state)
{
    (void)state;
    static const char document[] =
        "<!DOCTYPE html><html><head><style>.h{display:none} @media "
        "x{.q{color:red}}</style><title>t</title></head>"
        "<body bgcolor=\"#FFF\"><!-- c --><table><tr><td class=\"a h\" style='font:bold 0px/1 "
        "x;color:rgb(1,2,3)'>"
        "&nbsp;&eacute;&#x20ac;&bogus; text<a href=\"http://h.example/?a&amp;b\">l</a><td hidden>b</table>"
        "<script>x</scr</script>end\xe2\x82\xac&copy</body></html>";
    for (size_t n = 0; n < sizeof(document); n++) {
        char *exact = malloc(n > 0 ? n : 1);
        assert_non_null(exact);
        memcpy(exact, document, n);
        struct links seen = { "", 0, 0 };
        uint32_t hides;
        talloc_free(text_of((struct qs_span){ exact, n }, &hides, &seen));
        free(exact);
    }
}

/* Caps and stacks. */
static void floods(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "<div style='display:block;color:red'>",
        "<table><tr><td bgcolor=red>",
        "</div>",
        "&#x41;",
        "&&&&",
        "<<<<",
        "<a b=\"",
        "<!--",
        "<style>.a{color:red}",
        "text ",
        "<p style=\"",
        "\xe2\x82\xac",
        "<td>",
        "<x y='z' ",
        "<style>.abcdefg{display:none}.b{font-size:0}</style><i class='a b c d e f g h'>x</i>",
    };
    size_t size = 300000;
    char *html = malloc(size);
    assert_non_null(html);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size_t len = strlen(pieces[i]), n = 0;
        for (; n + len <= size; n += len) {
            memcpy(html + n, pieces[i], len);
        }
        struct links seen = { "", 0, 0 };
        uint32_t hides;
        char *text = text_of((struct qs_span){ html, n }, &hides, &seen);
        for (size_t k = 0, len8 = talloc_get_size(text) - 1;
             k < len8;) { /* nothing is cut inside a character */
            uint32_t c;
            unsigned step = qs_utf8_decode((unsigned char *)text + k, (unsigned char *)text + len8, &c);
            assert_true(step > 0);
            k += step;
        }
        talloc_free(text);
    }
    free(html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown),   cmocka_unit_test(entities),     cmocka_unit_test(hidden),
        cmocka_unit_test(nested),  cmocka_unit_test(style_sheets), cmocka_unit_test(links),
        cmocka_unit_test(damaged), cmocka_unit_test(cut_anywhere), cmocka_unit_test(floods),
    };
    return cmocka_run_group_tests(tests, root_setup, root_teardown);
}
