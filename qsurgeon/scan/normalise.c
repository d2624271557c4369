/* SPDX-License-Identifier: Apache-2.0 */
/* Visible text to normalised words: the one place that decides what a word is. fingerprint.h has the rules
 * in words. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bytes.h"
#include "coding.h"
#include "fold_tables.h"
#include "qsurgeon/fingerprint.h"
#include "words.h"

enum { FOLD_SEPARATOR = 0, FOLD_DROPPED = 1 };

/* Scripts written without blanks, and opaque letters: each character is a word of its own. */
static bool stands_alone(uint32_t c)
{
    return (c >= 0x2e80 && c < 0xa4d0) || (c >= 0xac00 && c < 0xd7b0) || (c >= 0xf900 && c < 0xfb00)
        || (c >= 0x0e00 && c < 0x0f00) || (c >= 0x1000 && c < 0x10a0) || (c >= 0x1780 && c < 0x1800)
        || (c >= 0x20000 && c < 0x40000) || c >= CHARSET_OPAQUE;
}

/* What the non-ASCII character c becomes: a lower letter, '0' for digits, FOLD_SEPARATOR or FOLD_DROPPED. */
static uint32_t fold(uint32_t c)
{
    if (c < 0x590) {
        return fold_low[c - 0x80];
    }
    if (c < 0x2000) {
        if (c >= 0x1e00) {
            return fold_more[c - 0x1e00];
        }
        if ((c >= 0x0591 && c <= 0x05c7) || c == 0x061c || (c >= 0x064b && c <= 0x065f) || c == 0x180e
            || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x1dc0 && c <= 0x1dff)) {
            return FOLD_DROPPED;        /* points, marks */
        }
        return c == 0x060c || c == 0x061b || c == 0x061f || c == 0x06d4 || c == 0x0964 || c == 0x0965
                       || c == 0x1680
                   ? FOLD_SEPARATOR
                   : c;
    }
    if (c < 0x2e80) {
        if ((c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f)
            || (c >= 0x20d0 && c <= 0x20ff)) {
            return FOLD_DROPPED;        /* zero width, bidirectional controls, marks around a character */
        }
        if (c >= 0x24b6 && c <= 0x24e9) {       /* circled letters */
            return 'a' + (c - 0x24b6) % 26;
        }
        if (c >= 0x249c && c <= 0x24b5) {       /* letters in parentheses */
            return 'a' + (c - 0x249c);
        }
        if ((c >= 0x2070 && c <= 0x2089) || (c >= 0x2150 && c <= 0x215f) || (c >= 0x2460 && c <= 0x249b)
            || (c >= 0x2776 && c <= 0x2793)) {
            return '0';
        }
        switch (c) {                    /* letter-like symbols that are pure style */
        case 0x2102: case 0x212d: case 0x217d: return 'c';
        case 0x210a: return 'g';
        case 0x210b: case 0x210c: case 0x210d: case 0x210e: return 'h';
        case 0x2110: case 0x2111: case 0x2139: case 0x2148: case 0x2170: return 'i';
        case 0x2112: case 0x2113: case 0x217c: return 'l';
        case 0x2115: return 'n';
        case 0x2119: case 0x2118: return 'p';
        case 0x211a: return 'q';
        case 0x211b: case 0x211c: case 0x211d: return 'r';
        case 0x2124: case 0x2128: return 'z';
        case 0x212a: return 'k';
        case 0x212b: return 'a';
        case 0x212c: return 'b';
        case 0x212f: case 0x2130: case 0x2147: return 'e';
        case 0x2131: return 'f';
        case 0x2133: case 0x217f: return 'm';
        case 0x2134: return 'o';
        case 0x2145: case 0x2146: case 0x217e: return 'd';
        case 0x2149: return 'j';
        case 0x2174: return 'v';
        case 0x2179: return 'x';
        default: break;
        }
        return c >= 0x2c00 && c < 0x2e00 ? c : FOLD_SEPARATOR;
    }
    if (c < 0x3100) {                   /* radicals, CJK punctuation, kana */
        return c >= 0x3000 && c <= 0x3004 ? FOLD_SEPARATOR : c >= 0x3008 && c <= 0x3020 ? FOLD_SEPARATOR : c;
    }
    if (c >= 0xfe00 && c < 0xfeff) {
        return c <= 0xfe0f ? FOLD_DROPPED : c < 0xfe70 ? FOLD_SEPARATOR : c;    /* variation selectors */
    }
    if (c >= 0xfeff && c < 0x10000) {
        if (c == 0xfeff) {
            return FOLD_DROPPED;
        }
        if (c >= 0xff21 && c <= 0xff5a) {       /* full width */
            uint32_t low = (c - 0xff21) % 0x20;
            return low < 26 ? 'a' + low : FOLD_SEPARATOR;
        }
        return c >= 0xff10 && c <= 0xff19 ? '0' : c >= 0xff66 && c <= 0xffdc ? c : FOLD_SEPARATOR;
    }
    if (c >= 0xd800 && c < 0xf900) {            /* private use in the basic plane: symbol fonts */
        return FOLD_SEPARATOR;
    }
    if (c >= 0x1d400 && c <= 0x1d6a3) {         /* mathematical letters: 13 alphabets of 52 */
        return 'a' + (c - 0x1d400) % 26;
    }
    if (c >= 0x1d7ce && c <= 0x1d7ff) {
        return '0';
    }
    if (c >= 0x1f130 && c <= 0x1f189) {         /* squared and circled letters */
        return (c - 0x1f130) % 0x20 < 26 ? 'a' + (c - 0x1f130) % 0x20 : FOLD_SEPARATOR;
    }
    if (c >= 0x1f000 && c < 0x20000) {          /* pictures */
        return FOLD_SEPARATOR;
    }
    return c >= 0xe0000 && c < 0xe1000 ? FOLD_DROPPED : c;      /* tags, more variation selectors */
}

