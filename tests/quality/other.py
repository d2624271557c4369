# SPDX-License-Identifier: Apache-2.0
"""Streams of mail that programs write to people and to each other, of mail without readable text or in other scripts, and
of storms that come by other ways than a botnet with one template. `habits` loads it."""
import base64
import re
import zlib

from lab import message, streams, text
from lab.text import paragraph, rfc_date, token

THINGS = ("budget review", "roof repairs", "field trip", "tenants' meeting", "new printer", "spring fair", "rehearsal",
          "parking permits", "open day", "bus timetable", "lab safety", "choir tour", "stock taking", "harvest supper")
RUSSIAN = "и в на мы вы для по это не что как заказ встреча договор письмо сегодня завтра отчёт цена новый склад товар срок " \
          "оплата счёт клиент менеджер город поезд книга школа работа проект ответ вопрос спасибо нужно можно будет"
CHINESE = "我们今天明天会议合同订单价格客户公司项目学校工作问题谢谢需要可以报告时间地点电话邮件新的产品仓库付款城市火车书籍老师学生安排确认请您"
JAPANESE = "本日は会議の資料を送りますご確認くださいお世話になっております来週の予定について学校の仕事で東京へ行きます電話番号と住所"
ARABIC = "في من إلى على هذا اليوم غدا اجتماع عقد طلب سعر عميل شركة مشروع مدرسة عمل سؤال شكرا تقرير وقت مكان هاتف رسالة جديد"
TONGUES = {"ru": (RUSSIAN.split(), " ", "utf-8 koi8-r windows-1251"), "zh": (list(CHINESE), "", "utf-8 gb18030"),
           "ja": (list(JAPANESE), "", "iso-2022-jp utf-8"), "ar": (ARABIC.split(), " ", "utf-8 windows-1256")}


def write(r, sender, rcpts, subject, body, stamp, extra=(), style="plain", files=(), charset="utf-8", cte=None, name=None,
          markup=None, msgid=None):
    """A message as some program writes it."""
    sent_by = name or sender.partition("@")[0].replace(".", " ").title()
    fields = [("Date", rfc_date(stamp)), ("From", f"{sent_by} <{sender}>"), ("To", ", ".join(rcpts)),
              ("Message-ID", msgid or f"<{token(r, 20, 28)}@{sender.partition('@')[2]}>"), ("Subject", subject), *extra]
    cte = cte or r.choice(["quoted-printable", "base64"])
    return message.build(fields, message.Draft(subject, body, html=markup, style=style, charset=charset, cte=cte,
                                               boundary=f"--{token(r, 16, 24)}", files=list(files)))


def prose(stream, r, most=700):
    corpus = stream.corpus
    return corpus.prose("ham", r.randrange(len(corpus.files("ham"))))[:r.randint(80, most)] or paragraph(r)


def raw_part(r, sender, rcpts, subject, stamp, content, extra=()):
    """A message whose content comes with its own MIME fields."""
    head = [("From", f"<{sender}>"), ("To", ", ".join(rcpts)), ("Subject", subject), ("Date", rfc_date(stamp)),
            ("Message-ID", f"<{token(r, 18, 18)}@{sender.partition('@')[2]}>"), ("MIME-Version", "1.0"), *extra]
    return "".join(f"{n}: {v}\n" for n, v in head).encode() + content


class Service:
    """Some company that sends for others from its own hosts."""

    def __init__(self, name, hosts=12):
        self.name, self.hosts, self.net = name, hosts, text.public_ip(text.rng("net", name)).rpartition(".")[0]

    def client(self, r):
        k = r.randint(1, self.hosts)
        return f"{self.net}.{k + 40}", f"out-{k}.{self.name}"


