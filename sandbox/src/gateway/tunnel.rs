use std::io;

use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::client::ClientStream;

/// A client that is through the gate, and its session at the real server.
pub(super) struct Session {
    pub(super) client: ClientStream,
    pub(super) server: UnixStream,
}

/// Copies bytes both ways until either side is done, then closes both.
///
/// Neither protocol knows a half-closed session: a real server that is left hangs up, and a
/// client that hears the server leave is not waited for.
///
/// When `silence` falls, nothing is read any more, and nothing is closed.
pub(super) async fn splice(session: Session, silence: watch::Receiver<bool>) -> io::Result<()> {
    let Session {
        mut client,
        mut server,
    } = session;
    client.relax();
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = server.split();
    unless_silenced(silence, async {
        tokio::select! {
            copied = copy(&mut from_client, &mut to_server) => copied.map(drop),
            copied = copy(&mut from_server, &mut to_client) => {
                copied?;
                to_client.shutdown().await
            }
        }
    })
    .await
}

/// Stops work where it stands, without ending it, when `silence` falls.
pub(super) async fn unless_silenced(
    mut silence: watch::Receiver<bool>,
    work: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let silenced = async { silence.wait_for(|silent| *silent).await.is_ok() };
    // Pinned here, so that it is not dropped, and nothing closed, once silence has fallen.
    let mut work = std::pin::pin!(work);
    tokio::select! {
        true = silenced => std::future::pending().await,
        result = &mut work => result,
    }
}
