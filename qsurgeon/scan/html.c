/* SPDX-License-Identifier: Apache-2.0 */
/* HTML to the text that a reader sees, in one pass without a tree. It follows only what can hide text: the
 * elements that set colours, sizes or visibility, on a short stack. No layout, no cascade beyond simple
 * class rules. */
#include "html.h"

#include <string.h>

#include "bytes.h"
#include "html_tables.h"
#include "qsurgeon/mail.h"

enum {
    OPEN_ELEMENTS = 32,         /* elements with a style of their own that are tracked at once */
    CLASS_RULES = 32,           /* class and id rules kept of the style sheets */
    TINY_TENTHS = 25,           /* tenths of a pixel or point: letters up to this size cannot be read */
    NEAR = 36,                  /* two colours whose channels differ by no more than this in sum are one */
    NO_COLOUR = 1 << 24,        /* unknown: never equal to another */
};

/* How text stands at a place. */
struct look {
    uint32_t ink, paper;        /* 0xRRGGBB or NO_COLOUR */
    bool tiny, absent;
};

/* What an element's attributes change. */
struct style {
    bool has_ink, has_paper, has_size, clear, tiny, absent, flat, clipped;
    uint32_t ink, paper;
};

struct open_element {
    uint64_t name;
    unsigned count;             /* of nested elements of this name */
    unsigned tables;            /* open tables at this element */
    unsigned flags;
    struct look before;
};

struct walk {
    const char *p, *end;
    char *to, *limit;
    char last;                  /* byte written last, or '\n' */
    bool quiet;                 /* look says that text is hidden here */
    bool no_quote[2];           /* there is no more " or ' up to the end */
    struct html_counts *counts;
    struct look look;
    unsigned depth, tables, rules;
    uint32_t rule_bits;         /* a bit for each selector digest, to pass over the others */
    struct open_element open[OPEN_ELEMENTS];
    uint32_t selector[CLASS_RULES];     /* digests of ".name" and "#name" */
    struct style rule[CLASS_RULES];
    void (*link)(void *data, struct qs_span url);
    void *data;
};

/* --- output --- */

static void write_bytes(struct walk *w, const char *p, size_t n)
{
    if (n == 0) {
        return;
    }
    w->counts->shown += (uint32_t)n;
    size_t room = (size_t)(w->limit - w->to);
    if (n > room) {
        while (room > 0 && ((unsigned char)p[room] & 0xc0) == 0x80) {
            room--;             /* no half characters */
        }
        n = room;
        w->limit = w->to + n;
    }
    if (n > 0) {
        memcpy(w->to, p, n);
        w->to += n;
        w->last = p[n - 1];
    }
}

static void write_char(struct walk *w, char c)
{
    if (w->to < w->limit) {
        *w->to++ = c;
        w->last = c;
    }
    w->counts->shown++;
}

/* Gaps and breaks are written in hidden places, too: they part what stands before from what stands behind. */
static void write_gap(struct walk *w)
{
    if (w->last != ' ' && w->last != '\n') {
        write_char(w, ' ');
    }
}

static void write_break(struct walk *w)
{
    if (w->last != '\n') {
        write_char(w, '\n');
    }
}

/* Text without markup; blanks in front of it become one. */
static void write_text(struct walk *w, const char *p, const char *end)
{
    const char *text = p;
    while (text < end && byte_is_blank(*text)) {
        text++;
    }
    if (w->quiet) {
        for (; text < end; text++) {
            w->counts->hidden += !byte_is_blank(*text);
        }
        return;
    }
    if (text > p) {
        write_gap(w);
    }
    write_bytes(w, text, (size_t)(end - text));
}

/* --- entities --- */

