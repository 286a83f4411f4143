use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::frame::{self, Frame};
use super::server::{Answer, PgServer};

/// The prepared statements of a client, which may meet another connection each time.
///
/// A connection knows a named statement by a hash of its text, so that all clients can share it.
/// Where it is missing, it is prepared there before it is used.
#[derive(Default)]
pub(super) struct Statements {
    /// What each name stands for: the text and the types, as in `Parse`.
    of_client: HashMap<Vec<u8>, Bytes>,
}

impl Statements {
    /// Passes a message of the client on to the server.
    pub(super) fn send(&mut self, frame: Frame, server: &mut PgServer) {
        match frame.kind() {
            frame::PARSE => self.parse(&frame, server),
            frame::BIND => self.bind(&frame, server),
            frame::DESCRIBE => self.describe(&frame, server),
            frame::CLOSE => self.close(&frame, server),
            kind => {
                match kind {
                    frame::QUERY | frame::FUNCTION_CALL => {
                        server.unnamed = None;
                        server.expected.push_back(Answer::Ready);
                    }
                    frame::SYNC => {
                        server.in_batch = false;
                        server.expected.push_back(Answer::Ready);
                    }
                    frame::EXECUTE | frame::FLUSH => server.in_batch = true,
                    _ => {}
                }
                server.output.extend_from_slice(frame.whole());
            }
        }
    }

    /// Passes a message of the server on to the client, unless it answers the proxy.
    pub(super) fn receive(&self, frame: Frame, server: &mut PgServer, client: &mut BytesMut) {
        match frame.kind() {
            frame::PARSE_COMPLETE | frame::CLOSE_COMPLETE => {
                let awaited = server.expected.pop_front();
                if awaited == Some(Answer::ForProxy) {
                    return;
                }
            }
            frame::ERROR => {
                // The rest of the batch is skipped, and what was prepared in it may be missing.
                let ready = |answer: &Answer| *answer == Answer::Ready;
                let skipped = server.expected.iter().position(ready);
                let skipped = skipped.unwrap_or(server.expected.len());
                server.expected.drain(..skipped);
                server.prepared.clear();
                server.unnamed = None;
            }
            frame::READY_FOR_QUERY => {
                server.expected.pop_front();
                server.ready(frame.body());
            }
            frame::COMMAND_COMPLETE
                if [b"DISCARD ALL\0".as_slice(), b"DEALLOCATE ALL\0"].contains(&frame.body()) =>
            {
                server.prepared.clear();
            }
            _ => {}
        }
        client.extend_from_slice(frame.whole());
    }

    fn parse(&mut self, frame: &Frame, server: &mut PgServer) {
        let Some((name, definition)) = frame::split_string(frame.body()) else {
            return pass(frame, server);
        };
        let definition = Bytes::copy_from_slice(definition);
        self.of_client.insert(name.to_vec(), definition.clone());
        prepare(name, &definition, server, Answer::ForClient);
    }

    fn bind(&self, frame: &Frame, server: &mut PgServer) {
        let split = frame::split_string(frame.body())
            .and_then(|(portal, rest)| Some((portal, frame::split_string(rest)?)));
        let Some((portal, (name, rest))) = split else {
            return pass(frame, server);
        };
        let name = self.ensure(name, server);
        let output = &mut server.output;
        frame::put(output, frame::BIND, &[portal, &[0], &name, &[0], rest]);
        server.in_batch = true;
    }

    fn describe(&self, frame: &Frame, server: &mut PgServer) {
        let Some((name, _)) = statement_name(frame) else {
            return pass(frame, server);
        };
        let name = self.ensure(name, server);
        frame::put(&mut server.output, frame::DESCRIBE, &[b"S", &name, &[0]]);
        server.in_batch = true;
    }

    fn close(&mut self, frame: &Frame, server: &mut PgServer) {
        server.expected.push_back(Answer::ForClient);
        let Some((name, _)) = statement_name(frame) else {
            return pass(frame, server);
        };
        let name = match self.of_client.remove(name) {
            Some(definition) if !name.is_empty() => {
                let name = global_name(&definition);
                server.prepared.remove(&name);
                name.into_bytes()
            }
            _ => {
                server.unnamed = None;
                name.to_vec()
            }
        };
        frame::put(&mut server.output, frame::CLOSE, &[b"S", &name, &[0]]);
        server.in_batch = true;
    }

    /// Sees to it that the server has a statement of the client; gives its name there.
    fn ensure(&self, name: &[u8], server: &mut PgServer) -> Vec<u8> {
        let Some(definition) = self.of_client.get(name) else {
            // Not by `Parse`, so it is the server's to know.
            return name.to_vec();
        };
        let missing = if name.is_empty() {
            server.unnamed.as_ref() != Some(definition)
        } else {
            !server.prepared.contains(&global_name(definition))
        };
        if missing {
            prepare(name, definition, server, Answer::ForProxy);
        }
        match name {
            [] => Vec::new(),
            _ => global_name(definition).into_bytes(),
        }
    }
}

/// Sends `Parse`, and before it `Close`, since preparing a name twice is an error and closing
/// nothing is none.
fn prepare(name: &[u8], definition: &Bytes, server: &mut PgServer, answer: Answer) {
    let output = &mut server.output;
    if name.is_empty() {
        frame::put(output, frame::PARSE, &[&[0], definition]);
        server.unnamed = Some(definition.clone());
    } else {
        let name = global_name(definition);
        frame::put(output, frame::CLOSE, &[b"S", name.as_bytes(), &[0]]);
        server.expected.push_back(Answer::ForProxy);
        frame::put(output, frame::PARSE, &[name.as_bytes(), &[0], definition]);
        server.prepared.insert(name);
    }
    server.expected.push_back(answer);
    server.in_batch = true;
}

fn pass(frame: &Frame, server: &mut PgServer) {
    server.output.extend_from_slice(frame.whole());
    server.in_batch = true;
}

/// The name in a `Describe` or `Close` of a statement, not of a portal.
fn statement_name(frame: &Frame) -> Option<(&[u8], &[u8])> {
    frame
        .body()
        .strip_prefix(b"S")
        .and_then(frame::split_string)
}

fn global_name(definition: &Bytes) -> String {
    format!("proxy_{}", hex::encode(&Sha256::digest(definition)[..12]))
}
