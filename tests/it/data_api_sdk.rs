//! The AWS SDK for Rust with its default settings, on the sandbox's Data API.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_rdsdata::Client;
use aws_sdk_rdsdata::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_rdsdata::operation::execute_statement::builders::ExecuteStatementFluentBuilder;
use aws_sdk_rdsdata::primitives::Blob;
use aws_sdk_rdsdata::types::{
    DecimalReturnType, Field, LongReturnType, RecordsFormatType, ResultSetOptions, SqlParameter,
    TypeHint,
};
use sqlx_rds_sandbox::{
    DataApiFailure, DataApiFault, DataApiOperation, DataApiRefusal, Engine, Sandbox, backend,
};

struct Stage {
    sandbox: Sandbox,
    engine: Engine,
    client: Client,
}

impl Stage {
    async fn of(engine: Engine) -> Self {
        let builder = Sandbox::builder();
        let builder = match engine {
            Engine::Postgres => builder.postgres_on(backend::Postgres::shared().await.unwrap()),
            Engine::MySql => builder.mysql_on(backend::MariaDb::shared().await.unwrap()),
        };
        let sandbox = builder.start().await.unwrap();
        let client = client(&sandbox, &sandbox.aws().secret_access_key).await;
        Self {
            sandbox,
            engine,
            client,
        }
    }

    fn resource(&self) -> &str {
        self.sandbox.data_api().resource_arn(self.engine).unwrap()
    }

    fn secret(&self) -> &str {
        self.sandbox.data_api().secret_arn(self.engine).unwrap()
    }

    fn execute(&self, sql: &str) -> ExecuteStatementFluentBuilder {
        let execute = self.client.execute_statement().sql(sql);
        let execute = execute.resource_arn(self.resource());
        execute.secret_arn(self.secret()).database("orders")
    }

    async fn run(&self, sql: &str) {
        self.execute(sql).send().await.unwrap();
    }

    /// The rows of a query, and nothing else of its answer.
    async fn rows(&self, sql: &str) -> Vec<Vec<Field>> {
        self.execute(sql).send().await.unwrap().records.unwrap()
    }

    async fn count(&self) -> Field {
        let rows = self.rows("SELECT count(*) FROM sdk").await;
        rows[0][0].clone()
    }

    async fn begin(&self) -> String {
        let begin = self.client.begin_transaction().database("orders");
        let begin = begin.resource_arn(self.resource());
        let begun = begin.secret_arn(self.secret()).send().await.unwrap();
        begun.transaction_id.unwrap()
    }
}

/// A client as `aws_config` makes it, but for keys and endpoint.
async fn client(sandbox: &Sandbox, secret_access_key: &str) -> Client {
    let aws = sandbox.aws();
    let token = aws.session_token.clone();
    let keys = Credentials::new(&aws.access_key_id, secret_access_key, token, None, "test");
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(keys)
        .endpoint_url(sandbox.data_api().endpoint())
        .load();
    Client::new(&config.await)
}

fn parameter(name: &str, value: Field) -> SqlParameter {
    SqlParameter::builder().name(name).value(value).build()
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    error.code().unwrap_or_default()
}