/* The character named at p ("&"); returns what follows, or p when it is no entity. */
static const char *entity(const char *p, const char *end, uint32_t *c)
{
    const char *q = p + 1;
    if (q < end && *q == '#') {
        q++;
        unsigned base = 10, digits = 0;
        if (q < end && (*q | 0x20) == 'x') {
            base = 16;
            q++;
        }
        uint32_t value = 0;
        for (; q < end && digits < 9; q++, digits++) {
            unsigned digit = base == 16 ? byte_hex(*q) : (unsigned)((unsigned char)*q - '0');
            if (digit >= base) {
                break;
            }
            value = value < 0x200000 ? value * base + digit : value;
        }
        if (digits == 0) {
            return p;
        }
        *c = value == 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? 0xfffd : value;
        return q < end && *q == ';' ? q + 1 : q;
    }
    uint64_t name = 0;          /* the first letter highest, as in the table's order */
    unsigned n = 0;
    for (; q < end && n < 8 && (byte_is_alpha(*q) || byte_is_digit(*q)); q++, n++) {
        name |= (uint64_t)(unsigned char)*q << (56 - 8 * n);
    }
    size_t low = 0, high = n < 2 ? 0 : sizeof(entities) / sizeof(entities[0]);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (name < entities[middle].name) {
            high = middle;
        } else if (name > entities[middle].name) {
            low = middle + 1;
        } else {
            *c = entities[middle].character;
            return q < end && *q == ';' ? q + 1 : q;
        }
    }
    return p;
}

static void read_entity(struct walk *w)
{
    uint32_t c;
    const char *next = entity(w->p, w->end, &c);
    if (next == w->p) {         /* none: as it stands */
        w->p++;
        if (w->quiet) {
            w->counts->hidden++;
        } else {
            write_char(w, '&');
        }
        return;
    }
    w->p = next;
    if (w->quiet) {
        w->counts->hidden += c != 0xa0 && c > ' ' && !(c >= 0x200b && c <= 0x200f) && c != 0x34f && c != 0xad;
    } else if (c == 0xa0 || c <= ' ') {
        write_gap(w);
    } else {
        char utf8[4];
        write_bytes(w, utf8, qs_utf8_encode(c, utf8));
    }
}

/* --- style values --- */

static uint32_t colour(struct qs_span v)
{
    static const struct {
        const char *name;
        uint32_t rgb;
    } named[] = {
        { "white", 0xffffff }, { "black", 0x000000 }, { "red", 0xff0000 }, { "blue", 0x0000ff },
        { "green", 0x008000 }, { "yellow", 0xffff00 }, { "gray", 0x808080 }, { "grey", 0x808080 },
        { "silver", 0xc0c0c0 }, { "snow", 0xfffafa }, { "ivory", 0xfffff0 }, { "ghostwhite", 0xf8f8ff },
        { "whitesmoke", 0xf5f5f5 }, { "azure", 0xf0ffff }, { "mintcream", 0xf5fffa }, { "navy", 0x000080 },
        { "floralwhite", 0xfffaf0 },
    };
    v = qs_span_trim(v);
    if (v.len == 0) {
        return NO_COLOUR;
    }
    if (v.ptr[0] == '#' || (v.len == 6 && byte_hex(v.ptr[0]) < 16)) {
        size_t i = v.ptr[0] == '#', digits = 0;
        uint32_t value = 0;
        for (; i < v.len && digits < 6 && byte_hex(v.ptr[i]) < 16; i++, digits++) {
            value = value << 4 | byte_hex(v.ptr[i]);
        }
        if (digits == 6) {
            return value;
        }
        if (digits >= 3) {      /* #rgb, #rgba */
            value >>= 4 * (digits - 3);
            return (value >> 8) * 0x110000 + (value >> 4 & 15) * 0x1100 + (value & 15) * 0x11;
        }
    }
    if (qs_span_starts_nocase(v, "rgb")) {
        uint32_t rgb[4] = { 0, 0, 0, 1 }, n = 0;
        for (size_t i = 3; i < v.len && n < 4; i++) {
            if (byte_is_digit(v.ptr[i])) {
                uint32_t value = 0;
                for (; i < v.len && byte_is_digit(v.ptr[i]); i++) {
                    value = value < 1000 ? value * 10 + (uint32_t)(v.ptr[i] - '0') : value;
                }
                rgb[n++] = value < 255 ? value : 255;
            }
        }
        return n < 3 ? NO_COLOUR : rgb[0] << 16 | rgb[1] << 8 | rgb[2];
    }
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (qs_span_is_nocase(v, named[i].name)) {
            return named[i].rgb;
        }
    }
    return NO_COLOUR;
}

