use crate::gateway::commit::{Front, MAX_COMMIT, is_one_of};

use super::proxy::{HEADER, QUERY, packet_length};

/// What the first packet of a client's buffer is; `None` as long as too little of it is there.
///
/// A COMMIT is one as text. Which number a prepared one has only the server's answer would tell.
pub(in crate::gateway) fn commit_front(buffer: &[u8]) -> Option<Front> {
    let length = packet_length(buffer)?;
    // Numbers begin anew with each command: others continue one, or are a file's.
    let is_short_command = buffer[HEADER - 1] == 0 && length <= MAX_COMMIT;
    let is_commit = is_short_command && is_commit(buffer.get(HEADER..length)?);
    Some(Front { length, is_commit })
}

fn is_commit(command: &[u8]) -> bool {
    let Some(text) = command.strip_prefix(&[QUERY]) else {
        return false;
    };
    let sql = text.strip_prefix(NO_ATTRIBUTES).unwrap_or(text);
    is_one_of(sql, COMMITS)
}

/// What precedes the text where clients may give attributes to a query: none, in one set.
const NO_ATTRIBUTES: &[u8] = &[0, 1];

const COMMITS: &[&str] = &["COMMIT", "COMMIT WORK"];

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(sequence: u8, payload: &[u8]) -> bool {
        let [a, b, c, ..] = payload.len().to_le_bytes();
        let packet = [&[a, b, c, sequence], payload].concat();
        let front = commit_front(&packet).unwrap();
        assert_eq!(front.length, packet.len());
        front.is_commit
    }

    #[test]
    fn the_words_of_a_query_tell() {
        for payload in ["\x03COMMIT", "\x03 commit work;\n", "\x03\0\x01COMMIT"] {
            assert!(commits(0, payload.as_bytes()), "{payload:?}");
        }
        for payload in ["", "\x03", "\x03END", "\x03COMMIT; BEGIN", "\x16COMMIT"] {
            assert!(!commits(0, payload.as_bytes()), "{payload:?}");
        }
    }

    #[test]
    fn what_continues_a_command_is_none() {
        assert!(!commits(1, b"\x03COMMIT"));
    }
}
