# SPDX-License-Identifier: Apache-2.0
"""A message draft and its serialisation, and the mutators that hash-busting senders apply to a draft."""
import base64
import binascii
import html
import re
import struct
import zlib
from dataclasses import dataclass, field

from .text import PLACES, WORDS, domain, paragraph, token

MAILERS = ("Microsoft Outlook Express 6.00.2900.2180", "Microsoft Outlook 16.0", "Apple Mail (2.3124)",
           "The Bat! (v3.99.27) Professional", "PHPMailer 5.2.9", "Mozilla Thunderbird 78.5", "iPhone Mail (18A373)",
           "Foxmail 7.0.1.91[en]", "Evolution 3.30", None)
_HOMOGLYPHS = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")
_WORD_OUTSIDE_TAG = re.compile(r"(<[^>]*>|https?://\S+)|([A-Za-z]{4,})")


@dataclass
class Draft:
    subject: str
    text: str
    html: str | None = None
    style: str = "plain"            # plain, html, alternative
    charset: str = "us-ascii"
    cte: str = "7bit"
    mailer: str | None = None
    msgid: str = ""
    boundary: str = ""
    files: list = field(default_factory=list)   # (file name, content type, bytes)
    to_name: str = ""


def as_html(text):
    """Plain text as simple HTML."""
    paras = (html.escape(p, quote=False).replace("\n", "<br>\n") for p in text.split("\n\n"))
    body = "\n".join(f"<p>{p}</p>" for p in paras)
    body = re.sub(r"(https?://[^\s<]+)", r'<a href="\1">\1</a>', body)
    return f"<html><body>\n{body}\n</body></html>\n"


def _encode_word(text):
    """A header value, as encoded words where it is not ASCII."""
    if text.isascii():
        return text
    chunks = (text[i:i + 20].encode() for i in range(0, len(text), 20))
    return "\n ".join(f"=?utf-8?B?{base64.b64encode(c).decode()}?=" for c in chunks)


def text_part(text, ctype, charset, cte):
    """Header lines and body of one text part."""
    try:
        data = text.encode(charset)
    except UnicodeEncodeError:
        charset, data = "utf-8", text.encode()
    if cte == "7bit" and (not data.isascii() or any(len(x) > 990 for x in data.split(b"\n"))):
        cte = "quoted-printable"
    if cte == "quoted-printable":
        data = binascii.b2a_qp(data, istext=True)
    elif cte == "base64":
        data = base64.encodebytes(data)
    head = f'Content-Type: {ctype}; charset="{charset}"\nContent-Transfer-Encoding: {cte}\n'
    return head.encode() + b"\n" + data.rstrip(b"\n") + b"\n"


def _multipart(subtype, boundary, parts):
    sep = b"--" + boundary.encode()
    head = f'Content-Type: multipart/{subtype};\n\tboundary="{boundary}"\n\n'.encode()
    return head + b"".join(sep + b"\n" + p + b"\n" for p in parts) + sep + b"--\n"


def build(fields, draft):
    """Serialise header fields [(name, value)] and a draft to bytes."""
    lines = [f"{name}: {_encode_word(value)}\n" for name, value in fields]
    if draft.mailer:
        lines.append(f"X-Mailer: {draft.mailer}\n")
    plain = text_part(draft.text, "text/plain", draft.charset, draft.cte)
    if draft.style == "plain":
        content = plain
    else:
        content = text_part(draft.html or as_html(draft.text), "text/html", draft.charset, draft.cte)
        if draft.style == "alternative":
            content = _multipart("alternative", draft.boundary + "a", [plain, content])
    if draft.files:
        parts = [content]
        for name, ctype, data in draft.files:
            head = (f'Content-Type: {ctype}; name="{name}"\nContent-Transfer-Encoding: base64\n'
                    f'Content-Disposition: attachment; filename="{name}"\n\n')
            parts.append(head.encode() + base64.encodebytes(data))
        content = _multipart("mixed", draft.boundary, parts)
    return "".join(lines).encode() + b"MIME-Version: 1.0\n" + content


# --- mutators: change a draft in place; r is the message's random generator, ctx the family's constants ---

def salad(r, d, ctx):
    """Random words or a paragraph of them, before or after the text; hidden in HTML."""
    noise = paragraph(r, 2, 8) if r.random() < 0.6 else " ".join(r.choices(WORDS, k=r.randint(8, 60)))
    before = r.random() < 0.35
    d.text = f"{noise}\n\n{d.text}" if before else f"{d.text}\n\n{noise}\n"
    if d.html:
        hidden = f'<div style="{r.choice(["color:#fefefe", "display:none", "font-size:1px"])}">{noise}</div>\n'
        d.html = _insert_html(d.html, hidden, before)


def ham_salad(r, d, ctx):
    """A piece of somebody's legitimate prose, as a filter poison."""
    noise = ctx.ham_prose(r) or paragraph(r)
    start = r.randrange(max(1, len(noise) - 300))
    noise = noise[start:start + r.randint(200, 900)]
    d.text += f"\n\n\n{noise}\n"
    if d.html:
        d.html = _insert_html(d.html, f'<font color="#ffffff">{html.escape(noise)}</font>\n', False)


def _insert_html(markup, piece, before):
    place = re.search(r"<body[^>]*>", markup, re.I) if before else re.search(r"</body>|</html>|\Z", markup, re.I)
    at = (place.end() if before else place.start()) if place else 0
    return markup[:at] + piece + markup[at:]


