use std::io;
use std::ops::Range;

use super::invalid;

/// The plugin that sends a password as it is; how IAM tokens travel.
pub(super) const CLEAR_PASSWORD: &str = "mysql_clear_password";

/// Makes a server's greeting offer what the gateway has: TLS and plugins, but no compression.
pub(super) fn offer_tls(greeting: &mut [u8]) -> io::Result<()> {
    let version_end = greeting
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(greeting.len());
    // After the version: connection id, first part of the scramble, filler.
    let low = version_end + 1 + 4 + 8 + 1;
    // Between the halves of the flags: character set, status.
    let high = low + 2 + 1 + 2;
    if greeting.first() != Some(&PROTOCOL_10) || greeting.len() < high + 2 {
        return Err(invalid("the server's greeting is not of protocol 10"));
    }
    let flags = [
        greeting[low],
        greeting[low + 1],
        greeting[high],
        greeting[high + 1],
    ];
    let offered = (u32::from_le_bytes(flags) | TLS | PLUGIN_AUTH) & !COMPRESSION;
    let [a, b, c, d] = offered.to_le_bytes();
    greeting[low..low + 2].copy_from_slice(&[a, b]);
    greeting[high..high + 2].copy_from_slice(&[c, d]);
    Ok(())
}

/// Makes a greeting offer no TLS, and ask for the password in clear text at once, as one who has
/// put himself between may do. The caller has had [`offer_tls`] read it.
pub(super) fn ask_in_clear(greeting: &mut Vec<u8>) {
    let version_end = greeting.iter().position(|byte| *byte == 0).unwrap_or(0);
    let flags = version_end + 1 + 4 + 8 + 1;
    // TLS is in the second byte.
    greeting[flags + 1] &= !((TLS >> 8) as u8);
    // The plugin's name is the last, behind the NUL that ends the scramble.
    greeting.pop_if(|last| *last == 0);
    let name = greeting.iter().rposition(|byte| *byte == 0);
    greeting.truncate(name.map_or(greeting.len(), |nul| nul + 1));
    greeting.extend_from_slice(CLEAR_PASSWORD.as_bytes());
    greeting.push(0);
}

/// Makes the greeting of one connection that of another, and a MariaDB's that of a MySQL, which
/// leaves out what is MariaDB's own. The caller has had [`offer_tls`] read it.
pub(super) fn disguise(greeting: &mut [u8]) -> io::Result<()> {
    let version_end = greeting.iter().position(|byte| *byte == 0);
    let id = version_end.ok_or_else(|| invalid("a greeting without a version"))? + 1;
    let low = id + 4 + 8 + 1;
    // Flags, character set, status, flags, length of the scramble, filler, MariaDB's own flags.
    let own = low + 2 + 1 + 2 + 2 + 1 + 6;
    if greeting.len() < own + 4 {
        return Err(invalid("a greeting cut short"));
    }
    greeting[id..id + 4].copy_from_slice(&rand::random::<[u8; 4]>());
    greeting[low] |= LONG_PASSWORD;
    greeting[own..own + 4].fill(0);
    Ok(())
}

/// Whether this is an `SSLRequest`: the fixed head of a handshake response and nothing more.
pub(super) fn is_tls_request(payload: &[u8]) -> bool {
    payload.len() == HEAD && flags(payload) & TLS != 0
}

/// A client's `HandshakeResponse41`, kept as it came so that it can be replayed.
pub(super) struct HandshakeResponse {
    payload: Vec<u8>,
    /// Where the authentication data lie, their length included.
    authentication: Range<usize>,
    password: Range<usize>,
    username: String,
    database: Option<String>,
    plugin: Option<String>,
    /// Where all but the connection attributes ends.
    end: usize,
}

