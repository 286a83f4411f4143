//! sea-orm 2 takes a pool of sqlx's own type only, and gets one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

use aws_credential_types::Credentials;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ConnectionTrait, Schema, SqlxPostgresConnector, TransactionTrait};
use sqlx_rds::{ConnectOptions, PgPoolOptions};
use sqlx_rds_sandbox::{Sandbox, Verdict};

mod person {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "people")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub(crate) id: i32,
        pub(crate) name: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn named(name: &str) -> person::ActiveModel {
    person::ActiveModel {
        name: ActiveValue::Set(name.to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn sea_orm_works_on_logins_by_token() {
    let sandbox = Sandbox::builder().postgres().start().await.unwrap();
    let aws = sandbox.aws();
    let credentials = Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        aws.session_token.clone(),
        None,
        "test",
    );
    let options: ConnectOptions<_> = sandbox.postgres().url().parse().unwrap();
    let connector = sqlx_rds::Connector::new(options.credentials_provider(credentials)).unwrap();
    let settings = PgPoolOptions::new().max_connections(2);
    let pool = connector.sqlx_pool(settings).unwrap();
    let orm = SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone());

    let table = Schema::new(orm.get_database_backend()).create_table_from_entity(person::Entity);
    orm.execute(&table).await.unwrap();
    named("Ada").insert(&orm).await.unwrap();

    let transaction = orm.begin().await.unwrap();
    named("Grace").insert(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    let transaction = orm.begin().await.unwrap();
    named("nobody").insert(&transaction).await.unwrap();
    drop(transaction);

    // What it was logged in with is gone; it logs in anew and never hears of it.
    sandbox.postgres().gateway().kill_connections();
    let people = person::Entity::find().all(&orm).await.unwrap();
    let names: Vec<_> = people.iter().map(|person| person.name.as_str()).collect();
    assert_eq!(names, ["Ada", "Grace"]);
    let accepted = |event: &sqlx_rds_sandbox::LoginEvent| event.verdict == Verdict::Accepted;
    assert!(sandbox.postgres().gateway().events().count(accepted) > 1);

    orm.close().await.unwrap();
    assert!(pool.is_closed());
    sandbox.end().await;
}