def rcpt_name(r, d, ctx):
    """Merge the recipient's name into greeting or subject."""
    if r.random() < 0.4:
        d.subject = f"{d.to_name}, {d.subject}"
    greeting = f"{r.choice(['Dear', 'Hello', 'Hi', 'Attention'])} {d.to_name},"
    d.text = f"{greeting}\n\n{d.text}"
    if d.html:
        d.html = _insert_html(d.html, f"<p>{greeting}</p>\n", True)


def homoglyph(r, d, ctx):
    """Replace letters of some words by look-alikes of another script."""
    def swap(m):
        return m[0] if m[1] or r.random() > 0.25 else m[2].translate(_HOMOGLYPHS)
    _each_text(d, lambda t: _WORD_OUTSIDE_TAG.sub(swap, t))
    d.charset = "utf-8"


def zero_width(r, d, ctx):
    """Invisible characters inside words."""
    def split(m):
        if m[1] or r.random() > 0.25:
            return m[0]
        at = r.randint(1, len(m[2]) - 1)
        return m[2][:at] + r.choice("\u200b\u200c\u200d\u2060\u00ad") + m[2][at:]
    _each_text(d, lambda t: _WORD_OUTSIDE_TAG.sub(split, t))
    d.charset = "utf-8"


def _each_text(d, change):
    d.subject, d.text = change(d.subject), change(d.text)
    if d.html:
        d.html = change(d.html)


def html_noise(r, d, ctx):
    """Random tags, attributes, comments, letter case and white space in the HTML."""
    def tag(m):
        name, rest = m[1], m[2]
        roll = r.random()
        if roll < 0.2:
            name = name.upper() if r.random() < 0.5 else name.capitalize()
        elif roll < 0.35:
            rest = f' {r.choice(["id", "class", "title", "lang"])}="{token(r, 3, 9)}"{rest}'
        elif roll < 0.45:
            return f"<!-- {token(r, 5, 20)} -->{m[0]}"
        elif roll < 0.55:
            return f"{m[0]}{r.choice(['<b></b>', '<span></span>', '<i></i>', chr(10), '  '])}"
        return f"<{name}{rest}>"
    d.html = re.sub(r"<([a-zA-Z]\w*)([^<>]*)>", tag, d.html or as_html(d.text))
    if d.style == "plain":
        d.style = "html"


def encoding(r, d, ctx):
    """Another transfer encoding for every message."""
    d.cte = r.choice(["7bit", "quoted-printable", "base64"])


def charset(r, d, ctx):
    """Another charset for every message."""
    d.charset = r.choice(["us-ascii", "iso-8859-1", "iso-8859-15", "windows-1251", "windows-1252", "utf-8", "koi8-r"])


def subject(r, d, ctx):
    """Random prefix, suffix or punctuation in the subject."""
    prefix = r.choice(["Re: ", "Fwd: ", "FW: ", "RE[%d]: " % r.randint(2, 9), "", "", f"[{token(r, 4, 7)}] "])
    suffix = r.choice(["", "!", "...", f" {r.randrange(100000)}", f" ({token(r, 5, 9)})", f" id:{r.randrange(10**7)}"])
    d.subject = prefix + d.subject + suffix


def headers(r, d, ctx):
    """Message-ID, boundary and mailer in the manner of many programs."""
    d.mailer = r.choice(MAILERS)
    d.msgid = r.choice([f"<{r.getrandbits(96):024x}@{domain(r)}>",
                        f"<{r.getrandbits(48):012X}.{r.randrange(10**6)}@{token(r, 5, 10)}>",
                        f"<00{r.getrandbits(24):06x}01c7$" f"{r.getrandbits(32):08x}$0100007f@{token(r, 4, 9)}>",
                        f"<{r.randrange(10**12)}.{token(r, 6, 6).upper()}@{r.choice(PLACES)}.example>"])
    d.boundary = r.choice([f"----=_NextPart_000_{r.getrandbits(16):04X}_01C7{r.getrandbits(16):04X}.{r.getrandbits(32):08X}",
                           f"b1_{r.getrandbits(128):032x}", f"===============0{r.randrange(10**18)}==",
                           f"{token(r, 10, 24)}"])


def image(r, d, ctx):
    """The family's picture with noise: a few other pixels and a random comment."""
    width, height, pixels = ctx.picture
    pixels = bytearray(pixels)
    for _ in range(r.randint(5, 60)):
        pixels[r.randrange(len(pixels))] = r.randrange(256)
    rows = b"".join(b"\0" + pixels[y * width:(y + 1) * width] for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
           + chunk(b"tEXt", b"Comment\0" + token(r, 4, 40).encode()) + chunk(b"IDAT", zlib.compress(rows, 1))
           + chunk(b"IEND", b""))
    d.files.append((f"{token(r, 4, 10)}.png", "image/png", png))


def pdf(r, d, ctx):
    """The family's document with random bytes behind its end."""
    name = f"{r.choice(['invoice', 'document', 'label', 'scan'])}_{r.randrange(10**6)}.pdf"
    d.files.append((name, "application/pdf", ctx.document + r.randbytes(r.randint(10, 400))))


MUTATORS = {f.__name__: f for f in (salad, ham_salad, rcpt_name, homoglyph, zero_width, html_noise, encoding, charset,
                                    subject, headers, image, pdf)}