/* One character at p, at most 4 bytes; bytes that are no UTF-8 count as separators. Returns its length. */
static inline unsigned decode(const unsigned char *p, const unsigned char *end, uint32_t *c)
{
    if (p[0] >= 0xc2 && p[0] < 0xe0 && end - p >= 2 && (p[1] & 0xc0) == 0x80) {
        *c = (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
        return 2;
    }
    unsigned n = qs_utf8_decode(p, end, c);
    if (n == 0) {
        *c = 0xfffd;
        n = 1;
    }
    return n;
}

/* What the walk hands its words to. Constant at each call, so that the compiler makes a walk for each
 * kind. */
struct sink {
    void (*word)(void *to, const char *word, size_t len, uint32_t start);
    void (*forget)(void *to, uint32_t start);   /* takes back the words that began at or behind start */
    void *to;
};

/* One word being put together from more than plain letters. */
struct word {
    char text[QS_WORD_LETTERS * 4 + 4];
    size_t len, letters;
    uint32_t start;
    bool digits;
};

#define INLINE static inline __attribute__((always_inline))

INLINE void word_flush(struct word *w, struct sink sink)
{
    if (w->letters > 0 && w->letters <= QS_WORD_LETTERS) {
        sink.word(sink.to, w->text, w->len, w->start);
    }
    w->len = 0;
    w->letters = 0;
    w->digits = false;
}

static inline void word_add(struct word *w, uint32_t c)
{
    if (c == '0') {
        if (w->digits) {
            return;
        }
        w->digits = true;
    } else {
        w->digits = false;
    }
    if (++w->letters <= QS_WORD_LETTERS) {
        w->len += qs_utf8_encode(c, w->text + w->len);
    }
}

/* The word at p with digits, other characters than ASCII, or great length; returns the first byte behind
 * it. */
INLINE const unsigned char *odd_word(const unsigned char *base, const unsigned char *p,
                                     const unsigned char *end, struct sink sink)
{
    struct word w;
    w.len = 0;
    w.letters = 0;
    w.digits = false;
    w.start = (uint32_t)(p - base);
    while (p < end) {
        unsigned char b = *p;
        if (b < 0x80) {
            if (byte_is_alpha((char)b)) {
                word_add(&w, b | 0x20);
            } else if (byte_is_digit((char)b)) {
                word_add(&w, '0');
            } else {
                break;
            }
            p++;
            continue;
        }
        uint32_t c;
        unsigned n = decode(p, end, &c);
        uint32_t letter = fold(c);
        if (letter == FOLD_SEPARATOR) {
            word_flush(&w, sink);
            w.start = (uint32_t)(p - base) + n;
        } else if (letter != FOLD_DROPPED) {
            if (letter >= 0x0e00 && stands_alone(letter)) {
                word_flush(&w, sink);
                w.start = (uint32_t)(p - base);
                word_add(&w, letter);
                word_flush(&w, sink);
                w.start = (uint32_t)(p - base) + n;
            } else {
                word_add(&w, letter);
            }
        }
        p += n;
    }
    word_flush(&w, sink);
    return p;
}

static bool is_host_byte(unsigned char c)
{
    return byte_is_alpha((char)c) || byte_is_digit((char)c) || c == '.' || c == '-' || c == '_';
}

static bool is_local_byte(unsigned char c)
{
    return is_host_byte(c) || c == '+' || c == '=' || c == '%' || c == '!' || c == '&' || c == '/' || c == '#'
        || c == '$' || c == '*' || c == '~' || c == '\'';
}

struct qs_span words_host_owner(struct qs_span host)
{
    while (host.len > 0 && host.ptr[host.len - 1] == '.') {
        host.len--;
    }
    if (host.len == 0 || byte_is_digit(host.ptr[host.len - 1]) || host.ptr[host.len - 1] == ']') {
        return host;
    }
    size_t dot[3], dots = 0;    /* of the last three labels, from the end */
    for (size_t i = host.len; i-- > 0 && dots < 3;) {
        if (host.ptr[i] == '.') {
            dot[dots++] = i;
        }
    }
    size_t labels = 2;
    if (dots >= 2 && dot[0] - dot[1] - 1 <= 3 && host.len - dot[0] - 1 <= 2) {
        labels = 3;             /* co.uk, com.br */
    }
    if (dots < labels) {
        return host;
    }
    size_t cut = dot[labels - 1] + 1;
    return (struct qs_span){ host.ptr + cut, host.len - cut };
}

static bool host_follows(const unsigned char *p, const unsigned char *end)
{
    return p < end && (byte_is_alpha((char)*p) || byte_is_digit((char)*p));
}

/* A link whose host begins at p: hands on its word and returns what follows the link. */
INLINE const unsigned char *link_word(const unsigned char *base, const unsigned char *start,
                                      const unsigned char *p, const unsigned char *end, struct sink sink)
{
    const unsigned char *host = p, *q = p;
    while (q < end && (is_host_byte(*q) || *q == '@' || *q == ':' || *q == '%')) {
        if (*q++ == '@') {
            host = q;           /* user:password@host */
        }
    }
    const unsigned char *stop = host;
    while (stop < q && is_host_byte(*stop)) {
        stop++;
    }
    struct qs_span owner = words_host_owner((struct qs_span){ (const char *)host, (size_t)(stop - host) });
    struct word w;
    w.len = 0;
    w.letters = 0;
    w.digits = false;
    w.start = (uint32_t)(start - base);
    for (size_t i = 0; i < owner.len; i++) {
        char c = owner.ptr[i];
        if (byte_is_digit(c)) {
            word_add(&w, '0');
        } else {
            word_add(&w, (uint32_t)byte_lower(c));
        }
    }
    w.letters = w.letters < QS_WORD_LETTERS ? w.letters : QS_WORD_LETTERS;
    word_flush(&w, sink);
    while (q<end && * q> ' ' && *q < 0x80 && *q != '<' && *q != '>' && *q != '"' && *q != ')' && *q != ']') {
        q++;
    }
    return q;
}

/* The e-mail address whose '@' is at p: takes back the words of the part before it, hands on one word "@"
 * and returns what follows the address. Nothing before `floor` belongs to it. */
INLINE const unsigned char *address_word(const unsigned char *base, const unsigned char *floor,
                                         const unsigned char *p, const unsigned char *end, struct sink sink)
{
    const unsigned char *local = p;
    while (local > floor && is_local_byte(local[-1])) {
        local--;
    }
    sink.forget(sink.to, (uint32_t)(local - base));
    sink.word(sink.to, "@", 1, (uint32_t)(local - base));
    for (p++; p < end && is_host_byte(*p); p++) {
    }
    return p;
}

enum { BLOCK = 64 };

/* Lowers a block of 64 bytes into `low` (non-letters come out changed, too) and finds its letters and its
 * other word bytes (digits and bytes above 127), a bit each. */
INLINE void classify(const unsigned char *p, unsigned char *low, uint64_t *letters, uint64_t *others)
{
    uint64_t l = 0, o = 0;
#ifdef __SSE2__
    for (unsigned i = 0; i < BLOCK; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
        _mm_storeu_si128((__m128i *)(void *)(low + i), lower);
        /* signed comparison after moving the range to the lowest values */
        __m128i alpha = _mm_cmplt_epi8(_mm_add_epi8(lower, _mm_set1_epi8((char)(0x80 - 'a'))),
                                       _mm_set1_epi8((char)(0x80 + 26)));
        __m128i digit = _mm_cmplt_epi8(_mm_add_epi8(v, _mm_set1_epi8((char)(0x80 - '0'))),
                                       _mm_set1_epi8((char)(0x80 + 10)));
        l |= (uint64_t)(unsigned)_mm_movemask_epi8(alpha) << i;
        o |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(digit, v)) << i;
    }
#else
    for (unsigned i = 0; i < BLOCK; i++) {
        low[i] = p[i] | 0x20;
        l |= (uint64_t)byte_is_alpha((char)p[i]) << i;
        o |= (uint64_t)(byte_is_digit((char)p[i]) || p[i] >= 0x80) << i;
    }
#endif
    *letters = l;
    *others = o;
}

