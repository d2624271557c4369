# SPDX-License-Identifier: Apache-2.0
"""Streams of messages. Every message is made from its stream's seed and its number alone."""
import re
import time
import zlib
from dataclasses import dataclass

from . import message as msg
from .text import (FIRST, WORDS, address, domain, dynamic_name, localpart, mail_host, paragraph, public_ip, rfc_date,
                   rng, sentence, spin, split_template, templates, token)

KINDS = {}
_ADDRESS = re.compile(r"[\w.+=-]+@[\w-]+(?:\.[\w-]+)+", re.A)
NODES = ("web1", "db2", "mon", "files", "app3")     # own hosts


@dataclass
class Item:
    """One message with its envelope and its truth."""
    raw: bytes
    mail_from: str
    rcpt_to: list
    client: tuple                   # address, name or "unknown"
    helo: str
    campaign: str | None = None
    note: str = ""
    sasl_username: str | None = None
    uid: int | None = None          # set: handed over by a local program of that user, not by SMTP
    subject: str = ""
    msgid: str = ""


class Stream:
    """Base: name, count, time profile, site, corpus and the random generators of messages."""
    label = "legit"

    def __init_subclass__(cls):
        cls.kind = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        KINDS[cls.kind] = cls

    def __init__(self, world, spec):
        self.world, self.spec, self.name = world, spec, spec["name"]
        self.count = max(1, round(spec.get("count", 1) * world.scale))
        self.site, self.corpus = world.site, world.corpus
        self.setup(self.rng("setup"))

    def setup(self, r):
        pass

    def rng(self, *key):
        return rng(self.world.seed, self.name, *key)

    def arrival(self, i):
        """Seconds after the scenario's start."""
        r, t = self.rng(i, "time"), self.spec.get("time", {})
        start, length = t.get("at", 0), t.get("width", self.world.duration)
        if t.get("profile", "steady") == "burst":       # rises fast, fades slowly
            return round(start + length * min(1.0, r.betavariate(1.5, 4)), 3)
        return round(start + r.random() * (length if "width" in t else self.world.duration - start), 3)

    def stamp(self, i):
        return int(self.world.start + self.arrival(i))

    def user(self, r):
        """A valid local recipient."""
        return r.choice(self.site["valid_recipients"])

    def own_host(self, r, names=NODES):
        node = r.choice(names)
        return f"10.0.0.{zlib.crc32(node.encode()) % 200 + 10}", f"{node}.{self.site['local_domains'][0]}"

    def make(self, i):
        raise NotImplementedError


def letter(r, sender, rcpts, subject, text, stamp, extra=(), msgid=None):
    """A plain message of a person: (bytes, Message-ID)."""
    msgid = msgid or f"<{stamp}.{r.getrandbits(48):012x}@{sender.partition('@')[2]}>"
    name = sender.partition("@")[0].replace(".", " ").title()
    fields = [("From", f"{name} <{sender}>"), ("To", ", ".join(rcpts)), ("Subject", subject), ("Date", rfc_date(stamp)),
              ("Message-ID", msgid), *extra]
    return msg.build(fields, msg.Draft(subject, text, charset="utf-8", cte="8bit")), msgid


def title(r):
    return sentence(r, 2, 6).rstrip(".?!")


# --- campaigns -------------------------------------------------------------------------------------------------------

