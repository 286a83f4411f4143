use super::proxy::HEADER;

/// Follows the answer to a text statement to its end.
pub(super) struct Response {
    deprecate_eof: bool,
    stage: Stage,
    in_transaction: bool,
    /// Whether the packet to come continues one of 16 MB.
    continues: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    First,
    /// So many definitions of columns are to come.
    Columns(u64),
    /// The packet between columns and rows.
    EndOfColumns,
    Rows,
    File,
    Complete,
}

impl Response {
    pub(super) fn new(deprecate_eof: bool, in_transaction: bool) -> Self {
        Self {
            deprecate_eof,
            stage: Stage::First,
            in_transaction,
            continues: false,
        }
    }

    /// Notes a packet of the server, header and all.
    pub(super) fn receive(&mut self, packet: &[u8]) {
        let is_part = packet.starts_with(&[0xff, 0xff, 0xff]);
        if std::mem::replace(&mut self.continues, is_part) {
            return;
        }
        let payload = &packet[HEADER..];
        let first = payload.first().copied().unwrap_or(OK);
        self.stage = match (self.stage, first) {
            // An error says nothing of the transaction: a connection that had one keeps it.
            (_, ERROR) => Stage::Complete,
            (Stage::First, OK) => self.end(status_of_ok(payload)),
            (Stage::First, LOCAL_FILE) => Stage::File,
            (Stage::First, _) => Stage::Columns(length_encoded(payload).unwrap_or_default().0),
            (Stage::Columns(0 | 1), _) if self.deprecate_eof => Stage::Rows,
            (Stage::Columns(0 | 1), _) => Stage::EndOfColumns,
            (Stage::Columns(left), _) => Stage::Columns(left - 1),
            (Stage::EndOfColumns, _) => Stage::Rows,
            (Stage::Rows, END) if self.deprecate_eof && !is_part => self.end(status_of_ok(payload)),
            // Header, warnings, status.
            (Stage::Rows, END) if !self.deprecate_eof && payload.len() < 9 => {
                self.end(status_at(payload, 3))
            }
            (stage, _) => stage,
        };
    }

    fn end(&mut self, status: u16) -> Stage {
        self.in_transaction = status & IN_TRANSACTION != 0;
        match status & MORE_RESULTS {
            0 => Stage::Complete,
            _ => Stage::First,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.stage == Stage::Complete
    }

    /// Whether the server waits for a file of the client.
    pub(super) fn wants_file(&self) -> bool {
        self.stage == Stage::File
    }

    pub(super) fn file_sent(&mut self) {
        self.stage = Stage::First;
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.in_transaction
    }
}

/// Header, affected rows, last ID, status.
fn status_of_ok(payload: &[u8]) -> u16 {
    let after = |at: usize| Some(at + length_encoded(payload.get(at..)?)?.1);
    after(1)
        .and_then(after)
        .map_or(0, |at| status_at(payload, at))
}

fn status_at(payload: &[u8], at: usize) -> u16 {
    match payload.get(at..at + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    }
}

/// A length-encoded integer, and how many bytes it takes.
fn length_encoded(bytes: &[u8]) -> Option<(u64, usize)> {
    let width = match *bytes.first()? {
        0xfc => 2,
        0xfd => 3,
        0xfe => 8,
        small => return Some((small.into(), 1)),
    };
    let number = bytes.get(1..=width)?.iter().rev();
    Some((
        number.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        1 + width,
    ))
}

const OK: u8 = 0x00;
const LOCAL_FILE: u8 = 0xfb;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;

const IN_TRANSACTION: u16 = 1;
const MORE_RESULTS: u16 = 1 << 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let [a, b, c, ..] = payload.len().to_le_bytes();
        [&[a, b, c, 1], payload].concat()
    }

    fn after(deprecate_eof: bool, payloads: &[&[u8]]) -> Response {
        let mut response = Response::new(deprecate_eof, false);
        for payload in payloads {
            assert!(!response.is_complete());
            response.receive(&packet(payload));
        }
        response
    }

    #[test]
    fn the_end_of_an_answer_is_found() {
        let ok: &[u8] = &[OK, 0, 0, 1, 0, 0, 0];
        let more: &[u8] = &[OK, 0, 0, 8, 0, 0, 0];
        let eof: &[u8] = &[END, 0, 0, 2, 0];
        let end: &[u8] = &[END, 0, 0, 3, 0, 0, 0];
        assert!(after(true, &[ok]).is_complete() && after(true, &[ok]).in_transaction());
        assert!(!after(true, &[more]).is_complete());
        assert!(after(true, &[more, ok]).is_complete());
        let rows = after(false, &[&[2], b"def a", b"def b", eof, b"\x01x\x01y", eof]);
        assert!(rows.is_complete() && !rows.in_transaction());
        let rows = after(true, &[&[1], b"def a", b"\x01x", end]);
        assert!(rows.is_complete() && rows.in_transaction());
        assert!(after(true, &[&[1], b"def a", &[ERROR, 1, 4]]).is_complete());
        assert!(after(true, &[&[LOCAL_FILE, b'f']]).wants_file());
    }

    proptest! {
        #[test]
        fn no_packets_break_it(payloads: Vec<Vec<u8>>, deprecate_eof: bool) {
            let mut response = Response::new(deprecate_eof, false);
            for payload in payloads {
                response.receive(&packet(&payload));
            }
        }
    }
}
