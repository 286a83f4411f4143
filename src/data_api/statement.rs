//! Statements that are run more than once; the service prepares nothing, so that they are text.

use std::marker::PhantomData;

use either::Either;
use sqlx_core::Error;
use sqlx_core::column::ColumnIndex;
use sqlx_core::impl_statement_query;
use sqlx_core::sql_str::SqlStr;
use sqlx_core::statement::Statement;

use super::{DataApi, DataApiArguments, DataApiColumn, DataApiEngine, DataApiTypeInfo};

/// A statement, whose columns are not known before it was run.
#[derive(Clone, Debug)]
pub struct DataApiStatement<E> {
    sql: SqlStr,
    parameters: usize,
    engine: PhantomData<E>,
}

impl<E> DataApiStatement<E> {
    pub(crate) fn new(sql: SqlStr, parameters: usize) -> Self {
        Self {
            sql,
            parameters,
            engine: PhantomData,
        }
    }
}

impl<E: DataApiEngine> Statement for DataApiStatement<E> {
    type Database = DataApi<E>;

    fn into_sql(self) -> SqlStr {
        self.sql
    }

    fn sql(&self) -> &SqlStr {
        &self.sql
    }

    fn parameters(&self) -> Option<Either<&[DataApiTypeInfo], usize>> {
        Some(Either::Right(self.parameters))
    }

    fn columns(&self) -> &[DataApiColumn<E>] {
        &[]
    }

    impl_statement_query!(DataApiArguments<E>);
}

impl<E: DataApiEngine> ColumnIndex<DataApiStatement<E>> for usize {
    fn index(&self, _: &DataApiStatement<E>) -> Result<usize, Error> {
        Err(Error::ColumnIndexOutOfBounds {
            index: *self,
            len: 0,
        })
    }
}

impl<E: DataApiEngine> ColumnIndex<DataApiStatement<E>> for str {
    fn index(&self, _: &DataApiStatement<E>) -> Result<usize, Error> {
        Err(Error::ColumnNotFound(self.to_owned()))
    }
}