class Calendar(streams.Stream):
    """Invitations by people of many firms, sent by one calendar service."""

    def make(self, i):
        r, stamp, service = self.rng(i), self.stamp(i), Service("calendar-servers.net")
        who, me, what = text.address(r), self.user(r), f"{r.choice(THINGS)} {r.choice(['', 'part 2', 'follow-up'])}".strip()
        verb = r.choice(["Invitation", "Updated invitation", "Cancelled event"])
        body = (f"You have been invited to the following event.\n\nTitle: {what}\nWhen: {rfc_date(stamp + r.randrange(9**6))[:16]}\n"
                f"Calendar: {me}\nWho:\n  * {who} - organiser\n  * {me}\n\n"
                f"Event details: https://calendar-servers.net/event?action=VIEW&eid={token(r, 40, 60)}\n\n"
                "You receive this courtesy message at this address because you are an attendee of this event.\n"
                "To stop receiving future updates for this event, decline it.\n")
        event = f"BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:{token(r, 26, 26)}\nSUMMARY:{what}\nEND:VEVENT\nEND:VCALENDAR\n"
        raw = write(r, who, [me], f"{verb}: {what}", body, stamp, style="alternative",
                    files=[("invite.ics", "text/calendar; method=REQUEST", event.encode())])
        sender = who if self.spec.get("own_sender") else f"{token(r, 30, 40)}@calendar-servers.net"
        client = service.client(r)
        return streams.Item(raw, sender, [me], client, client[1])


CONFIRM = (
    "Please confirm your subscription\n\n{Yes, subscribe me to this list|Confirm your address}: <<url>>\n\nIf you received this email by"
    " mistake, simply delete it. You won't be subscribed if you don't click the confirmation link above.\n\nFor questions"
    " about this list, please contact: info@<<site>>\n",
    "Hello,\n\nthank you for registering at <<site>>. Your user name is <<user>>. To set your password, visit the"
    " following address:\n\n<<url>>\n\nYou can log in here: https://<<site>>/login\n",
    "Welcome to <<site>>!\n\nOne more step: activate your account within 24 hours.\n<<url>>\n\nThe team of <<site>>\n",
    "<<site>>: mailing list subscription confirmation notice\n\nWe have received a request for subscription of your email"
    " address, \"<<rcpt>>\", to the <<word>> mailing list. To confirm that you want to be added, visit this web page:\n\n"
    "    <<url>>\n\nOr include the following line -- and only the following line -- in a message:\n\n    confirm <<hex:40>>\n",
    "Vielen Dank für Ihr Interesse an unserem Newsletter. Bitte bestätigen Sie Ihre Anmeldung mit einem Klick:\n\n<<url>>\n\n"
    "Sollten Sie sich nicht angemeldet haben, ignorieren Sie diese Nachricht bitte.\n\n<<site>>\n",
    "Merci de confirmer votre inscription à la lettre d'information de <<site>> en cliquant sur ce lien :\n<<url>>\n\n"
    "Si vous n'avez rien demandé, ne faites rien.\n")


class SignUps(streams.Stream):
    """Somebody signed a user of ours up at hundreds of sites: each confirms, from its own host or through a service."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        site, me = text.domain(r), self.world.site["valid_recipients"][self.spec.get("user", 7)]
        url = f"https://{site}/{r.choice(['confirm', 'verify', 'activate', 'wp-login.php', 'optin'])}?k={token(r, 16, 40)}"
        body = text.spin(r, r.choice(CONFIRM), {"site": site, "url": url, "rcpt": me, "user": me.partition("@")[0],
                                                 "word": r.choice(text.WORDS)})
        client = text.mail_host(site) if r.random() < 0.6 else Service(r.choice(["mail-blaster.com", "sendhub.io"])).client(r)
        sender = r.choice([f"noreply@{site}", f"wordpress@{site}", f"bounce-{token(r, 12, 12)}@{client[1].partition('.')[2] or site}"])
        raw = write(r, f"{r.choice(['noreply', 'info', 'newsletter'])}@{site}", [me],
                    r.choice(["Please confirm your subscription", f"[{site}] Login details", f"Welcome to {site}", "Bestätigung",
                              f"confirm {token(r, 40, 40)}"]), body, stamp, style=r.choice(["plain", "alternative"]))
        return streams.Item(raw, sender, [me], client, client[1])


class Codes(streams.Stream):
    """One-time codes and password resets of a few services: short, all alike."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        name = r.choice(["securelogin.com", "bankhaus-mueller.de", "cloudpad.io", "citytickets.org", "gov-portal.net"])
        client, me = Service(name, 4).client(r), self.user(r)
        frame = zlib.crc32(name.encode()) % 3
        body = (f"Your verification code is {r.randrange(10**5, 10**6)}. It expires in 10 minutes. Do not share it.\n",
                f"{r.randrange(10**5, 10**6)}\n", f"Someone asked to reset your password. If it was you: https://{name}/r/{token(r, 30, 30)}\n")[frame]
        raw = write(r, f"no-reply@{name}", [me], ("Your code", f"{r.randrange(10**5, 10**6)} is your code", "Password reset")[frame],
                    body, stamp, name=name)
        return streams.Item(raw, r.choice([f"no-reply@{name}", f"b{token(r, 8, 8)}@mail.{name}"]), [me], client, client[1])


