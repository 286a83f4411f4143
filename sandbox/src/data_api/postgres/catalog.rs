//! What PostgreSQL's catalog says of a result's columns.

use std::collections::{BTreeSet, HashMap};

use super::wire::{Described, Wire, WireError};
use crate::data_api::outcome::Column;

/// A type as far as its values need it known.
#[derive(Clone, Debug, Default)]
pub(super) struct Type {
    pub(super) name: String,
    pub(super) is_enum: bool,
    pub(super) is_range: bool,
    /// Of an array.
    pub(super) element: Option<Box<Type>>,
}

/// The types of columns, in their order.
pub(super) async fn types(wire: &mut Wire, columns: &[Described]) -> Result<Vec<Type>, WireError> {
    let ids: BTreeSet<u32> = columns.iter().map(|column| column.type_id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT t.oid, t.typname, t.typtype, e.typname, e.typtype
         FROM pg_catalog.pg_type t
         LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
         WHERE t.oid IN ({})",
        ids.join(",")
    );
    let answer = wire.query(&sql).await?;
    let mut known = HashMap::new();
    for row in answer.rows {
        let [Some(id), Some(name), Some(kind), element, element_kind] = row.as_slice() else {
            continue;
        };
        let of = |name: &str, kind: &str| Type {
            name: name.to_owned(),
            is_enum: kind == "e",
            is_range: kind == "r",
            element: None,
        };
        let mut known_type = of(name, kind);
        if let (Some(element), Some(kind)) = (element, element_kind) {
            known_type.element = Some(Box::new(of(element, kind)));
        }
        known.insert(id.parse().unwrap_or(0), known_type);
    }
    let type_of = |column: &Described| known.get(&column.type_id).cloned().unwrap_or_default();
    Ok(columns.iter().map(type_of).collect())
}

/// The columns as JDBC describes them.
pub(super) async fn describe(
    wire: &mut Wire,
    described: &[Described],
    types: &[Type],
) -> Result<Vec<Column>, WireError> {
    let tables: BTreeSet<u32> = described.iter().map(|column| column.table).collect();
    let tables: Vec<String> = tables.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT a.attrelid, a.attnum, a.attname, a.attnotnull, c.relname, n.nspname,
                a.attidentity <> '' OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%',
                a.attidentity = '' AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'
         FROM pg_catalog.pg_attribute a
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attnum > 0 AND a.attrelid IN ({})",
        tables.join(",")
    );
    let answer = wire.query(&sql).await?;
    let columns = described.iter().zip(types).map(|(described, of)| {
        let Described {
            name,
            table,
            attribute,
            modifier,
            ..
        } = described;
        let (table, attribute) = (table.to_string(), attribute.to_string());
        let row = answer.rows.iter().find(|row| {
            row.first() == Some(&Some(table.clone()))
                && row.get(1) == Some(&Some(attribute.clone()))
        });
        let text = |at: usize| row.and_then(|row| row.get(at)?.clone()).unwrap_or_default();
        let nullable = match (row, text(3) == "t") {
            (None, _) => 2,
            (_, true) => 0,
            (_, false) => 1,
        };
        let (precision, scale) = size(&of.name, *modifier);
        let scalar = of.element.as_deref().unwrap_or(of);
        Column {
            name: name.clone(),
            label: name.clone(),
            type_code: if of.element.is_some() {
                2003
            } else {
                code(&of.name)
            },
            type_name: declared(&of.name, text(7) == "t"),
            schema: text(5),
            table: text(4),
            is_auto_increment: text(6) == "t",
            is_signed: matches!(
                of.name.as_str(),
                "int2" | "int4" | "int8" | "float4" | "float8" | "numeric"
            ),
            is_case_sensitive: !is_caseless(&of.name),
            nullable,
            precision,
            scale,
            array_base: of.element.as_ref().map_or(0, |_| code(&scalar.name)),
        }
    });
    Ok(columns.collect())
}

/// The name as it was declared: `serial` where a sequence fills the column.
fn declared(name: &str, is_serial: bool) -> String {
    match name {
        "int2" if is_serial => "smallserial",
        "int4" if is_serial => "serial",
        "int8" if is_serial => "bigserial",
        name => name,
    }
    .to_owned()
}

/// A type's number in JDBC.
fn code(name: &str) -> i32 {
    match name {
        "bool" => -7,
        "int2" => 5,
        "int4" => 4,
        "int8" | "oid" => -5,
        "float4" => 7,
        "float8" => 8,
        "numeric" => 2,
        "bpchar" => 1,
        "text" | "varchar" | "name" => 12,
        "bytea" => -2,
        "date" => 91,
        "time" => 92,
        "timestamp" | "timestamptz" => 93,
        _ => 1111,
    }
}

fn is_caseless(name: &str) -> bool {
    matches!(
        name,
        "bool"
            | "int2"
            | "int4"
            | "int8"
            | "oid"
            | "float4"
            | "float8"
            | "numeric"
            | "date"
            | "time"
            | "timestamp"
            | "timestamptz"
    )
}

/// Precision and scale.
fn size(name: &str, modifier: i32) -> (i32, i32) {
    // Lengths count four bytes of a header that is not there.
    let given = modifier - 4;
    match name {
        "bool" => (1, 0),
        "int2" => (5, 0),
        "int4" | "oid" => (10, 0),
        "int8" => (19, 0),
        "float4" => (8, 8),
        "float8" => (17, 17),
        "numeric" if given >= 0 => (given >> 16, given & 0xffff),
        "numeric" => (0, 0),
        "varchar" | "bpchar" if given >= 0 => (given, 0),
        "date" => (13, 0),
        "time" => (15, 6),
        "timestamp" => (29, 6),
        "timestamptz" => (35, 6),
        _ => (i32::MAX, 0),
    }
}
