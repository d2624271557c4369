# SPDX-License-Identifier: Apache-2.0
"""Make a large offline queue by copying real queue files under new, well-formed ids, with small changes in the bodies."""
import functools
import multiprocessing
import os
import re
from array import array
from pathlib import Path

from .text import rng

_POSTFIX_QUEUES = ("incoming", "active", "deferred", "hold")
_BASE52 = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
_BASE60 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"
_MIDDLE = re.compile(rb"(?<=[a-z]{3})[a-z](?=[a-z])")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_sources = []


def _digits(number, alphabet, base, width=1):
    text = ""
    while number or len(text) < width:
        number, low = divmod(number, base)
        text = alphabet[low] + text
    return text


def _change(r, data, places):
    """A copy with a few letters replaced."""
    data = bytearray(data)
    for at in r.sample(places, min(4, len(places))):
        data[at] = r.choice(_LETTERS)
    return data


def _letters(data, lines):
    """Positions of some letters that may change: in the midst of lower-case words, in some of the lines (start, end)."""
    found = array("L")
    for start, end in lines[::len(lines) // 30 + 1]:
        if data[start:start + 2] != b"--" and data[start:start + 8] != b"Content-":     # MIME structure stays
            found.extend(m.start() for m in _MIDDLE.finditer(data, start, end))
    return found[:300]


# --- Postfix ---------------------------------------------------------------------------------------------------------

def _postfix_body(data):
    """The lines (start, end) of the body: records of type N after the first empty one behind M."""
    at, body, lines = 0, None, []
    while at < len(data):
        kind, length, shift = data[at:at + 1], 0, 0
        while True:
            at += 1
            length |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        at += 1
        if kind == b"M":
            body = False
        elif kind in b"NL" and body is False and not length:
            body = True
        elif kind == b"N" and body:
            lines.append((at, at + length))
        elif kind == b"X":
            break
        at += length
    return lines


def _postfix_sources(queue):
    for name in _POSTFIX_QUEUES:
        for path in sorted((queue / name).rglob("*")):
            if path.is_file():
                log = queue / "defer" / path.relative_to(queue / name)
                yield path, name, len(path.relative_to(queue / name).parts) - 1, log if log.is_file() else None


@functools.lru_cache(maxsize=100)
def _postfix_original(path, log):
    data = path.read_bytes()
    return data, _letters(data, _postfix_body(data)), path.stat(), log and log.read_bytes()


def _copy_postfix(k, r, source, dest):
    path, name, depth, log = source
    data, letters, stat, log_data = _postfix_original(path, log)
    data = _change(r, data, letters)
    draft = f"{dest}/{name}/draft{k}"
    handle = os.open(draft, _NEW, 0o700)
    inode, usec, old = os.fstat(handle).st_ino, r.randrange(10 ** 6), path.name
    if len(old) > 12 and "z" in old:                    # long id: seconds, microseconds, z, inode
        ident = f"{old[:6]}{_digits(usec, _BASE52, 52, 4)}z{_digits(inode, _BASE52, 51)}"
        hashed = f"{usec:05X}"                          # subdirectories are named by the microseconds
    else:
        ident = hashed = f"{usec:05X}{inode:X}"
    if len(ident) == len(old):
        data = data.replace(old.encode(), ident.encode())
    _finish(handle, data, stat)
    os.rename(draft, f"{_folder(dest, name, *hashed[:depth])}/{ident}")
    if log:
        _write(f"{_folder(dest, 'defer', *hashed[:depth])}/{ident}", log_data, stat, 0o600)


# --- sendmail --------------------------------------------------------------------------------------------------------

def _sendmail_sources(queue):
    for path in sorted(queue.rglob("[qh]f*")):
        if path.is_file():
            folder = path.parent.parent if path.parent.name == "qf" else path.parent
            body = (folder / "df" if path.parent.name == "qf" else folder) / f"df{path.name[2:]}"
            if body.is_file():
                yield path, body, path.parent.relative_to(queue), body.parent.relative_to(queue)


@functools.lru_cache(maxsize=100)
def _sendmail_original(control, body):
    data = body.read_bytes()
    return control.read_bytes(), data, _letters(data, [m.span() for m in re.finditer(rb"(?m)^.+$", data)]), control.stat()


def _copy_sendmail(k, r, source, dest):
    control, body, control_dir, body_dir = source
    control_data, data, letters, stat = _sendmail_original(control, body)
    old = control.name[2:]
    ident = f"{old[:6]}{_digits(k % 3600, _BASE60, 60, 2)}{100000 + k // 3600:06d}"
    made = _write(f"{_folder(dest, *body_dir.parts)}/df{ident}", _change(r, data, letters), stat, 0o600)
    place = b"I%d/%d/%d" % (os.major(made.st_dev), os.minor(made.st_dev), made.st_ino)
    text = re.sub(rb"(?m)^I\d+/\d+/\d+$", place, control_data.replace(old.encode(), ident.encode()), count=1)
    _write(f"{_folder(dest, *control_dir.parts)}/{control.name[:2]}{ident}", text, stat, 0o600)


# --- common ----------------------------------------------------------------------------------------------------------

@functools.cache
def _folder(dest, *parts):
    folder = dest.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _finish(handle, data, like):
    """Write a new file and give it the owner and times of its original."""
    os.write(handle, data)
    os.fchown(handle, like.st_uid, like.st_gid)
    os.utime(handle, ns=(like.st_atime_ns, like.st_mtime_ns))
    made = os.fstat(handle)
    os.close(handle)
    return made


def _write(path, data, like, mode):
    return _finish(os.open(path, _NEW, mode), data, like)


def _copy_some(job):
    seed, copy, dest, total, numbers = job
    for k in numbers:
        copy(k, rng(seed, k), _sources[k * len(_sources) // total], dest)
    return len(numbers)


def multiply(args):
    queue, dest = Path(args.queue), Path(args.dest)
    is_postfix = (queue / "deferred").is_dir() or (queue / "incoming").is_dir()
    _sources.extend((_postfix_sources if is_postfix else _sendmail_sources)(queue))
    if not _sources:
        raise SystemExit(f"no queue files in {queue}")
    copy = _copy_postfix if is_postfix else _copy_sendmail
    for name in _POSTFIX_QUEUES if is_postfix else ():
        _folder(dest, name)
    jobs = [(args.seed, copy, dest, args.count, range(k, min(k + 1000, args.count))) for k in range(0, args.count, 1000)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        done = sum(pool.imap_unordered(_copy_some, jobs))
    owner = _sources[0][0].parent.stat()
    for folder, _, _ in os.walk(dest):
        os.chown(folder, owner.st_uid, owner.st_gid)
    print(f"{done} messages in {dest}, from {len(_sources)} of {queue}")