async fn runs_unchanged(engine: Engine) {
    let stage = Stage::of(engine).await;
    stage.run("DROP TABLE IF EXISTS sdk").await;
    stage.run("CREATE TABLE sdk (id INT, v TEXT)").await;

    // Every kind of value, there and back.
    for value in [
        Field::IsNull(true),
        Field::LongValue(i64::MIN),
        Field::DoubleValue(0.5),
        Field::StringValue("é'".into()),
        Field::BlobValue(Blob::new([0, 255])),
    ] {
        let asked = stage
            .execute("SELECT :p")
            .parameters(parameter("p", value.clone()));
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.records.unwrap(), [[value]]);
    }
    let day = Field::StringValue("2020-01-02".into());
    let hinted = SqlParameter::builder().name("day").value(day.clone());
    let hinted = hinted.type_hint(TypeHint::Date).build();
    let asked = stage
        .execute("SELECT CAST(:day AS DATE)")
        .parameters(hinted);
    assert_eq!(asked.send().await.unwrap().records.unwrap(), [[day]]);

    let options = ResultSetOptions::builder()
        .long_return_type(LongReturnType::String)
        .decimal_return_type(DecimalReturnType::DoubleOrLong);
    let asked = stage
        .execute("SELECT 1, 1.5")
        .result_set_options(options.build());
    let expected = [[Field::StringValue("1".into()), Field::DoubleValue(1.5)]];
    assert_eq!(asked.send().await.unwrap().records.unwrap(), expected);
    let asked = stage
        .execute("SELECT 'x' AS a")
        .format_records_as(RecordsFormatType::Json);
    let records = asked.send().await.unwrap().formatted_records;
    assert_eq!(records.as_deref(), Some(r#"[{"a":"x"}]"#));
    let asked = stage
        .execute("SELECT id FROM sdk")
        .include_result_metadata(true);
    let columns = asked.send().await.unwrap().column_metadata.unwrap();
    assert_eq!(columns[0].label.as_deref(), Some("id"));

    let batch = stage.client.batch_execute_statement();
    let batch = batch
        .resource_arn(stage.resource())
        .secret_arn(stage.secret());
    let batch = batch
        .database("orders")
        .sql("INSERT INTO sdk (id) VALUES (:id)");
    let one = |id| vec![parameter("id", Field::LongValue(id))];
    let batch = batch.parameter_sets(one(1)).parameter_sets(one(2));
    assert_eq!(batch.send().await.unwrap().update_results.unwrap().len(), 2);

    // Transactions, and the classes of exceptions.
    for (commits, left) in [(false, 2), (true, 0)] {
        let id = stage.begin().await;
        let delete = stage.execute("DELETE FROM sdk").transaction_id(&id);
        assert_eq!(delete.send().await.unwrap().number_of_records_updated, 2);
        let (resource, secret) = (stage.resource(), stage.secret());
        if commits {
            let commit = || {
                let commit = stage.client.commit_transaction().resource_arn(resource);
                commit.secret_arn(secret).transaction_id(&id).send()
            };
            let status = commit().await.unwrap().transaction_status;
            assert_eq!(status.as_deref(), Some("Transaction Committed"));
            let again = commit().await.unwrap_err().into_service_error();
            assert!(again.is_transaction_not_found_exception());
        } else {
            let rollback = stage.client.rollback_transaction().resource_arn(resource);
            let done = rollback.secret_arn(secret).transaction_id(&id).send().await;
            let status = done.unwrap().transaction_status;
            assert_eq!(status.as_deref(), Some("Rollback Complete"));
        }
        assert_eq!(stage.count().await, Field::LongValue(left));
    }
    let refused = stage.execute("SELECT x FROM sdk").send().await;
    assert!(
        refused
            .unwrap_err()
            .into_service_error()
            .is_database_error_exception()
    );
    let refused = stage
        .execute("SELECT 1; SELECT 2")
        .send()
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "ValidationException");
    let refuse = DataApiFault::Refuse(DataApiRefusal::Forbidden);
    stage.sandbox.data_api().play_next(1, refuse);
    let refused = stage.execute("SELECT 1").send().await.unwrap_err();
    assert!(refused.into_service_error().is_forbidden_exception());
    let wrong = client(&stage.sandbox, "wrong").await.execute_statement();
    let wrong = wrong
        .resource_arn(stage.resource())
        .secret_arn(stage.secret());
    let refused = wrong.sql("SELECT 1").send().await.unwrap_err();
    assert_eq!(code(&refused), "InvalidSignatureException");

    // Its default retries write a row twice, which is why the driver switches them off.
    let lost = DataApiFault::After(DataApiFailure::DatabaseUnavailable);
    let service = stage.sandbox.data_api();
    service.play_next_of(DataApiOperation::ExecuteStatement, 1, lost);
    stage.run("INSERT INTO sdk (id) VALUES (7)").await;
    assert_eq!(stage.count().await, Field::LongValue(2));
    stage.run("DROP TABLE sdk").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_sdk_for_rust_runs_unchanged_on_postgres() {
    runs_unchanged(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_sdk_for_rust_runs_unchanged_on_mysql() {
    runs_unchanged(Engine::MySql).await;
}
