//! Rows and their columns.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use aws_sdk_rdsdata::operation::execute_statement::ExecuteStatementOutput;
use aws_sdk_rdsdata::types::{ColumnMetadata, Field};
use sqlx_core::Error;
use sqlx_core::column::{Column, ColumnIndex, ColumnOrigin, TableColumn};
use sqlx_core::row::Row;

use super::{DataApi, DataApiEngine, DataApiTypeInfo, DataApiValueRef, limits};

/// A column of a result.
#[derive(Clone, Debug)]
pub struct DataApiColumn<E> {
    ordinal: usize,
    /// The label, which the service may leave out.
    name: Option<String>,
    type_info: DataApiTypeInfo,
    table: Option<String>,
    name_in_table: Option<String>,
    engine: PhantomData<E>,
}

impl<E> DataApiColumn<E> {
    /// Takes what was sent: a copy for each column is much of what a small result costs.
    fn new(ordinal: usize, column: ColumnMetadata) -> Self {
        Self {
            ordinal,
            name: column.label.filter(|label| !label.is_empty()),
            type_info: DataApiTypeInfo::of_column(column.type_name),
            table: column.table_name.filter(|table| !table.is_empty()),
            name_in_table: column.name,
            engine: PhantomData,
        }
    }

    fn label(&self) -> &str {
        let name = self.name.as_ref().or(self.name_in_table.as_ref());
        name.map_or("", String::as_str)
    }
}

impl<E: DataApiEngine> Column for DataApiColumn<E> {
    type Database = DataApi<E>;

    fn ordinal(&self) -> usize {
        self.ordinal
    }

    fn name(&self) -> &str {
        self.label()
    }

    fn type_info(&self) -> &DataApiTypeInfo {
        &self.type_info
    }

    fn origin(&self) -> ColumnOrigin {
        match (&self.table, &self.name_in_table) {
            (Some(table), Some(name)) => ColumnOrigin::Table(TableColumn {
                table: table.as_str().into(),
                name: name.as_str().into(),
            }),
            _ => ColumnOrigin::Unknown,
        }
    }
}

/// The columns that the rows of one result share.
#[derive(Debug)]
pub(crate) struct Columns<E> {
    list: Vec<DataApiColumn<E>>,
    /// Only where there are many.
    by_name: HashMap<String, usize>,
}

/// So many names are looked through in less time than one is hashed.
const FEW: usize = 16;

impl<E> Columns<E> {
    pub(crate) fn of(metadata: Vec<ColumnMetadata>) -> Self {
        let columns = metadata.into_iter().enumerate();
        let list: Vec<_> = columns
            .map(|(ordinal, column)| DataApiColumn::new(ordinal, column))
            .collect();
        let mut by_name = HashMap::new();
        if list.len() > FEW {
            let names = list.iter().map(|column| column.label().to_owned());
            by_name.extend(names.zip(0..));
        }
        Self { list, by_name }
    }

    /// Of columns with one label the last counts, as in sqlx's own drivers.
    fn position(&self, name: &str) -> Option<usize> {
        if self.list.len() > FEW {
            return self.by_name.get(name).copied();
        }
        self.list.iter().rposition(|column| column.label() == name)
    }
}

/// A row of a result.
pub struct DataApiRow<E> {
    columns: Arc<Columns<E>>,
    fields: Vec<Field>,
}

impl<E> DataApiRow<E> {
    pub(crate) fn new(columns: &Arc<Columns<E>>, fields: Vec<Field>) -> Self {
        Self {
            columns: Arc::clone(columns),
            fields,
        }
    }

    /// Its part of a result's size.
    pub(crate) fn size(&self) -> usize {
        limits::row_size(&self.fields)
    }
}

/// The one number that a statement returned.
pub(crate) fn first_field(answer: ExecuteStatementOutput) -> Option<i64> {
    match answer.records?.first()?.first()? {
        Field::LongValue(number) => Some(*number),
        Field::BooleanValue(boolean) => Some(i64::from(*boolean)),
        Field::StringValue(text) => text.parse().ok(),
        _ => None,
    }
}

impl<E: DataApiEngine> Row for DataApiRow<E> {
    type Database = DataApi<E>;

    fn columns(&self) -> &[DataApiColumn<E>] {
        &self.columns.list
    }

    fn try_get_raw<I>(&self, index: I) -> Result<DataApiValueRef<'_, E>, Error>
    where
        I: ColumnIndex<Self>,
    {
        let index = index.index(self)?;
        // A service that sends fewer fields than columns.
        let field = self
            .fields
            .get(index)
            .ok_or(Error::ColumnIndexOutOfBounds {
                index,
                len: self.fields.len(),
            })?;
        Ok(DataApiValueRef::new(
            field,
            &self.columns.list[index].type_info,
        ))
    }
}

impl<E: DataApiEngine> ColumnIndex<DataApiRow<E>> for usize {
    fn index(&self, row: &DataApiRow<E>) -> Result<usize, Error> {
        let len = row.columns.list.len();
        if *self < len {
            Ok(*self)
        } else {
            Err(Error::ColumnIndexOutOfBounds { len, index: *self })
        }
    }
}

impl<E: DataApiEngine> ColumnIndex<DataApiRow<E>> for str {
    fn index(&self, row: &DataApiRow<E>) -> Result<usize, Error> {
        let found = row.columns.position(self);
        found.ok_or_else(|| Error::ColumnNotFound(self.to_owned()))
    }
}

/// Types and names; values may be anybody's.
impl<E> fmt::Debug for DataApiRow<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.list.iter();
        let typed = columns.map(|column| (column.label(), &column.type_info));
        f.debug_map().entries(typed).finish()
    }
}