/* A length in tenths of its unit; *unit is what follows the number. False: no number there. */
static bool length(struct qs_span v, int32_t *tenths, struct qs_span *unit)
{
    size_t i = 0;
    bool negative = i < v.len && v.ptr[i] == '-', any = false;
    int32_t value = 0;
    i += negative;
    for (; i < v.len && byte_is_digit(v.ptr[i]); i++, any = true) {
        value = value < 1000000 ? value * 10 + (v.ptr[i] - '0') : value;
    }
    value *= 10;
    if (i < v.len && v.ptr[i] == '.') {
        i++;
        if (i < v.len && byte_is_digit(v.ptr[i])) {
            value += v.ptr[i] - '0';
            any = true;
        }
        while (i < v.len && byte_is_digit(v.ptr[i])) {
            i++;
        }
    }
    *tenths = negative ? -value : value;
    *unit = (struct qs_span){ v.ptr + i, v.len - i };
    return any;
}

static void font_size(struct style *s, struct qs_span v)
{
    int32_t tenths;
    struct qs_span unit;
    s->has_size = true;
    s->tiny = false;
    if (length(v, &tenths, &unit)) {
        bool relative = qs_span_starts_nocase(unit, "em") || qs_span_starts_nocase(unit, "rem");
        bool percent = qs_span_starts_nocase(unit, "%");
        s->tiny = tenths <= (relative ? 1 : percent ? 100 : TINY_TENTHS);
    }
}

static bool contains(struct qs_span v, const char *word)
{
    return v.len > 0 && memmem(v.ptr, v.len, word, strlen(word)) != NULL;
}

static void declaration(struct style *s, struct qs_span name, struct qs_span v)
{
    int32_t tenths;
    struct qs_span unit;
    switch (name.len == 0 ? 0 : name.ptr[0] | 0x20) {
    case 'd':
        if (qs_span_is_nocase(name, "display")) {
            s->absent = s->absent || qs_span_starts_nocase(v, "none");
        }
        break;
    case 'v':
        if (qs_span_is_nocase(name, "visibility")) {
            s->absent = s->absent || qs_span_starts_nocase(v, "hidden")
                        || qs_span_starts_nocase(v, "collapse");
        }
        break;
    case 'f':
        if (qs_span_is_nocase(name, "font-size")) {
            font_size(s, v);
        } else if (qs_span_is_nocase(name, "font")) {   /* ... size/height family */
            for (size_t i = 0; i < v.len; i++) {
                if ((i == 0 || v.ptr[i - 1] == ' ') && byte_is_digit(v.ptr[i])
                    && length((struct qs_span){ v.ptr + i, v.len - i }, &tenths, &unit)
                    && unit.len > 0 && !byte_is_blank(unit.ptr[0])) {
                    font_size(s, (struct qs_span){ v.ptr + i, v.len - i });
                    break;
                }
            }
        }
        break;
    case 'c':
        if (qs_span_is_nocase(name, "color")) {
            s->has_ink = true;
            s->ink = colour(v);
            s->clear = qs_span_starts_nocase(v, "transparent");
        }
        break;
    case 'b':
        if (qs_span_is_nocase(name, "background-color") || qs_span_is_nocase(name, "background")) {
            if (contains(v, "url(") || contains(v, "gradient")) {
                s->has_paper = true;
                s->paper = NO_COLOUR;
                break;
            }
            uint32_t paper = colour((struct qs_span){ v.ptr, v.len });
            size_t cut = 0;     /* the colour may be followed by other words */
            while (cut < v.len && !byte_is_blank(v.ptr[cut])) {
                cut++;
            }
            if (paper == NO_COLOUR && cut < v.len) {
                paper = colour((struct qs_span){ v.ptr, cut });
            }
            if (!qs_span_starts_nocase(v, "transparent") && !qs_span_starts_nocase(v, "none")
                && !qs_span_starts_nocase(v, "inherit")) {
                s->has_paper = true;
                s->paper = paper;
            }
        } else if (qs_span_is_nocase(name, "background-image") && contains(v, "(")) {
            s->has_paper = true;
            s->paper = NO_COLOUR;
        }
        break;
    case 'o':
        if (qs_span_is_nocase(name, "opacity")) {
            s->absent = s->absent || (length(v, &tenths, &unit) && tenths == 0);
        } else if (qs_span_is_nocase(name, "overflow")) {
            s->clipped = qs_span_starts_nocase(v, "hidden");
        }
        break;
    case 'm':
        if (qs_span_is_nocase(name, "max-height") || qs_span_is_nocase(name, "max-width")) {
            s->flat = s->flat || (length(v, &tenths, &unit) && tenths == 0);
        }
        break;
    case 'h':
    case 'w':
        if (qs_span_is_nocase(name, "height") || qs_span_is_nocase(name, "width")) {
            s->flat = s->flat
                      || (length(v, &tenths, &unit) && tenths <= 10 && !qs_span_starts_nocase(unit, "%")
                          && !qs_span_starts_nocase(unit, "em"));
        }
        break;
    case 't':
    case 'l':
        if (qs_span_is_nocase(name, "text-indent") || qs_span_is_nocase(name, "left")
            || qs_span_is_nocase(name, "top")) {
            s->absent = s->absent || (length(v, &tenths, &unit) && tenths <= -5000);
        }
        break;
    default:
        break;
    }
}

