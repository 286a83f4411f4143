use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use sqlx::postgres::PgDatabaseError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::invalid;

pub(super) async fn ask_cleartext_password(
    client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    client
        .write_all(&message(b'R', &CLEARTEXT_PASSWORD.to_be_bytes()))
        .await?;
    client.flush().await
}

/// Reads a `PasswordMessage`, which should be one C string; returns it with its NUL.
pub(super) async fn read_password(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    if client.read_u8().await? != b'p' {
        return Err(invalid("expected a password message"));
    }
    let length = client.read_u32().await?;
    if !(LENGTH_FIELD..=MAX_PASSWORD_MESSAGE).contains(&length) {
        return Err(invalid("password message of a wrong length"));
    }
    let mut password = vec![0; (length - LENGTH_FIELD) as usize];
    client.read_exact(&mut password).await?;
    Ok(password)
}

/// An `ErrorResponse` that ends a login, with the fields a real server sends.
///
/// Clients go by more than the code: `routine` is what tells a refused token from a login that
/// `pg_hba.conf` rejects, since both are 28000. Line numbers are those of PostgreSQL 15.
pub(super) struct Fatal {
    code: Cow<'static, str>,
    message: String,
    file: Cow<'static, str>,
    line: Cow<'static, str>,
    routine: Cow<'static, str>,
}

impl Fatal {
    /// A refused IAM token. RDS checks tokens in a PAM module, and PAM failures are 28000, while
    /// passwords that PostgreSQL checks itself fail with 28P01.
    pub(super) fn pam(username: &str) -> Self {
        Self {
            code: "28000".into(),
            message: format!("PAM authentication failed for user \"{username}\""),
            file: "auth.c".into(),
            line: "334".into(),
            routine: "auth_failed".into(),
        }
    }

    /// The same in Aurora DSQL's words; its code is not documented.
    pub(super) fn dsql(username: &str) -> Self {
        Self::of_proxy(
            "28000",
            format!("IAM authentication failed for user \"{username}\""),
        )
    }

    /// Aurora DSQL finds a cluster by the name in the TLS handshake; its code is not documented.
    pub(super) fn no_server_name() -> Self {
        let message = "unable to accept connection, sni was not received";
        Self::of_proxy("08001", message.to_owned())
    }

    /// An IAM user without TLS: the server has no `pg_hba.conf` line for that but a rejection.
    pub(super) fn unencrypted(peer: SocketAddr, username: &str, database: &str) -> Self {
        let host = peer.ip();
        Self {
            code: "28000".into(),
            message: format!(
                "pg_hba.conf rejects connection for host \"{host}\", user \"{username}\", \
                 database \"{database}\", no encryption"
            ),
            file: "auth.c".into(),
            line: "476".into(),
            routine: "ClientAuthentication".into(),
        }
    }

    /// The server's own refusal to talk at all, as while it starts or recovers (57P03).
    pub(super) fn of_server(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<sqlx::Error>()?;
        let error = error
            .as_database_error()?
            .try_downcast_ref::<PgDatabaseError>()?;
        Some(Self {
            code: error.code().to_owned().into(),
            message: error.message().to_owned(),
            file: error.file().unwrap_or_default().to_owned().into(),
            line: error.line().unwrap_or_default().to_string().into(),
            routine: error.routine().unwrap_or_default().to_owned().into(),
        })
    }

    /// One of RDS Proxy, or one that a test ordered. Where in the server's source it came from is
    /// not said.
    pub(super) fn of_proxy(code: impl Into<Cow<'static, str>>, message: String) -> Self {
        Self {
            code: code.into(),
            message,
            file: "".into(),
            line: "".into(),
            routine: "".into(),
        }
    }

    pub(super) fn empty_password() -> Self {
        Self {
            code: "28P01".into(),
            message: "empty password returned by client".to_owned(),
            file: "auth.c".into(),
            line: "757".into(),
            routine: "recv_password_packet".into(),
        }
    }

    /// A password with a NUL inside, or without one at its end.
    pub(super) fn password_packet() -> Self {
        Self {
            code: "08P01".into(),
            message: "invalid password packet size".to_owned(),
            file: "auth.c".into(),
            line: "739".into(),
            routine: "recv_password_packet".into(),
        }
    }

    pub(super) async fn write(&self, client: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        client.write_all(&self.packet()).await?;
        client.flush().await
    }

    /// The message as it goes to the client.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let fields = [
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', &*self.code),
            (b'M', &self.message),
            (b'F', &self.file),
            (b'L', &self.line),
            (b'R', &self.routine),
        ];
        for (kind, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            body.push(kind);
            body.extend(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        message(b'E', &body)
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    // Ours are all short.
    let length = LENGTH_FIELD + body.len() as u32;
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

const CLEARTEXT_PASSWORD: u32 = 3;
/// A length counts itself.
const LENGTH_FIELD: u32 = 4;
/// PostgreSQL's own bound on what a client sends to authenticate is 65,535 bytes.
const MAX_PASSWORD_MESSAGE: u32 = 65_535 + LENGTH_FIELD + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_of_64_kilobytes_are_read_and_longer_ones_are_not() {
        let longest = [vec![b'x'; 65_535], vec![0]].concat();
        let password = read_password(&mut message(b'p', &longest).as_slice())
            .await
            .unwrap();
        assert_eq!(password, longest);
        let longer = [longest, vec![0]].concat();
        assert!(
            read_password(&mut message(b'p', &longer).as_slice())
                .await
                .is_err()
        );
    }
}