class ShopPlatform(streams.Stream):
    """Orders and invoices of hundreds of shops that one platform hosts: one frame, each shop's own address and links."""

    def make(self, i):
        r, stamp, service = self.rng(i), self.stamp(i), Service("shop-platform.com", 30)
        shop, me, number = text.domain(r), self.user(r), r.randrange(1000, 99999)
        body = (f"Order #{number}\n\nThank you for your purchase!\nHi {me.split('@')[0].title()}, we're getting your order ready to be"
                f" shipped. We will notify you when it has been sent.\n\nView your order: https://{shop}/{r.getrandbits(32)}/orders/"
                f"{token(r, 32, 32)}\nor visit our store: https://{shop}\n\nOrder summary\n{r.choice(text.WORDS)} {r.choice(text.WORDS)} × "
                f"{r.randint(1, 4)}    {r.randint(3, 300)}.{r.randint(10, 99)}\nSubtotal  Shipping  Taxes  Total\n\nCustomer information\n"
                f"If you have any questions, reply to this email or contact us at info@{shop}\n")
        raw = write(r, f"store+{r.randrange(10**8)}@{shop}", [me], f"Order #{number} confirmed", body, stamp, style="alternative", name=shop)
        client = service.client(r)
        sender = f"bounces+{r.randrange(10**6)}-{token(r, 4, 4)}-{me.replace('@', '=')}@" + (shop if self.spec.get("own_sender") else "mailer.shop-platform.com")
        return streams.Item(raw, sender, [me], client, client[1])


class Builds(streams.Stream):
    """A forge and its build service tell our developers what happened."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        repo, me = f"{r.choice(text.WORDS)}/{r.choice(text.WORDS)}", self.user(r)
        log = "\n".join(f"{r.choice(['ok', 'not ok', 'skip'])} {k} - {r.choice(text.WORDS)}_{r.choice(text.WORDS)}" for k in range(r.randint(3, 30)))
        body = (f"[{repo}] Run {r.choice(['failed', 'fixed', 'cancelled'])}: tests - main ({r.getrandbits(28):07x})\n\n{log}\n\n-- \n"
                f"View results: https://forge-hub.com/{repo}/runs/{r.getrandbits(32)}\nYou are receiving this because this workflow ran on your branch.\n")
        raw = write(r, "notifications@forge-hub.com", [me], f"[{repo}] Run failed", body, stamp,
                    [("List-Id", f"{repo} <{repo.replace('/', '.')}.forge-hub.com>"), ("Precedence", "list"),
                     ("Reply-To", f"{repo} <reply+{token(r, 40, 40)}@reply.forge-hub.com>")], name=f"{r.choice(text.FIRST).title()}")
        client = Service("forge-hub.com", 5).client(r)
        return streams.Item(raw, "noreply@forge-hub.com", [me], client, client[1])


AWAY = ("I am out of the office until {Monday|next week|the 4th} and will {answer|reply} on my return.", "Ich bin derzeit nicht im Büro."
        " Ihre Nachricht wird nicht weitergeleitet.", "Thank you for your message. Ticket <<num:6>> has been opened; we will get back to you.",
        "Je suis absent jusqu'au {3|10|17} et ne consulterai pas mes messages.", "Merci, votre demande a été enregistrée.",
        "I no longer work for this company. Please write to the office instead.")


class ListReplies(streams.Stream):
    """A list of ours went out to thousands; absent members' programs answer to its bounce address, with or without a null
    sender, and nothing in them shows where the post passed."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        who, back = text.address(r), f"members-bounces@lists.{self.site['local_domains'][0]}"
        raw = write(r, who, [back], r.choice(["Out of office", "Automatic reply: ", "Abwesenheit: ", "Re: "]) + "[members] Annual meeting",
                    text.spin(r, r.choice(AWAY), {}) + f"\n\n{who.split('@')[0]}\n", stamp,
                    [("Auto-Submitted", "auto-replied"), ("In-Reply-To", f"<{self.seed_id()}@lists.{self.site['local_domains'][0]}>")])
        client = text.mail_host(who.partition("@")[2])
        return streams.Item(raw, "" if r.random() < 0.6 else who, [back], client, client[1])

    def seed_id(self):
        return zlib.crc32(self.name.encode())


