//! As much of an HTTP client as the tests need.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Status and body.
pub(crate) type Answer = (u16, String);

pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Answer {
    let (head, body) = ask_with_head(address, method, path, body);
    (status(&head), body)
}

pub(crate) fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Status line with headers, and body.
pub(crate) fn ask_with_head(
    address: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
