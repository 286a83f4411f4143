//! What a statement changed.

/// What a statement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataApiQueryResult {
    rows_affected: u64,
    last_insert_id: u64,
}

impl DataApiQueryResult {
    pub(crate) fn new(rows_affected: u64, last_insert_id: u64) -> Self {
        Self {
            rows_affected,
            last_insert_id,
        }
    }

    /// How many rows were changed, or on PostgreSQL returned.
    #[must_use]
    pub fn rows_affected(&self) -> u64 {
        self.rows_affected
    }

    /// MySQL's `LAST_INSERT_ID()`; 0 on PostgreSQL, where `RETURNING` tells more.
    #[must_use]
    pub fn last_insert_id(&self) -> u64 {
        self.last_insert_id
    }
}

impl Extend<DataApiQueryResult> for DataApiQueryResult {
    fn extend<T: IntoIterator<Item = DataApiQueryResult>>(&mut self, results: T) {
        for result in results {
            self.rows_affected += result.rows_affected;
            self.last_insert_id = result.last_insert_id;
        }
    }
}
