//! The same requests by the driver and by the SDK: same text, same parameters, same forms.

use aws_sdk_rdsdata::types::{
    DecimalReturnType, Field, LongReturnType, ResultSetOptions, SqlParameter,
};
use sqlx::{Arguments, FromRow, query_as};
use sqlx_rds::data_api::{self, DataApiArguments, Postgres};

use crate::service::{Connection, Driver, Sdk};
use crate::support::operation::Operation;

#[derive(FromRow)]
struct Item {
    id: i64,
    item: String,
    note: Option<String>,
    price: f64,
    paid: bool,
}

impl Item {
    /// Takes what the service sent, without a copy.
    fn of(fields: Vec<Field>) -> Self {
        let Ok(
            [
                Field::LongValue(id),
                Field::StringValue(item),
                note,
                Field::DoubleValue(price),
                Field::BooleanValue(paid),
            ],
        ) = <[Field; 5]>::try_from(fields)
        else {
            panic!("other columns than were asked for");
        };
        let note = match note {
            Field::StringValue(note) => Some(note),
            _ => None,
        };
        Self {
            id,
            item,
            note,
            price,
            paid,
        }
    }

    fn check(items: &[Self], count: i64) {
        assert_eq!(items.len() as i64, count);
        let [.., last] = items else { panic!("no row") };
        assert!(last.id == count && !last.item.is_empty() && last.price > 0.0);
        assert!(last.note.is_some() == (count % 2 == 0) && last.paid == (count % 3 == 0));
    }
}

/// So many rows, read into structs.
#[derive(Clone)]
pub(crate) struct Rows<P> {
    pub(crate) by: P,
    pub(crate) count: i64,
}

const SELECT: &str = "SELECT id, item, note, price, paid FROM items WHERE id <= $1 ORDER BY id";

impl Operation for Rows<Driver> {
    async fn perform(&self, _: usize) {
        let items = query_as(SELECT).bind(self.count).fetch_all(&self.by).await;
        Item::check(&items.unwrap(), self.count);
    }
}

impl Operation for Rows<Connection> {
    async fn perform(&self, _: usize) {
        let mut connection = self.by.0.lock().await;
        let items = query_as(SELECT)
            .bind(self.count)
            .fetch_all(&mut *connection);
        Item::check(&items.await.unwrap(), self.count);
    }
}

impl Operation for Rows<Sdk> {
    async fn perform(&self, _: usize) {
        let forms = ResultSetOptions::builder()
            .decimal_return_type(DecimalReturnType::String)
            .long_return_type(LongReturnType::Long)
            .build();
        let answer = self
            .by
            .client
            .execute_statement()
            .resource_arn(&self.by.resource_arn)
            .secret_arn(&self.by.secret_arn)
            .database(&self.by.database)
            .sql(
                "SELECT id, item, note, price, paid FROM items \
                 WHERE id <= CAST(:p1 AS int8) ORDER BY id",
            )
            .parameters(parameter("p1", Field::LongValue(self.count)))
            .include_result_metadata(true)
            .result_set_options(forms)
            .send()
            .await
            .unwrap();
        let records = answer.records.unwrap().into_iter();
        let items: Vec<_> = records.map(Item::of).collect();
        Item::check(&items, self.count);
    }
}

/// A thousand rows are written, all of them or none.
#[derive(Clone)]
pub(crate) struct Batch<P>(pub(crate) P);

const SETS: i64 = 1_000;

impl Operation for Batch<Connection> {
    async fn perform(&self, _: usize) {
        let mut connection = self.0.0.lock().await;
        let sets = (0..SETS).map(|id| {
            let mut set = DataApiArguments::<Postgres>::default();
            set.add(id).unwrap();
            set.add(format!("item {id}")).unwrap();
            set
        });
        let sql = "INSERT INTO sold (id, item) VALUES ($1, $2)";
        let done = data_api::execute_many(&mut connection, sql, sets).await;
        assert_eq!(done.unwrap(), SETS as usize);
    }
}

impl Operation for Batch<Sdk> {
    async fn perform(&self, _: usize) {
        let Sdk {
            client,
            resource_arn,
            secret_arn,
            database,
        } = &self.0;
        let begun = client
            .begin_transaction()
            .resource_arn(resource_arn)
            .secret_arn(secret_arn)
            .database(database)
            .send()
            .await;
        let id = begun.unwrap().transaction_id;
        self.0.send_batch(id.clone()).await;
        let committed = client
            .commit_transaction()
            .resource_arn(resource_arn)
            .secret_arn(secret_arn)
            .set_transaction_id(id)
            .send();
        committed.await.unwrap();
    }
}

/// The same without a transaction, so that it may be done in part.
#[derive(Clone)]
pub(crate) struct LooseBatch(pub(crate) Sdk);

impl Operation for LooseBatch {
    async fn perform(&self, _: usize) {
        self.0.send_batch(None).await;
    }
}

impl Sdk {
    async fn send_batch(&self, transaction_id: Option<String>) {
        let sets = (0..SETS).map(|id| {
            vec![
                parameter("p1", Field::LongValue(id)),
                parameter("p2", Field::StringValue(format!("item {id}"))),
            ]
        });
        let answer = self
            .client
            .batch_execute_statement()
            .resource_arn(&self.resource_arn)
            .secret_arn(&self.secret_arn)
            .database(&self.database)
            .set_transaction_id(transaction_id)
            .sql("INSERT INTO sold (id, item) VALUES (CAST(:p1 AS int8), CAST(:p2 AS text))")
            .set_parameter_sets(Some(sets.collect()))
            .send()
            .await;
        assert_eq!(answer.unwrap().update_results().len(), SETS as usize);
    }
}

fn parameter(name: &str, value: Field) -> SqlParameter {
    SqlParameter::builder().name(name).value(value).build()
}
