//! Delays and windows against an oracle of another kind: a walk over UTC, minute by minute and by seconds at
//! its end, that knows nothing of offsets, gaps and folds but what the clock on the wall shows.

use std::collections::HashMap;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday,
};
use proptest::prelude::*;

use super::{Absence, Calendar, Closed, DaysOff, Delay, LocalTime, Opening, Window, Zone};

/// Zones that change by a whole hour or less, at midnight, around Ramadan, never, or by a whole day.
const ZONES: [&str; 16] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
];

const HOUR: TimeDelta = TimeDelta::hours(1);
const MINUTE: TimeDelta = TimeDelta::minutes(1);
const SECOND: TimeDelta = TimeDelta::seconds(1);

/// The first instant at which the clock on the wall shows `local` or later, found by walking towards it.
fn first_showing(local: NaiveDateTime, zone: &Zone) -> DateTime<Utc> {
    // No zone is further from UTC than 14 hours, and none skips more than a day.
    let mut at = local.and_utc() - TimeDelta::hours(15);
    while zone.wall(at) < local {
        at += MINUTE;
    }
    while zone.wall(at - SECOND) >= local {
        at -= SECOND;
    }
    at
}

/// What the definitions of the rules say, word by word.
struct Oracle<'a> {
    zone: &'a Zone,
    window: &'a Window,
    days_off: &'a DaysOff,
    absences: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    spans: HashMap<NaiveDate, (DateTime<Utc>, DateTime<Utc>)>,
}

impl<'a> Oracle<'a> {
    fn new(zone: &'a Zone, window: &'a Window, off: &'a Off) -> Self {
        let midnight = |date: NaiveDate| first_showing(date.and_time(NaiveTime::MIN), zone);
        let absences = off.absences.iter().map(|absence| match absence {
            Absence::Dates { first, last } => (midnight(*first), midnight(*last + Days::new(1))),
            Absence::Instants { from, until } => (*from, *until),
        });
        let absences = absences.collect();
        Self { zone, window, days_off: &off.days_off, absences, spans: HashMap::new() }
    }

    /// When the window that begins on `date` opens and closes, be it a day for it or not.
    fn span(&mut self, date: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let (zone, window) = (self.zone, self.window);
        *self.spans.entry(date).or_insert_with(|| {
            let overnight = window.to < window.from;
            let end = if overnight { date + Days::new(1) } else { date };
            let shown = |time: LocalTime, date| first_showing(time.on(date), zone);
            (shown(window.from, date), shown(window.to, end))
        })
    }

    fn absent(&self, at: DateTime<Utc>) -> bool {
        self.absences.iter().any(|(from, until)| *from <= at && at < *until)
    }

    /// Why nothing may happen on a day whatever the hour; `None` where something may.
    fn off(&self, date: NaiveDate) -> Option<Closed> {
        if let Some(name) = self.window.holidays.iter().find_map(|known| known.contains(date)) {
            return Some(Closed::Holiday(name));
        }
        self.days_off.contains(date).then_some(Closed::OwnDayOff)
    }

    /// The day to whose window an instant belongs.
    fn inside(&mut self, at: DateTime<Utc>) -> Option<NaiveDate> {
        let today = self.zone.wall(at).date();
        [today - Days::new(1), today, today + Days::new(1)].into_iter().find(|date| {
            let (opens_at, closes_at) = self.span(*date);
            self.window.days.contains(&date.weekday())
                && self.off(*date).is_none()
                && opens_at <= at
                && at < closes_at
        })
    }

    fn is_open(&mut self, at: DateTime<Utc>) -> Option<NaiveDate> {
        self.inside(at).filter(|_| !self.absent(at))
    }

    /// Minutes on which something may change; the generators know no other.
    fn next_minute(at: DateTime<Utc>) -> DateTime<Utc> {
        let into = at.timestamp().rem_euclid(60);
        at + TimeDelta::seconds(60 - into)
    }

    fn opening(&mut self, now: DateTime<Utc>) -> Opening {
        let mut at = now;
        let day = loop {
            match self.is_open(at) {
                Some(day) => break day,
                None => at = Self::next_minute(at),
            }
        };
        if at > now {
            return Opening::Opens { at, closed_by: self.closed_by(now, at) };
        }
        while self.is_open(at) == Some(day) {
            at = Self::next_minute(at);
        }
        Opening::Open { closes_at: at }
    }

    /// Why the last stretch before `at` that the window's days and hours would have opened was closed.
    fn closed_by(&mut self, now: DateTime<Utc>, at: DateTime<Utc>) -> Closed {
        let (first, last) = (self.zone.wall(now).date(), self.zone.wall(at).date());
        let dates = (first - Days::new(1)).iter_days().take_while(|date| *date <= last);
        let mut closed_by = Closed::Window;
        for date in dates.filter(|date| self.window.days.contains(&date.weekday())) {
            let (opens_at, closes_at) = self.span(date);
            if opens_at < closes_at && closes_at > now && opens_at < at {
                closed_by = self.off(date).unwrap_or(Closed::Absence);
            }
        }
        closed_by
    }

