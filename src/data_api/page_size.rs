//! How many rows of a large result are asked for at once.

use sqlx_core::Error;

use super::limits::LARGEST_RESULT;
use super::{DataApiEngine, DataApiRow};
use crate::data_api_error::DataApiError;

/// A page that is too large ends its transaction, so the first one is small.
const FIRST: usize = 100;

/// By how much the rows of the next page may be more: later rows may be wider.
const GROWTH: usize = 4;

/// The rows of the next page, by the widest row of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSize {
    rows: usize,
    most: usize,
    widest: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self {
            rows: FIRST,
            most: usize::MAX,
            widest: 1,
        }
    }
}

impl PageSize {
    pub(super) fn at_most(mut self, rows: usize) -> Self {
        self.most = rows.max(1);
        self.rows = self.rows.min(self.most);
        self
    }

    pub(super) fn rows(self) -> usize {
        self.rows
    }

    /// After a page: half of what is allowed, if no row is wider than those of late.
    pub(super) fn note<'r, E: DataApiEngine>(
        &mut self,
        rows: impl Iterator<Item = &'r DataApiRow<E>>,
    ) {
        self.note_sizes(rows.map(DataApiRow::size));
    }

    fn note_sizes(&mut self, sizes: impl Iterator<Item = usize>) {
        // Halved, since one wide row does not make all others wide.
        self.widest = sizes.fold(self.widest.div_ceil(2), usize::max);
        let fitting = LARGEST_RESULT / 2 / self.widest;
        let grown = self.rows.saturating_mul(GROWTH).min(self.most);
        self.rows = fitting.clamp(1, grown);
    }

    /// After a page that was too large; `false` where it was one row.
    pub(super) fn shrink(&mut self) -> bool {
        let was = self.rows;
        self.rows = was.div_ceil(8);
        was > 1
    }

    /// Says what to do about a page that was too large and cannot be asked for again.
    pub(super) fn explain(self, error: Error) -> Error {
        let Some(found) = DataApiError::of(&error).filter(|found| found.is_oversize()) else {
            return error;
        };
        let rows = self.rows;
        let advice = match rows {
            1 => "; one row alone is above 1 MiB: select less of it, or use a connection".into(),
            _ => format!(
                "; a page of {rows} rows was too large, and has ended its transaction: read from \
                 the start, with {} rows in a page at most",
                rows.div_ceil(8)
            ),
        };
        let advice = advice.into();
        DataApiError {
            advice,
            ..found.clone()
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_as_rows_allow() {
        let mut page = PageSize::default();
        let mut seen = Vec::new();
        for widest in [10, 10, 300, 10, 600_000, 10, 10, 10] {
            page.note_sizes([2, widest].into_iter());
            seen.push(page.rows());
        }
        assert_eq!(seen, [400, 1_600, 1_747, 3_495, 1, 1, 3, 6]);
        let mut page = PageSize::default().at_most(150);
        assert_eq!(page.rows(), 100);
        page.note_sizes([10].into_iter());
        assert_eq!(page.rows(), 150);
    }

    #[test]
    fn pages_shrink_to_one_row() {
        let mut page = PageSize::default();
        let mut seen = Vec::new();
        while page.shrink() {
            seen.push(page.rows());
        }
        assert_eq!(seen, [13, 2, 1]);
        assert_eq!(PageSize::default().at_most(0).rows(), 1);
    }
}
