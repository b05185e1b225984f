"""Scripts that count, on a host, the lines of a log that match: grep says which, awk since when.

Every source prints two lines for each line of the log since a time: when it was written, in seconds, and the line
itself. So a pattern is held against the line alone, anchors and all, and the time of the last that matches is known.

They print, one a line: ``now`` the host's time, ``count`` how many, ``last`` when the last was written, and what was in
the way: ``absent`` and ``closed`` a file, ``untimed`` one without times, ``unit`` the state in which systemd has loaded
one, ``broken`` a program that failed, ``begins`` the time of the oldest line that there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

REFUSED, NO_JOURNAL = 67, 68
"""Exit codes: grep does not take the pattern; there is no journalctl."""

_BEGIN = f"""
LC_ALL=C; export LC_ALL
for each in awk date grep gzip head sed stat tail tr; do
  command -v "$each" >/dev/null || {{ echo "there is no $each" >&2; exit 1; }}
done
echo | grep -E -e "$pattern" >/dev/null; [ $? -le 1 ] || exit {REFUSED}
now=$(date +%s) || exit; since=$((now - seconds)); echo "now $now"
exec 3>&1
"""

# Of the pairs, grep prints by their numbers the line that matches and the one before it.
_COUNT = r""" | { grep -nE -B 1 -e "$pattern"; [ $? -le 1 ] || echo "broken grep" >&3; } | awk '
{
  at = match($0, /[-:]/)
  if (substr($0, 1, at - 1) % 2) time = substr($0, at + 1)
  else if (substr($0, at, 1) == ":") { count++; last = time }
}
END { print "last", last + 0; print "count", count + 0 }'
"""

# -a, because a line with a colour in it is a "blob" without it. Lines after the first of a message are indented.
_JOURNAL = (
    f"command -v journalctl >/dev/null || exit {NO_JOURNAL}"
    + r"""
echo "unit $(systemctl show -p LoadState -- "$unit" 2>&1 | sed 's/^LoadState=//')"
journalctl --no-pager -q -o short-unix 2>/dev/null | { read -r begins rest; echo "begins ${begins%%.*}"; }
{
  journalctl --no-pager -a -o short-unix --since="@$since" -u "$unit" || echo "broken journalctl" >&3
} | tr -d '\000' | { awk '
/^[0-9]+[.][0-9]+ / {
  time = int($1); width = index($0, ": ") + 1
  print time; print substr($0, width + 1); next
}
/^ / && time { print time; print substr($0, width + 1) }' || echo "broken awk" >&3; }"""
)

