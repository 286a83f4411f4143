//! Which users of a server log in with IAM tokens.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use std::{io, thread};

use sqlx::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Answers whether a user is an IAM user, by asking the server.
///
/// Every login through a gateway asks, so one connection is kept open for it. A connection lives
/// and dies with the runtime it was opened in, while a server may be shared by gateways in
/// several runtimes, one per test for example: hence a thread of its own.
#[derive(Debug)]
pub(crate) struct IamUsers {
    questions: mpsc::UnboundedSender<Question>,
}

#[derive(Debug)]
struct Question {
    username: String,
    answer: oneshot::Sender<io::Result<bool>>,
}

/// A connection that can count what is on record about one user.
pub(crate) trait CountGrants: Connection + Sized + 'static {
    fn count(
        &mut self,
        sql: &'static str,
        username: &str,
    ) -> impl Future<Output = Result<i64, sqlx::Error>> + Send;
}

impl IamUsers {
    /// Starts the thread, which asks `sql`: how often is the user it names granted `rds_iam`? It connects with `options` at the first question, and anew whenever the
    /// server was restarted since the last; it ends when `self` is dropped.
    pub(crate) fn new<C: CountGrants>(options: C::Options, sql: &'static str) -> io::Result<Self> {
        let (questions, mut asked) = mpsc::unbounded_channel::<Question>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("rds-sandbox-iam-users".into())
            .spawn(move || {
                runtime.block_on(async {
                    let mut connection: Option<C> = None;
                    while let Some(question) = asked.recv().await {
                        let answer = timeout(
                            PATIENCE,
                            ask(sql, &question.username, &options, &mut connection),
                        );
                        let answer = match answer.await {
                            Ok(answer) => answer.map_err(io::Error::other),
                            Err(elapsed) => {
                                connection = None;
                                Err(elapsed.into())
                            }
                        };
                        // The login that asked may be over by now.
                        let _ = question.answer.send(answer);
                    }
                });
            })?;
        Ok(Self { questions })
    }

    /// Whether `username` is an IAM user.
    pub(crate) fn contains<'a>(
        &'a self,
        username: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send + 'a>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let question = Question {
                username: username.to_owned(),
                answer,
            };
            self.questions
                .send(question)
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            answered.await.map_err(|_| io::ErrorKind::BrokenPipe)?
        })
    }
}

/// Asks over the connection kept from last time, if that still works, or else over a new one.
async fn ask<C: CountGrants>(
    sql: &'static str,
    username: &str,
    options: &C::Options,
    kept: &mut Option<C>,
) -> Result<bool, sqlx::Error> {
    if let Some(mut connection) = kept.take()
        && let Ok(grants) = connection.count(sql, username).await
    {
        *kept = Some(connection);
        return Ok(grants > 0);
    }
    let mut connection = C::connect_with(options).await?;
    let grants = connection.count(sql, username).await?;
    *kept = Some(connection);
    Ok(grants > 0)
}

/// Less than a gateway gives a whole login, so that the reason gets through.
const PATIENCE: Duration = Duration::from_secs(5);