/* Hands the words of [base, end) to the sink: plain words straight from the lowered block, others by
 * odd_word(). */
INLINE void walk(const unsigned char *base, const unsigned char *end, struct sink sink)
{
    const unsigned char *p = base, *floor = base;
    unsigned char low[BLOCK + 16], tail[BLOCK];
    while (p < end) {
        size_t have = (size_t)(end - p);
        uint64_t letters, others;
        if (have >= BLOCK) {
            classify(p, low, &letters, &others);
        } else {
            memset(tail, 0, sizeof(tail));
            memcpy(tail, p, have);
            classify(tail, low, &letters, &others);
        }
        uint64_t left = letters | others;
        const unsigned char *next = p + BLOCK;
        while (left != 0) {
            unsigned s = (unsigned)__builtin_ctzll(left);
            uint64_t gap = ~(left >> s);
            unsigned len = gap == 0 ? BLOCK : (unsigned)__builtin_ctzll(gap);
            unsigned e = s + len;
            const unsigned char *word = p + s, *after = p + e;
            uint64_t span = len == BLOCK ? ~UINT64_C(0) : ((UINT64_C(1) << len) - 1) << s;
            if (e == BLOCK && s > 0 && after < end) {
                next = word;            /* may go on in the next block */
                break;
            }
            bool whole = (others & span) == 0 && len <= QS_WORD_LETTERS;
            if (!whole) {
                after = odd_word(base, word, end, sink);
            }
            unsigned char stop = after < end ? *after : 0;
            if (stop == ':' && end - after > 3 && after[1] == '/' && after[2] == '/'
                && host_follows(after + 3, end)) {
                const unsigned char *scheme = after;
                while (scheme > word && byte_is_alpha((char)scheme[-1])) {
                    scheme--;
                }
                if (!whole) {
                    sink.forget(sink.to, (uint32_t)(scheme - base));
                }
                next = floor = link_word(base, scheme, after + 3, end, sink);
                break;
            }
            if (stop == '@' && host_follows(after + 1, end)) {
                next = floor = address_word(base, floor, after, end, sink);
                break;
            }
            if (stop == '.' && len == 3 && low[s] == 'w' && low[s + 1] == 'w' && low[s + 2] == 'w'
                && host_follows(after + 1, end)) {
                next = floor = link_word(base, word, after + 1, end, sink);
                break;
            }
            if (whole) {
                sink.word(sink.to, (const char *)low + s, len, (uint32_t)(word - base));
            } else if (after - p >= BLOCK) {
                next = after;
                break;
            } else {
                e = (unsigned)(after - p);
            }
            left = e >= BLOCK ? 0 : left & ~UINT64_C(0) << e;
        }
        p = next;
    }
}