# mawk knows no {n}, and not every awk a mktime. A time without a zone is in the host's, as that was at the beginning.
_TIMES = r"""
stamped() {
  awk -v since="$since" -v now="$now" -v here="$here" -v year="$year" "$@" '
function days(y, m, d) {
  if (m < 3) { y--; m += 12 }
  return 365 * y + int(y / 4) - int(y / 100) + int(y / 400) + int((153 * (m - 3) + 2) / 5) + d - 719469
}
function east(text, otherwise,  z) {
  sub(/^[.,][0-9]+/, "", text)
  if (text ~ /^Z|^ ?(UTC|GMT)/) return 0
  if (!match(text, /^ ?[-+][0-9][0-9]:?[0-9][0-9]/)) return otherwise
  z = substr(text, 1, RLENGTH); gsub(/[ :]/, "", z)
  return (substr(z, 1, 1) == "-" ? -60 : 60) * (substr(z, 2, 2) * 60 + substr(z, 4, 2))
}
function seconds(y, m, d, clock, rest) {
  return days(y + 0, m + 0, d + 0) * 86400 + substr(clock, 1, 2) * 3600 + substr(clock, 4, 2) * 60 \
    + substr(clock, 7, 2) - east(rest, local)
}
function month(name,  m) {
  m = (index("JanFebMarAprMayJunJulAugSepOctNovDec", name) + 2) / 3
  return m == int(m) ? m : 0
}
function iso(text) {
  if (text !~ /^[0-9][0-9][0-9][0-9][-\/][0-9][0-9][-\/][0-9][0-9][T ][0-9][0-9]:[0-9][0-9]/) return ""
  if (substr(text, 17) !~ /^:[0-9][0-9]/) text = substr(text, 1, 16) ":00" substr(text, 17)
  return seconds(substr(text, 1, 4), substr(text, 6, 2), substr(text, 9, 2), substr(text, 12, 8), substr(text, 20))
}
function syslog(text,  m, t) {
  if (text !~ /^[A-Z][a-z][a-z] [ 0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]/) return ""
  if (!(m = month(substr(text, 1, 3)))) return ""
  t = seconds(year, m, substr(text, 5, 2), substr(text, 8, 8), "")
  return t > now + 86400 ? seconds(year - 1, m, substr(text, 5, 2), substr(text, 8, 8), "") : t
}
function web(text,  t) {
  if (!match(text, /\[[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9] /)) return ""
  t = substr(text, RSTART + 1)
  return seconds(substr(t, 8, 4), month(substr(t, 4, 3)), substr(t, 1, 2), substr(t, 13, 8), substr(t, 21))
}
function json(text,  t) {
  if (!match(text, /"(@?timestamp|time|ts|date|datetime|asctime)" *: *"?[0-9]/)) return ""
  t = substr(text, RSTART + RLENGTH - 1)
  if (substr(text, RSTART + RLENGTH - 2, 1) == "\"") return iso(t)
  return t + 0 > 100000000000 ? int(t / 1000) : int(t + 0)
}
function written(text,  t) {
  sub(/^\033\[[0-9;]*m/, "", text); sub(/^[[(<"]/, "", text)
  if ((t = iso(text)) != "" || (t = syslog(text)) != "") return t
  return substr(text, 1, 1) == "{" ? json(text) : web(text)
}
function show(text) { if (last >= since) { printf "%.0f\n", last; print text } }
BEGIN { local = 0; local = east(here, 0) }
{
  t = written($0)
  if (t == "" && last == "") { early[++n] = $0; if (n < 1000) next; exit }
  if (t != "") last = t
  if (only) { printf "%.0f\n", last; exit }
  for (i = 1; i <= n; i++) show(early[i])
  n = 0; show($0)
}
END { if (n) exit 3 }'
}
"""

# Of a large file only the end is read, as soon as that begins before the time in question. What is left there of the
# line that was cut is one without a time.
_FILES = (
    'here=$(date -d "@$since" +%z 2>/dev/null || date +%z) year=$(date +%Y)\n'
    + _TIMES
    + r"""
lines() {
  case $1 in *.gz) gzip -dc "$1"; return ;; esac
  size=$(stat -c %s "$1"); part=4194304
  while [ "$part" -lt "$size" ]; do
    first=$(tail -c "$part" "$1" | head -n 1000 | tr -d '\000' | stamped -v only=1)
    [ "${first:-$since}" -ge "$since" ] || break
    part=$((part * 8))
  done
  if [ "$part" -lt "$size" ]; then tail -c "$part" "$1"; else cat "$1"; fi
}
for file do
  there=
  for each in "$file"[.-][0-9]* "${file%.*}__"[0-9]* "$file"; do
    [ -e "$each" ] || continue
    there=1
    if [ ! -f "$each" ] || [ ! -r "$each" ]; then echo "closed $each" >&3; continue; fi
    [ "$(stat -c %Y "$each")" -ge "$since" ] || continue
    { lines "$each" || echo "closed $each" >&3; } | tr -d '\000' | stamped
    case $? in 0) ;; 3) echo "untimed $each" >&3 ;; *) echo "broken awk" >&3 ;; esac
  done
  [ -n "$there" ] || echo "absent $file" >&3
done"""
)


def journal(pattern: str, seconds: float, unit: str) -> str:
    """For the journal of a unit of systemd's.

    Args:
        pattern: as ``grep -E`` takes it.
        seconds: for how long lines count.
        unit: its name.
    """
    return f"unit={quote(unit)}\n{_begin(pattern, seconds)}{_JOURNAL}{_COUNT}"


def files(pattern: str, seconds: float, paths: Iterable[str]) -> str:
    """For files, and what was rotated away from them since; see ``journal``."""
    return f"set -- {' '.join(map(quote, paths))}\n{_begin(pattern, seconds)}{_FILES}{_COUNT}"


def _begin(pattern: str, seconds: float) -> str:
    return f"pattern={quote(pattern)}; seconds={int(seconds)}{_BEGIN}"