class Receipts(streams.Stream):
    """Read receipts for what our users wrote."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        who, me = text.address(r), self.user(r)
        if self.spec.get("user") is not None:
            me = self.site["valid_recipients"][self.spec["user"]]
        bound, what = token(r, 20, 20), r.choice(THINGS)
        content = (f'Content-Type: multipart/report; report-type=disposition-notification;\n\tboundary="{bound}"\n\n--{bound}\n'
                   f"Content-Type: text/plain\n\nYour message\n\n   To: {who}\n   Subject: {what}\n   Sent: {rfc_date(stamp - 4000)}\n\n"
                   f"was read on {rfc_date(stamp)}.\n\n--{bound}\nContent-Type: message/disposition-notification\n\n"
                   f"Reporting-UA: mail.{who.split('@')[1]}; Outlook\nFinal-Recipient: rfc822;{who}\n"
                   f"Original-Message-ID: <{token(r, 20, 20)}@{me.split('@')[1]}>\n"
                   f"Disposition: manual-action/MDN-sent-manually; displayed\n\n--{bound}--\n").encode()
        raw = raw_part(r, who, [me], f"Read: {what}", stamp, content)
        client = text.mail_host(who.partition("@")[2])
        return streams.Item(raw, "" if r.random() < 0.7 else who, [me], client, client[1])


class Reports(streams.Stream):
    """DMARC and TLS reports of many receivers to our postmaster: one wording, a small archive."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        org, ours = text.domain(r), self.site["local_domains"][0]
        tls = r.random() < 0.3
        name = f"{org}!{ours}!{stamp - 86400}!{stamp}"
        body = ("This is an aggregate TLS report from " + org if tls else
                f"This is an aggregate report from {org}.\n\nReport Domain: {ours}\nSubmitter: {org}\nReport-ID: {token(r, 20, 20)}\n") + "\n"
        raw = write(r, f"{r.choice(['noreply-dmarc', 'dmarc-report', 'postmaster'])}@{org}", [f"postmaster@{ours}"],
                    f"Report Domain: {ours} Submitter: {org} Report-ID: {token(r, 12, 12)}", body, stamp,
                    files=[(f"{name}.{'json' if tls else 'xml'}.gz", "application/gzip", r.randbytes(r.randint(300, 1500)))])
        client = text.mail_host(org)
        return streams.Item(raw, "" if r.random() < 0.2 else f"bounce@{org}", [f"postmaster@{ours}"], client, client[1])


