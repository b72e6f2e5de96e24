#!/usr/bin/env python3
"""Prints time_zones.txt: what Python's zoneinfo says of 40 zones at every change of their clocks.

Its data comes from the package `tzdata`, not from the machine, so that both sides read one version of the
tz database: `pip install tzdata==2026.6` holds 2026f. Run it anew when TZDB_VERSION in
engine/src/timing/zone.rs changes:

    PYTHONTZPATH= python3 time_zones.py >time_zones.txt
"""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import tzdata

YEARS = range(2018, 2033)
ZONES = """
Africa/Cairo Africa/Casablanca Africa/El_Aaiun Africa/Juba Africa/Khartoum Africa/Sao_Tome Africa/Windhoek
America/Asuncion America/Chihuahua America/Godthab America/Havana America/Los_Angeles America/Mexico_City
America/New_York America/Santiago America/Sao_Paulo America/Scoresbysund America/St_Johns America/Vancouver
America/Winnipeg Antarctica/Troll Asia/Almaty Asia/Amman Asia/Beirut Asia/Damascus Asia/Gaza Asia/Jerusalem
Asia/Kolkata Asia/Pyongyang Asia/Tehran Australia/Lord_Howe Australia/Sydney Europe/Berlin Europe/Chisinau
Europe/Dublin Europe/Volgograd Pacific/Auckland Pacific/Chatham Pacific/Fiji Pacific/Norfolk
""".split()
HOUR = timedelta(hours=1)


def offset(zone, at):
    return at.astimezone(zone).utcoffset()


def changes(zone):
    """Every instant from which the zone's offset is another one, to the second."""
    at = datetime(YEARS.start, 1, 1, tzinfo=timezone.utc)
    end = datetime(YEARS.stop, 1, 1, tzinfo=timezone.utc)
    while at < end:
        if offset(zone, at) != offset(zone, at + HOUR):
            first, last = at, at + HOUR
            while last - first > timedelta(seconds=1):
                middle = first + (last - first) // 2
                middle = middle.replace(microsecond=0)
                if offset(zone, middle) == offset(zone, at):
                    first = middle
                else:
                    last = middle
            yield last
        at += HOUR


def lines(name):
    zone = ZoneInfo(name)
    start = datetime(YEARS.start, 1, 1, tzinfo=timezone.utc)
    yield f"{name} {int(offset(zone, start).total_seconds())}"
    for at in changes(zone):
        before, after = offset(zone, at - timedelta(seconds=1)), offset(zone, at)
        # Halfway through what is skipped or told twice.
        local = (at + (before + after) / 2).replace(tzinfo=None, microsecond=0)
        first = local.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)
        exists = first.astimezone(zone).replace(tzinfo=None) == local
        due = first if exists else at
        yield f"{at:%Y-%m-%dT%H:%M:%S} {int(after.total_seconds())} {local:%Y-%m-%dT%H:%M:%S} {due:%Y-%m-%dT%H:%M:%S}"


print(f"# {len(ZONES)} zones at every change of their clocks from {YEARS.start} to {YEARS.stop - 1}, as Python's zoneinfo reads")
print(f"# tz database {tzdata.IANA_VERSION}; printed by time_zones.py.")
print("# A zone and its first offset in seconds; then for each change its instant, the offset from then on, a local")
print("# time in the midst of what it skips or repeats, and the instant that this means by our rule.")
for name in ZONES:
    for line in lines(name):
        print(line)
