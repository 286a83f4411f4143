//! What the pools are asked to do.

use sqlx::{Connection, PgPool, query_scalar};

use crate::peers::{BareDeadpool, Raw};
use crate::support::operation::Operation;

/// A query that costs the server next to nothing.
const SQL: &str = "SELECT 1";

/// [`SQL`] as a prepared statement, and its one value read.
#[derive(Clone)]
pub(crate) struct SelectOne<P>(pub(crate) P);

impl Operation for SelectOne<sqlx_rds::PgPool> {
    async fn perform(&self, _: usize) {
        let one: i32 = query_scalar(SQL).fetch_one(&self.0).await.unwrap();
        assert_eq!(one, 1);
    }
}

impl Operation for SelectOne<PgPool> {
    async fn perform(&self, _: usize) {
        let one: i32 = query_scalar(SQL).fetch_one(&self.0).await.unwrap();
        assert_eq!(one, 1);
    }
}

impl Operation for SelectOne<BareDeadpool> {
    async fn perform(&self, _: usize) {
        let mut connection = self.0.get().await.unwrap();
        let one: i32 = query_scalar(SQL).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(one, 1);
    }
}

impl Operation for SelectOne<Raw> {
    async fn perform(&self, task: usize) {
        let connections = &self.0.0;
        let mut connection = connections[task % connections.len()].lock().await;
        let one: i32 = query_scalar(SQL).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(one, 1);
    }
}

impl Operation for SelectOne<deadpool_postgres::Pool> {
    async fn perform(&self, _: usize) {
        let client = self.0.get().await.unwrap();
        let statement = client.prepare_cached(SQL).await.unwrap();
        let row = client.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1);
    }
}

/// A connection is taken and given back without being touched, so that it stays clean.
#[derive(Clone)]
pub(crate) struct AcquireRelease<P>(pub(crate) P);

impl Operation for AcquireRelease<sqlx_rds::PgPool> {
    async fn perform(&self, _: usize) {
        drop(self.0.acquire().await.unwrap());
    }
}

impl Operation for AcquireRelease<PgPool> {
    async fn perform(&self, _: usize) {
        drop(self.0.acquire().await.unwrap());
    }
}

impl Operation for AcquireRelease<BareDeadpool> {
    async fn perform(&self, _: usize) {
        drop(self.0.get().await.unwrap());
    }
}

/// A transaction in which nothing happens.
#[derive(Clone)]
pub(crate) struct BeginCommit<P>(pub(crate) P);

impl Operation for BeginCommit<sqlx_rds::PgPool> {
    async fn perform(&self, _: usize) {
        self.0.begin().await.unwrap().commit().await.unwrap();
    }
}

impl Operation for BeginCommit<PgPool> {
    async fn perform(&self, _: usize) {
        self.0.begin().await.unwrap().commit().await.unwrap();
    }
}

impl Operation for BeginCommit<BareDeadpool> {
    async fn perform(&self, _: usize) {
        let mut connection = self.0.get().await.unwrap();
        connection.begin().await.unwrap().commit().await.unwrap();
    }
}
