//! The transaction that a connection is in, as far as it is known. No I/O.

use sqlx_core::Error;

use crate::data_api_error::{DataApiError, Executed};
use crate::kind::ErrorKind;

/// The transaction that a connection is in.
#[derive(Debug, Default)]
pub(crate) struct State {
    id: Option<String>,
    /// How many guards are alive: that of the transaction, and one for each savepoint in it.
    depth: usize,
    /// Whether the innermost of them has nothing at the service yet.
    is_beginning: bool,
    /// Where those that were dropped go back to, with the next use.
    goes_back_to: Option<usize>,
    /// Whether a statement in it was not answered, so that nobody knows what it holds.
    is_doubtful: bool,
}

impl State {
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn must_roll_back(&self) -> bool {
        self.goes_back_to.is_some()
    }

    /// The depth that is gone back to with the next use.
    pub(crate) fn goes_back_to(&self) -> Option<usize> {
        self.goes_back_to
    }

    pub(crate) fn went_back(&mut self) {
        self.goes_back_to = None;
    }

    /// The service has a transaction.
    pub(crate) fn has_begun(&mut self, id: Option<String>) {
        self.id = id;
    }

    /// The outermost transaction is left.
    pub(crate) fn abandon(&mut self) {
        self.depth = 0;
        self.goes_back_to = self.id.as_ref().map(|_| 0);
    }

    /// A guard is there, whatever comes of its beginning: it is taken back by
    /// [`leave`](Self::leave) alone.
    pub(crate) fn enter(&mut self) {
        self.depth += 1;
        self.is_beginning = true;
    }

    /// What the innermost guard stands for is there.
    pub(crate) fn has_entered(&mut self) {
        self.is_beginning = false;
    }

    /// It was committed or rolled back.
    pub(crate) fn exit(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// A guard was dropped, and no other than its own work may go with it.
    pub(crate) fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        let was_begun = !std::mem::take(&mut self.is_beginning);
        if self.id.is_some() && (was_begun || self.depth == 0) {
            let before = self.goes_back_to.unwrap_or(self.depth);
            self.goes_back_to = Some(before.min(self.depth));
        }
    }

    /// Nothing is open at the service any more.
    pub(crate) fn end(&mut self) {
        self.id = None;
        self.goes_back_to = None;
        self.is_doubtful = false;
    }

    /// Until a statement is answered, nobody knows what its transaction holds.
    pub(crate) fn asked(&mut self) {
        self.is_doubtful |= self.id.is_some();
    }

    pub(crate) fn answered<T>(&mut self, result: &Result<T, Error>) {
        let is_lost = |error: &Error| {
            DataApiError::of(error).is_some_and(|error| error.executed == Executed::Unknown)
        };
        self.is_doubtful = self.id.is_some() && result.as_ref().is_err_and(is_lost);
    }

    /// Nothing may build on a transaction that is not known.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (message, advice) = if self.is_doubtful {
            (
                "a statement of this transaction was not answered",
                "; roll it back, and run all of it again",
            )
        } else if self.depth > 0 && self.id.is_none() && !self.is_beginning {
            ("this transaction has ended", "; begin another")
        } else {
            return Ok(());
        };
        Err(DataApiError {
            name: "nothing".to_owned(),
            message: message.to_owned(),
            advice: advice.into(),
            kind: ErrorKind::Disconnected,
            executed: Executed::No,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_in_doubt_after_no_answer() {
        for (kind, executed, doubtful) in [
            (ErrorKind::Disconnected, Executed::Unknown, true),
            (ErrorKind::Unavailable, Executed::Unknown, true),
            (ErrorKind::Statement, Executed::Unknown, true),
            (ErrorKind::Statement, Executed::Yes, false),
            (ErrorKind::Disconnected, Executed::No, false),
        ] {
            let mut state = State {
                id: Some("id".to_owned()),
                depth: 1,
                ..State::default()
            };
            let error = DataApiError {
                name: "nothing".to_owned(),
                message: String::new(),
                advice: "".into(),
                kind,
                executed,
            };
            state.asked();
            assert!(state.check().is_err());
            state.answered(&Err::<(), _>(error.into()));
            assert_eq!(state.check().is_err(), doubtful, "{kind:?} {executed:?}");
        }
    }

    #[test]
    fn a_guard_takes_back_its_own_level_only() {
        let mut state = State::default();
        state.enter();
        state.has_begun(Some("id".to_owned()));
        state.has_entered();
        // A savepoint that was never begun.
        state.enter();
        state.leave();
        assert_eq!((state.depth(), state.goes_back_to()), (1, None));
        // Two that were, dropped from the inside out.
        for _ in 0..2 {
            state.enter();
            state.has_entered();
        }
        state.leave();
        state.leave();
        assert_eq!((state.depth(), state.goes_back_to()), (1, Some(1)));
        state.leave();
        assert_eq!((state.depth(), state.goes_back_to()), (0, Some(0)));
        state.end();
        // A transaction that the service did not give.
        state.enter();
        assert!(state.check().is_ok());
        state.leave();
        assert_eq!((state.depth(), state.goes_back_to()), (0, None));
    }
}
