//! Values of MySQL, from its binary protocol to what the Data API makes of them.

use sqlx::mysql::{MySqlColumn, MySqlRow};
use sqlx::{Column as _, MySql, Row as _, TypeInfo as _};

use crate::data_api::exception::Exception;
use crate::data_api::field::Field;
use crate::data_api::outcome::{Column, decimal, long};
use crate::data_api::request::Wish;

/// How the server has sent a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Statements that cannot be prepared.
    Text,
    Binary,
}

pub(super) fn fields(
    row: &MySqlRow,
    protocol: Protocol,
    wish: Wish,
) -> Result<Vec<Field>, Exception> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(at, column)| {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(at).ok().flatten();
            let kind = name(column);
            match bytes {
                None => Ok(Field::Null),
                Some(bytes) => field(&bytes, kind, protocol, wish),
            }
        })
        .collect()
}

/// A type's name. Text whose collation compares bytes has the flag by which sqlx tells bytes.
fn name(column: &MySqlColumn) -> &str {
    let of = column.type_info();
    match of.name() {
        name if !<str as sqlx::Type<MySql>>::compatible(of) => name,
        "BINARY" => "CHAR",
        "VARBINARY" => "VARCHAR",
        "TINYBLOB" => "TINYTEXT",
        "BLOB" => "TEXT",
        "MEDIUMBLOB" => "MEDIUMTEXT",
        "LONGBLOB" => "LONGTEXT",
        name => name,
    }
}

pub(super) fn check(column: &MySqlColumn) -> Result<(), Exception> {
    match column.type_info().name() {
        "GEOMETRY" => Err(Exception::unsupported(
            "The result contains the unsupported data type GEOMETRY.",
        )),
        _ => Ok(()),
    }
}

fn field(bytes: &[u8], kind: &str, protocol: Protocol, wish: Wish) -> Result<Field, Exception> {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let is_text = protocol == Protocol::Text;
    Ok(match kind {
        "BOOLEAN" if is_text => Field::Boolean(bytes != b"0"),
        "BOOLEAN" | "BIT" => Field::Boolean(bytes.iter().any(|byte| *byte != 0)),
        "YEAR" if is_text => Field::String(format!("{}-01-01", text())),
        "YEAR" => Field::String(format!("{:04}-01-01", unsigned(bytes))),
        kind if kind.ends_with("UNSIGNED") => {
            let value = match is_text {
                true => text().parse().unwrap_or_default(),
                false => unsigned(bytes),
            };
            match i64::try_from(value) {
                Ok(value) => long(value, wish),
                Err(_) if wish.longs_as_text => Field::String(value.to_string()),
                Err(_) => Field::Unsigned(value),
            }
        }
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            let value = match is_text {
                true => text().parse().unwrap_or_default(),
                false => signed(bytes),
            };
            long(value, wish)
        }
        "FLOAT" if is_text => Field::Double(text().parse::<f32>().map_or(0.0, f64::from)),
        "DOUBLE" if is_text => Field::Double(text().parse().unwrap_or_default()),
        "FLOAT" => {
            let value = bytes.first_chunk().copied().map(f32::from_le_bytes);
            Field::Double(value.map_or(0.0, f64::from))
        }
        "DOUBLE" => {
            let value = bytes.first_chunk().copied().map(f64::from_le_bytes);
            Field::Double(value.unwrap_or_default())
        }
        "DECIMAL" => decimal(text(), wish),
        "DATE" | "DATETIME" | "TIMESTAMP" if !is_text => Field::String(moment(bytes, kind)),
        "TIME" if !is_text => Field::String(time(bytes)),
        kind if kind.ends_with("BLOB") || kind.ends_with("BINARY") => Field::Blob(bytes.to_vec()),
        _ => Field::String(text()),
    })
}

fn unsigned(bytes: &[u8]) -> u64 {
    let shifted = bytes.iter().rev();
    shifted.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    // The sign is that of the value's own width.
    (unsigned(bytes) << (unused & 63)) as i64 >> (unused & 63)
}

