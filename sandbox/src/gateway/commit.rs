use bytes::BytesMut;

use crate::event::Engine;

use super::{mysql, postgres};

/// Finds COMMIT in what a client sends, in whatever pieces it arrives.
///
/// It walks from header to header and reads only what is short enough for a COMMIT.
pub(super) struct CommitWatch {
    protocol: Protocol,
    /// Bytes yet to come of a message that is no COMMIT.
    passing: usize,
}

/// What comes next in a client's stream.
pub(super) struct Piece {
    pub(super) bytes: BytesMut,
    /// Whether this is one message, whole, that commits.
    pub(super) is_commit: bool,
}

/// The message at the front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    /// With its header.
    pub(super) length: usize,
    /// Only ever of a message that is there whole.
    pub(super) is_commit: bool,
}

enum Protocol {
    Postgres(postgres::CommitMessages),
    MySql,
}

impl CommitWatch {
    pub(super) fn new(engine: Engine) -> Self {
        let protocol = match engine {
            Engine::Postgres => Protocol::Postgres(postgres::CommitMessages::default()),
            Engine::MySql => Protocol::MySql,
        };
        Self {
            protocol,
            passing: 0,
        }
    }

    /// Takes off a buffer either a COMMIT or all that precedes the next. What is left at last is
    /// the beginning of a message that may become one.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Option<Piece> {
        let mut passed = 0;
        loop {
            let skipped = self.passing.min(buffer.len() - passed);
            passed += skipped;
            self.passing -= skipped;
            let front = match &mut self.protocol {
                Protocol::Postgres(messages) => messages.front(&buffer[passed..]),
                Protocol::MySql => mysql::commit_front(&buffer[passed..]),
            };
            let (length, is_commit) = match front {
                Some(front) if !front.is_commit => {
                    self.passing = front.length;
                    continue;
                }
                Some(commit) if passed == 0 => (commit.length, true),
                // A COMMIT is found again by the next call.
                _ => (passed, false),
            };
            return (length > 0).then(|| Piece {
                bytes: buffer.split_to(length),
                is_commit,
            });
        }
    }
}

/// Whether a text is one of these statements and nothing else.
pub(super) fn is_one_of(sql: &[u8], statements: &[&str]) -> bool {
    let Ok(sql) = std::str::from_utf8(sql) else {
        return false;
    };
    let sql = sql.trim_matches(|c: char| c == ';' || c.is_whitespace());
    statements.iter().any(|one| sql.eq_ignore_ascii_case(one))
}

/// Takes bytes for what a client sends.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(engine: Engine, bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    let mut watch = CommitWatch::new(engine);
    while watch.take(&mut buffer).is_some() {}
}

/// A message that is longer, with its header, is no COMMIT. What is no longer may be held back
/// until it is whole; a server could do nothing with a part of it.
pub(super) const MAX_COMMIT: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message, and whether it commits.
    type Message = (Vec<u8>, bool);

    fn postgres(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = 4 + body.len() as u32;
        [&[kind], length.to_be_bytes().as_slice(), body].concat()
    }

    fn mysql(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let [a, b, c, ..] = payload.len().to_le_bytes();
        [&[a, b, c, sequence], payload].concat()
    }

    fn query(engine: Engine, sql: &str) -> Vec<u8> {
        match engine {
            Engine::Postgres => postgres(b'Q', format!("{sql}\0").as_bytes()),
            Engine::MySql => mysql(0, format!("\x03{sql}").as_bytes()),
        }
    }

    fn messages(engine: Engine) -> impl Strategy<Value = Vec<Message>> {
        let body = || prop::collection::vec(any::<u8>(), 0..600);
        let other = match engine {
            Engine::Postgres => body().prop_map(|body| postgres(b'd', &body)).boxed(),
            // Not the first packet of a command.
            Engine::MySql => (1..=u8::MAX, body())
                .prop_map(|(sequence, payload)| mysql(sequence, &payload))
                .boxed(),
        };
        let message = prop_oneof![
            prop::sample::select(vec!["COMMIT", "commit;", " \n Commit ; ;"])
                .prop_map(move |sql| (query(engine, sql), true)),
            prop::sample::select(vec!["", "BEGIN", "COMMIT PREPARED 'x'", "SELECT 'COMMIT'"])
                .prop_map(move |sql| (query(engine, sql), false)),
            (MAX_COMMIT..2 * MAX_COMMIT)
                .prop_map(move |length| (query(engine, &" ".repeat(length)), false)),
            other.prop_map(|message| (message, false)),
        ];
        prop::collection::vec(message, 0..12)
    }

    /// Whatever is sent, in reads of these sizes, passes unchanged, and the COMMITs stand out.
    fn assert_found(engine: Engine, messages: &[Message], reads: &[usize]) {
        let sent: Vec<u8> = messages
            .iter()
            .flat_map(|(bytes, _)| bytes.clone())
            .collect();
        let mut watch = CommitWatch::new(engine);
        let (mut buffer, mut passed, mut commits) = (BytesMut::new(), Vec::new(), Vec::new());
        let mut rest = sent.as_slice();
        let mut sizes = reads.iter().cycle();
        while !rest.is_empty() {
            let (read, left) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            rest = left;
            buffer.extend_from_slice(read);
            while let Some(piece) = watch.take(&mut buffer) {
                passed.extend_from_slice(&piece.bytes);
                if piece.is_commit {
                    commits.push((passed.len(), piece.bytes.to_vec()));
                }
            }
            assert!(buffer.len() < MAX_COMMIT, "held back: {}", buffer.len());
        }
        assert!(passed == sent && buffer.is_empty());
        let mut end = 0;
        let expected = messages.iter().filter_map(|(bytes, commits)| {
            end += bytes.len();
            commits.then(|| (end, bytes.clone()))
        });
        assert_eq!(commits, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_long_message_is_not_held_back() {
        for engine in [Engine::Postgres, Engine::MySql] {
            let long = query(engine, &"x".repeat(1_000));
            let mut buffer = BytesMut::from(&long[..MAX_COMMIT]);
            let piece = CommitWatch::new(engine).take(&mut buffer).unwrap();
            assert_eq!(piece.bytes, long[..MAX_COMMIT]);
        }
    }

    proptest! {
        #[test]
        fn commits_are_found_however_the_stream_is_cut(
            of_postgres in messages(Engine::Postgres),
            of_mysql in messages(Engine::MySql),
            reads in prop::collection::vec(1_usize..700, 1..20),
        ) {
            assert_found(Engine::Postgres, &of_postgres, &reads);
            assert_found(Engine::MySql, &of_mysql, &reads);
        }

        #[test]
        fn commits_are_found_byte_by_byte(
            of_postgres in messages(Engine::Postgres),
            of_mysql in messages(Engine::MySql),
        ) {
            assert_found(Engine::Postgres, &of_postgres, &[1]);
            assert_found(Engine::MySql, &of_mysql, &[1]);
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            fuzz(Engine::Postgres, &bytes);
            fuzz(Engine::MySql, &bytes);
        }
    }
}
