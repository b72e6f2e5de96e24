//! Equinoxes and solstices, for the countries whose holidays they are.

use chrono::{DateTime, FixedOffset, NaiveDate, TimeDelta, Utc};

/// The beginning of a season.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Season {
    MarchEquinox,
    JuneSolstice,
    SeptemberEquinox,
    DecemberSolstice,
}

/// The Julian day of 2000-01-01 12:00, from which the tables below count.
const EPOCH: f64 = 2_451_545.0;
/// The Julian day of 1970-01-01 00:00.
const UNIX_EPOCH: f64 = 2_440_587.5;
/// How far the earth's uneven clock lay behind the even one about 2026, by the IERS; it changes by a
/// few seconds in a decade, and no date hangs on that.
const CLOCK_SECONDS: f64 = 69.0;

impl Season {
    /// The date on which it begins where clocks differ from UTC by `offset`.
    pub(super) fn date_in(self, year: i32, offset: FixedOffset) -> Option<NaiveDate> {
        Some(self.begins_at(year)?.with_timezone(&offset).date_naive())
    }

    /// The instant, within two minutes from 1900 to 2100, by Meeus, Astronomical Algorithms, chapter 27.
    fn begins_at(self, year: i32) -> Option<DateTime<Utc>> {
        let millennia = (f64::from(year) - 2000.0) / 1000.0;
        let mean = self.mean().iter().rev().fold(0.0, |sum, factor| sum * millennia + factor);
        let centuries = (mean - EPOCH) / 36_525.0;
        let angle = (35_999.373 * centuries - 2.47).to_radians();
        let speed = 1.0 + 0.0334 * angle.cos() + 0.0007 * (2.0 * angle).cos();
        let periodic = |(size, start, turn): &(f64, f64, f64)| {
            size * (start + turn * centuries).to_radians().cos()
        };
        let day = mean + 0.000_01 * PERIODIC.iter().map(periodic).sum::<f64>() / speed;
        let seconds = (day - UNIX_EPOCH) * 86_400.0 - CLOCK_SECONDS;
        #[expect(clippy::cast_possible_truncation, reason = "a century has few milliseconds")]
        let since = TimeDelta::try_milliseconds((seconds * 1000.0) as i64)?;
        DateTime::UNIX_EPOCH.checked_add_signed(since)
    }

    /// The mean instant as a polynomial of the millennia since 2000 (table 27.B).
    fn mean(self) -> [f64; 5] {
        match self {
            Self::MarchEquinox => {
                [2_451_623.809_84, 365_242.374_04, 0.051_69, -0.004_11, -0.000_57]
            }
            Self::JuneSolstice => [2_451_716.567_67, 365_241.626_03, 0.003_25, 0.008_88, -0.000_30],
            Self::SeptemberEquinox => {
                [2_451_810.217_15, 365_242.017_67, -0.115_75, 0.003_37, 0.000_78]
            }
            Self::DecemberSolstice => {
                [2_451_900.059_52, 365_242.740_49, -0.062_23, -0.008_23, 0.000_32]
            }
        }
    }
}

/// By how much the planets move the mean instant: size, angle in 2000, degrees in a century (table 27.C).
const PERIODIC: [(f64, f64, f64); 24] = [
    (485.0, 324.96, 1_934.136),
    (203.0, 337.23, 32_964.467),
    (199.0, 342.08, 20.186),
    (182.0, 27.85, 445_267.112),
    (156.0, 73.14, 45_036.886),
    (136.0, 171.52, 22_518.443),
    (77.0, 222.54, 65_928.934),
    (74.0, 296.72, 3_034.906),
    (70.0, 243.58, 9_037.513),
    (58.0, 119.81, 33_718.147),
    (52.0, 297.17, 150.678),
    (50.0, 21.02, 2_281.226),
    (45.0, 247.54, 29_929.562),
    (44.0, 325.15, 31_555.956),
    (29.0, 60.93, 4_443.417),
    (18.0, 155.12, 67_555.328),
    (17.0, 288.79, 4_562.452),
    (16.0, 198.04, 62_894.029),
    (14.0, 199.76, 31_436.921),
    (12.0, 95.39, 14_577.848),
    (12.0, 287.11, 31_931.756),
    (12.0, 320.81, 34_777.259),
    (9.0, 227.73, 1_222.114),
    (8.0, 15.45, 16_859.074),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// As the U.S. Naval Observatory publishes them (Earth's seasons).
    #[test]
    fn seasons_begin_when_the_almanac_says() {
        for (season, published) in [
            (Season::MarchEquinox, "2025-03-20T09:01:00Z"),
            (Season::JuneSolstice, "2025-06-21T02:42:00Z"),
            (Season::SeptemberEquinox, "2025-09-22T18:19:00Z"),
            (Season::DecemberSolstice, "2025-12-21T15:03:00Z"),
            (Season::MarchEquinox, "2026-03-20T14:46:00Z"),
            (Season::JuneSolstice, "2026-06-21T08:25:00Z"),
            (Season::SeptemberEquinox, "2026-09-23T00:05:00Z"),
            (Season::DecemberSolstice, "2026-12-21T20:50:00Z"),
        ] {
            let published: DateTime<Utc> = published.parse().expect("an instant");
            let year = published.format("%Y").to_string().parse().expect("a year");
            let computed = season.begins_at(year).expect("an instant");
            let apart = (computed - published).abs();
            assert!(apart <= TimeDelta::minutes(2), "{season:?} {year}: {computed}");
        }
    }

    /// As Japan's National Astronomical Observatory announces them.
    #[test]
    fn equinoxes_fall_on_japans_dates() {
        let japan = FixedOffset::east_opt(9 * 3600).expect("an offset");
        for (year, spring, autumn) in [
            (2022, "2022-03-21", "2022-09-23"),
            (2023, "2023-03-21", "2023-09-23"),
            (2024, "2024-03-20", "2024-09-22"),
            (2025, "2025-03-20", "2025-09-23"),
            (2026, "2026-03-20", "2026-09-23"),
            (2027, "2027-03-21", "2027-09-23"),
        ] {
            let date = |season: Season| season.date_in(year, japan).map(|date| date.to_string());
            assert_eq!(date(Season::MarchEquinox).as_deref(), Some(spring));
            assert_eq!(date(Season::SeptemberEquinox).as_deref(), Some(autumn));
        }
    }
}