/* Reads the declarations of a style attribute or rule. */
static void declarations(struct style *s, const char *p, const char *end)
{
    while (p < end) {
        const char *stop = memchr(p, ';', (size_t)(end - p));
        stop = stop == NULL ? end : stop;
        const char *colon = memchr(p, ':', (size_t)(stop - p));
        if (colon != NULL) {
            declaration(s, qs_span_trim((struct qs_span){ p, (size_t)(colon - p) }),
                        qs_span_trim((struct qs_span){ colon + 1, (size_t)(stop - colon - 1) }));
        }
        p = stop + 1;
    }
    if (s->flat && s->clipped) {
        s->absent = true;
    }
}

static bool says_anything(const struct style *s)
{
    return s->has_ink || s->has_paper || s->has_size || s->absent;
}

/* --- style sheets --- */

static uint32_t selector_hash(char kind, const char *p, size_t n)
{
    uint32_t h = (unsigned char)kind;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)byte_lower(p[i])) * UINT32_C(16777619);
    }
    return h;
}

static uint32_t rule_bit(uint32_t selector)
{
    return UINT32_C(1) << (selector >> 27);
}

/* Keeps the rules for one class or id that say anything about colour, size or visibility; rules inside
 * @media and the like depend on the reader's device and are passed over. */
static void style_sheet(struct walk *w, const char *p, const char *end)
{
    unsigned inside = 0;        /* at-rules */
    while (p < end) {
        const char *brace = byte_find2(p, end, '{', '}');
        if (brace == end) {
            return;
        }
        if (*brace == '}') {
            inside -= inside > 0;
            p = brace + 1;
            continue;
        }
        struct qs_span selector = qs_span_trim((struct qs_span){ p, (size_t)(brace - p) });
        if (memchr(p, '@', (size_t)(brace - p)) != NULL) {
            inside++;
            p = brace + 1;
            continue;
        }
        const char *stop = memchr(brace, '}', (size_t)(end - brace));
        stop = stop == NULL ? end : stop;
        if (inside == 0 && w->rules < CLASS_RULES && selector.len > 1
            && (selector.ptr[0] == '.' || selector.ptr[0] == '#')) {
            size_t n = 1;
            while (n < selector.len && (byte_is_alpha(selector.ptr[n]) || byte_is_digit(selector.ptr[n])
                                        || selector.ptr[n] == '-' || selector.ptr[n] == '_')) {
                n++;
            }
            struct style s = { 0 };
            declarations(&s, brace + 1, stop);
            if (n == selector.len && says_anything(&s)) {
                uint32_t hash = selector_hash(selector.ptr[0], selector.ptr + 1, n - 1);
                w->selector[w->rules] = hash;
                w->rule[w->rules++] = s;
                w->rule_bits |= rule_bit(hash);
            }
        }
        p = stop < end ? stop + 1 : end;
    }
}