impl HandshakeResponse {
    pub(super) fn parse(payload: Vec<u8>) -> io::Result<Self> {
        if payload.len() < HEAD || flags(&payload) & PROTOCOL_41 == 0 {
            return Err(invalid("not a handshake response of protocol 4.1"));
        }
        let flags = flags(&payload);
        let mut fields = Fields {
            payload: &payload,
            at: HEAD,
        };
        let username = fields.text()?;

        let start = fields.at;
        let password = if flags & PLUGIN_AUTH_LENENC != 0 {
            let length = fields.length()?;
            fields.take(length)?
        } else if flags & SECURE_CONNECTION != 0 {
            let length = fields.byte()?;
            fields.take(length.into())?
        } else {
            fields.until_nul()?
        };
        let authentication = start..fields.at;

        let database = if flags & CONNECT_WITH_DB != 0 {
            Some(fields.text()?)
        } else {
            None
        };
        let plugin = if flags & PLUGIN_AUTH != 0 {
            Some(fields.text()?)
        } else {
            None
        };
        let database = database.filter(|name| !name.is_empty());
        let end = fields.at;
        Ok(Self {
            end,
            payload,
            authentication,
            password,
            username,
            database,
            plugin,
        })
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// `None` if the client asked for no database.
    pub(super) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The plugin that made the password field; `None` if the client knows no plugins.
    pub(super) fn plugin(&self) -> Option<&str> {
        self.plugin.as_deref()
    }

    /// The authentication data: a hash, or a password in clear, as the plugin has it.
    pub(super) fn password(&self) -> &[u8] {
        &self.payload[self.password.clone()]
    }

    /// The same without what tells one client from another, so that they can share a connection.
    pub(super) fn for_proxy(mut self) -> Self {
        let flags = flags(&self.payload) & !CONNECT_ATTRIBUTES;
        self.payload[..4].copy_from_slice(&flags.to_le_bytes());
        self.payload.truncate(self.end);
        self
    }

    /// Whether results end with an OK in place of an EOF.
    pub(super) fn deprecates_eof(&self) -> bool {
        flags(&self.payload) & DEPRECATE_EOF != 0
    }

    /// The response for a server that is reached without TLS.
    pub(super) fn without_tls(&self) -> Vec<u8> {
        let mut payload = self.payload.clone();
        let flags = flags(&payload) & !TLS & !COMPRESSION;
        payload[..4].copy_from_slice(&flags.to_le_bytes());
        payload
    }

    /// The same, with an empty password in place of the client's.
    pub(super) fn with_empty_password(&self) -> Vec<u8> {
        let mut payload = self.without_tls();
        // A zero says "empty" in all three encodings of the field.
        payload.splice(self.authentication.clone(), [0]);
        payload
    }
}

/// Capability flags of a handshake response; the caller has checked that they are there.
fn flags(payload: &[u8]) -> u32 {
    payload
        .iter()
        .take(4)
        .rev()
        .fold(0, |flags, byte| flags << 8 | u32::from(*byte))
}

/// Reads fields one after another; gives places rather than copies.
struct Fields<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take(&mut self, length: usize) -> io::Result<Range<usize>> {
        let end = self.at.saturating_add(length);
        if end > self.payload.len() {
            return Err(invalid("handshake response cut short"));
        }
        let field = self.at..end;
        self.at = end;
        Ok(field)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take(1).map(|place| self.payload[place.start])
    }