class Family:
    """What the messages of one campaign have in common."""

    def __init__(self, stream, number):
        r, spec = stream.rng("family", number), stream.spec
        self.stream, self.number = stream, number
        self.campaign = f"{stream.name}/{number}" if spec.get("families", 1) > 1 else stream.name
        self.subject, self.text, self.html = self._template(spec.get("template", "builtin"))
        self.hosts = [domain(r) for _ in range(spec.get("url_hosts", 3))]
        self.path = token(r, 4, 8)
        self.style = spec.get("style") or r.choice(["plain", "html", "alternative"])
        self.charset, self.cte = r.choice([("us-ascii", "7bit"), ("iso-8859-1", "quoted-printable"), ("utf-8", "base64")])
        self.mailer = r.choice(msg.MAILERS)
        self.display = [f"{r.choice(FIRST)} {r.choice(WORDS)}".title() for _ in range(4)]
        side = r.randint(60, 110)
        self.picture = side * 2, side, r.randbytes(3500) * (side * side * 2 // 3500 + 1)
        self.document = b"%PDF-1.4\n" + r.randbytes(r.randint(2000, 6000)) + b"\n%%EOF\n"
        self.mutators = [(msg.MUTATORS[n], p) for n, p in spec.get("mutators", {}).items() if n != "url"]
        self.url_chance = spec.get("mutators", {}).get("url", 0)

    def _template(self, wanted):
        """Subject, text and HTML: a corpus message, a built-in template by name, or any that no other campaign uses."""
        world, stock = self.stream.world, templates("spam")
        start = zlib.crc32(self.stream.name.encode())
        if wanted == "corpus":
            files, links = self.stream.corpus.order("spam", world.seed), re.compile(r"https?://[^\s\"'<>]+")
            for k in range(len(files)):
                subject, text, markup = self.stream.corpus.text("spam", files[(start + k) % len(files)])
                words = set(text.lower().split())
                if (250 < len(text) < 6000 and len(markup or "") < 15000
                        and all(len(words & w) < 0.4 * len(words | w) for w in world.spam_texts)):
                    world.spam_texts.append(words)
                    return [t and links.sub("<<url>>", t.replace("<<", "<")) for t in (subject, text, markup)]
        if wanted not in stock:
            free = sorted(set(stock) - world.spam_names) or sorted(stock)
            wanted = free[start % len(free)]
        world.spam_names.add(wanted)
        fields, body = split_template(stock[wanted])
        return dict(fields)["Subject"], body, None

    def ham_prose(self, r):
        corpus = self.stream.corpus
        return corpus.prose("ham", r.randrange(len(corpus.files("ham"))))

    def url(self, r):
        host = r.choice(self.hosts)
        if r.random() >= self.url_chance:
            return f"http://www.{host}/{self.path}"
        path = r.choice([token(r, 3, 12), f"{token(r, 2, 5)}/{token(r, 4, 10)}.html", f"?{token(r, 1, 3)}={token(r, 8, 30)}"])
        return f"http{r.choice(['', 's'])}://{r.choice(['', 'www.', token(r, 3, 8) + '.'])}{host}/{path}"

    def draft(self, r, rcpt, stamp):
        """The message text for a recipient, spun and mutated; also the names of the mutators."""
        name = re.split(r"[._\d]", rcpt.partition("@")[0])[0].capitalize() or "friend"
        fields = {"url": self.url(r), "rcpt": rcpt, "name": name, "date": rfc_date(stamp)[:16]}
        spun = [t and spin(r, t, fields) for t in (self.subject, self.text, self.html)]
        d = msg.Draft(*spun, style=self.style, charset=self.charset, cte=self.cte, mailer=self.mailer, to_name=name)
        d.msgid, d.boundary = f"<{r.getrandbits(80):020x}@{domain(r)}>", f"{r.getrandbits(64):016x}"
        if d.style != "plain" and not d.html:
            d.html = msg.as_html(d.text)
        used = [m.__name__ for m, chance in self.mutators if r.random() < chance and not m(r, d, self)]
        return d, used


class Campaign(Stream):
    """A spam family sent by a botnet."""
    label = "storm"

    def setup(self, r):
        self.families = [Family(self, k) for k in range(self.spec.get("families", 1))]
        net = self.spec.get("botnet", {})
        self.bots = [self._bot(r, net) for _ in range(net.get("size", 500))]
        kinds = self.spec.get("rcpts", {"valid": 0.5, "unknown": 0.5})
        self.rcpt_kinds, self.rcpt_weights = list(kinds), list(kinds.values())
        self.forged = [address(r) for _ in range(self.spec.get("forged_senders", 20000))]

    def _bot(self, r, net):
        ip = public_ip(r)
        name = dynamic_name(ip) if r.random() < net.get("rdns", 0.7) else "unknown"
        helo = r.choice([f"[{ip}]", f"USER-{token(r, 6, 10).upper()}", "localhost", domain(r), name if name != "unknown" else ip])
        return (ip, name), helo

    def sender(self, r):
        mode = self.spec.get("sender", "random")
        if mode == "victim":            # any address in one forged domain
            return f"{localpart(r)}@{self.spec['victim']}"
        if mode == "self":              # forged local user
            return self.user(r)
        return mode if "@" in mode else r.choice(self.forged)

    def recipient(self, r, kind):
        if kind == "valid":
            return self.user(r)
        if kind == "unknown":           # dictionary attack
            own = r.choice(self.site["local_domains"] + self.site["relay_domains"])
            return f"{r.choice([localpart(r), token(r, 3, 9), r.choice(FIRST) + token(r, 1, 3)])}@{own}"
        if kind == "fqdn":
            return f"{r.choice([localpart(r), token(r, 3, 9)])}@{self.site['hostname']}"
        return address(r)               # relay attempt, third party

    def recipients(self, r):
        low, high = self.spec.get("rcpts_per_message", [1, 1])
        kinds = r.choices(self.rcpt_kinds, self.rcpt_weights, k=r.randint(low, high))
        return list(dict.fromkeys(self.recipient(r, k) for k in kinds)), kinds

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        family = self.families[i % len(self.families)]
        rcpts, kinds = self.recipients(r)
        sender, (client, helo) = self.sender(r), r.choice(self.bots)
        draft, used = family.draft(r, rcpts[0], stamp)
        fields = [("From", f'"{r.choice(family.display)}" <{sender}>'), ("To", f"<{rcpts[0]}>"), ("Subject", draft.subject),
                  ("Date", rfc_date(stamp - r.randint(0, 900), r.choice(["+0000", "+0100", "-0500", "+0800"]))),
                  ("Message-ID", draft.msgid)]
        note = f"family={family.number} mutators={','.join(used) or '-'} rcpt={','.join(sorted(set(kinds)))}"
        return Item(msg.build(fields, draft), sender, rcpts, client, helo, family.campaign, note,
                    subject=draft.subject, msgid=draft.msgid)


class Compromised(Campaign):
    """An account or web script of our own sends a campaign to many external recipients."""

    def setup(self, r):
        super().setup(r)
        self.script = self.spec.get("mode", "auth") == "script"
        self.account = self.spec.get("user") or self.user(r)
        self.rcpt_kinds, self.rcpt_weights = ["relay"], [1]
        self.bots = self.bots[:self.spec.get("clients", 12)]

    def sender(self, r):
        if self.script:
            return f"www-data@{self.site['hostname']}"
        return self.account if self.spec.get("sender", "own") == "own" else super().sender(r)

    def make(self, i):
        item = super().make(i)
        if self.script:
            item.uid = 33
            item.client, item.helo = ("127.0.0.1", "localhost"), "localhost"
            script = f"X-PHP-Originating-Script: 33:{self.spec.get('script', 'mailer.php')}\n"
            item.raw = script.encode() + item.raw
        else:
            item.sasl_username = self.account
        return item


# --- backscatter -----------------------------------------------------------------------------------------------------

def notice(r, folder, name, original, mta, stamp, raw=None):
    """A bounce, auto-reply, challenge or virus notice about the item `original`, as program `name` at `mta` writes it."""
    raw = original.raw if raw is None else raw
    text, rcpt = templates(folder)[name], r.choice(original.rcpt_to)
    reason = r.choice([f"550 5.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table",
                       "550 5.7.1 Message rejected as spam by content filter", "554 5.7.1 Service unavailable; client blocked",
                       "552 5.2.2 Mailbox full", f"550 <{rcpt}>: no such user here", "550 5.1.1 unknown user"])
    local, _, dom = rcpt.partition("@")
    fields = {"mta": mta, "mta_domain": mta.partition(".")[2], "victim": original.mail_from, "orig_rcpt": rcpt,
              "orig_rcpt_domain": dom, "orig_client": f"{original.client[1]} [{original.client[0]}]",
              "orig_subject": original.subject.encode("ascii", "replace").decode()[:60], "orig_msgid": original.msgid,
              "date": rfc_date(stamp), "stamp": str(stamp), "smtp_reason": reason,
              "dsn": (re.search(r"5\.\d\.\d", reason) or ["5.1.1"])[0],
              "qid": f"{r.getrandbits(40):010X}", "qid2": f"{r.getrandbits(40):010X}",
              "smid": f"{token(r, 8, 8)}{r.randrange(100000, 999999)}",
              "msgid_time": time.strftime("%Y%m%d%H%M%S", time.gmtime(stamp)),
              "eximid": f"1{token(r, 5, 5)}-000{token(r, 3, 3).upper()}-{token(r, 2, 2)}",
              "postfix_reason": r.choice([f'unknown user: "{local}"', f"host {dom}[{public_ip(r)}] said:\n    {reason}"]),
              "orig": "\0orig", "orig_headers": "\0head"}
    head = raw.partition(b"\n\n")[0]
    out = spin(r, text, fields).encode()
    return out.rstrip(b"\n").replace(b"\0orig", raw.rstrip(b"\n")).replace(b"\0head", head) + b"\n"


def received(r, client, helo, by, rcpt, stamp):
    """A Received line as Postfix makes it."""
    return (f"Received: from {helo} ({client[1]} [{client[0]}])\n\tby {by} (Postfix) with ESMTP id {r.getrandbits(40):010X}\n"
            f"\tfor <{rcpt}>; {rfc_date(stamp)} (UTC)\n").encode()


class BackscatterOut(Stream):
    """Our own server's bounces of a campaign to the forged senders, or all to one victim and back to ourselves."""
    label = "backscatter"

    def make(self, i):
        r, stamp, host = self.rng(i), self.stamp(i), self.site["hostname"]
        source = self.world.stream(self.spec["of"])
        original = source.make(i * 7919 % source.count)
        original.mail_from = self.spec.get("victim") or original.mail_from
        trace = received(r, original.client, original.helo, host, original.rcpt_to[0], stamp - 60)
        mta = self.spec.get("mta", "postfix")
        raw = notice(r, "bounce", mta, original, host, stamp, trace + original.raw)
        loops = r.randint(*self.spec.get("loops", [0, 0]))
        me = ("127.0.0.1", "localhost")
        for k in range(loops):          # the victim's MX is 127.0.0.1: our server gives the message to itself
            raw = received(r, me, host, host, original.mail_from, stamp + 40 * k) + raw
        return Item(raw, "", [original.mail_from], me, host, self.name, f"of={original.campaign} mta={mta} loops={loops}")


class BackscatterIn(Stream):
    """Foreign bounces, auto-replies, challenges and virus notices for mail that our users never sent."""
    label = "backscatter"

    def setup(self, r):
        spec = {"name": self.name + "-forged", "sender": "self", "rcpts": {"relay": 1}, **self.spec.get("campaign", {})}
        self.forged = Campaign(self.world, spec)
        self.victims = [self.user(r) for _ in range(self.spec.get("victims", 1))]
        self.mix = self.spec.get("mix", {"bounce": 0.6, "autoreply": 0.2, "challenge": 0.1, "virus": 0.1})

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        kind = r.choices(list(self.mix), self.mix.values())[0]
        victim = r.choice(self.victims)
        use_corpus = kind in ("bounce", "autoreply") and r.random() < self.spec.get("corpus", 0.5)
        mta = mail_host(domain(r))
        if use_corpus:
            raw, name = self.from_corpus(r, kind, victim, stamp), "corpus"
        else:
            name = r.choice(sorted(templates(kind)))
            original = self.forged.make(i)
            original.raw = original.raw.replace(original.mail_from.encode(), victim.encode())
            original.mail_from = victim
            mta = mail_host(original.rcpt_to[0].partition("@")[2])
            trace = received(r, original.client, original.helo, mta[1], original.rcpt_to[0], stamp - 30)
            raw = notice(r, kind, name, original, mta[1], stamp, trace + original.raw)
        return Item(raw, "", [victim], mta, mta[1], self.name, f"{kind}={name}")

    def from_corpus(self, r, kind, victim, stamp):
        """A real notice, readdressed to the victim, with a date and Message-ID of its own."""
        fields, body = self.corpus.split(kind, r.randrange(len(self.corpus.files(kind))))
        old = next((m[0] for n, v in fields if n.lower() == "to" for m in [_ADDRESS.search(v)] if m), None)
        text = "".join(f"{n}: {v}\n" for n, v in clean_fields(fields, stamp, r)) + "\n" + body
        if old:
            text = text.replace(old, victim)
        return text.encode("latin-1", "replace")


# --- legitimate mail -------------------------------------------------------------------------------------------------

_DROPPED = re.compile(r"(?i)(return-path|delivered-to|x-original-to|envelope-to|delivery-date|status|x-status|lines|"
                      r"x-spam-.*|x-uidl|content-length|bcc|resent-.*)$")


def clean_fields(fields, stamp, r):
    """Header fields without what a final delivery added and all but the first hop; date and Message-ID made fresh."""
    traces = [k for k, (name, _) in enumerate(fields) if name.lower() == "received"]
    gone, out = set(traces[:-1]), []
    for k, (name, value) in enumerate(fields):
        low = name.lower()
        if k in gone or _DROPPED.match(low):
            continue
        if low == "date":
            value = rfc_date(stamp - r.randint(5, 200))
        elif low == "message-id":
            value = re.sub(r"<[^@>]*", lambda m: f"{m[0][:60]}.{r.getrandbits(32):08x}", value, count=1)
        out.append((name, value))
    return out


class Ham(Stream):
    """Corpus ham; senders stay, recipients become users of the site. Beyond the corpus: new texts mixed from it."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        order = self.corpus.order("ham", self.world.seed)
        if i >= len(order):
            return personal(self, r, stamp, address(r), [self.user(r)], "remix", self.remix(r, order))
        fields, body = self.corpus.split("ham", order[i])
        known = {n.lower(): v for n, v in fields}
        found = _ADDRESS.search(known.get("from", ""))
        sender = found[0] if found else address(r)
        fields, rcpts = self.readdress(r, clean_fields(fields, stamp, r), known)
        ip, name = mail_host(sender.partition("@")[2])
        raw = ("".join(f"{n}: {v}\n" for n, v in fields) + "\n" + body).encode("latin-1", "replace")
        note = "corpus bulk" if re.search(r"(?i)bulk|list", known.get("precedence", "")) else "corpus"
        return Item(raw, sender, rcpts, (ip, name), name, note=note)

    def readdress(self, r, fields, known):
        """Map the To and Cc addresses to users, in the envelope and, but for list mail, in the header."""
        listed = "list-id" in known or "precedence" in known
        rcpts, out = [], []

        def local(m):
            user = self.site["valid_recipients"][zlib.crc32(m[0].lower().encode()) % len(self.site["valid_recipients"])]
            rcpts.append(user)
            return m[0] if listed else user
        for name, value in fields:
            if name.lower() in ("to", "cc") and len(rcpts) < 4:
                value = _ADDRESS.sub(local, value)
            out.append((name, value))
        return out, list(dict.fromkeys(rcpts))[:3] or [self.user(r)]

    def remix(self, r, order):
        """Paragraphs of three messages, shuffled."""
        paras = [p for k in r.choices(order, k=3) for p in self.corpus.prose("ham", k).split("\n\n") if 40 < len(p) < 900]
        r.shuffle(paras)
        return "\n\n".join(paras[:r.randint(2, 6)])


class List(Stream):
    """Posts of a mailing list, each exploded to many subscribers with VERP senders."""

    def arrival(self, i):
        return round(super().arrival(i % self.posts) + (self.rng(i, "queue").random() * 300 if i >= self.posts else 0), 3)

    def setup(self, r):
        self.posts = self.spec.get("posts", 1)

    def make(self, i):
        post = i % self.posts
        r, p = self.rng(i), self.rng("post", post)
        inward = self.spec.get("direction", "out") == "in"
        name = self.spec.get("list", "members")
        lists = f"lists.{p.choice(['harbour', 'society']) + '.example' if inward else self.site['local_domains'][0]}"
        author, rcpt = address(p), self.user(r) if inward else address(r)
        order = self.corpus.order("ham", self.world.seed)
        prose = self.corpus.prose("ham", order[-1 - post % min(200, len(order))]) or paragraph(p)
        extra = [("Precedence", "list"), ("List-Id", f"<{name}.{lists}>"), ("List-Post", f"<mailto:{name}@{lists}>"),
                 ("List-Unsubscribe", f"<https://{lists}/options/{name}>, <mailto:{name}-leave@{lists}>"),
                 ("Sender", f"{name}-bounces@{lists}")]
        footer = f"\n_______________________________________________\n{name} mailing list -- {name}@{lists}\n"
        if self.spec.get("personal"):
            footer += f"You are subscribed as {rcpt}\n"
        subject = f"[{name}] {p.choice(['', 'Re: '])}{title(p)}"
        raw, _ = letter(p, author, [f"{name}@{lists}"], subject, f"{prose}\n{footer}", self.stamp(post), extra)
        client = mail_host(lists) if inward else ("10.0.0.25", lists)
        return Item(raw, f"{name}-bounces+{rcpt.replace('@', '=')}@{lists}", [rcpt], client, lists, note=f"post={post}")


class Templated(Stream):
    """Mail that a program fills in; the values are what matters."""
    folder, style = None, "plain"

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        stock = templates(self.folder)
        name = r.choice(self.spec.get("templates") or sorted(stock))
        rcpt = self.recipient(r)
        fields, body = split_template(spin(r, stock[name], self.fields(r, rcpt, stamp)))
        fields = dict(fields)
        sender = _ADDRESS.search(fields["From"])[0]
        dom = sender.partition("@")[2]
        head = [("From", fields.pop("From")), ("To", rcpt), ("Subject", fields.pop("Subject")), ("Date", rfc_date(stamp)),
                ("Message-ID", f"<{stamp}.{r.getrandbits(40):010x}@{dom}>"), *fields.items(), *self.extra(rcpt, sender)]
        draft = msg.Draft("", body, style=self.style, boundary=f"=_{r.getrandbits(80):020x}")
        mail_from, client = self.route(r, rcpt, sender)
        return Item(msg.build(head, draft), mail_from, [rcpt], client, client[1], note=f"template={name}")

    def recipient(self, r):
        return self.user(r)

    def fields(self, r, rcpt, stamp):
        name = re.split(r"[._\d@]", rcpt)[0].capitalize()
        return {"rcpt": rcpt, "name": name, "date": rfc_date(stamp + r.randrange(7) * 86400)[5:16]}

    def extra(self, rcpt, sender):
        return []

    def route(self, r, rcpt, sender):
        return sender, mail_host(sender.partition("@")[2])


class Transactional(Templated):
    folder, style = "transactional", "alternative"


class Newsletter(Templated):
    """Opt-in newsletter from one provider, personalised."""
    folder, style = "newsletter", "alternative"

    def fields(self, r, rcpt, stamp):
        issue = r.randrange(max(1, self.spec.get("issues", 1)))
        s = self.rng("issue", issue)
        member = str(zlib.crc32(rcpt.encode()) % 10**7)
        return {**super().fields(r, rcpt, stamp), "issue": str(100 + issue), "member": member,
                "issue_title": title(s), **{f"story{k}": paragraph(s, 3, 6) for k in (1, 2, 3)}}

    def extra(self, rcpt, sender):
        dom = sender.partition("@")[2]
        return [("List-Unsubscribe", f"<https://{dom}/u/{zlib.crc32(rcpt.encode())}>"),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"), ("Feedback-ID", f"{dom}:news:esp"),
                ("Precedence", "bulk")]

    def route(self, r, rcpt, sender):
        dom = sender.partition("@")[2]
        ip = mail_host(dom)[0].rpartition(".")[0] + f".{r.randint(20, 23)}"
        return f"bounce-{zlib.crc32(rcpt.encode())}@{dom}", (ip, f"o{ip.rpartition('.')[2]}.esp.example")


class Alerts(Templated):
    """Cron and monitoring mail of our own hosts."""
    folder = "alerts"

    def recipient(self, r):
        return f"{r.choice(['root', 'postmaster', 'operator'])}@{self.site['local_domains'][0]}"

    def fields(self, r, rcpt, stamp):
        node = r.choice(NODES)
        return {**super().fields(r, rcpt, stamp), "host": self.site["hostname"], "domain": self.site["local_domains"][0],
                "node": node, "check": r.choice(["load", "disk /var", "http", "smtp", "ntp"])}

    def route(self, r, rcpt, sender):
        node = sender.partition("@")[2].partition(".")[0]
        return sender, self.own_host(r, NODES if node not in NODES else (node,))


class Conversations(Stream):
    """Threads of local and foreign people who quote each other."""

    def make(self, i):
        length = self.spec.get("length", 5)
        thread, step = divmod(i, length)
        t, stamp = self.rng("thread", thread), self.stamp(i)
        people, subject, quoted = [self.user(t), address(t)], title(t), ""
        for k in range(step + 1):
            r = self.rng("thread", thread, k)
            own = self.corpus.prose("ham", r.randrange(len(self.corpus.files("ham"))))[:r.randint(120, 700)] or paragraph(r)
            body = f"{own}\n\n{quoted}"
            quoted = f"{people[k % 2]} wrote:\n" + "".join(f"> {x}\n" for x in body.split("\n")[:40])
        me, other = people[step % 2], people[(step + 1) % 2]
        ids = [f"<{thread:x}.{k}.{zlib.crc32(subject.encode()):x}@{people[k % 2].partition('@')[2]}>" for k in range(step + 1)]
        extra = [("In-Reply-To", ids[-2]), ("References", "\n ".join(ids[:-1]))] if step else []
        raw, _ = letter(r, me, [other], ("Re: " if step else "") + subject, body, stamp, extra, ids[-1])
        client = mail_host(me.partition("@")[2]) if step % 2 else self.own_host(self.rng(i))
        return Item(raw, me, [other], client, client[1], note=f"thread={thread} step={step}",
                    sasl_username=None if step % 2 else me)

    def arrival(self, i):
        length = self.spec.get("length", 5)
        return round(super().arrival(i - i % length) * 0.8 + (i % length) * self.world.duration * 0.04, 3)


def personal(stream, r, stamp, sender, rcpts, note, text=""):
    """One personal message with text of its own."""
    corpus, subject = stream.corpus, title(r)
    text = text or corpus.prose("ham", r.randrange(len(corpus.files("ham"))))[:1500] or paragraph(r)
    raw, msgid = letter(r, sender, rcpts, subject, text, stamp)
    client = mail_host(sender.partition("@")[2])
    return Item(raw, sender, rcpts, client, client[1], note=note, subject=subject, msgid=msgid)


class OwnBounces(Stream):
    """A few delivery reports for mail which our users did send."""

    def make(self, i):
        r, stamp, host = self.rng(i), self.stamp(i), self.site["hostname"]
        sent = personal(self, r, stamp - 30, self.user(r), [address(r)], "")
        sent.client = self.own_host(r)
        mta = mail_host(sent.rcpt_to[0].partition("@")[2])
        hop1 = received(r, sent.client, sent.client[1], host, sent.rcpt_to[0], stamp - 20)
        hop2 = received(r, (self.site["address"], host), host, mta[1], sent.rcpt_to[0], stamp - 5)
        name = r.choice(sorted(templates("bounce")))
        raw = notice(r, "bounce", name, sent, mta[1], stamp, hop2 + hop1 + sent.raw)
        return Item(raw, "", [sent.mail_from], mta, mta[1], note=f"bounce={name}")


class MultiRcptMixed(Stream):
    """One personal message to several recipients, some of whom do not exist."""

    def make(self, i):
        r, low_high = self.rng(i), self.spec.get("rcpts_per_message", [2, 8])
        rcpts = [self.user(r) for _ in range(r.randint(*low_high))]
        wrong = r.randint(1, max(1, len(rcpts) // 2))
        for k in range(wrong):          # mistyped or left the company
            local, _, dom = rcpts[k].partition("@")
            rcpts[k] = f"{r.choice([local[:-1] + 'x', 'old.' + local, local + '2'])}@{dom}"
        rcpts = list(dict.fromkeys(rcpts))
        r.shuffle(rcpts)
        return personal(self, r, self.stamp(i), address(r), rcpts, f"unknown={wrong} of {len(rcpts)}")