static void apply(struct look *look, const struct style *s)
{
    if (s->has_ink) {
        look->ink = s->ink;
    }
    if (s->has_paper) {
        look->paper = s->paper;
    }
    if (s->has_size) {
        look->tiny = s->tiny;
    }
    look->absent = look->absent || s->absent || s->clear;
}

static bool apply_rules(const struct walk *w, struct look *look, char kind, struct qs_span names)
{
    const char *p = names.ptr, *end = p + names.len;
    bool any = false;
    while (p < end) {
        while (p < end && byte_is_blank(*p)) {
            p++;
        }
        const char *name = p;
        while (p < end && !byte_is_blank(*p)) {
            p++;
        }
        uint32_t hash = selector_hash(kind, name, (size_t)(p - name));
        if ((w->rule_bits & rule_bit(hash)) == 0) {
            continue;
        }
        for (unsigned i = 0; i < w->rules; i++) {
            if (w->selector[i] == hash) {
                apply(look, &w->rule[i]);
                any = true;
            }
        }
    }
    return any;
}

/* --- the stack --- */

static bool is_hidden(const struct look *look)
{
    if (look->absent || look->tiny) {
        return true;
    }
    if (look->ink == NO_COLOUR || look->paper == NO_COLOUR) {
        return false;
    }
    int32_t sum = 0;
    for (unsigned shift = 0; shift < 24; shift += 8) {
        int32_t d = (int32_t)(look->ink >> shift & 255) - (int32_t)(look->paper >> shift & 255);
        sum += d < 0 ? -d : d;
    }
    return sum <= NEAR;
}

static void set_look(struct walk *w, const struct look *look)
{
    w->look = *look;
    w->quiet = is_hidden(look);
}

static void pop_to(struct walk *w, unsigned depth)
{
    if (depth < w->depth) {
        w->depth = depth;
        set_look(w, &w->open[depth].before);
    }
}

static void close_element(struct walk *w, uint64_t name, unsigned flags)
{
    if ((flags & TABLE) != 0 && w->tables > 0) {
        unsigned depth = w->depth;
        while (depth > 0 && w->open[depth - 1].tables >= w->tables) {
            depth--;
        }
        pop_to(w, depth);
        w->tables--;
        return;
    }
    for (unsigned i = w->depth; i > 0 && w->open[i - 1].tables == w->tables; i--) {
        if (w->open[i - 1].name == name) {
            if (--w->open[i - 1].count == 0) {
                pop_to(w, i - 1);
            } else {
                pop_to(w, i);
            }
            return;
        }
    }
}

/* A cell ends the cell before it, a row the row before it, where the end tag was left out. */
static void end_implied(struct walk *w, unsigned flags)
{
    unsigned ends = (flags & ROW) != 0 ? ROW | CELL : CELL, depth = w->depth;
    for (unsigned i = depth; i > 0 && w->open[i - 1].tables == w->tables; i--) {
        if ((w->open[i - 1].flags & ends) != 0) {
            depth = i - 1;
        }
    }
    pop_to(w, depth);
}

static void open_element(struct walk *w, uint64_t name, unsigned flags, const struct look *look, bool changed)
{
    if ((flags & VOID) != 0) {
        return;
    }
    if (changed && w->depth < OPEN_ELEMENTS) {
        w->open[w->depth++] = (struct open_element){ name, 1, w->tables, flags, w->look };
        set_look(w, look);
    } else if (w->depth > 0 && w->open[w->depth - 1].name == name
               && w->open[w->depth - 1].tables == w->tables) {
        w->open[w->depth - 1].count++;
    }
}

/* --- tags --- */

static uint64_t read_name(struct walk *w)
{
    uint64_t name = 0;
    unsigned shift = 0;
    for (; w->p < w->end; w->p++) {
        char c = *w->p;
        if (byte_is_alpha(c)) {
            c |= 0x20;
        } else if (!byte_is_digit(c) && c != ':' && c != '-' && c != '_') {
            break;
        }
        if (shift < 64) {
            name |= (uint64_t)(unsigned char)c << shift;
            shift += 8;
        }
    }
    return name;
}