struct digests {
    uint64_t *hash;
    uint32_t *start;
    size_t count;
};

INLINE void digest_word(void *to, const char *word, size_t len, uint32_t start)
{
    struct digests *d = to;
    /* the first is what XXH3_64bits() comes to for short input, inlined */
    d->hash[d->count] = len <= 16 ? XXH3_len_0to16_64b((const xxh_u8 *)word, len, XXH3_kSecret, 0)
        : XXH3_64bits(word, len);
    d->start[d->count] = start;
    d->count++;
}

INLINE void digest_forget(void *to, uint32_t start)
{
    struct digests *d = to;
    while (d->count > 0 && d->start[d->count - 1] >= start) {
        d->count--;
    }
}

size_t words_hash(struct qs_span text, uint64_t *hash, uint32_t *start)
{
    struct digests d = { hash, start, 0 };
    const unsigned char *base = (const unsigned char *)text.ptr;
    if (text.len > 0) {
        walk(base, base + text.len, (struct sink){ digest_word, digest_forget, &d });
    }
    return d.count;
}

struct word_text {
    char *text;             /* words, each followed by a blank */
    size_t len, count;
    uint32_t *start, *at;   /* of each word: its place in the input and in the output */
};

static void text_word(void *to, const char *word, size_t len, uint32_t start)
{
    struct word_text *t = to;
    t->start[t->count] = start;
    t->at[t->count] = (uint32_t)t->len;
    t->count++;
    memcpy(t->text + t->len, word, len);
    t->len += len;
    t->text[t->len++] = ' ';
}