def foreign(r, tongue, words=(20, 90)):
    stock, gap, charsets = TONGUES[tongue]
    lines = [gap.join(r.choices(stock, k=r.randint(5, 14))) for _ in range(r.randint(words[0] // 8 + 1, words[1] // 8))]
    return ("。\n" if not gap else ".\n").join(lines) + "\n", r.choice(charsets.split())


class Foreign(streams.Stream):
    """Letters in Russian, Chinese, Japanese, Arabic, in several charsets."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        who, me = text.address(r), self.user(r)
        tongue = r.choice(list(TONGUES))
        body, charset = foreign(r, tongue)
        subject = foreign(r, tongue, (5, 16))[0].split("\n")[0][:30]
        raw = write(r, who, [me], subject, body, stamp, charset=charset)
        client = text.mail_host(who.partition("@")[2])
        return streams.Item(raw, who, [me], client, client[1])


class Sealed(streams.Stream):
    """Encrypted mail: what can be read of it is the same for everybody."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        who, me, bound = text.address(r), self.user(r), token(r, 24, 24)
        secret = base64.encodebytes(r.randbytes(r.randint(400, 3000))).decode()
        kind = i % 3
        if kind == 0:
            content = (f'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="{bound}"\n\n'
                       f"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\n--{bound}\nContent-Type: application/pgp-encrypted\n"
                       f"Content-Description: PGP/MIME version identification\n\nVersion: 1\n\n--{bound}\nContent-Type: application/octet-stream;"
                       f' name="encrypted.asc"\nContent-Disposition: inline; filename="encrypted.asc"\n\n-----BEGIN PGP MESSAGE-----\n\n{secret}'
                       f"-----END PGP MESSAGE-----\n\n--{bound}--\n")
        elif kind == 1:
            content = ('Content-Type: application/pkcs7-mime; name="smime.p7m"; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n'
                       f'Content-Disposition: attachment; filename="smime.p7m"\n\n{secret}')
        else:
            content = f"Content-Type: text/plain\n\n-----BEGIN PGP MESSAGE-----\nVersion: GnuPG v2\n\n{secret}-----END PGP MESSAGE-----\n"
        raw = raw_part(r, who, [me], r.choice(["...", "encrypted", "Re: " + r.choice(THINGS)]), stamp, content.encode())
        client = text.mail_host(who.partition("@")[2])
        return streams.Item(raw, who, [me], client, client[1])


class Brief(streams.Stream):
    """Mail with hardly a word: a picture or a document, a phone's signature, a disclaimer."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        who, me = text.address(r), self.user(r)
        body = r.choice(["", "\n", "Sent from my phone\n", "See attached.\n", "FYI\n", "ok thanks\n", "[cid:image001.jpg]\n", "Gesendet von meinem Telefon\n",
                         "Please find attached.\n\nThis e-mail and any attachments are confidential and intended solely for the addressee. If you"
                         " are not the intended recipient, please delete it and notify the sender.\n"])
        files = [(f"IMG_{r.randrange(9999):04}.jpg", "image/jpeg", b"\xff\xd8\xff\xe0" + r.randbytes(r.randint(2000, 9000)))] if i % 2 else []
        if i % 3 == 0:
            files = [(f"scan{r.randrange(999)}.pdf", "application/pdf", b"%PDF-1.5\n" + r.randbytes(r.randint(2000, 6000)))]
        raw = write(r, who, [me], r.choice(["", "photo", "scan", "Re:", r.choice(THINGS)]), body, stamp, files=files)
        client = text.mail_host(who.partition("@")[2])
        return streams.Item(raw, who, [me], client, client[1])


class ClubSender(streams.Stream):
    """A user of ours, logged in from home, writes to all members of his club, one message each."""

    def setup(self, r):
        self.me = self.site["valid_recipients"][self.spec.get("user", 5)]
        ip = text.public_ip(r)
        self.home = [(ip, text.dynamic_name(ip)), (ip.rpartition(".")[0] + ".77", text.dynamic_name(ip.rpartition(".")[0] + ".77"))]

    def make(self, i):
        r, s, stamp = self.rng(i), self.rng("issue"), self.stamp(i)
        to, home = text.address(r), self.me.partition("@")[2]
        link = f"https://www.{home}/club/programme.html" if self.spec.get("links", True) else ""
        body = (f"Dear {to.split('@')[0].title()},\n\n{paragraph(s, 4, 6)}\n\n{paragraph(s, 3, 5)}\n\n{link}\n\n"
                f"Best wishes\n{self.me.split('@')[0]}\n")
        raw = write(r, self.me, [to], "Club news: " + s.choice(THINGS), body, stamp, [("X-Mailer", "Mozilla Thunderbird")])
        client = self.home[r.random() < 0.1]
        return streams.Item(raw, self.me, [to], client, "[192.168.178.20]", sasl_username=self.me)


class Loop(streams.Stream):
    """Two programs answer each other: a help desk of ours and one elsewhere."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        us, them = f"support@{self.site['local_domains'][0]}", "helpdesk@big-vendor.com"
        body = f"Your request has been received and a ticket has been opened: {4711 + i}.\n\nPlease do not change the subject.\n"
        own, subject = i % 2 == 0, f"{'Re: ' * min(i // 2, 20)}[Ticket {4711 + i // 2}] Your request"
        raw = write(r, us if own else them, [them if own else us], subject, body, stamp,
                    [("Auto-Submitted", "auto-replied")] if self.spec.get("marked", True) else [])
        client = ("10.0.0.31", f"desk.{self.site['local_domains'][0]}") if own else text.mail_host("big-vendor.com")
        return streams.Item(raw, us if own else them, [them if own else us], client, client[1])


class FormMail(streams.Stream):
    """The contact form of a web site on this host: what people write to its owner."""

    def wrap(self, r, stamp, body, to, sender):
        frame = f"From: {r.choice(text.FIRST).title()} <{text.address(r)}>\nSubject: contact\n\nMessage Body:\n{body}\n\n-- \nThis e-mail was sent from a contact form on our site\n"
        raw = write(r, sender, [to], "Contact form", frame, stamp, name="WordPress")
        return streams.Item(b"X-PHP-Originating-Script: 33:class-phpmailer.php\n" + raw, sender, [to], ("127.0.0.1", "localhost"), "localhost", uid=33)

    def make(self, i):
        r = self.rng(i)
        return self.wrap(r, self.stamp(i), prose(self, r, 400), self.site["valid_recipients"][3], f"wordpress@{self.site['hostname']}")


class FormSpam(streams.Compromised):
    """Spam through an open form that sends a copy to whatever address is given."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        draft, _ = self.families[0].draft(r, text.address(r), stamp)
        item = FormMail.wrap(self, r, stamp, draft.text, text.address(r), f"www-data@{self.site['hostname']}")
        item.campaign = self.families[0].campaign
        return item


class VariedAccount(streams.Compromised):
    """A hijacked account; every message has other words, a bare link behind a shortener, another subject."""

    def make(self, i):
        item, r = super().make(i), self.rng(i, "text")
        link = f"https://{r.choice(['bit-go.link', 'short-r.me', 'tinyto.co', 'l-ink.it', 'u-go.to'])}/{token(r, 6, 7)}"
        body = f"{r.choice(['Hi', 'Hello', 'Hey', ''])}\n\n{paragraph(r, 1, 3)}\n{link}\n\n{paragraph(r, 1, 2)}\n"
        item.raw = write(r, item.mail_from, item.rcpt_to, text.sentence(r, 2, 6).rstrip("."), body, self.stamp(i))
        return item


class ForeignSpam(streams.Campaign):
    """A campaign in another script: sentences of the campaign's stock in any order, and noise."""

    def setup(self, r):
        super().setup(r)
        self.tongue = self.spec.get("tongue", "ru")
        self.stock = [foreign(self.rng("line", k), self.tongue, (9, 16))[0].strip() for k in range(14)]

    def make(self, i):
        item, r = super().make(i), self.rng(i, "text")
        noise, charset = foreign(r, self.tongue, (9, 16))
        body = "\n".join(r.sample(self.stock, 8)) + f"\nhttp://{self.families[0].hosts[0]}/{token(r, 5, 9)}\n{noise}"
        item.raw = write(r, item.mail_from, item.rcpt_to, r.choice(self.stock)[:30], body, self.stamp(i), charset=charset)
        return item


class PictureSpam(streams.Campaign):
    """A picture with the offer, and a few random words or none."""

    def make(self, i):
        item, r = super().make(i), self.rng(i, "text")
        words = " ".join(r.choices(text.WORDS, k=r.choice([0, 0, 3, 8, 20])))
        wide, high, data = self.families[0].picture
        picture = bytearray(data[:8000])
        for _ in range(60):
            picture[r.randrange(len(picture))] = r.randrange(256)
        markup = f'<html><body><img src="cid:{token(r, 8, 8)}"><br>{words}</body></html>'
        item.raw = write(r, item.mail_from, item.rcpt_to, text.sentence(r, 2, 4), words, self.stamp(i), style="html", markup=markup,
                         files=[(f"{token(r, 5, 9)}.gif", "image/gif", b"GIF89a" + bytes(picture) + r.randbytes(r.randint(3, 300)))])
        return item


class Extortion(streams.Campaign):
    """No link: an address of a purse, in the name of the recipient himself."""

    def make(self, i):
        item, r = super().make(i), self.rng(i, "text")
        item.mail_from = item.rcpt_to[0]
        body = text.spin(r, "{Hello|Hi|Greetings}!\n\n{I have bad news for you|This is not good news}. {Some months ago|In spring} I {gained access to|got into}"
                         " {your devices|your computer} {which you use to browse the internet|that you work with}. {After that|Since then} I {started"
                         " tracking|have watched} your {internet activities|every step}. {I bought access|Access was sold to me} {to email accounts|to"
                         " mail boxes} from {hackers|the dark net}. {Transfer|Send} <<num:4>> {dollars|USD} to my {wallet|purse}: <<hex:34>>\n\n{You have"
                         " 48 hours|Two days, no more}. {Do not reply|Do not answer} {to this message|to me}, the sender's address is {yours|your own}.\n", {})
        item.raw = write(r, item.mail_from, item.rcpt_to, r.choice(["Your account is hacked", "Payment due", "I recorded you"]), body, self.stamp(i))
        return item


class OwnerToo(streams.Stream):
    """What the owner of a hijacked account writes himself meanwhile, from his usual place."""

    def make(self, i):
        r, stamp, me = self.rng(i), self.stamp(i), self.world.stream(self.spec["of"]).account
        item = streams.personal(self, r, stamp, me, [text.address(r)], "")
        ip = text.public_ip(self.rng("home"))
        item.client, item.helo, item.sasl_username = (ip, text.dynamic_name(ip)), "[192.168.0.14]", me
        return item


BARE = (
    "The following message could not be delivered:\n\nTo: <<to>>\nSubject: <<subject>>\n\nReason: mailbox unavailable\n",
    "Your message\n\n  Subject: <<subject>>\n\nwas not delivered to:\n\n  <<to>>\n\nbecause:\n\n  User <<user>> (<<to>>) not listed in Domino Directory\n",
    "Hi. This is the qmail-send program at <<mta>>.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n"
    "This is a permanent error; I've given up. Sorry it didn't work out.\n\n<<<to>>>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
    "--- Below this line is a copy of the message.\n\n<<head>>\n\n<<text>>\n",
    "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\n"
    "recipients. This is a permanent error. The following address(es) failed:\n\n  <<to>>\n    unrouteable address\n\n"
    "------ This is a copy of the message, including all the headers. ------\n------ The body of the message is <<num:5>> characters long; only the"
    " first\n------ 100 or so are included here.\n\n<<head>>\n\n<<text>>\n",
    "   ----- The following addresses had permanent fatal errors -----\n<<<to>>>\n\n   ----- Unsent message headers follow -----\n\n<<head>>\n")


class OddBounces(streams.BackscatterIn):
    """Bounces that are no RFC 3464 reports: with the whole message, its header, or nothing of it."""

    def make(self, i):
        r, stamp = self.rng(i), self.stamp(i)
        victim, original = r.choice(self.victims), self.forged.make(i)
        original.raw = original.raw.replace(original.mail_from.encode(), victim.encode())
        to, mta = original.rcpt_to[0], text.mail_host(original.rcpt_to[0].partition("@")[2])
        trace = streams.received(r, original.client, original.helo, mta[1], to, stamp - 30).decode()
        head, _, rest = original.raw.decode("latin-1").partition("\n\n")
        body = text.spin(r, BARE[i % len(BARE)], {"to": to, "user": to.partition("@")[0], "mta": mta[1], "head": "\0h", "text": "\0t",
                                                  "subject": original.subject.encode("ascii", "replace").decode()[:50]})
        body = body.replace("\0h", trace + head).replace("\0t", rest[:300])
        raw = raw_part(r, f"{r.choice(['MAILER-DAEMON', 'postmaster'])}@{mta[1] if '.' in mta[1] else to.partition('@')[2]}", [victim],
                       r.choice(["failure notice", "DELIVERY FAILURE: " + to, "Mail delivery failed: returning message to sender", "Undeliverable mail"]),
                       stamp, b"\n" + body.encode("latin-1", "replace"))
        return streams.Item(raw, "", [victim], mta, mta[1], self.name)
