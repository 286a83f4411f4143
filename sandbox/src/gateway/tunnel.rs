use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink, split};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::fault::CommitFault;

use super::client::ClientStream;
use super::commit::CommitWatch;
use super::gate::Gate;

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
pub(super) async fn splice(
    gate: &Gate,
    session: Session,
    silence: watch::Receiver<bool>,
) -> io::Result<()> {
    let Session {
        mut client,
        mut server,
    } = session;
    client.relax();
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = server.split();
    let watch = CommitWatch::new(gate.engine());
    unless_silenced(silence, async {
        let lost = tokio::select! {
            lost = relay(watch, || gate.next_commit_fault(), &mut from_client, &mut to_server) => lost?,
            copied = copy(&mut from_server, &mut to_client) => {
                copied?;
                return to_client.shutdown().await;
            }
        };
        match lost {
            Some((CommitFault::After, commit)) => finish(&commit, from_server, to_server).await,
            Some((CommitFault::Before, _)) | None => Ok(()),
        }
    })
    .await
}

/// Copies what a client says until it is done, or says a COMMIT that meets a fault: that message
/// is given back, and what follows it is left.
async fn relay(
    mut watch: CommitWatch,
    mut next_fault: impl FnMut() -> Option<CommitFault>,
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
) -> io::Result<Option<(CommitFault, BytesMut)>> {
    let mut input = BytesMut::new();
    loop {
        // Most often it takes the room of what has passed.
        input.reserve(BUFFER);
        if client.read_buf(&mut input).await? == 0 {
            return Ok(None);
        }
        while let Some(mut piece) = watch.take(&mut input) {
            if piece.is_commit
                && let Some(fault) = next_fault()
            {
                return Ok(Some((fault, piece.bytes)));
            }
            server.write_all_buf(&mut piece.bytes).await?;
        }
    }
}

/// Has the server carry out a client's last message, and waits until it has.
///
/// A server that hears its client leave carries out what it was told before, answers it, and hangs
/// up. So the end of its answers is the end of the last, however many were still to come.
async fn finish(
    message: &[u8],
    mut from_server: impl AsyncRead + Unpin,
    mut to_server: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let tell = async {
        to_server.write_all(message).await?;
        to_server.shutdown().await
    };
    // Both at once: a server that cannot get rid of its answers stops listening.
    let mut nowhere = sink();
    tokio::try_join!(tell, copy(&mut from_server, &mut nowhere)).map(drop)
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

const BUFFER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use crate::event::Engine;

    use super::*;

    const SAID: &[u8] = b"\x07\0\0\0\x03INSERT\x07\0\0\0\x03COMMIT\x06\0\0\0\x03BEGIN";
    const INSERT: usize = 11;
    const COMMIT: usize = 11;

    async fn relayed(fault: Option<CommitFault>) -> (Vec<u8>, Option<(CommitFault, BytesMut)>) {
        let mut server = Vec::new();
        let watch = CommitWatch::new(Engine::MySql);
        let lost = relay(watch, || fault, SAID, &mut server).await.unwrap();
        (server, lost)
    }

    #[tokio::test]
    async fn neither_a_lost_commit_nor_what_follows_it_reaches_the_server() {
        let (server, lost) = relayed(Some(CommitFault::Before)).await;
        assert_eq!(server, SAID[..INSERT]);
        let (fault, commit) = lost.unwrap();
        assert_eq!(fault, CommitFault::Before);
        assert_eq!(commit, SAID[INSERT..INSERT + COMMIT]);
    }

    #[tokio::test]
    async fn without_an_order_all_reaches_the_server() {
        let (server, lost) = relayed(None).await;
        assert_eq!(server, SAID);
        assert!(lost.is_none());
    }

    #[tokio::test]
    async fn a_server_is_waited_for_though_it_answers_before_it_listens() {
        let (ours, mut theirs) = duplex(16);
        let server = tokio::spawn(async move {
            theirs.write_all(&[b'x'; 1_000]).await.unwrap();
            let mut told = Vec::new();
            theirs.read_to_end(&mut told).await.unwrap();
            theirs.write_all(&[b'y'; 1_000]).await.unwrap();
            told
        });
        let (from_server, to_server) = split(ours);
        finish(&[b'c'; 100], from_server, to_server).await.unwrap();
        assert_eq!(server.await.unwrap(), [b'c'; 100]);
    }
}