/* Moves behind the next c; to the end when there is none. */
static void skip_past(struct walk *w, char c)
{
    const char *q = w->p < w->end ? memchr(w->p, c, (size_t)(w->end - w->p)) : NULL;
    w->p = q == NULL ? w->end : q + 1;
}

static void report_link(struct walk *w, struct qs_span url)
{
    if (w->link == NULL || url.len == 0) {
        return;
    }
    if (memchr(url.ptr, '&', url.len < 300 ? url.len : 300) == NULL) {
        w->link(w->data, url);
        return;
    }
    char plain[300];            /* the host stands in front */
    size_t n = 0;
    const char *p = url.ptr, *end = p + url.len;
    while (p < end && n + 4 <= sizeof(plain)) {
        uint32_t c = (unsigned char)*p;
        const char *next = *p == '&' ? entity(p, end, &c) : p;
        if (next > p) {
            n += qs_utf8_encode(c, plain + n);
            p = next;
        } else {
            plain[n++] = *p++;
        }
    }
    w->link(w->data, (struct qs_span){ plain, n });
}

/* One attribute's value: what it does to the look, or a link. */
static bool attribute(struct walk *w, uint64_t name, struct qs_span value, struct look *look)
{
    struct style s = { 0 };
    switch (name) {
    case PACK('s', 't', 'y', 'l', 'e'):
        if (value.len > 0) {
            declarations(&s, value.ptr, value.ptr + value.len);
        }
        break;
    case PACK('b', 'g', 'c', 'o', 'l', 'o', 'r'):
        s.has_paper = true;
        s.paper = colour(value);
        break;
    case PACK('b', 'a', 'c', 'k', 'g', 'r', 'o', 'u'):
        s.has_paper = true;
        s.paper = NO_COLOUR;
        break;
    case PACK('c', 'o', 'l', 'o', 'r'):
    case PACK('t', 'e', 'x', 't'):
        s.has_ink = true;
        s.ink = colour(value);
        break;
    case PACK('h', 'i', 'd', 'd', 'e', 'n'):
        s.absent = true;
        break;
    case PACK('c', 'l', 'a', 's', 's'):
    case PACK('i', 'd'):
        if (w->rules == 0 || value.len == 0) {
            return false;
        }
        return apply_rules(w, look, name == PACK('i', 'd') ? '#' : '.', value);
    case PACK('h', 'r', 'e', 'f'):
    case PACK('s', 'r', 'c'):
    case PACK('a', 'c', 't', 'i', 'o', 'n'):
        report_link(w, value);
        return false;
    default:
        return false;
    }
    apply(look, &s);
    return says_anything(&s);
}

/* The attributes up to '>'; true when one of them changed the look. */
static bool attributes(struct walk *w, struct look *look)
{
    bool changed = false;
    while (w->p < w->end) {
        char c = *w->p;
        if (c == '>') {
            w->p++;
            return changed;
        }
        if (!byte_is_alpha(c)) {
            w->p++;
            continue;
        }
        uint64_t name = read_name(w);
        const char *q = w->p;
        while (q < w->end && byte_is_blank(*q)) {
            q++;
        }
        struct qs_span value = { NULL, 0 };
        if (q < w->end && *q == '=') {
            q++;
            while (q < w->end && byte_is_blank(*q)) {
                q++;
            }
            if (q < w->end && (*q == '"' || *q == '\'') && !w->no_quote[*q == '\'']) {
                const char *stop = byte_find2(q + 1, w->end, *q, *q);
                if (stop < w->end) {
                    value = (struct qs_span){ q + 1, (size_t)(stop - q - 1) };
                    w->p = stop + 1;
                    changed = attribute(w, name, value, look) || changed;
                    continue;
                }
                w->no_quote[*q == '\''] = true;
            }
            const char *start = q;
            while (q < w->end && !byte_is_blank(*q) && *q != '>') {
                q++;
            }
            value = (struct qs_span){ start, (size_t)(q - start) };
            w->p = q;
        }
        changed = attribute(w, name, value, look) || changed;
    }
    return changed;
}