    /// A length-encoded integer: small ones are their own byte, larger ones are announced.
    fn length(&mut self) -> io::Result<usize> {
        let width = match self.byte()? {
            small @ 0..=0xfa => return Ok(small.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return Err(invalid("not a length")),
        };
        let place = self.take(width)?;
        let bytes = self.payload[place].iter().rev();
        Ok(bytes.fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn until_nul(&mut self) -> io::Result<Range<usize>> {
        let length = self.payload[self.at..].iter().position(|byte| *byte == 0);
        let field = self.take(length.ok_or_else(|| invalid("string without an end"))?)?;
        self.at += 1;
        Ok(field)
    }

    fn text(&mut self) -> io::Result<String> {
        let field = self.until_nul()?;
        String::from_utf8(self.payload[field].to_vec()).map_err(|_| invalid("not UTF-8"))
    }
}

const PROTOCOL_10: u8 = 10;
/// Flags, packet size, character set, filler.
const HEAD: usize = 32;

// Capability flags.
const LONG_PASSWORD: u8 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESSION: u32 = 1 << 5 | 1 << 26;
const PROTOCOL_41: u32 = 1 << 9;
const TLS: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRIBUTES: u32 = 1 << 20;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const DEPRECATE_EOF: u32 = 1 << 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_response_breaks_it(flags: u32, rest: Vec<u8>) {
            let Ok(parsed) = HandshakeResponse::parse(response(flags | PROTOCOL_41, &rest)) else {
                return Ok(());
            };
            // What is passed on is read as it was.
            let (username, database) = (parsed.username().to_owned(), parsed.database().map(str::to_owned));
            for again in [parsed.without_tls(), parsed.with_empty_password()] {
                let again = HandshakeResponse::parse(again).unwrap();
                prop_assert_eq!(again.username(), &username);
                prop_assert_eq!(again.database(), database.as_deref());
            }
            let shared = parsed.for_proxy();
            let again = HandshakeResponse::parse(shared.with_empty_password()).unwrap();
            prop_assert_eq!(again.username(), &username);
        }

        #[test]
        fn no_greeting_breaks_it(rest: Vec<u8>) {
            let mut greeting = [b"\x0a8.4.0\0", rest.as_slice()].concat();
            if offer_tls(&mut greeting).is_ok() && disguise(&mut greeting).is_ok() {
                ask_in_clear(&mut greeting);
            }
        }
    }

    fn response(flags: u32, rest: &[u8]) -> Vec<u8> {
        let mut payload = flags.to_le_bytes().to_vec();
        payload.resize(HEAD, b'.');
        payload.extend(rest);
        payload
    }

    const FULL: u32 = PROTOCOL_41 | CONNECT_WITH_DB | PLUGIN_AUTH | SECURE_CONNECTION;

    #[test]
    fn all_three_encodings_of_the_password_are_read_and_emptied() {
        let long = [b'x'; 300];
        let cases: [(u32, Vec<u8>, &[u8]); 4] = [
            (FULL, b"\x03abc".to_vec(), b"abc"),
            (FULL & !SECURE_CONNECTION, b"abc\0".to_vec(), b"abc"),
            (FULL | PLUGIN_AUTH_LENENC, b"\x03abc".to_vec(), b"abc"),
            (
                FULL | PLUGIN_AUTH_LENENC,
                [b"\xfc\x2c\x01", &long[..]].concat(),
                &long,
            ),
        ];
        for (flags, field, password) in cases {
            let tail = b"appdb\0mysql_native_password\0attributes";
            let rest = [b"app\0", field.as_slice(), tail].concat();
            let parsed = HandshakeResponse::parse(response(flags | TLS, &rest)).unwrap();
            assert_eq!(parsed.username(), "app");
            assert_eq!(parsed.database(), Some("appdb"));
            assert_eq!(parsed.plugin(), Some("mysql_native_password"));
            assert_eq!(parsed.password(), password);
            assert_eq!(parsed.without_tls(), response(flags, &rest));
            let emptied = response(flags, &[b"app\0\0".as_slice(), tail].concat());
            assert_eq!(parsed.with_empty_password(), emptied);
        }
    }

    #[test]
    fn a_response_cut_short_anywhere_is_refused() {
        let whole = response(FULL | PLUGIN_AUTH_LENENC, b"app\0\x03abcappdb\0plugin\0");
        for length in 0..whole.len() {
            assert!(
                HandshakeResponse::parse(whole[..length].to_vec()).is_err(),
                "{length}"
            );
        }
        assert!(HandshakeResponse::parse(whole).is_ok());
    }

    #[test]
    fn lengths_beyond_the_packet_are_refused() {
        let huge = b"app\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(HandshakeResponse::parse(response(FULL | PLUGIN_AUTH_LENENC, huge)).is_err());
    }

    #[test]
    fn a_greeting_is_changed_in_its_flags_only() {
        let greeting = |low: [u8; 2], high: [u8; 2]| {
            [
                b"\x0a8.4.0\0id##scramble.",
                low.as_slice(),
                b"cst".as_slice(),
                high.as_slice(),
                b"rest",
            ]
            .concat()
        };
        let mut changed = greeting([0xff, 0xf7], [0xff, 0xff]);
        offer_tls(&mut changed).unwrap();
        assert_eq!(changed, greeting([0xdf, 0xff], [0xff, 0xfb]));
        assert!(offer_tls(&mut b"\x0a8.4.0\0short".to_vec()).is_err());
    }
}
