//! Easter Sunday, by the computus of the western and of the eastern churches.

use chrono::{Days, NaiveDate};

/// Easter Sunday of the Gregorian calendar, by the anonymous algorithm that J. Meeus prints
/// (Astronomical Algorithms, chapter 8).
pub(super) fn western(year: i32) -> Option<NaiveDate> {
    let golden = year.rem_euclid(19);
    let (century, of_century) = (year.div_euclid(100), year.rem_euclid(100));
    let moon_shift = (century + 8).div_euclid(25);
    let moon_shift = (century - moon_shift + 1).div_euclid(3);
    let epact = (19 * golden + century - century.div_euclid(4) - moon_shift + 15).rem_euclid(30);
    let to_sunday = (32 + 2 * century.rem_euclid(4) + 2 * of_century.div_euclid(4)
        - epact
        - of_century.rem_euclid(4))
    .rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday).div_euclid(451);
    day_of_spring(year, epact + to_sunday - 7 * late + 114)
}

/// Easter Sunday of the eastern churches as a date of the Gregorian calendar, by Meeus' algorithm for
/// the Julian calendar (in the same chapter), whose dates stay behind by three days in four centuries.
pub(super) fn orthodox(year: i32) -> Option<NaiveDate> {
    let full_moon = (19 * year.rem_euclid(19) + 15).rem_euclid(30);
    let to_sunday =
        (2 * year.rem_euclid(4) + 4 * year.rem_euclid(7) - full_moon + 34).rem_euclid(7);
    let julian = day_of_spring(year, full_moon + to_sunday + 114)?;
    let behind = year.div_euclid(100) - year.div_euclid(400) - 2;
    julian.checked_add_days(Days::new(u64::try_from(behind).ok()?))
}

/// Both algorithms end in 31 times the month, and the day of it less one.
fn day_of_spring(year: i32, months_and_days: i32) -> Option<NaiveDate> {
    let month = u32::try_from(months_and_days / 31).ok()?;
    let day = u32::try_from(months_and_days % 31 + 1).ok()?;
    NaiveDate::from_ymd_opt(year, month, day)
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn easter_falls_as_the_almanac_says() {
        for text in [
            "1818-03-22",
            "1954-04-18",
            "2000-04-23",
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2038-04-25",
            "2285-03-22",
        ] {
            assert_eq!(western(date(text).year()), Some(date(text)));
        }
    }

    #[test]
    fn orthodox_easter_falls_as_the_patriarchate_says() {
        for text in [
            "1900-04-22",
            "2008-04-27",
            "2010-04-04",
            "2016-05-01",
            "2021-05-02",
            "2024-05-05",
            "2025-04-20",
            "2026-04-12",
            "2027-05-02",
            "2028-04-16",
            "2100-05-02",
        ] {
            assert_eq!(orthodox(date(text).year()), Some(date(text)));
        }
    }
}