/* Moves to the end tag of the element `name`, whose content is no text. */
static void skip_raw(struct walk *w, uint64_t name)
{
    const char *start = w->p;
    for (;;) {
        const char *q = byte_find_pair(w->p, w->end, '<', '/');
        if (q == w->end) {
            w->p = w->end;
            break;
        }
        w->p = q + 2;
        if (read_name(w) == name) {
            if (name == PACK('s', 't', 'y', 'l', 'e')) {
                style_sheet(w, start, q);
            }
            skip_past(w, '>');
            return;
        }
    }
}

/* The markup at '<'. */
static void read_tag(struct walk *w)
{
    const char *p = w->p + 1;
    bool closing = p < w->end && *p == '/';
    p += closing;
    if (p < w->end && byte_is_alpha(*p)) {
        w->p = p;
        uint64_t name = read_name(w);
        const struct element *element = &elements[SLOT(name)];
        unsigned flags = element->name == name ? element->flags : 0;
        if (closing) {
            if (w->p < w->end && *w->p == '>') {
                w->p++;
            } else {
                skip_past(w, '>');
            }
            close_element(w, name, flags);
        } else {
            if ((flags & TABLE) != 0) {
                w->tables++;
            } else if ((flags & (CELL | ROW)) != 0) {
                end_implied(w, flags);
            }
            struct look look = w->look;
            bool changed = false;
            if (w->p < w->end && *w->p == '>') {
                w->p++;
            } else {
                changed = attributes(w, &look);
            }
            if ((flags & RAW) != 0) {
                skip_raw(w, name);
                return;
            }
            if ((flags & ABSENT) != 0) {
                look.absent = changed = true;
            }
            if ((flags & BREAK) != 0) {
                write_break(w);
            } else if ((flags & GAP) != 0) {
                write_gap(w);
            }
            open_element(w, name, flags, &look, changed);
            return;
        }
        if ((flags & BREAK) != 0) {
            write_break(w);
        } else if ((flags & GAP) != 0) {
            write_gap(w);
        }
        return;
    }
    if (closing || (p < w->end && (*p == '!' || *p == '?'))) {
        if (w->end - p >= 3 && p[0] == '!' && p[1] == '-' && p[2] == '-') {
            const char *stop = NULL;
            p += 3;
            if (p < w->end && *p == '>') {
                stop = p - 2;
            } else if (w->end - p >= 2) {
                stop = memmem(p, (size_t)(w->end - p), "-->", 3);
            }
            w->p = stop == NULL ? w->end : stop + 3;
        } else {
            w->p = p;
            skip_past(w, '>');
        }
        return;
    }
    if (w->quiet) {
        w->counts->hidden++;
    } else {
        write_char(w, '<');
    }
    w->p++;
}

size_t html_text(char *to, size_t size, struct qs_span html, struct html_counts *counts,
                 void (*link)(void *data, struct qs_span url), void *data)
{
    struct walk w;              /* the tables at its end are written before they are read */
    w.p = html.ptr;
    w.end = html.len == 0 ? w.p : w.p + html.len;
    w.to = to;
    w.limit = to + size;
    w.last = '\n';
    w.quiet = false;
    w.no_quote[0] = w.no_quote[1] = false;
    w.counts = counts;
    w.look = (struct look){ 0x000000, 0xffffff, false, false };
    w.depth = w.tables = w.rules = 0;
    w.rule_bits = 0;
    w.link = link;
    w.data = data;
    while (w.p < w.end) {
        const char *stop = byte_find2(w.p, w.end, '<', '&');
        if (stop > w.p) {
            write_text(&w, w.p, stop);
            w.p = stop;
        }
        if (stop == w.end) {
            break;
        }
        if (*stop == '<') {
            read_tag(&w);
        } else {
            read_entity(&w);
        }
    }
    return (size_t)(w.to - to);
}

bool qs_html_text(struct qs_buffer *out, struct qs_span html, uint32_t *hidden,
                  void (*link)(void *data, struct qs_span url), void *data)
{
    size_t size = html.len < QS_CAP_TEXT ? html.len : QS_CAP_TEXT;
    struct html_counts counts = { 0, 0 };
    if (!qs_buffer_reserve(out, size + 1)) {
        return false;
    }
    out->len += html_text(out->data + out->len, size, html, &counts, link, data);
    *hidden = counts.hidden;
    return true;
}
