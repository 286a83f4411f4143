//! Dates and times of the crate `time`.

use sqlx_core::error::BoxDynError;
use sqlx_core::types::time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{Dialect, Names, as_text, year};

type Format = &'static [BorrowedFormatItem<'static>];

const DATE: Format = format_description!("[year]-[month]-[day]");
const WRITE_TIME: Format = format_description!("[hour]:[minute]:[second].[subsecond digits:6]");
const READ_TIME: Format = format_description!("[hour]:[minute]:[second][optional [.[subsecond]]]");
const WRITE: Format =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
const READ: Format =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]]");

as_text!(
    Date,
    Names::new(&["date"], &["DATE"]),
    |date, dialect| year::write(date.format(DATE)?, dialect),
    |text| Ok(Date::parse(&year::read(text), DATE)?)
);
as_text!(
    Time,
    Names::new(&["time"], &["TIME"]),
    |time, _| Ok(time.format(WRITE_TIME)?),
    |text| Ok(Time::parse(text, READ_TIME)?)
);
as_text!(
    PrimitiveDateTime,
    Names::new(&["timestamp"], &["DATETIME"]),
    |at, dialect| year::write(at.format(WRITE)?, dialect),
    date_time
);
as_text!(
    OffsetDateTime,
    Names::new(&["timestamptz"], &["TIMESTAMP", "DATETIME"]),
    moment,
    |text| Ok(date_time(text)?.assume_utc())
);

fn date_time(text: &str) -> Result<PrimitiveDateTime, BoxDynError> {
    Ok(PrimitiveDateTime::parse(&year::read(text), READ)?)
}

/// `timestamptz` comes as a time of UTC without saying so; PostgreSQL is told the offset, and MySQL,
/// whose session has to be in UTC, the time there.
fn moment(at: &OffsetDateTime, dialect: Dialect) -> Result<String, BoxDynError> {
    let at = at.to_offset(UtcOffset::UTC).format(WRITE)?;
    let at = match dialect {
        Dialect::Postgres => at + "+00",
        Dialect::MySql => at,
    };
    year::write(at, dialect)
}
