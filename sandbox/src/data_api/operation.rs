//! The five operations.

use serde_json::{Value, json};

use super::exception::Exception;
use super::field::Field;
use super::request::{RawParameter, Request, Wish};
use super::scanner::{self, Dialect};
use super::session::{Login, Session};
use super::statement::{Limit, Place, Statement};
use super::{Cluster, DataApiOperation, Shared};
use crate::Engine;
use crate::server::Backend;

/// What a fault changes about a request that is otherwise carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Twist {
    pub(super) times_out: bool,
    pub(super) is_oversize: bool,
}

impl Shared {
    pub(super) async fn perform(
        &self,
        operation: DataApiOperation,
        request: Request,
        twist: Twist,
    ) -> Result<Value, Exception> {
        let v1 = self.options.v1;
        if request.schema.is_some() && !v1 {
            return Err(Exception::validation("Schema is not supported."));
        }
        let answer = match operation {
            DataApiOperation::ExecuteStatement => self.execute(request, twist).await,
            DataApiOperation::BatchExecuteStatement => self.batch_execute(request, twist).await,
            _ if twist.times_out => Err(Exception::connection_timeout()),
            DataApiOperation::BeginTransaction => self.begin(&request).await,
            DataApiOperation::CommitTransaction => self.finish(&request, true).await,
            DataApiOperation::RollbackTransaction => self.finish(&request, false).await,
        };
        answer.map_err(|exception| if v1 { exception.into_v1() } else { exception })
    }

    async fn execute(&self, mut request: Request, twist: Twist) -> Result<Value, Exception> {
        let parameters = request.parameters.take().unwrap_or_default();
        let parameters = RawParameter::read_all(parameters)?;
        let wish = request.wish(self.options.v1);
        let sets = vec![parameters];
        let outcomes = self.run(&request, sets, wish, false, twist).await?;
        let answer = match outcomes.into_iter().next() {
            Some(_) if twist.is_oversize => Err(Exception::oversize()),
            Some(outcome) => outcome.answer(wish),
            None => Err(Exception::internal_failure()),
        };
        let id = request.transaction_id.as_deref();
        if let (Err(exception), Some(id)) = (&answer, id)
            && *exception == Exception::oversize()
        {
            self.transactions.end(id).await;
        }
        answer
    }

    async fn batch_execute(&self, mut request: Request, twist: Twist) -> Result<Value, Exception> {
        let sets = request.parameter_sets.take().unwrap_or_default();
        let sets: Result<Vec<_>, Exception> =
            sets.into_iter().map(RawParameter::read_all).collect();
        let wish = Wish {
            v1: self.options.v1,
            ..Wish::default()
        };
        let outcomes = self.run(&request, sets?, wish, true, twist).await?;
        let results: Vec<Value> = outcomes
            .iter()
            .map(|outcome| {
                let generated: Vec<Value> = outcome.generated.iter().map(Field::union).collect();
                json!({ "generatedFields": generated })
            })
            .collect();
        Ok(json!({ "updateResults": results }))
    }

    async fn run(
        &self,
        request: &Request,
        sets: Vec<Vec<super::request::Parameter>>,
        wish: Wish,
        is_batch: bool,
        twist: Twist,
    ) -> Result<Vec<super::outcome::Outcome>, Exception> {
        let cluster = self.cluster(request)?;
        let login = self.login(request, cluster).await?;
        let statement = Statement {
            sqls: self.statements(&request.sql, cluster.engine, is_batch),
            dialect: Dialect {
                engine: cluster.engine,
                is_correct: self.options.correct_scanner,
            },
            sets,
            wish,
            is_batch,
        };
        let mut place = match request.transaction_id.as_deref() {
            Some(id) => {
                let held = self.transactions.find(id).await?;
                if held.engine != cluster.engine {
                    return Err(Exception::transaction_not_found(id));
                }
                if request.database.is_some() && request.database != held.database {
                    return Err(Exception::bad_request(
                        "Database name is not the same as transaction",
                    ));
                }
                Place::Held(
                    held.session(self.options.v1).await?,
                    held,
                    self.transactions.clone(),
                )
            }
            None => Place::Fresh(Session::connect(&self.backend(cluster)?, &login).await?),
        };
        let limit = Limit {
            after: self.options.statement_timeout,
            then_continue: request.continue_after_timeout.unwrap_or_default(),
        };
        if twist.times_out {
            let id = place.session().id();
            match limit.then_continue {
                true => drop(statement.run(place, limit).await),
                false => place.session().abort().await,
            }
            return Err(Exception::timeout(id));
        }
        statement.run(place, limit).await
    }

