use bytes::{BufMut, Bytes, BytesMut};

/// One message of a session: a kind, a length and a body.
pub(crate) struct Frame(BytesMut);

impl Frame {
    /// Takes the first message off a buffer, if it is there whole.
    pub(crate) fn take(buffer: &mut BytesMut) -> Option<Self> {
        let length = length(buffer)?;
        (buffer.len() >= length).then(|| Self(buffer.split_to(length)))
    }

    pub(crate) fn kind(&self) -> u8 {
        self.0[0]
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.0[HEADER..]
    }

    pub(crate) fn whole(&self) -> &[u8] {
        &self.0
    }

    /// The SQL of a `Query` or a `Parse`.
    pub(crate) fn sql(&self) -> Option<&[u8]> {
        let text = match self.kind() {
            QUERY => self.body(),
            PARSE => split_string(self.body())?.1,
            _ => return None,
        };
        split_string(text).map(|(sql, _)| sql)
    }
}

/// The kind of the first message, as soon as its header is there.
pub(crate) fn peek(buffer: &BytesMut) -> Option<u8> {
    length(buffer).map(|_| buffer[0])
}

/// Length of the first message with its kind.
pub(crate) fn length(buffer: &[u8]) -> Option<usize> {
    let length = buffer.get(1..HEADER)?.try_into().ok()?;
    // A length counts itself; less than that is nonsense, and the server will say so.
    Some(1 + (u32::from_be_bytes(length) as usize).max(HEADER - 1))
}

/// A C string and what follows it.
pub(crate) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Writes a message.
pub(crate) fn put(output: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    output.put_u8(kind);
    // Parts come from messages that had a length of four bytes, or are short.
    output.put_u32(4 + length as u32);
    for part in parts {
        output.put_slice(part);
    }
}

/// What a server says when a login has succeeded, up to `ReadyForQuery`.
pub(crate) fn session_start(parameters: &Bytes) -> BytesMut {
    let mut output = BytesMut::new();
    put(&mut output, AUTHENTICATION, &[&[0; 4]]);
    output.put_slice(parameters);
    // RDS Proxy takes no cancel requests, so nobody will ask for these again.
    put(&mut output, BACKEND_KEY_DATA, &[&rand::random::<[u8; 8]>()]);
    put(&mut output, READY_FOR_QUERY, &[b"I"]);
    output
}

/// Takes bytes for messages, and what is SQL in them for SQL.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Some(frame) = Frame::take(&mut buffer) {
        if let Some(sql) = frame.sql() {
            let _ = crate::gateway::proxy::postgres_effect(&String::from_utf8_lossy(sql));
        }
    }
}

/// Kind, length.
pub(crate) const HEADER: usize = 5;

// What a client sends.
pub(crate) const BIND: u8 = b'B';
pub(crate) const CLOSE: u8 = b'C';
pub(crate) const DESCRIBE: u8 = b'D';
pub(crate) const EXECUTE: u8 = b'E';
pub(crate) const FUNCTION_CALL: u8 = b'F';
pub(crate) const FLUSH: u8 = b'H';
pub(crate) const PARSE: u8 = b'P';
pub(crate) const QUERY: u8 = b'Q';
pub(crate) const SYNC: u8 = b'S';
pub(crate) const TERMINATE: u8 = b'X';

// What a server sends.
pub(crate) const AUTHENTICATION: u8 = b'R';
pub(crate) const BACKEND_KEY_DATA: u8 = b'K';
pub(crate) const CLOSE_COMPLETE: u8 = b'3';
pub(crate) const COMMAND_COMPLETE: u8 = b'C';
pub(crate) const ERROR: u8 = b'E';
pub(crate) const PARAMETER_STATUS: u8 = b'S';
pub(crate) const PARSE_COMPLETE: u8 = b'1';
pub(crate) const READY_FOR_QUERY: u8 = b'Z';

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut whole = BytesMut::new();
        put(&mut whole, PARSE, &[b"name\0", b"SELECT 1\0", b"\0\0"]);
        let mut buffer = BytesMut::new();
        for byte in &whole {
            assert!(Frame::take(&mut buffer).is_none());
            buffer.put_u8(*byte);
        }
        buffer.put_u8(SYNC);
        let frame = Frame::take(&mut buffer).unwrap();
        assert_eq!(frame.whole(), &whole[..]);
        assert_eq!(frame.sql(), Some(b"SELECT 1".as_slice()));
        assert_eq!(buffer, [SYNC].as_slice());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>) {
            fuzz(&bytes);
        }
    }
}
