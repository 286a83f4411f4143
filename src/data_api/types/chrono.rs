//! chrono's dates and times.
//!
//! `timestamptz` comes as a time of UTC without saying so; PostgreSQL is told the offset, and MySQL,
//! whose session has to be in UTC, the time there.

use sqlx_core::error::BoxDynError;
use sqlx_core::types::chrono::{
    DateTime, FixedOffset, Local, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc,
};

use super::{Dialect, Names, as_text, year};

const DATE_TIME: Names = Names::new(&["timestamp"], &["DATETIME"]);
const MOMENT: Names = Names::new(&["timestamptz"], &["TIMESTAMP", "DATETIME"]);

as_text!(
    NaiveDate,
    Names::new(&["date"], &["DATE"]),
    |date, dialect| year::write(date.format("%Y-%m-%d").to_string(), dialect),
    |text| Ok(NaiveDate::parse_from_str(&year::read(text), "%Y-%m-%d")?)
);
as_text!(
    NaiveTime,
    Names::new(&["time"], &["TIME"]),
    |time, _| Ok(time.format("%H:%M:%S%.6f").to_string()),
    |text| Ok(NaiveTime::parse_from_str(text, "%H:%M:%S%.f")?)
);
as_text!(
    NaiveDateTime,
    DATE_TIME,
    |at, dialect| year::write(at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(), dialect),
    date_time
);
as_text!(DateTime<Utc>, MOMENT, moment, |text| Ok(
    date_time(text)?.and_utc()
));
as_text!(DateTime<Local>, MOMENT, moment, |text| Ok(
    Local.from_utc_datetime(&date_time(text)?)
));
as_text!(DateTime<FixedOffset>, MOMENT, moment, |text| Ok(date_time(
    text
)?
.and_utc()
.fixed_offset()));

fn date_time(text: &str) -> Result<NaiveDateTime, BoxDynError> {
    let text = year::read(text);
    Ok(NaiveDateTime::parse_from_str(
        &text,
        "%Y-%m-%d %H:%M:%S%.f",
    )?)
}

fn moment<Z: TimeZone>(at: &DateTime<Z>, dialect: Dialect) -> Result<String, BoxDynError> {
    let at = at.naive_utc();
    let offset = match dialect {
        Dialect::Postgres => "+00",
        Dialect::MySql => "",
    };
    let at = format!("{}{offset}", at.format("%Y-%m-%d %H:%M:%S%.6f"));
    year::write(at, dialect)
}
