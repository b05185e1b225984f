"""How full the file systems of a host are: of its own disks, so that a file server that hangs keeps nobody waiting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from shlex import quote

from ops.checks import Host, Outcome, Result
from ops.checks.limits import number
from ops.checks.result import unknown

_WHAT = "disk"

# What a disk of one's own is formatted as. Many an overlay is a container's, and has no room but its host's.
_LOCAL = (
    "ext2|ext3|ext4|xfs|btrfs|zfs|f2fs|jfs|jffs2|ubifs|nilfs2|reiserfs|bcachefs|"
    "vfat|msdos|exfat|ntfs|ntfs3|fuseblk|tmpfs"
)
_CHOSEN = f"""
chosen() {{ case $2 in {_LOCAL}) ;; overlay) [ "$1" = / ] ;; *) false ;; esac; }}
"""
_NAMED = """
chosen() {{ case $1 in {}) ;; *) false ;; esac; }}
"""

# A place stands in /proc/mounts and /etc/fstab with a space as \040; printf %b reads that. One line a file system:
# type, what is mounted, where, whether it is read-only ("ro", and "turned" when fstab says otherwise), and its sizes.
_SCRIPT = r"""
for_writing() (
  while read -r source place type options rest; do
    if [ "$place" = "$1" ]; then case ,$options, in *,ro,*) exit 1 ;; *) exit 0 ;; esac; fi
  done < /etc/fstab
  exit 1
) 2>/dev/null
while read -r source escaped type options rest; do
  place=$(printf '%b.' "$escaped"); place=${place%.}
  chosen "$place" "$type" || continue
  case ,$options, in
    *,ro,*) mode=ro; for_writing "$escaped" && mode=turned ;;
    *) mode=rw ;;
  esac
  sizes=$(stat -f -c '%b %f %a %S %c %d' "$place" 2>&1) || sizes="- ${sizes##*: }"
  printf '%s\n' "disk $type $source $escaped $mode $sizes"
done < /proc/mounts && echo disks
"""
_SIZES = " ".join([r"(\d+)"] * 6)
_LINE = re.compile(rf"^disk (\S+) (\S+) (\S+) (rw|ro|turned) (?:{_SIZES}|- (.*))$", re.MULTILINE)


@dataclass(frozen=True)
class _Disk:
    """A file system that is mounted.

    Args:
        type: such as ``ext4``.
        source: what is mounted: a device, or a word of the kernel's.
        place: where.
        mode: ``rw``, ``ro``, or ``turned``: read-only although it is to be written.
        used: share that is used, of what users other than root can use.
        left: bytes that they can still write.
        inodes: share of the inodes that is used; 0 where there is no such limit.
        problem: why it could not be looked at; empty when it could.
    """

    type: str
    source: str
    place: str
    mode: str
    used: float = 0
    left: int = 0
    inodes: float = 0
    problem: str = ""


def script(check: Host) -> str:
    """Prints what ``results`` reads."""
    if not check.mounts:
        return _CHOSEN + _SCRIPT
    return _NAMED.format("|".join(quote(one) for one in _named(check))) + _SCRIPT


def results(check: Host, printed: str) -> Iterator[Result]:
    """Those that are not within the limit; when all are, the fullest.

    Args:
        check: with a limit.
        printed: by ``script``.
    """
    limit = check.disk or 0.0
    said = f"≤ {number(limit * 100)} %"
    if not re.search(r"^disks$", printed, re.MULTILINE):
        yield unknown("/proc/mounts could not be read", "Is it Linux?", what=_WHAT)
        return
    disks = _read(printed) if check.mounts else _own(_read(printed))
    bad = [one for disk in disks for one in _problems(disk, limit, said)]
    for place in _named(check):
        if all(disk.place != place for disk in disks):
            hint = f"On the host: findmnt --target {quote(place)}"
            bad.append(Result(Outcome.FAIL, f"nothing is mounted at {place}", "mounted", hint, _WHAT))
    yield from bad
    if disks and not bad:
        fullest = max(disks, key=lambda disk: max(disk.used, disk.inodes))
        yield Result(Outcome.PASS, _fullness(fullest), said, "", _WHAT)
    elif not disks and not bad:
        yield unknown("no file system was found", "Name them: mounts=[…]", what=_WHAT)


def _problems(disk: _Disk, limit: float, said: str) -> Iterator[Result]:
    place = quote(disk.place)
    if disk.problem:
        yield unknown(f"{disk.place} could not be looked at: {disk.problem}", f"On the host: df {place}", what=_WHAT)
    elif disk.mode == "turned":
        hint = f"On the host: dmesg | tail, then fsck it; mount -o remount,rw {place} only when it is sound"
        yield Result(Outcome.FAIL, f"{disk.place} can only be read, but /etc/fstab mounts it for writing",
                     "writable", hint, _WHAT)  # fmt: skip
    elif disk.used > limit:
        yield Result(Outcome.FAIL, _fullness(disk), said, f"On the host: du -xh {place} | sort -h | tail", _WHAT)
    elif disk.inodes > limit:
        yield Result(
            Outcome.FAIL, _fullness(disk), said, f"On the host: du -x --inodes {place} | sort -n | tail", _WHAT
        )


def _fullness(disk: _Disk) -> str:
    """Of what is scarcer: room or inodes."""
    if disk.inodes > disk.used:
        return f"{disk.place}: {number(disk.inodes * 100)} % of the inodes used"
    return f"{disk.place}: {number(disk.used * 100)} % full, {number(disk.left / 1e6)} MB left"


def _named(check: Host) -> list[str]:
    return [one.rstrip("/") or "/" for one in check.mounts]


def _read(printed: str) -> list[_Disk]:
    """By their places; of several at one place the last covers the others."""
    found = [_disk(*fields) for fields in _LINE.findall(printed)]
    return list({one.place: one for one in found}.values())


def _disk(type: str, source: str, escaped: str, mode: str, *sizes: str) -> _Disk:
    place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
    *numbers, problem = sizes
    if not numbers[0]:
        return _Disk(type, source, place, mode, problem=problem)
    blocks, free, usable, size, inodes, free_inodes = map(int, numbers)
    used = blocks - free
    return _Disk(
        type, source, place, mode, used / max(1, used + usable), usable * size,
        (inodes - free_inodes) / inodes if inodes else 0,
    )  # fmt: skip


def _own(disks: Iterable[_Disk]) -> list[_Disk]:
    """Those that are to be written, and each disk once, although it may be mounted at many places."""
    found: dict[str, _Disk] = {}
    for disk in disks:
        # What lies where the user who connects may not look is somebody else's, such as a container's memory.
        hidden = disk.type == "tmpfs" and disk.problem
        gone = disk.problem == "No such file or directory"
        if disk.mode == "ro" or hidden or gone:
            continue
        key = disk.source if disk.source.startswith("/") else disk.place
        if key not in found or disk.mode == "turned":
            found[key] = disk
    return list(found.values())