/// A date, with its time where it is not a `DATE`. The first byte tells the length.
fn moment(bytes: &[u8], kind: &str) -> String {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let year = unsigned(bytes.get(1..3).unwrap_or_default());
    let date = format!("{year:04}-{:02}-{:02}", byte(3), byte(4));
    if kind == "DATE" {
        return date;
    }
    let micros = unsigned(bytes.get(8..12).unwrap_or_default());
    let (hour, minute, second) = (byte(5), byte(6), byte(7));
    format!(
        "{date} {hour:02}:{minute:02}:{second:02}{}",
        fraction(micros)
    )
}

/// A time of the day, or a span of up to 838 hours in either direction.
fn time(bytes: &[u8]) -> String {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let sign = if byte(1) == 1 { "-" } else { "" };
    let days = unsigned(bytes.get(2..6).unwrap_or_default());
    let hours = days * 24 + u64::from(byte(6));
    let micros = unsigned(bytes.get(9..13).unwrap_or_default());
    format!(
        "{sign}{hours:02}:{:02}:{:02}{}",
        byte(7),
        byte(8),
        fraction(micros)
    )
}

/// The binary protocol does not tell how many digits the column has.
fn fraction(micros: u64) -> String {
    match micros {
        0 => String::new(),
        micros if micros % 1000 == 0 => format!(".{:03}", micros / 1000),
        micros => format!(".{micros:06}"),
    }
}

/// A column as JDBC describes it, as far as sqlx knows it.
pub(super) fn describe(column: &MySqlColumn) -> Column {
    let name = name(column);
    let origin = column.origin();
    let origin = origin.table_column();
    Column {
        name: origin
            .map_or(column.name(), |origin| &origin.name)
            .to_owned(),
        label: column.name().to_owned(),
        type_code: code(name),
        type_name: if name == "BOOLEAN" { "BIT" } else { name }.to_owned(),
        // sqlx writes the schema before it, which the service leaves out.
        table: origin
            .and_then(|origin| origin.table.rsplit('.').next())
            .unwrap_or_default()
            .to_owned(),
        is_signed: matches!(
            name,
            "TINYINT"
                | "SMALLINT"
                | "MEDIUMINT"
                | "INT"
                | "BIGINT"
                | "FLOAT"
                | "DOUBLE"
                | "DECIMAL"
        ),
        nullable: 2,
        ..Column::default()
    }
}

/// A type's number in JDBC.
fn code(name: &str) -> i32 {
    match name {
        "BOOLEAN" | "BIT" => -7,
        "TINYINT" | "TINYINT UNSIGNED" => -6,
        "SMALLINT" | "SMALLINT UNSIGNED" => 5,
        "MEDIUMINT" | "MEDIUMINT UNSIGNED" | "INT" | "INT UNSIGNED" => 4,
        "BIGINT" | "BIGINT UNSIGNED" => -5,
        "FLOAT" => 7,
        "DOUBLE" => 8,
        "DECIMAL" => 3,
        "CHAR" | "ENUM" | "SET" => 1,
        "VARCHAR" => 12,
        "DATE" | "YEAR" => 91,
        "TIME" => 92,
        "DATETIME" | "TIMESTAMP" => 93,
        "BINARY" => -2,
        "VARBINARY" => -3,
        name if name.ends_with("BLOB") => -4,
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_keep_their_sign() {
        assert_eq!(signed(&[0xff]), -1);
        assert_eq!(signed(&[0xfe, 0xff, 0xff, 0xff]), -2);
        assert_eq!(signed(&i64::MIN.to_le_bytes()), i64::MIN);
        assert_eq!(unsigned(&u64::MAX.to_le_bytes()), u64::MAX);
    }

    #[test]
    fn times_are_written_out() {
        let day = [4, 0xe4, 7, 1, 2];
        assert_eq!(moment(&day, "DATE"), "2020-01-02");
        assert_eq!(moment(&day, "DATETIME"), "2020-01-02 00:00:00");
        let micros = [11, 0xe4, 7, 1, 2, 3, 4, 5, 0x40, 0xe2, 1, 0];
        assert_eq!(moment(&micros, "TIMESTAMP"), "2020-01-02 03:04:05.123456");
        assert_eq!(time(&[8, 1, 1, 0, 0, 0, 2, 3, 4]), "-26:03:04");
        assert_eq!(time(&[0]), "00:00:00");
    }
}
