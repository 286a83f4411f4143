//! What MySQL's catalog says of a result's columns.

use std::collections::HashMap;

use sqlx::mysql::{MySqlColumn, MySqlRow};
use sqlx::{Column as _, MySqlConnection, Row as _};

use crate::data_api::outcome::Column;

/// A column of a table, as far as the protocol does not tell it.
struct Known {
    /// Of what is sent as text.
    type_name: Option<&'static str>,
    is_nullable: bool,
    is_auto_increment: bool,
    precision: i32,
    scale: i32,
    is_case_sensitive: bool,
}

/// Completes columns of tables; of others nothing is known but their types.
pub(super) async fn complete(
    connection: &mut MySqlConnection,
    columns: &[MySqlColumn],
    described: &mut [Column],
) -> Result<(), sqlx::Error> {
    let mut tables = HashMap::new();
    for (column, described) in columns.iter().zip(described) {
        let origin = column.origin();
        // sqlx writes the schema before the table.
        let Some((schema, table)) = origin
            .table_column()
            .and_then(|origin| origin.table.split_once('.'))
        else {
            continue;
        };
        let place = (schema.to_owned(), table.to_owned());
        let known = match tables.get(&place) {
            Some(known) => known,
            None => {
                let known = columns_of(connection, schema, table).await?;
                tables.entry(place).or_insert(known)
            }
        };
        if let Some(known) = known.get(&described.name) {
            known.complete(described);
        }
    }
    Ok(())
}

/// What is known of a table's columns, by their names.
async fn columns_of(
    connection: &mut MySqlConnection,
    schema: &str,
    table: &str,
) -> Result<HashMap<String, Known>, sqlx::Error> {
    // MariaDB's JSON is a text with a check; MySQL has a type for it, and not this column.
    let json = sqlx::query_scalar(
        "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS
         WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?
           AND CHECK_CLAUSE = CONCAT('json_valid(`', CONSTRAINT_NAME, '`)')",
    );
    let json = json.bind(schema).bind(table).fetch_all(&mut *connection);
    let json: Vec<String> = json.await.unwrap_or_default();
    let rows = sqlx::query(
        "SELECT COLUMN_NAME,
                CAST(DATA_TYPE AS CHAR),
                CAST(IS_NULLABLE = 'YES' AS SIGNED),
                CAST(EXTRA LIKE '%auto_increment%' AS SIGNED),
                CAST(COALESCE(NUMERIC_PRECISION, CHARACTER_MAXIMUM_LENGTH, 0) AS SIGNED),
                CAST(COALESCE(NUMERIC_SCALE, DATETIME_PRECISION, 0) AS SIGNED),
                CAST(COALESCE(COLLATION_NAME NOT LIKE '%\\_ci', 0) AS SIGNED)
         FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?",
    );
    let rows = rows.bind(schema).bind(table).fetch_all(connection).await?;
    let known = rows.iter().map(|row| {
        let name: String = row.try_get(0)?;
        let known = Known::read(row, json.contains(&name))?;
        Ok((name, known))
    });
    known.collect()
}

impl Known {
    fn read(row: &MySqlRow, is_json: bool) -> Result<Self, sqlx::Error> {
        let is = |at| row.try_get::<i64, _>(at).map(|number| number != 0);
        // Longer texts than the largest are as long as it.
        let size = |at| {
            let size = row.try_get::<i64, _>(at);
            size.map(|size| i32::try_from(size).unwrap_or(i32::MAX))
        };
        let kind: String = row.try_get(1)?;
        Ok(Self {
            type_name: match kind.as_str() {
                _ if is_json => Some("JSON"),
                "enum" => Some("ENUM"),
                "set" => Some("SET"),
                _ => None,
            },
            is_nullable: is(2)?,
            is_auto_increment: is(3)?,
            precision: size(4)?,
            scale: size(5)?,
            is_case_sensitive: is(6)?,
        })
    }

    fn complete(&self, column: &mut Column) {
        if let Some(name) = self.type_name {
            name.clone_into(&mut column.type_name);
        }
        column.nullable = u8::from(self.is_nullable);
        column.is_auto_increment = self.is_auto_increment;
        column.precision = self.precision;
        column.scale = self.scale;
        column.is_case_sensitive = self.is_case_sensitive;
    }
}