    async fn begin(&self, request: &Request) -> Result<Value, Exception> {
        let cluster = self.cluster(request)?;
        let login = self.login(request, cluster).await?;
        let mut session = Session::connect(&self.backend(cluster)?, &login).await?;
        session.begin().await?;
        let database = login.database;
        let id = self.transactions.keep(session, cluster.engine, database);
        Ok(json!({ "transactionId": id }))
    }

    async fn finish(&self, request: &Request, commits: bool) -> Result<Value, Exception> {
        let cluster = self.cluster(request)?;
        self.login(request, cluster).await?;
        let id = request.transaction_id.as_deref().unwrap_or_default();
        let held = self.transactions.find(id).await?;
        let mut session = held.session(self.options.v1).await?;
        self.transactions.forget(id);
        let status = match commits {
            true => {
                session.commit().await?;
                "Transaction Committed"
            }
            false => {
                session.roll_back().await?;
                "Rollback Complete"
            }
        };
        Ok(json!({ "transactionStatus": status }))
    }

    /// What a request's SQL consists of: the first Data API ran several statements on PostgreSQL.
    fn statements(&self, sql: &str, engine: Engine, is_batch: bool) -> Vec<String> {
        let found = match self.options.v1 && engine == Engine::Postgres && !is_batch {
            true => scanner::statements(sql, engine),
            false => Vec::new(),
        };
        match found.as_slice() {
            [] | [_] => vec![sql.to_owned()],
            several => several.iter().map(|sql| (*sql).to_owned()).collect(),
        }
    }

    fn cluster(&self, request: &Request) -> Result<&Cluster, Exception> {
        let arn = &request.resource_arn;
        let found = self.clusters.iter().find(|cluster| cluster.arn == *arn);
        found.ok_or_else(|| Exception::endpoint_not_enabled(arn))
    }

    /// The real server, unless it has ended.
    fn backend(&self, cluster: &Cluster) -> Result<Backend, Exception> {
        let backend = cluster.backend.upgrade();
        backend.ok_or_else(Exception::database_unavailable)
    }

    /// Reads the secret, and creates its user where that is the sandbox's own.
    async fn login(&self, request: &Request, cluster: &Cluster) -> Result<Login, Exception> {
        let secret = self
            .secrets
            .current(&request.secret_arn)
            .ok_or_else(Exception::secrets_error)?;
        let secret: Value =
            serde_json::from_str(&secret).map_err(|_| Exception::invalid_secret())?;
        let field = |name: &str| secret[name].as_str().map(str::to_owned);
        let (Some(username), Some(password)) = (field("username"), field("password")) else {
            return Err(Exception::invalid_secret());
        };
        // The secret of the other engine's database is of no use here.
        let engine = match cluster.engine {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        };
        let is_ours = username == cluster.username && secret["engine"] == engine;
        if is_ours {
            let backend = self.backend(cluster)?;
            let make = || backend.put_owner(&username, &password);
            let made = cluster.user.get_or_try_init(make).await;
            made.map_err(|_| Exception::database_unavailable())?;
        }
        let default = match cluster.engine {
            // The service leaves it to the server, which takes the user's name.
            Engine::Postgres => None,
            Engine::MySql => field("dbname"),
        };
        let database = request.database.clone().or(default);
        Ok(Login {
            username,
            password,
            database,
        })
    }
}