    /// Whether there is a minute on a day at which something may happen.
    fn works(&mut self, date: NaiveDate) -> bool {
        let (opens_at, closes_at) = self.span(date);
        if !self.window.days.contains(&date.weekday()) || self.off(date).is_some() {
            return false;
        }
        let mut minutes = std::iter::successors(Some(opens_at), |at| Some(Self::next_minute(*at)));
        minutes.by_ref().take_while(|at| *at < closes_at).any(|at| !self.absent(at))
    }

    /// The day on which the so-manieth business day falls: those days alone count that a clock shows.
    fn business_day(&mut self, from: DateTime<Utc>, count: u32) -> NaiveDate {
        let mut date = self.zone.wall(from).date();
        let (mut at, mut passed) = (from, 0);
        loop {
            at += TimeDelta::minutes(10);
            let shown = self.zone.wall(at).date();
            if shown > date {
                date = shown;
                passed += u32::from(self.works(date));
                if passed == count {
                    return date;
                }
            }
        }
    }

    fn due(
        &mut self,
        delay: &Delay,
        from: DateTime<Utc>,
        date: Option<NaiveDate>,
    ) -> DateTime<Utc> {
        let wall = self.zone.wall(from);
        let due = match delay {
            Delay::Elapsed(length) => from + TimeDelta::from_std(*length).expect("a short while"),
            Delay::Days(count) => first_showing(wall + Days::new(u64::from(*count)), self.zone),
            Delay::BusinessDays(count) => {
                let date = self.business_day(from, *count);
                first_showing(date.and_time(wall.time()), self.zone)
            }
            Delay::Next { weekday, at } => {
                let mut dates = wall.date().iter_days().filter(|date| date.weekday() == *weekday);
                let shown = dates.by_ref().map(|date| first_showing(at.on(date), self.zone));
                shown.into_iter().find(|due| *due > from).expect("a day of some week")
            }
            Delay::Date { offset_days, at, .. } => match date {
                Some(date) => {
                    let date = date + TimeDelta::days(i64::from(*offset_days));
                    first_showing(at.on(date), self.zone)
                }
                None => from,
            },
        };
        due.max(from)
    }
}

/// Days off as they are handed in, and as the oracle reads them.
#[derive(Debug, Clone)]
struct Off {
    days_off: DaysOff,
    absences: Vec<Absence>,
}

/// The last whole hour before each change of a zone's clocks in a stretch of hours.
fn changes(zone: &Zone, from: DateTime<Utc>, hours: usize) -> impl Iterator<Item = DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| zone.wall(at).signed_duration_since(at.naive_utc());
    let all = std::iter::successors(Some(from), |at| Some(*at + HOUR)).take(hours);
    all.filter(move |at| offset(*at) != offset(*at + HOUR))
}

/// Steps of a quarter of an hour through what is skipped and shown twice, and through what is beside it.
#[test]
fn a_day_later_than_the_day_before_a_change_of_the_clocks_is_where_a_slow_walk_arrives() {
    let start: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().expect("an instant");
    let (always, off) = (always(), Off { days_off: DaysOff::NONE, absences: Vec::new() });
    let mut walked = 0;
    for name in ZONES {
        let zone = Zone::parse(name).expect("a zone");
        for change in changes(&zone, start, 24 * 365 * 3) {
            for quarter in -2..=9 {
                let from = change - TimeDelta::days(1) + MINUTE * 15 * quarter;
                let due = Delay::Days(1).due(from, &zone, None, None);
                let expected = Oracle::new(&zone, &always, &off).due(&Delay::Days(1), from, None);
                assert_eq!(due, expected, "from {}", zone.local(from));
                walked += 1;
            }
        }
    }
    assert!(walked > 800, "{walked}");
}

fn always() -> Window {
    let days = (0_u8..7).map(|day| Weekday::try_from(day).expect("a day")).collect();
    let time = |text| LocalTime::parse(text).expect("a time of day");
    Window::new(days, time("00:00"), time("24:00"), Vec::new()).expect("a window")
}

/// Seconds before a change of the clocks: any, or whole days, so that what is some days later may be skipped
/// or shown twice.
fn before_a_change() -> impl Strategy<Value = i64> {
    let days = (1_i64..5, -4_000_i64..8_000).prop_map(|(days, off)| days * 86_400 - off);
    prop_oneof![0_i64..300_000, days]
}

