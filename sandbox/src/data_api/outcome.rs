//! What a statement has led to, as the Data API tells it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::exception::Exception;
use super::field::Field;
use super::request::Wish;

/// How a statement ended.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// `None` for a statement that returns no rows, as opposed to none this time.
    pub(super) columns: Option<Vec<Column>>,
    pub(super) rows: Vec<Vec<Field>>,
    pub(super) updated: u64,
    pub(super) generated: Vec<Field>,
}

/// A column as JDBC describes it.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) type_code: i32,
    pub(super) type_name: String,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) is_auto_increment: bool,
    pub(super) is_signed: bool,
    pub(super) is_case_sensitive: bool,
    /// 0 for no, 1 for yes, 2 for unknown.
    pub(super) nullable: u8,
    pub(super) precision: i32,
    pub(super) scale: i32,
    pub(super) array_base: i32,
}

/// How large a result may be, counted as it was measured.
pub(super) const LARGEST: usize = 1_048_576;

/// The same for a result as JSON.
const LARGEST_JSON: usize = 10 * LARGEST;

impl Outcome {
    /// The size that the limit goes by.
    fn size(&self) -> usize {
        let row =
            |fields: &Vec<Field>| 2 + fields.iter().map(|field| 4 + field.size()).sum::<usize>();
        self.rows.iter().map(row).sum()
    }

    /// The answer to `ExecuteStatement`.
    pub(super) fn answer(self, wish: Wish) -> Result<Value, Exception> {
        let Some(columns) = &self.columns else {
            let generated: Vec<Value> = self.generated.iter().map(Field::union).collect();
            return Ok(json!({
                "numberOfRecordsUpdated": self.updated,
                "generatedFields": generated,
            }));
        };
        if self.size() > if wish.json { LARGEST_JSON } else { LARGEST } {
            return Err(Exception::oversize());
        }
        if wish.json {
            let records = self.formatted(columns)?;
            return Ok(json!({
                "numberOfRecordsUpdated": self.updated,
                "formattedRecords": records,
            }));
        }
        let records: Vec<Vec<Value>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(Field::union).collect())
            .collect();
        let mut answer = json!({
            "numberOfRecordsUpdated": self.updated,
            "records": records,
        });
        if wish.metadata {
            answer["columnMetadata"] = columns.iter().map(Column::describe).collect();
        }
        Ok(answer)
    }

    /// Records as a text of JSON.
    fn formatted(&self, columns: &[Column]) -> Result<String, Exception> {
        let mut labels = HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !labels.insert(&column.label)) {
            return Err(Exception::unsupported(format!(
                "The result contains the column name {} more than once",
                twice.label
            )));
        }
        let records: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let labelled = columns.iter().zip(row);
                let members: Map<String, Value> = labelled
                    .map(|(column, field)| (column.label.clone(), field.plain()))
                    .collect();
                Value::Object(members)
            })
            .collect();
        Ok(Value::Array(records).to_string())
    }
}

impl Column {
    fn describe(&self) -> Value {
        json!({
            "name": self.name,
            "label": self.label,
            "type": self.type_code,
            "typeName": self.type_name,
            "schemaName": self.schema,
            "tableName": self.table,
            "isAutoIncrement": self.is_auto_increment,
            "isSigned": self.is_signed,
            "isCurrency": false,
            "isCaseSensitive": self.is_case_sensitive,
            "nullable": self.nullable,
            "precision": self.precision,
            "scale": self.scale,
            "arrayBaseColumnType": self.array_base,
        })
    }
}

/// An integer, as text where that is wished for.
pub(super) fn long(value: i64, wish: Wish) -> Field {
    match wish.longs_as_text {
        true => Field::String(value.to_string()),
        false => Field::Long(value),
    }
}

/// A decimal number from its text.
pub(super) fn decimal(text: String, wish: Wish) -> Field {
    if !wish.decimals_as_numbers {
        return Field::String(text);
    }
    let whole = text.parse().map(Field::Long).ok();
    whole
        .or_else(|| text.parse().map(Field::Double).ok())
        .unwrap_or(Field::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: usize, text: &str) -> Outcome {
        Outcome {
            columns: Some(vec![Column::default()]),
            rows: vec![vec![Field::String(text.into())]; rows],
            ..Outcome::default()
        }
    }

    #[test]
    fn the_limit_is_where_it_was_measured() {
        let uuid = "00000000-0000-0000-0000-000000000000";
        let wish = Wish::default();
        assert!(of(24_800, uuid).answer(wish).is_ok());
        let refused = of(25_000, uuid).answer(wish);
        assert_eq!(refused, Err(Exception::oversize()));
    }

    #[test]
    fn decimals_become_numbers_on_demand() {
        let wish = Wish {
            decimals_as_numbers: true,
            ..Wish::default()
        };
        assert_eq!(
            decimal("19.90".into(), Wish::default()),
            Field::String("19.90".into())
        );
        assert_eq!(decimal("19.90".into(), wish), Field::Double(19.9));
        assert_eq!(decimal("19".into(), wish), Field::Long(19));
    }
}