static void text_forget(void *to, uint32_t start)
{
    struct word_text *t = to;
    while (t->count > 0 && t->start[t->count - 1] >= start) {
        t->count--;
        t->len = t->at[t->count];
    }
}

/* The words of text with a blank behind each; `numbers` has room for 2 * text.len. A word takes at most
 * its own bytes and a blank, for folding never makes a character longer: `to` needs 2 * text.len bytes. */
static size_t write_words(char *to, struct qs_span text, uint32_t *numbers)
{
    struct word_text t = { to, 0, 0, numbers, numbers + text.len };
    const unsigned char *base = (const unsigned char *)text.ptr;
    walk(base, base + text.len, (struct sink){ text_word, text_forget, &t });
    return t.len;
}

bool qs_normalise(struct qs_buffer *out, struct qs_span text)
{
    text.len = text.len < QS_CAP_TEXT ? text.len : QS_CAP_TEXT;
    uint32_t *numbers = talloc_array(NULL, uint32_t, 2 * (unsigned)text.len + 1);
    bool ok = numbers != NULL && qs_buffer_reserve(out, 2 * text.len + 1);
    if (ok && text.len > 0) {
        size_t n = write_words(out->data + out->len, text, numbers);
        out->len += n > 0 ? n - 1 : 0;
    }
    talloc_free(numbers);
    return ok;
}

size_t words_line(char to[2 * WORDS_LINE], struct qs_span text)
{
    uint32_t numbers[2 * WORDS_LINE];
    text.len = text.len < WORDS_LINE ? text.len : WORDS_LINE;
    return text.len == 0 ? 0 : write_words(to, text, numbers);
}

/* --- tricks --- */

static bool is_zero_width(uint32_t c)
{
    return c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x2060 && c <= 0x2064) || c == 0xfeff
           || c == 0x180e || c == 0x034f;
}

/* A letter of another script that is drawn like a Latin one. */
static bool is_look_alike(uint32_t c)
{
    return c >= 0x370 && c < 0x590 && fold_low[c - 0x80] >= 'a' && fold_low[c - 0x80] <= 'z';
}

uint32_t words_tricks(struct qs_span text)
{
    const char *p = text.ptr, *end = p == NULL ? p : p + text.len;
    unsigned mixed = 0, split = 0;
    while ((p = byte_find_high(p, end)) < end) {
        uint32_t c;
        unsigned n = decode((const unsigned char *)p, (const unsigned char *)end, &c);
        bool before = p > text.ptr && byte_is_alpha(p[-1]);
        bool after = end - p > (ptrdiff_t)n && byte_is_alpha(p[n]);
        if (is_zero_width(c)) {
            split += before && after;
        } else if (is_look_alike(c)) {
            mixed += before || after;
        }
        p += n;
    }
    return (split > 1 ? (uint32_t)QS_T_ZERO_WIDTH : 0) | (mixed > 1 ? (uint32_t)QS_T_HOMOGLYPH : 0);
}