/// An instant of the years 2010 to 2036, mostly shortly before a change of the zone's clocks.
fn moments() -> impl Strategy<Value = (Zone, DateTime<Utc>)> {
    let seconds = 1_262_304_000_i64..2_082_758_400;
    let before = prop::option::weighted(0.75, before_a_change());
    (prop::sample::select(ZONES.to_vec()), seconds, before).prop_map(|(name, second, before)| {
        let zone = Zone::parse(name).expect("a zone");
        let at = DateTime::from_timestamp(second, 0).expect("an instant");
        let change = before.and_then(|_| changes(&zone, at, 24 * 366).next());
        let from = change.zip(before).map(|(at, before)| at + HOUR - TimeDelta::seconds(before));
        (zone, from.unwrap_or(at))
    })
}

fn times() -> impl Strategy<Value = LocalTime> {
    (0_u32..96).prop_map(|quarter| {
        let text = format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
        LocalTime::parse(&text).expect("a time of day")
    })
}

fn weekdays() -> impl Strategy<Value = Weekday> {
    (0_u8..7).prop_map(|day| Weekday::try_from(day).expect("a day"))
}

/// Windows of a day, and as many that cross midnight.
fn windows() -> impl Strategy<Value = Window> {
    let calendars = prop::sample::subsequence(vec!["US", "GB", "AT", "JP", "SG", "IL"], 0..=3);
    (prop::collection::vec(weekdays(), 2..7), times(), times(), calendars).prop_filter_map(
        "a window of no length",
        |(days, from, to, names)| {
            let known = names.into_iter().map(|name| Calendar::parse(name).expect("a country"));
            Window::new(days, from, to, known.collect()).ok()
        },
    )
}

/// What is off within two weeks from an instant, as days and minutes after it.
fn offs() -> impl Strategy<Value = (Vec<u64>, Vec<(bool, u64, u64)>)> {
    let dates = prop::collection::vec(0_u64..8, 0..3);
    (dates, prop::collection::vec((any::<bool>(), 0_u64..10_000, 0_u64..5_000), 0..3))
}

fn off(
    (dates, absences): (Vec<u64>, Vec<(bool, u64, u64)>),
    now: DateTime<Utc>,
    zone: &Zone,
) -> Off {
    let today = zone.wall(now).date();
    let minute = |minutes: u64| {
        let whole = now - TimeDelta::seconds(now.timestamp().rem_euclid(60));
        whole + TimeDelta::minutes(i64::try_from(minutes).expect("few")) - TimeDelta::days(1)
    };
    let absences: Vec<Absence> = absences
        .into_iter()
        .map(|(whole_days, after, length)| match whole_days {
            true => {
                let first = today + Days::new(after / 1440);
                Absence::Dates { first, last: first + Days::new(length / 1440) }
            }
            false => Absence::Instants { from: minute(after), until: minute(after + length) },
        })
        .collect();
    let dates = dates.into_iter().map(|ahead| today + Days::new(ahead));
    Off { days_off: DaysOff::new(dates, absences.clone()), absences }
}

fn delays() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (1_u64..600_000).prop_map(|length| Delay::Elapsed(std::time::Duration::from_secs(length))),
        (1_u32..6).prop_map(Delay::Days),
        (1_u32..8).prop_map(Delay::BusinessDays),
        (1_u32..8).prop_map(Delay::BusinessDays),
        (weekdays(), times()).prop_map(|(weekday, at)| Delay::Next { weekday, at }),
        (-9_i32..9, times()).prop_map(|(offset_days, at)| {
            Delay::Date { path: "contact.renewal_on".into(), offset_days, at }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_delay_is_due_when_a_slow_walk_arrives(
        (zone, from) in moments(), window in windows(), delay in delays(), chosen in offs(),
        date in prop::option::of(0_u64..9)
    ) {
        let off = off(chosen, from, &zone);
        let date = date.map(|ahead| zone.wall(from).date() + Days::new(ahead));
        let due = delay.due_around(&off.days_off, from, &zone, Some(&window), date);
        let walked = Oracle::new(&zone, &window, &off).due(&delay, from, date);
        prop_assert_eq!(due, walked, "{} from {}", delay, zone.local(from));
    }

    #[test]
    fn a_window_opens_and_closes_when_a_slow_walk_finds_it_so(
        (zone, now) in moments(), window in windows(), chosen in offs()
    ) {
        let off = off(chosen, now, &zone);
        let opening = window.opening(now, &zone, &off.days_off);
        let walked = Oracle::new(&zone, &window, &off).opening(now);
        prop_assert_eq!(opening, walked, "at {}", zone.local(now));
        let closures = window.closures(now, &zone, &off.days_off);
        match opening {
            Opening::Open { .. } => prop_assert!(closures.is_empty()),
            Opening::Opens { at, closed_by } => {
                prop_assert!(closures.iter().all(|closure| closure.until > now));
                let last = closures.last().expect("what is closed has a reason");
                prop_assert!(last.until == at || last.rule == closed_by);
                prop_assert!(closures.iter().any(|closure| closure.rule == closed_by));
            }
        }
    }
}
