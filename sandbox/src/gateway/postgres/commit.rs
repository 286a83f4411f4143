use std::collections::HashSet;

use crate::gateway::commit::{Front, MAX_COMMIT, is_one_of};

use super::frame::{self, split_string};

/// Knows a COMMIT among a client's messages: a `Query`, or the `Execute` of what was prepared.
#[derive(Default)]
pub(in crate::gateway) struct CommitMessages {
    /// Names of statements that commit.
    prepared: HashSet<Vec<u8>>,
    /// Names of portals of such statements.
    bound: HashSet<Vec<u8>>,
}

impl CommitMessages {
    /// What the first message of a buffer is; `None` as long as too little of it is there.
    pub(in crate::gateway) fn front(&mut self, buffer: &[u8]) -> Option<Front> {
        let length = frame::length(buffer)?;
        let kind = buffer[0];
        let is_commit = match kind {
            frame::QUERY if length > MAX_COMMIT => false,
            frame::QUERY | frame::PARSE | frame::BIND | frame::EXECUTE => {
                // The names of a statement or portal come first, and those of long ones matter.
                let head = buffer.get(frame::HEADER..length.min(MAX_COMMIT))?;
                self.commits(kind, head) && length <= MAX_COMMIT
            }
            _ => false,
        };
        Some(Front { length, is_commit })
    }

    fn commits(&mut self, kind: u8, body: &[u8]) -> bool {
        let Some((first, rest)) = split_string(body) else {
            return false;
        };
        let second = split_string(rest).map(|(second, _)| second);
        match kind {
            frame::QUERY => return is_commit(first),
            frame::EXECUTE => return self.bound.contains(first),
            frame::PARSE => note(&mut self.prepared, first, second.is_some_and(is_commit)),
            _ => {
                let commits = second.is_some_and(|name| self.prepared.contains(name));
                note(&mut self.bound, first, commits);
            }
        }
        false
    }
}

/// A name may have stood for something else before.
fn note(names: &mut HashSet<Vec<u8>>, name: &[u8], commits: bool) {
    if commits {
        names.insert(name.to_vec());
    } else {
        names.remove(name);
    }
}

fn is_commit(sql: &[u8]) -> bool {
    is_one_of(sql, COMMITS)
}

const COMMITS: &[&str] = &[
    "COMMIT",
    "COMMIT WORK",
    "COMMIT TRANSACTION",
    "END",
    "END WORK",
    "END TRANSACTION",
];

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn commits(messages: &mut CommitMessages, kind: u8, body: &[u8]) -> bool {
        let mut message = BytesMut::new();
        frame::put(&mut message, kind, &[body]);
        let front = messages.front(&message).unwrap();
        assert_eq!(front.length, message.len());
        front.is_commit
    }

    #[test]
    fn the_words_of_a_query_tell() {
        let mut messages = CommitMessages::default();
        for sql in ["COMMIT", "end;", "\tCommit Work ;; ", "END TRANSACTION"] {
            let body = format!("{sql}\0");
            assert!(
                commits(&mut messages, frame::QUERY, body.as_bytes()),
                "{sql}"
            );
        }
        for sql in [
            "",
            ";",
            "ROLLBACK",
            "COMMIT; BEGIN",
            "COMMIT AND CHAIN",
            "ENDS",
        ] {
            let body = format!("{sql}\0");
            assert!(
                !commits(&mut messages, frame::QUERY, body.as_bytes()),
                "{sql}"
            );
        }
        assert!(!commits(&mut messages, frame::QUERY, b"COMMIT"), "no end");
        assert!(!commits(&mut messages, b'd', b"COMMIT\0"));
    }

    #[test]
    fn a_prepared_commit_is_known_when_it_is_executed() {
        let mut messages = CommitMessages::default();
        let mut commits = |kind, body: &[u8]| commits(&mut messages, kind, body);
        assert!(!commits(frame::PARSE, b"c\0COMMIT\0\0\0"));
        assert!(!commits(frame::PARSE, b"s\0SELECT 1\0\0\0"));
        assert!(!commits(frame::BIND, b"\0c\0\0\0\0\0\0\0"));
        assert!(commits(frame::EXECUTE, b"\0\0\0\0\0"));
        assert!(!commits(frame::BIND, b"\0s\0\0\0\0\0\0\0"));
        assert!(!commits(frame::EXECUTE, b"\0\0\0\0\0"));
    }

    #[test]
    fn a_long_message_takes_a_name_as_well() {
        let mut messages = CommitMessages::default();
        let mut commits = |kind, body: &[u8]| commits(&mut messages, kind, body);
        let long = [b"\0SELECT '".as_slice(), &[b'x'; 1_000], b"'\0\0\0"].concat();
        assert!(!commits(frame::PARSE, b"\0COMMIT\0\0\0"));
        assert!(!commits(frame::PARSE, &long));
        assert!(!commits(frame::BIND, b"\0\0\0\0\0\0\0\0"));
        assert!(!commits(frame::EXECUTE, b"\0\0\0\0\0"));
    }
}
